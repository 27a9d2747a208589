"""What SGLang, TensorRT-LLM and LMDeploy share: memory free at start, versions, checkpoints."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from llmplan.engines import sharding
from llmplan.engines.base import (
    CONTEXT_BYTES,
    POOL_TESTS,
    Engine,
    Fitted,
    Plan,
    Request,
)
from llmplan.engines.starting import NO_ARTIFACT
from llmplan.errors import InputError
from llmplan.memory.activations import forward_peak_bytes
from llmplan.memory.formats import KV_FORMATS, WEIGHT_FORMATS
from llmplan.memory.kv_cache import cached_layers, layer_state_bytes, layer_token_bytes
from llmplan.memory.tensor import rank_units
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.hardware import GIB, Accelerator
from llmplan.specs.mixers import CompressedAttention, LatentAttention
from llmplan.specs.model import Model, MoE
from llmplan.specs.setup import Parallelism, Warning_

LINKED_RANK_BYTES = 0.25 * GIB
"""NCCL buffers on the device for each further rank that it is linked to by NVLink or the like.
Source: median of 0.20, 0.25 and 0.29 GiB (SGLang start-up logs of 2 x A100-80, 2 x A100-40 and
8 x H100, total less free less context); leaving each out moves the free memory of that log by
0.01 to 0.5 GiB, at most 0.6 % of the device. Four A10G without a link showed none."""

LINKED_RANKS_FITTED_ON = Fitted(
    "LINKED_RANK_BYTES", POOL_TESTS, ("mem-s-0020", "mem-s-0029", "mem-s-0007")
)

MAX_VERSION_TEXT = 40
"""Characters of a version that are read; a longer one is no version."""

BF16_CAPABILITY = 8.0
"""Lowest CUDA capability with bfloat16 arithmetic. Source: CUDA C++ programming guide 13."""


class Row(Protocol):
    """One row of an engine's table of policies."""

    @property
    def since(self) -> str:
        """Version from which the row holds."""


R = TypeVar("R", bound=Row)


def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers that order a version; builds and post-releases count with their release.

    >>> version_key("0.5.0.post1"), version_key("v0.2.0-cu124"), version_key("0.9.1.dev287+g89b")
    ((0, 5, 0), (0, 2, 0), (0, 9, 1))
    """
    found = re.match(r"v?(\d{1,6}(?:\.\d{1,6}){0,3})(?!\d)", version[:MAX_VERSION_TEXT])
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def policy_of(rows: Sequence[R], version: str) -> R:
    """Return the latest row that began at or before the version; the first for older ones."""
    key = version_key(version)
    return max(
        (row for row in rows if version_key(row.since) <= key),
        key=lambda row: version_key(row.since),
        default=rows[0],
    )


class PagedEngine(Engine):
    """An engine that loads Hugging Face checkpoints and pages its KV cache on the device."""

    batches_continuously = True
    smaller_kv = "fp8"
    has_tensor_parallel = True
    formats: tuple[str, ...]
    architectures: frozenset[str]

    def check_version(self, version: str | None) -> str:
        """Return the version to plan for: any whose policy a row of the table covers."""
        if version is None:
            return self.default_version
        key = version_key(version) if len(version) <= MAX_VERSION_TEXT else ()
        known = version_key(self.versions[0]), version_key(self.default_version)
        if not key or not known[0] <= key <= known[1]:
            raise InputError(
                f"{version[:MAX_VERSION_TEXT]!r} is not a version of {self.name} "
                "that llmplan knows.",
                f"Known: {self.versions[0]} to {self.default_version}.",
            )
        return version

    def native_format(self, model: Model, gpu: Accelerator) -> str:
        """Return the checkpoint's own format; bf16 becomes fp16 where the device has no bf16."""
        native = model.native_format
        if native not in ("bf16", "fp32"):
            return native
        capability = gpu.cuda_capability
        return "fp16" if capability is not None and capability < BF16_CAPABILITY else "bf16"

    def candidate_formats(self, model: Model, gpu: Accelerator) -> list[str]:
        """Return the native format and those of the engine with fewer bits."""
        native = self.native_format(model, gpu)
        bits = WEIGHT_FORMATS[native].bits
        return [native, *(n for n in self.formats if WEIGHT_FORMATS[n].bits < bits)]

    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return 16 bits, the model's own type; the packed rows of DeepSeek-V4."""
        if is_compressed(model):
            return "fp8_ds_mla"
        return "fp16" if weights.name == "fp16" else "bf16"

    def knows(self, model: Model) -> bool:
        """Return whether the engine's list has the architecture."""
        return model.architecture in self.architectures

    @abstractmethod
    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return why this split cannot be started, or None."""

    def splits(self, model: Model, weights: WeightFormat, gpus: int) -> list[Parallelism]:
        """Return the legal splits among those of an engine that shards tensors."""
        found = sharding.legal_splits(model, weights, gpus)
        return [p for p in found if self.illegal(model, weights, p) is None]


def mixers_of(model: Model) -> list[object]:
    """Return the mixers of the main stack, one of each block."""
    return [m for block in model.main.blocks.values() for m in block.mixers]


def is_latent(model: Model) -> bool:
    """Return whether the model has multi-head latent attention (MLA)."""
    return any(isinstance(m, LatentAttention) for m in mixers_of(model))


def is_sparse_latent(model: Model) -> bool:
    """Return whether the model selects tokens for its latent attention (DeepSeek-V3.2)."""
    return any(isinstance(m, LatentAttention) and m.indexer_heads for m in mixers_of(model))


def is_compressed(model: Model) -> bool:
    """Return whether the model attends to compressed entries (DeepSeek-V4)."""
    return any(isinstance(m, CompressedAttention) for m in mixers_of(model))


def is_packed(model: Model) -> bool:
    """Return whether the packed 8-bit rows are a layout of this model's cache."""
    return is_sparse_latent(model) or is_compressed(model)


