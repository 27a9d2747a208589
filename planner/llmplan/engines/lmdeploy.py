"""LMDeploy: its two back ends, what they run where, their pool, the command.

TurboMind: pool = cache_max_entry_count x what is free after the weights. PyTorch: the same of
what states and a runtime reserve leave. No public start-up log states its inputs, so all but
the layout of weights and cache is assumed. Source: LMDeploy 0.18.0 (PyPI wheel), messages.py,
pytorch/engine/executor/base.py, turbomind/supported_models.py, cli/, read 2026-11-21.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from llmplan.engines import sharding
from llmplan.engines.base import Overheads, Plan, Request, Stage
from llmplan.engines.lmdeploy_architectures import ARCHITECTURES, TURBOMIND
from llmplan.engines.paged import (
    PagedEngine,
    capability_error,
    checkpoint_error,
    checkpoint_of,
    is_sparse_latent,
    kept_on,
    layout_of,
    policy_of,
    pool_figures,
    start_bytes,
)
from llmplan.engines.solving import solve
from llmplan.engines.starting import Start, start_of
from llmplan.memory.weights import weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism, Term


class Policy(NamedTuple):
    """Since when, the default cache_max_entry_count, and whether it is of all memory."""

    since: str
    share: float
    of_total: bool


POLICIES = (Policy("0.2.0", 0.5, True), Policy("0.2.2", 0.8, False), Policy("0.18.0", 0.8, False))
"""Source: the docstring of cache_max_entry_count in LMDeploy 0.18.0 messages.py: 0.5 of total
memory in 0.2.0 and 0.2.1, 0.8 of free memory later."""

BLOCK_TOKENS = 64
"""Tokens of a block (cache_block_seq_len)."""

PREFILL_TOKENS = 8192
"""Tokens of one prefill step (max_prefill_token_num)."""

LEAST_BLOCKS = 16
"""Blocks for which the PyTorch back end halves its prefill step (_get_runtime_size)."""

LOGIT_BYTES = 2
"""Bytes of a logit in the runtime reserve (_get_runtime_size)."""

SCORE_WORKSPACE_BYTES = 512 * (1 << 20)
"""Workspace of sparse latent attention (LMDEPLOY_DSA_INDEXER_MAX_LOGITS_MB)."""

SPARE_STATES = 2
"""State slots beside those of running requests (_get_state_cache_mem)."""

STATE_BYTES = 2
"""Bytes of a state element: the model's own 16-bit type (pytorch/configurations)."""

BATCH_BY_NAME = (("a100", 384), ("a800", 384), ("h100", 1024), ("h800", 1024), ("l20y", 1024),
                 ("h200", 1024))  # fmt: skip
BATCH_OTHERS = 128
"""Default max_batch_size by what the device's name holds (utils.py get_max_batch_size)."""

TURBOMIND_FORMATS = (
    "bf16", "fp16", "awq-int4", "gptq-int4", "compressed-tensors-w4a16", "fp8-block", "mxfp4",
)  # fmt: skip
PYTORCH_FORMATS = ("bf16", "fp16", "awq-int4", "compressed-tensors-w4a16", "fp8-block",
                   "int8-w8a8")  # fmt: skip
"""Weight formats of the back ends (turbomind/converter.py; pytorch/config.py)."""

MIN_CAPABILITY = {
    "bf16": 8.0, "fp16": 7.0, "awq": 7.0, "gptq": 7.0, "compressed": 7.0, "mxfp4": 7.0,
    "fp8": 8.0, "int8": 8.0,
}  # fmt: skip
"""Lowest CUDA capability by format. Source: LMDeploy docs, supported models: int4 from V100 on;
8.0 for fp8 and int8 weights is assumed, TurboMind runs fp8 weights below Hopper."""

