"""A request as the speed formulas take it: rates of its device, habits of its engine, costs."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Any

from llmplan.engines.base import Request
from llmplan.engines.speed_labels import cache_class, device_class, era_of, format_class
from llmplan.engines.speed_parts import adapter_share, drafting, offloaded
from llmplan.engines.work import work_of
from llmplan.errors import InputError
from llmplan.memory.memo import remembered
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.speed import KernelTable, SpeedTable
from llmplan.speed.work import Costs, Habits, Rates, Setting

LINK_SHARE = 0.72
"""Share of a link's one-way rate that all-reduce reaches.
Source: aiconfigurator's tables: 0.57-0.76 over H100, 0.50-0.60 over B200 at vLLM's sizes, 0.8 at
the largest messages of NCCL; speed prototype of 2026-11."""

HOST_SHARES = {2: 0.55}
HOST_SHARE = 0.35
"""Shares of the PCIe rate that all-reduce reaches with two devices, and with more.
Source: aiconfigurator: L40S 19 GB/s of 31.5 at two; RTX PRO 6000 39, 30, 24 of 63 at 2, 4, 8."""

UNKNOWN_HOST = 1.0
"""Stands for the bandwidth of the host's memory where nothing is kept there [bytes/s]."""

HOST_BANDWIDTH = 31.5e9
"""PCIe 4.0 x16, one way [bytes/s]: taken where a device's link to its host is not on record."""

NETWORK_BANDWIDTH = 50e9
"""Network of one device of a server, one way [bytes/s]: taken where ranks span nodes (assumed).
Source: a ConnectX-7 of 400 Gb/s for each GPU of a DGX H100, its data sheet of 2023."""

BRIDGED_DEVICES = 2
"""Boards of a bridge: PCIe cards reach one peer over it (hardware notes of 2026-11, trap 14)."""

FRAMEWORKS = {"tensorrt-llm": "trtllm", "sglang": "sglang"}
"""Kernel tables by engine; the others run PyTorch's and FlashAttention's, as vLLM does."""

OWN_KERNELS = ("llama.cpp", "ik_llama.cpp", "ollama", "exllamav3", "mlx-lm", "mlc-llm")
"""Engines with kernels of their own, which no public table measures."""

UNMEASURED = {"memory": 0.8, "compute": 0.6, "cache": 0.8, "attention": 0.5}
"""Shares taken where no kernel was measured: the middle of the tables (assumed); what an engine
and a device class do beside them is in the fitted offsets."""

HALF_ACCUMULATION = ("llama.cpp", "ik_llama.cpp", "ollama", "exllamav3")
"""Engines that accumulate in FP16, which GeForce cards do at twice the FP32-accumulate rate.
Source: speed prototype of 2026-11 (prefill p90 53 % to 45 %)."""

SEQUENTIAL = {"transformers": 2, "exllamav3": 2, "ollama": 2, "mlx-lm": 2,
              "llama.cpp": 1, "ik_llama.cpp": 1}  # fmt: skip
"""1: stages decode one after the other, prompts overlap by micro-batch; 2: nothing overlaps.
Source: llama.cpp pull request 6017 (pipeline parallelism of prompts); accelerate's device_map."""

MIXING = ("vllm", "tensorrt-llm", "llama.cpp", "ik_llama.cpp", "lmdeploy", "mlc-llm")
"""Engines whose steps hold prompts and decoding together. Source: engines' schedulers, 2026-11;
SGLang reads prompts in steps of their own unless --enable-mixed-chunk."""

CHUNK_TOKENS = {"tensorrt-llm": 8192, "sglang": 8192, "llama.cpp": 512, "ik_llama.cpp": 512,
                "ollama": 512, "lmdeploy": 8192, "mlx-lm": 2048, "exllamav3": 2048}  # fmt: skip
"""Prompt tokens of a step by default. Source: each engine's arguments, engine notes of 2026-11
(max_num_tokens, chunked_prefill_size, n_ubatch, max_prefill_token_num, prefill_step_size)."""

WHOLE = 1 << 30
"""Tokens of a step of engines that never cut a prompt."""

KERNEL_TYPES = {"16-bit": "bf16", "fp8": "fp8", "fp8-block": "fp8_block", "nvfp4": "nvfp4",
                "int8-w8a8": "int8", "int4": "int4", "int8": "int8_weight_only"}  # fmt: skip