def start_bytes(gpu: Accelerator, ranks: int) -> float:
    """Return what is taken on a device before weights load: context and communicators [bytes].

    Parameters
    ----------
    gpu : Accelerator
        The device; `scale_up_devices` says whether it is linked to others
    ranks : int
        Ranks that exchange activations, tp [ranks]

    """
    linked = min(ranks, gpu.scale_up_devices) - 1
    return CONTEXT_BYTES + max(0, linked) * LINKED_RANK_BYTES


def forward_bytes(model: Model, *, tokens: int, tp: int) -> float:
    """Return the peak of one forward pass of `tokens` tokens in 16 bits on a rank [bytes]."""
    width = 0
    for block in model.main.blocks.values():
        mlp = block.mlp
        units = getattr(mlp, "intermediate_size", 0)
        if isinstance(mlp, MoE):
            units = units * mlp.experts_per_token + mlp.shared_experts_size
        width = max(width, rank_units(units=units, tp=tp))
    return float(
        forward_peak_bytes(
            tokens=tokens,
            hidden_size=model.main.hidden_size,
            attention_width=model.main.hidden_size,
            ffn_width=3 * width,
            element_bytes=2,
        )
    )


def checkpoint_error(engine: Engine, request: Request) -> str | None:
    """Return why the engine does not load this model in this form, or None."""
    model = request.model
    if model.native_format.startswith("gguf:") or request.weights.gguf_preset:
        return f"llmplan plans GGUF files with llama.cpp, not with {engine.name}."
    if not engine.knows(model):
        return f"{engine.name} {request.version} does not know {model.architecture}."
    if model.adapter is not None:
        return f"llmplan plans LoRA adapters with vLLM and llama.cpp, not with {engine.name}."
    host = [n for n in ("n_gpu_layers", "n_cpu_moe") if getattr(request.limits, n) is not None]
    if host:
        return f"{engine.name} has no setting like {', '.join(host)}."
    if request.limits.speculative_tokens is not None and not engine.plans_drafts:
        return f"llmplan does not plan speculative decoding with {engine.name}."
    return sharding.format_error(model, request.weights)


def capability_error(
    engine: Engine,
    request: Request,
    weights: Mapping[str, float],
    kv: Mapping[str, float],
    below: Mapping[str, float] | None = None,
) -> str | None:
    """Return which CUDA capability weights or KV format lack, by the engine's tables, or None.

    The tables give the lowest capability by the part of a format's name before its first dash,
    `below` the first one that a format no longer runs on.
    """
    family, capability = request.weights.name.partition("-")[0], request.gpu.cuda_capability
    if family not in weights:
        return f"{engine.name} {request.version} does not load {request.weights.name} weights."
    if request.kv.name not in kv:
        return f"{engine.name} {request.version} has no {request.kv.name} KV cache."
    if request.kv.name == "fp8_ds_mla" and not is_packed(request.model):
        return "The fp8_ds_mla cache is for sparse latent attention alone."
    if capability is None:
        return None
    for what, needed in (
        (f"{request.weights.name} weights", weights[family]),
        (f"a KV cache in {request.kv.name}", kv[request.kv.name]),
    ):
        if capability < needed:
            return (
                f"In {engine.name} {what} need compute capability {needed}, "
                f"{request.gpu.id} has {capability}."
            )
    end = (below or {}).get(family)
    if end is not None and capability >= end:
        return f"{engine.name} has no {request.weights.name} kernels from capability {end} on."
    return None