KV_CAPABILITY = {"bf16": 7.0, "fp16": 7.0, "int8": 7.0, "fp8": 8.9, "fp8_ds_mla": 9.0}
"""Lowest CUDA capability by KV format (--quant-policy; fp8 arithmetic starts at Ada)."""


class LmDeploy(PagedEngine):
    """LMDeploy's OpenAI-compatible server."""

    name = "lmdeploy"
    versions = tuple(row.since for row in POLICIES)
    smaller_kv = "int8"
    formats = ("awq-int4",)
    architectures = ARCHITECTURES
    plan_reads_load = False

    def unsupported(self, request: Request) -> str | None:
        """Return why LMDeploy does not run this model, format or device."""
        if request.gpu.cuda_capability is None:
            return f"llmplan plans LMDeploy on NVIDIA devices alone, not on {request.gpu.id}."
        return (
            checkpoint_error(self, request)
            or _backend_error(request)
            or capability_error(self, request, MIN_CAPABILITY, KV_CAPABILITY)
            or _limits_error(request)
        )

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what LMDeploy cannot divide."""
        p = parallel
        if p.pp > 1 or p.dp > 1 or p.ep > 1:
            return "LMDeploy is planned with tp alone: start one server for each replica"
        if p.tp & (p.tp - 1):
            return f"tp {p.tp} is no power of two, which LMDeploy asks for"
        return sharding.parallel_error(model, weights, p)

    def plan(self, request: Request) -> Plan:
        """Return the pool: a share of what is free after the weights and the back end's reserve."""
        weights = _weights(request)
        kept = _kept(request)
        overheads = _overheads(request, weights)
        share, of_total = _share(request)
        block = _block(request)

        def pool_of(left: float) -> float:
            return request.device_bytes * share if of_total else left * share

        def one(tokens: int) -> float:
            return ceil(tokens / block) * block * kept

        return solve(
            request,
            [Stage(weights, one)],
            overheads,
            budget=request.device_bytes,
            pool_of=pool_of,
            sequences=_batch(request),
            terms=lambda: _terms(request, overheads, share, of_total),
        )

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return weights and pool, as the engine computes them before it allocates blocks."""
        share, of_total = _share(request)
        left = plan.memory.budget_bytes - plan.memory.weights_bytes - plan.overheads.total
        pool = (request.device_bytes if of_total else max(0, left)) * share
        return pool_figures(request, plan, [(pool, _kept(request))], _block(request))

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `lmdeploy serve api_server`."""
        checkpoint = checkpoint_of(request, ("bf16", "fp16"))
        limits, fmt = request.limits, request.weights.name
        words = ["lmdeploy", "serve", "api_server", checkpoint.target]
        words += ["--backend", _backend(request.model, request.weights, request.kv.name)]
        dtype = {"bf16": "bfloat16", "fp16": "float16"}.get(fmt)
        for flag, value, default in (
            ("--dtype", dtype if fmt != request.model.native_format else None, None),
            ("--tp", request.parallel.tp, 1),
            ("--session-len", request.context_tokens, None),
            ("--max-batch-size", limits.max_num_seqs, None),
            ("--max-prefill-token-num", limits.max_num_batched_tokens, None),
            ("--cache-max-entry-count", limits.gpu_memory_utilization, None),
            ("--cache-block-seq-len", limits.block_size, None),
            ("--quant-policy", {"int8": 8, "fp8": 16}.get(request.kv.name), None),
        ):
            if value is not None and value != default:
                words += [flag, str(value)]
        if limits.enforce_eager:
            words.append("--eager-mode")
        if request.model.trust_remote_code:
            words.append("--trust-remote-code")
        return start_of(words, checkpoint.target, checkpoint.urls, checkpoint.warnings)


def _backend(model: Model, weights: WeightFormat, kv: str) -> str:
    """Return the back end that LMDeploy takes by itself: TurboMind where it can."""
    can = model.architecture in TURBOMIND and weights.name in TURBOMIND_FORMATS
    return "turbomind" if can and kv not in ("fp8", "fp8_ds_mla") else "pytorch"