def setting_of(request: Request, table: SpeedTable, *, engine: str, **how: Any) -> Setting:
    """Return the lowered form of a request, `how` it is served as in `serving_of`.

    Raises InputError where a rate is not known.
    """
    habits, costs = serving_of(request, table, engine=engine, **how)
    gpu, weights, p = request.gpu, request.weights, request.parallel
    work = work_of(request.model, weights, request.kv, p)
    work, rates = offloaded(work, rates_of(gpu, weights, p.tp, engine), request)
    work, habits = drafting(work, habits, request)
    return Setting(work, rates, habits, costs)


def serving_of(
    request: Request,
    table: SpeedTable,
    *,
    engine: str,
    quarter: str | None = None,
    recipe: str = "default",
    chunk_tokens: float | None = None,
    waits: float = 0.0,
    asynchronous: bool | None = None,
    version: str | None = None,
) -> tuple[Habits, Costs]:
    """Return how an engine schedules without drafts, and its coefficients, whatever the split.

    `engine` names the coefficients (an engine without a memory policy of its own borrows one);
    `version`, else `quarter`, decides the era.
    """
    era = era_of(engine, version, quarter, asynchronous=asynchronous)
    if engine == "transformers" and request.weights.is_quantized:
        era = "transformers-quantized"
    habits = Habits(
        chunk_tokens=request.limits.max_num_batched_tokens
        or chunk_tokens
        or CHUNK_TOKENS.get(engine, WHOLE),
        mixes=float(engine in MIXING),
        sequential=float(SEQUENTIAL.get(engine, 0)),
        loops=float(engine == "transformers"),
        waits=waits,
        drafted=0.0,
        yielded=1.0,
        adapter=adapter_share(request.model),
    )
    gpu, weights, kv = request.gpu, request.weights, request.kv
    return habits, _costs_on(table, gpu, weights, kv, engine, era, recipe)


@remembered
def _costs_on(
    table: SpeedTable, gpu: Accelerator, weights: WeightFormat, kv: KvFormat, engine: str, era: str,
    recipe: str,
) -> Costs:  # fmt: skip
    labels = labels_of(gpu, weights, kv, engine=engine, era=era, recipe=recipe)
    return costs_of(table, labels, kernel_shares(gpu, weights, kv, table, engine))


def labels_of(
    gpu: Accelerator, weights: WeightFormat, kv: KvFormat, *, engine: str, era: str, recipe: str
) -> dict[str, str]:
    """Return the label of a setup in each group of coefficients."""
    return {
        "engine": engine,
        "era": era,
        "recipe": recipe,
        "device_class": device_class(gpu),
        "device": gpu.part_of or gpu.id,
        "format": format_class(weights),
        "cache_format": cache_class(kv, gpu),
    }


def costs_of(table: SpeedTable, labels: Mapping[str, str], shares: Mapping[str, float]) -> Costs:
    """Return the coefficients: base x kernel share x exp(sum of the offsets of its labels)."""
    found = table.coefficients
    totals = dict.fromkeys(found.base, 0.0)
    for group, label in labels.items():
        for name, offset in found.offsets.get(group, {}).get(label, {}).items():
            totals[name] += offset
    return Costs(**{n: b * shares.get(n, 1.0) * exp(totals[n]) for n, b in found.base.items()})


def kernel_shares(
    gpu: Accelerator, weights: WeightFormat, kv: KvFormat, table: SpeedTable, engine: str
) -> dict[str, float]:
    """Return the measured shares of the device's peak rates, else those taken for unmeasured."""
    kernels = None if engine in OWN_KERNELS else _kernels(gpu, table)
    if kernels is None:
        return dict(UNMEASURED)
    framework = FRAMEWORKS.get(engine, "vllm")
    kind = KERNEL_TYPES.get(format_class(weights), "bf16")
    gemm = kernels.gemm[framework]
    cache = kernels.cache[framework]
    cached = "fp8" if kv.name.startswith("fp8") else "bf16"
    return {
        "memory": kernels.memory[framework],
        "compute": gemm.get(kind, gemm.get(kind.partition("_")[0], gemm["bf16"])),
        "cache": cache.get(cached, cache["bf16"]),
        "attention": kernels.attention[framework],
    }


