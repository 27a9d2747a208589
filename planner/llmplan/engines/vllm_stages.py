"""What each pipeline stage of vLLM holds: its weights, and how it pages its cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from llmplan.engines.base import Request, Stage
from llmplan.engines.drafting import Drafter, drafter_of
from llmplan.engines.vllm_paging import (
    BLOCK_TOKENS,
    CONCURRENT_BATCHES,
    kinds_on_device,
    layers_under,
)
from llmplan.engines.vllm_printed import Pool
from llmplan.engines.vllm_support import is_sparse_latent
from llmplan.engines.vllm_versions import Policy, policy_of
from llmplan.memory.formats import KV_FORMATS
from llmplan.memory.memo import remembered
from llmplan.memory.weights import stage_bytes, stage_layers, weight_bytes
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism

NESTED_SCALE_BITS = 8
"""Bits of an absmax that bitsandbytes quantizes again (compress_statistics in the loader); its own
scales, 32 bits for 256 of them, are a two-thousandth of the weights and left out."""

LENGTHS = 64
"""Lengths whose requests are kept of a stage."""


def stages_of(request: Request, batched: int) -> list[Stage]:
    """Return the stages of one replica whose steps take `batched` tokens."""
    p = request.parallel
    if request.limits.speculative_tokens is None:
        return list(
            _undrafted(
                request.model, request.weights, request.kv, p.tp, p.pp, p.dp, p.ep,
                request.version, batched, request.limits.block_size or BLOCK_TOKENS,
                request.workload.input_tokens or 0,
            )
        )  # fmt: skip
    drafter, policy = drafter_of(request), policy_of(request.version)
    sizes = _sizes(request.model, request.weights, p, policy)
    if drafter:
        sizes[-1] += drafter.weights_bytes + (drafter.embedding_bytes if p.pp > 1 else 0)
    return [Stage(n, pool.request_bytes)
            for n, pool in zip(sizes, pools_of(request, batched), strict=True)]  # fmt: skip


def pools_of(request: Request, batched: int) -> list[Pool]:
    """Return how each pipeline stage pages its cache."""
    p, limits = request.parallel, request.limits
    return _pools(
        request.model, request.kv, policy_of(request.version), tp=p.tp, pp=p.pp, batched=batched,
        block_tokens=limits.block_size or BLOCK_TOKENS,
        encoder_tokens=request.workload.input_tokens or 0,
        drafter=drafter_of(request), speculative_tokens=limits.speculative_tokens or 0,
    )  # fmt: skip


@remembered
def _undrafted(
    model: Model, weights: WeightFormat, kv: KvFormat, tp: int, pp: int, dp: int, ep: int,
    version: str, batched: int, block_tokens: int, encoder_tokens: int,
) -> tuple[Stage, ...]:  # fmt: skip
    """Return the stages of a model that nothing drafts for: the same on devices of one tier."""
    policy = policy_of(version)
    sizes = _sizes(model, weights, Parallelism(tp, pp, dp, ep), policy)
    pools = _pools(
        model, kv, policy, tp=tp, pp=pp, batched=batched, block_tokens=block_tokens,
        encoder_tokens=encoder_tokens,
    )  # fmt: skip
    kept: list[Callable[[int], float]] = [lru_cache(LENGTHS)(pool.request_bytes) for pool in pools]
    return tuple(Stage(n, taken) for n, taken in zip(sizes, kept, strict=True))


def _sizes(model: Model, weights: WeightFormat, p: Parallelism, policy: Policy) -> list[float]:
    """Return the weights of each stage as the version keeps them in memory [bytes]."""
    if weights.name == "bnb-nf4" and policy.nested_scales:
        weights = replace(weights, group_bits=NESTED_SCALE_BITS)
    held = weight_bytes(model, weights, tp=p.tp, dp=p.dp, ep=p.ep, pad_vocab=True)
    return stage_bytes(held, p.pp)


def _pools(
    model: Model, kv: KvFormat, policy: Policy, *, tp: int, pp: int, batched: int,
    block_tokens: int, encoder_tokens: int, drafter: Drafter | None = None,
    speculative_tokens: int = 0,
) -> list[Pool]:  # fmt: skip
    # For sparse latent attention vLLM reads fp8 as its own layout: flashmla_sparse.py
    if kv.name == "fp8" and is_sparse_latent(model):
        kv = KV_FORMATS["fp8_ds_mla"]
    own = len(model.main.layers)
    drafted = drafter.caches(own, latent=policy.latent != "expanded") if drafter else []
    groups = layers_under(model, kv, policy, drafted)
    steps = pp + CONCURRENT_BATCHES - 1 if policy.windows_in_flight else 1
    counts = stage_layers(own, pp)
    counts[-1] += len(drafter.stack.layers) if drafter else 0
    pools, start = [], 0
    for count in counts:
        kinds = kinds_on_device(
            groups, kv, tp=tp, block_tokens=block_tokens, layers=range(start, start + count),
            state_pages=policy.state_pages, speculative_tokens=speculative_tokens,
        )  # fmt: skip
        pools.append(Pool(kinds, policy, batched * steps, encoder_tokens))
        start += count
    return pools