class Kept(NamedTuple):
    """What the layers of a device keep: by token [bytes/token], by request [bytes]."""

    token: float
    state: float


def kept_on(request: Request, kv: KvFormat, layers: range, *, state_bytes: int) -> Kept:
    """Return what layers keep where every layer pays the full length of a sequence.

    Parameters
    ----------
    request : Request
        Model and tensor-parallel ranks
    kv : KvFormat
        Layout of keys and values
    layers : range
        Layers of the device
    state_bytes : int
        Bytes of a state element that the model does not fix [bytes]

    """
    token = state = 0.0
    tp = request.parallel.tp
    for cache, positions in cached_layers(request.model):
        count = sum(p in layers for p in positions)
        token += count * layer_token_bytes(cache, kv, tp=tp)
        state += count * layer_state_bytes(cache, tp=tp, state_bytes=state_bytes)
    return Kept(token, state)


def layout_of(request: Request) -> KvFormat:
    """Return the KV layout; fp8 of sparse latent attention is stored as packed rows."""
    if request.kv.name == "fp8" and is_sparse_latent(request.model):
        return KV_FORMATS["fp8_ds_mla"]
    return request.kv


def pool_figures(
    request: Request, plan: Plan, pools: list[tuple[float, float]], block: int
) -> dict[str, float]:
    """Return weights and pool by the names of measurements/, the stage with fewest tokens deciding.

    Parameters
    ----------
    request : Request
        The setup
    plan : Plan
        Its plan
    pools : list of pairs
        Bytes of keys and values, and of one token, by pipeline stage [bytes]
    block : int
        Tokens of a block, which is never split [tokens]

    """
    figures = {"weights": float(plan.memory.weights_bytes)}
    found = [(int(pool // (t * block)) * block, t) for pool, t in pools if t]
    if found:
        tokens, token = min(found)
        figures["kv_bytes_per_token"] = token
        figures["kv_pool"] = tokens * token
        figures["kv_tokens"] = float(tokens)
        by_tokens = tokens / request.context_tokens
        figures["max_concurrency"] = min(by_tokens, plan.kv_cache.max_concurrency)
    return figures


class Checkpoint(NamedTuple):
    """What the engine is pointed at: a name or folder, its address, and what to know."""

    target: str
    urls: tuple[str, ...] = ()
    warnings: tuple[Warning_, ...] = ()


def checkpoint_of(request: Request, convertible: tuple[str, ...]) -> Checkpoint:
    """Return the checkpoint in the asked format; `convertible` ones the engine makes itself."""
    model, name = request.model, request.weights.name
    base = model.path or model.hub_id or f"./{model.id}"
    urls = (f"https://huggingface.co/{model.hub_id}",) if model.hub_id and not model.path else ()
    native = WEIGHT_FORMATS[model.native_format]
    if name == model.native_format:
        return Checkpoint(base, urls)
    published = next((a for a in model.artifacts if a.format == name), None)
    if published:
        url = f"https://huggingface.co/{published.hub_id}"
        return Checkpoint(published.hub_id, (url,))
    if name in convertible and not native.is_quantized:
        return Checkpoint(base, urls)
    local = f"./{model.id}-{name}"
    message = f"No published {name} checkpoint on record: make one in {local} (llm-compressor)."
    return Checkpoint(local, (), (Warning_(NO_ARTIFACT, message),))


NODE_DEVICES = 8
"""Devices of the largest common node where no wider link is on record (nodes of 2026-11)."""


def node_warning(request: Request, how: str) -> tuple[Warning_, ...]:
    """Return the warning that the line alone does not start several nodes, if they are needed."""
    node = max(request.gpu.scale_up_devices, NODE_DEVICES)
    if request.parallel.gpus <= node:
        return ()
    message = f"{request.parallel.gpus} devices are more than a node of {node}: {how}."
    return (Warning_("several_nodes", message),)