def _kernels(gpu: Accelerator, table: SpeedTable) -> KernelTable | None:
    own = table.kernels.get(gpu.part_of or gpu.id)
    if own is not None:
        return own
    label = device_class(gpu)
    return next((k for k in table.kernels.values() if label in k.stands_for), None)


@remembered
def rates_of(gpu: Accelerator, weights: WeightFormat, tp: int, engine: str) -> Rates:
    """Return the peak rates that the setup meets; InputError names what is not on record."""
    bandwidth = gpu.memory_bandwidth_bytes_per_s
    if bandwidth is None:
        raise InputError(
            f"The memory bandwidth of {gpu.id} is not known.",
            "Give --set memory_bandwidth=400GB/s."
            if gpu.vendor != "cpu"
            else "Give --host-bandwidth 100GB/s.",
        )
    half = engine in HALF_ACCUMULATION
    sixteen = sixteen_bit_flops(gpu, half=half)
    flops = matrix_flops(gpu, weights, sixteen)
    link, through_host = link_of(gpu, tp)
    host = (gpu.pcie_gb_per_s or 0) * 1e9 or HOST_BANDWIDTH
    return Rates(bandwidth, flops, sixteen, link, through_host, UNKNOWN_HOST, host)


def sixteen_bit_flops(gpu: Accelerator, *, half: bool = False) -> float:
    """Return the dense 16-bit rate, from a wider type or the vector rate where it is not listed."""
    t = gpu.tflops_dense
    if half and "fp16_fp16acc" in t:
        return t["fp16_fp16acc"] * 1e12
    listed = t.get("bf16") or t.get("fp16")
    for name, times in (("fp8", 2), ("fp4", 4), ("int8", 2)):
        if listed is None and name in t:
            listed = t[name] / times
    if listed is None and gpu.fp32_tflops is not None:
        tensor = (gpu.cuda_capability or 0) >= FIRST_TENSOR_CORES
        listed = gpu.fp32_tflops * (TENSOR_TO_VECTOR if tensor else 1)
    if listed is None:
        raise InputError(f"No arithmetic rate of {gpu.id} is known.", "Give --set fp16=100TFLOPS.")
    return listed * 1e12


FIRST_TENSOR_CORES = 7.0
TENSOR_TO_VECTOR = 4
"""16-bit tensor rate over the FP32 vector rate where only this is listed: 4 on GA10B and GA102
without FP32 accumulation, 2 with it (hardware notes of 2026-11, trap 6; assumed)."""


def matrix_flops(gpu: Accelerator, fmt: WeightFormat, sixteen: float) -> float:
    """Return the rate of the type that a weight format multiplies in: its own where it is native.

    Formats of weights alone multiply in 16 bits; MXFP4 weights meet 8-bit activations on Blackwell.
    """
    t, capability = gpu.tflops_dense, gpu.cuda_capability or 0
    kind = format_class(fmt)
    native = {"fp8": "fp8", "fp8-block": "fp8", "int8-w8a8": "int8"}.get(kind)
    if kind == "nvfp4" and capability >= FIRST_FP4:
        native = "fp4"
    if kind == "mxfp4" and capability >= FIRST_FP4 and not fmt.gguf_preset:
        native = "fp8"
    rate = t.get(native) if native else None
    return max(rate * 1e12, sixteen) if rate else sixteen


FIRST_FP4 = 10.0
"""First CUDA capability with FP4 matrix units (Blackwell)."""


def link_of(gpu: Accelerator, tp: int) -> tuple[float, float]:
    """Return the bus bandwidth of `tp` ranks [bytes/s], and 1 where it crosses host or network."""
    link = (gpu.link_gb_per_s or 0) * 1e9
    bridged = gpu.scale_up_devices <= BRIDGED_DEVICES
    linked = link > 0 and tp <= max(gpu.scale_up_devices, 1) and gpu.scale_up_devices > 1
    if bridged and tp > BRIDGED_DEVICES:
        linked = False
    if linked:
        return LINK_SHARE * link, 0.0
    if link and not bridged and tp > gpu.scale_up_devices:
        return LINK_SHARE * NETWORK_BANDWIDTH, 1.0
    host = (gpu.pcie_gb_per_s or 0) * 1e9 or HOST_BANDWIDTH
    return HOST_SHARES.get(tp, HOST_SHARE) * host, 1.0
