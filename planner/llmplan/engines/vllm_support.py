"""What vLLM runs where: device, weight format, KV format and attention that go together.

Read from vLLM 0.33.0 (PyPI sdist) on 2026-11-21 unless a line says otherwise. Older versions are
judged by the same tables but for what vllm_versions.py says of them: flags, GGUF, lowest device.
"""

from __future__ import annotations

from llmplan.engines import sharding
from llmplan.engines.base import Request, extension_error
from llmplan.engines.drafting import drafter_error, method_of
from llmplan.engines.vllm_architectures import ARCHITECTURES, LAST_VERSION
from llmplan.engines.vllm_paging import BLOCK_TOKENS
from llmplan.engines.vllm_versions import (
    FLAGS_SINCE,
    GGUF_VERSIONS,
    METHODS_SINCE,
    V0_CAPABILITY,
    V0_LAST,
    at_least,
)
from llmplan.memory.memo import remembered
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.mixers import Attention, CompressedAttention, LatentAttention
from llmplan.specs.model import Model
from llmplan.specs.setup import Warning_

MIN_CAPABILITY = {
    "awq": 7.5, "gptq": 7.5, "fp8": 7.5, "int8": 7.5, "compressed": 7.5, "nvfp4": 7.5,
    "mxfp4": 8.0, "mxfp8": 8.0, "bf16": 8.0, "fp16": 7.5, "fp32": 7.5,
}  # fmt: skip
"""Lowest CUDA capability by format (quantization modules; the wheel starts at sm_75)."""

INT8_BELOW_CAPABILITY = 10.0
"""W8A8 int8 kernels run from Turing to Hopper. Source: docs.vllm.ai/quantization, 2026-11."""

NATIVE_CAPABILITY = {"fp8": 8.9, "nvfp4": 10.0}
"""Below it these weights run through Marlin kernels with 16-bit arithmetic."""

KV_CAPABILITY = {"fp8": 8.0, "nvfp4": 8.0, "int8": 7.5, "fp8_ds_mla": 9.0}
"""Lowest CUDA capability by KV format: FlashInfer's for fp8 and nvfp4, Triton's for int8."""

SPARSE_LATENT_CAPABILITY = 9.0
"""Sparse MLA backends exist for major capability 9, 10 and 12 only."""

KV_KNOWN = ("bf16", "fp16", *KV_CAPABILITY)
KV_FLAGS = {"int8": "int8_per_token_head"}
"""Value of --kv-cache-dtype where it differs from the format's name."""

FLOAT16_REFUSED = ("gemma2", "gemma3", "gemma3_text", "glm4")
"""model_type that vLLM refuses in float16 (config/model.py _FLOAT16_NOT_SUPPORTED_MODELS)."""

AMD_CAPABILITIES = ("gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1200", "gfx1201")
"""AMD targets of vLLM's ROCm build. Source: vLLM docs, installation on ROCm, read 2026-11."""


def knows(model: Model) -> bool:
    """Return whether vLLM's registry has the architecture."""
    return model.architecture in ARCHITECTURES


def unsupported(request: Request) -> str | None:
    """Return why vLLM does not run this model, format or device, or None."""
    return (
        _error(request.model, request.gpu, request.weights, request.kv, request.version)
        or _limits_error(request)
        or _flags_error(request)
        or extension_error(request)
    )


@remembered
def _error(
    model: Model, gpu: Accelerator, fmt: WeightFormat, kv: KvFormat, version: str
) -> str | None:
    """Return why model, device and formats do not go together, looked at once for all splits."""
    if model.native_format.startswith("gguf:") and not _loads_gguf(version):
        return f"vLLM {version} does not load GGUF files."
    last = LAST_VERSION.get(model.architecture)
    if last is not None and not at_least(last, version):
        return f"vLLM dropped {model.architecture} after {last}."
    if last is None and not knows(model):
        return f"vLLM {version} does not know {model.architecture}."
    return (
        _device_error(gpu, version)
        or _weights_error(model, gpu, fmt, version)
        or _kv_error(model, gpu, kv.name)
        or sharding.format_error(model, fmt)
    )


def weights_warning(request: Request) -> Warning_ | None:
    """Return the warning that these weights run without arithmetic of their own, or None."""
    capability, family = request.gpu.cuda_capability, family_of(request.weights.name)
    native = NATIVE_CAPABILITY.get(family)
    if native is None or capability is None or capability >= native:
        return None
    name = request.weights.name
    message = f"{request.gpu.id} has no {family.upper()} arithmetic: {name} saves memory only."
    return Warning_("weight_only", message)


def has_bf16(gpu: Accelerator) -> bool:
    """Return whether the device computes in bfloat16 (CUDA from sm_80, other vendors' all)."""
    return gpu.cuda_capability is None or gpu.cuda_capability >= MIN_CAPABILITY["bf16"]


def family_of(format_name: str) -> str:
    """Return the part of a format's name that decides what it needs: awq, fp8, nvfp4 ...

    >>> family_of("fp8-block"), family_of("bf16")
    ('fp8', 'bf16')
    """
    return format_name.partition("-")[0]


@remembered
def is_sparse_latent(model: Model) -> bool:
    """Return whether the model selects tokens for its latent attention (DeepSeek-V3.2, GLM-5)."""
    mixers = (m for b in model.main.blocks.values() for m in b.mixers)
    selects = any(isinstance(m, LatentAttention) and m.indexer_heads for m in mixers)
    return selects or is_compressed(model)


