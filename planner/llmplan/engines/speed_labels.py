"""Which coefficients of the speed model hold for a setup: its class by engine, device, format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.hardware import Accelerator


class Era(NamedTuple):
    """Releases of an engine with one structure, from a version and quarter on."""

    label: str
    version: str
    quarter: str
    source: str


ERAS: Mapping[str, tuple[Era, ...]] = {
    "vllm": (
        Era("vllm-first", "0.1.0", "2023-Q2", "eager batches, prompts first"),
        Era("vllm-v0", "0.6.0", "2024-Q3", "0.6.0 release notes: multi-step, less Python a step"),
        Era("vllm-v1", "0.9.0", "2025-Q2", "the second engine, default since 0.8"),
        Era("vllm-async", "0.14.0", "2026-Q1", "0.14.0 release notes: async scheduling by default"),
    ),
    "tensorrt-llm": (
        Era("trt-first", "0.1.0", "2023-Q4", "engines built ahead, C++ batch manager"),
        Era("trt-mid", "0.9.0", "2024-Q2", "chunked context, FP8 context attention"),
        Era("trt-pytorch", "0.17.0", "2025-Q1", "PyTorch back end"),
        Era("trt-overlap", "1.2.0", "2025-Q4", "overlap scheduler, CUDA graphs padded by default"),
    ),
    "llama.cpp": (
        Era("llamacpp-2024", "b1", "2023-Q1", "before CUDA graphs and tensor-core attention"),
        Era("llamacpp-2025", "b4400", "2025-Q1", "builds of 2025"),
        Era("llamacpp-2026", "b7550", "2026-Q1", "builds of 2026"),
    ),
    "sglang": (
        Era("sglang-2025", "0.4.0", "2023-Q4", "overlap scheduler"),
        Era("sglang-2026", "0.5.7", "2026-Q1", "builds of 2026"),
    ),
}  # fmt: skip
"""Structure changes by which step times differ; a version decides where one is stated."""

ASYNC_SINCE = "0.10.0"
"""First vLLM with --async-scheduling. Source: vLLM 0.10.0 release notes, 2025-07."""


def era_of(
    engine: str, version: str | None, quarter: str | None, *, asynchronous: bool | None = None
) -> str:
    """Return the era of a release, by version, else by quarter (2025-Q4), else the newest."""
    eras = ERAS.get(engine)
    if eras is None:
        return engine
    number = _number(version)
    if number is not None:
        found = [e for e in eras if number >= (_number(e.version) or ())]
        if engine == "vllm" and asynchronous and number >= (_number(ASYNC_SINCE) or ()):
            return "vllm-async"
    elif quarter is not None:
        found = [e for e in eras if quarter >= e.quarter]
    else:
        found = list(eras)
    return (found or [eras[0]])[-1].label


@lru_cache(maxsize=256)
def _number(version: str | None) -> tuple[int, ...] | None:
    """Return the numbers of a version: (0, 14, 1), or (6918,) of build b6918."""
    if version is None:
        return None
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version) or re.match(r"b(\d+)", version)
    return None if match is None else tuple(int(x) for x in match.groups() if x)


CLASSES: tuple[tuple[str, str], ...] = (
    (r"^a100|^a800", "a100"),
    (r"^(b200|b300|gb200|gb300)", "blackwell-server"),
)
"""Device classes by id, where one architecture holds devices of two kinds of memory."""

ARCHITECTURES = {
    "hopper": "hopper", "blackwell": "blackwell-gddr", "gb10": "blackwell-gddr",
    "blackwell ultra": "blackwell-server", "ada": "ada", "ampere": "ampere-gddr",
    "orin": "ampere-gddr", "turing": "older-nvidia", "volta": "older-nvidia",
    "pascal": "older-nvidia", "maxwell": "older-nvidia", "kepler": "older-nvidia",
}  # fmt: skip


def device_class(gpu: Accelerator) -> str:
    """Return the class whose kernels a device runs: `hopper`, `rdna`, `apple` ..."""
    id = gpu.part_of or gpu.id
    for pattern, label in CLASSES:
        if re.match(pattern, id):
            return label
    architecture = (gpu.architecture or "").lower()
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture]
    for prefix in ("cdna", "rdna"):
        if architecture.startswith(prefix):
            return prefix
    if gpu.vendor == "intel" and architecture.startswith("gaudi"):
        return "gaudi"
    return "older-nvidia" if gpu.vendor == "nvidia" else gpu.vendor


GGUF_CLASSES = (
    ("gguf-16", 9.0),
    ("gguf-8", 7.0),
    ("gguf-6", 5.2),
    ("gguf-4", 3.95),
    ("gguf-3", 0.0),
)
"""Classes of GGUF types by more bits a weight than: F16, Q8_0, Q5 and Q6, Q4, Q3 and Q2."""


def format_class(fmt: WeightFormat) -> str:
    """Return the class whose matrix kernels a weight format runs."""
    name = fmt.name
    if name in ("bf16", "fp16", "fp32"):
        return "16-bit"
    if name == "fp8-block":
        return "fp8-block"
    for prefix in ("fp8", "nvfp4", "mxfp4", "mxfp8", "int8-w8a8", "mlx", "exl3", "exl2"):
        if name.startswith(prefix):
            return {"mxfp8": "fp8", "exl2": "exl3"}.get(prefix, prefix)
    if fmt.gguf_preset:
        if "MXFP4" in fmt.gguf_preset:
            return "mxfp4"
        if fmt.gguf_preset == "BF16":
            return "gguf-bf16"
        return next(label for label, bits in GGUF_CLASSES if fmt.bits > bits)
    return "int4" if fmt.bits <= 4.5 else "int8"


FIRST_FP8 = 8.9
"""First CUDA capability that converts FP8 in hardware (Ada)."""


def cache_class(kv: KvFormat, gpu: Accelerator) -> str:
    """Return how keys and values are read: as they are, or converted in hardware or in software."""
    if kv.name in ("bf16", "fp16", "f32"):
        return "16-bit"
    if not kv.name.startswith("fp8"):
        return "integers"
    return "fp8-emulated" if (gpu.cuda_capability or FIRST_FP8) < FIRST_FP8 else "fp8"