def _backend_error(request: Request) -> str | None:
    model, fmt = request.model, request.weights
    backend = _backend(model, fmt, request.kv.name)
    known = TURBOMIND_FORMATS if backend == "turbomind" else PYTORCH_FORMATS
    if fmt.name not in known:
        return f"LMDeploy {request.version} does not load {model.architecture} in {fmt.name}."
    return None


def _limits_error(request: Request) -> str | None:
    if request.limits.kv_cache_memory_bytes is not None:
        return "LMDeploy has no setting for the bytes of its pool, only for its share."
    if request.extension_factor > 1:
        return (
            f"LMDeploy is planned within the {request.model.context_tokens:,} tokens that "
            f"{request.model.id} was trained for."
        )
    return None


def _share(request: Request) -> tuple[float, bool]:
    rules = policy_of(POLICIES, request.version)
    return request.limits.gpu_memory_utilization or rules.share, rules.of_total


def _block(request: Request) -> int:
    return request.limits.block_size or BLOCK_TOKENS


def _batch(request: Request) -> int:
    name = request.gpu.name.lower()
    default = next((size for part, size in BATCH_BY_NAME if part in name), BATCH_OTHERS)
    return request.limits.max_num_seqs or default


def _weights(request: Request) -> float:
    tp = request.parallel.tp
    return weight_bytes(request.model, request.weights, tp=tp, pad_vocab=True).total


def _kept(request: Request) -> float:
    """Return bytes of one token on a device, windows at full length [bytes/token]."""
    layers = range(len(request.model.main.layers))
    return kept_on(request, layout_of(request), layers, state_bytes=STATE_BYTES).token


def _overheads(request: Request, weights: float) -> Overheads:
    """Return what stands beside weights and pool; TurboMind's activations come after the pool."""
    model, batch = request.model, _batch(request)
    layers = range(len(model.main.layers))
    kept = kept_on(request, layout_of(request), layers, state_bytes=STATE_BYTES)
    start = start_bytes(request.gpu, request.parallel.tp)
    states = (batch + SPARE_STATES) * kept.state
    if _backend(model, request.weights, request.kv.name) == "turbomind":
        return Overheads(0.0, 0.0, start + states)
    left = request.device_bytes - weights - start - states
    least = LEAST_BLOCKS * _block(request) * kept.token / _share(request)[0]
    tokens = request.limits.max_num_batched_tokens or PREFILL_TOKENS
    runtime = SCORE_WORKSPACE_BYTES if is_sparse_latent(model) else 0
    reserve = (tokens + 2 * batch) * model.vocab_size * LOGIT_BYTES
    while tokens > 1 and left - reserve - runtime < least:
        tokens //= 2
        reserve = (tokens + 2 * batch) * model.vocab_size * LOGIT_BYTES
    return Overheads(reserve + runtime, 0.0, start + states)


def _terms(
    request: Request, overheads: Overheads, share: float, of_total: bool
) -> tuple[Term, ...]:
    backend = _backend(request.model, request.weights, request.kv.name)
    observed = "exact" if request.gpu.usable_memory_observed else "assumed"
    whole = "usable memory" if of_total else "what is free after weights and reserves"
    return (
        Term("budget", request.device_bytes, "usable memory", observed, "hardware catalogue"),
        Term(
            "activation peak", overheads.activation_peak,
            f"{backend}: logits of a prefill step and of two batches"
            if backend == "pytorch" else "turbomind: out of what the pool leaves",
            "assumed", "LMDeploy 0.18.0 pytorch/engine/executor/base.py",
        ),
        Term(
            "runtime", overheads.runtime,
            f"CUDA context, NCCL, state slots; {share} of {whole} is KV pool", "assumed",
            "LMDeploy 0.18.0 messages.py cache_max_entry_count",
        ),
    )  # fmt: skip


ENGINE = LmDeploy()