def is_compressed(model: Model) -> bool:
    """Return whether the model attends to compressed entries (DeepSeek-V4)."""
    mixers = (m for b in model.main.blocks.values() for m in b.mixers)
    return any(isinstance(m, CompressedAttention) for m in mixers)


def _loads_gguf(version: str) -> bool:
    first, last = GGUF_VERSIONS
    return at_least(version, first) and at_least(last, version)


def _lowest_capability(family: str, version: str) -> float:
    """Return the lowest CUDA capability that a version runs weights of this family on."""
    if family in ("fp16", "fp32") and at_least(V0_LAST, version):
        return V0_CAPABILITY
    return MIN_CAPABILITY[family]


def _device_error(gpu: Accelerator, version: str) -> str | None:
    capability = gpu.cuda_capability
    if capability is not None:
        lowest = _lowest_capability("fp16", version)
        if capability >= lowest:
            return None
        return (
            f"vLLM {version} has no kernels for compute capability {capability} "
            f"of {gpu.id}: it starts at {lowest}."
        )
    if gpu.vendor == "amd" and gpu.compute_capability in AMD_CAPABILITIES:
        return None
    if gpu.vendor == "intel" and gpu.architecture and "xe" in gpu.architecture.lower():
        return None
    return f"vLLM {version} has no stock build for {gpu.id}."


def _weights_error(model: Model, gpu: Accelerator, fmt: WeightFormat, version: str) -> str | None:
    family, capability = family_of(fmt.name), gpu.cuda_capability
    if fmt.gguf_preset and _loads_gguf(version):
        return None
    if family not in MIN_CAPABILITY:
        return f"vLLM {version} does not load {fmt.name} weights."
    if fmt.name == "mxfp4" and not model.is_moe:
        return "MXFP4 quantizes experts only, and this model has none."
    if gpu.vendor != "nvidia" and family == "nvfp4":
        return f"{gpu.id} has no NVFP4 kernels."
    if capability is None:
        return None
    needed = _lowest_capability(family, version)
    if capability < needed:
        return f"{fmt.name} needs compute capability {needed}, {gpu.id} has {capability}."
    if family == "int8" and capability >= INT8_BELOW_CAPABILITY:
        return f"vLLM's int8 kernels end before compute capability {INT8_BELOW_CAPABILITY}."
    if capability < MIN_CAPABILITY["bf16"] and model.model_type in FLOAT16_REFUSED:
        return f"vLLM refuses {model.model_type} in float16, and {gpu.id} has no bfloat16."
    return None


def _kv_error(model: Model, gpu: Accelerator, name: str) -> str | None:
    capability = gpu.cuda_capability
    mixers = [m for b in model.main.blocks.values() for m in b.mixers]
    latent = any(isinstance(m, (LatentAttention, CompressedAttention)) for m in mixers)
    sinks = any(isinstance(m, Attention) and m.sinks for m in mixers)
    if name not in KV_KNOWN:
        return f"vLLM has no {name} KV cache."
    needed = KV_CAPABILITY.get(name, 0)
    if capability is not None and capability < needed:
        return f"A KV cache in {name} needs compute capability {needed}."
    if name == "nvfp4" and (sinks or gpu.vendor != "nvidia"):
        return "vLLM has no nvfp4 KV cache for attention sinks or on other vendors."
    if name in ("int8", "nvfp4") and latent:
        return f"vLLM has no {name} KV cache for latent attention."
    if not is_sparse_latent(model):
        wrong = name == "fp8_ds_mla"
        return "The fp8_ds_mla cache is for sparse latent attention alone." if wrong else None
    if capability is not None and capability < SPARSE_LATENT_CAPABILITY:
        return f"Sparse latent attention needs compute capability {SPARSE_LATENT_CAPABILITY}."
    return None


def _limits_error(request: Request) -> str | None:
    limits = request.limits
    if (limits.block_size or BLOCK_TOKENS) % BLOCK_TOKENS:
        return f"vLLM's attention kernels take blocks of a multiple of {BLOCK_TOKENS} tokens."
    batched, seqs = limits.max_num_batched_tokens, limits.max_num_seqs
    if batched is not None and batched < (seqs or 1):
        return f"vLLM refuses max_num_batched_tokens {batched} below max_num_seqs {seqs}."
    return None


def _flags_error(request: Request) -> str | None:
    """Return which flag the setup needs that the version does not have yet, or None."""
    needed = {
        "--kv-cache-dtype": request.kv.name not in ("bf16", "fp16"),
        "--enable-lora": request.model.adapter is not None,
        "--hf-overrides": request.extension_factor > 1,
        "--enable-expert-parallel": request.parallel.ep > 1,
        "--data-parallel-size": request.parallel.dp > 1,
        "--kv-cache-memory-bytes": request.limits.kv_cache_memory_bytes is not None,
        "--speculative-config": request.limits.speculative_tokens is not None,
    }
    for flag, since in FLAGS_SINCE.items():
        if needed.get(flag) and not at_least(request.version, since):
            return f"vLLM {request.version} has no {flag}: it came with {since}."
    return _draft_error(request)


def _draft_error(request: Request) -> str | None:
    """Return why the version does not draft in the asked way, or None."""
    if request.limits.speculative_tokens is None:
        return None
    method = method_of(request.draft)
    since = METHODS_SINCE[method]
    if not at_least(request.version, since):
        return f"vLLM {request.version} does not draft with {method}: that came with {since}."
    return drafter_error(request)
