"""Start-up logs of vLLM, SGLang and llama.cpp, read into a row of measurements/.

Only what the log states is taken; settings that it leaves out stay null. One table of patterns an
engine: `field: pattern`, with the unit of the figure where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from llmplan.catalog.reading import read_bounded
from llmplan.errors import InputError

MAX_LOG_BYTES = 64 << 20
GIB, MIB = 1 << 30, 1 << 20
MAX_LINE = 20_000
"""Characters of a line that are looked at: longer ones are dumps of other things."""


class Found(NamedTuple):
    """Where a figure of a log goes, what it is multiplied with, and how several add up."""

    field: str
    pattern: re.Pattern[str]
    unit: float = 1
    combine: Callable[[list[float]], float] = max


def _f(field: str, pattern: str, unit: float = 1, combine: Any = max) -> Found:
    return Found(field, re.compile(pattern), unit, combine)


NUMBER = r"([0-9][0-9,]*(?:\.[0-9]+)?)"
VLLM_SETTINGS = {
    "engine_version": r"LLM engine \(v?([0-9][^)]{0,60})\)",
    "model": r"model='([^']{1,200})'",
    "max_model_len": r"max_seq_len=([0-9]{1,9})",
    "tp": r"tensor_parallel_size=([0-9]{1,4})",
    "pp": r"pipeline_parallel_size=([0-9]{1,4})",
    "dtype": r"dtype=(?:torch\.)?(\w{1,20})",
    "quantization": r"quantization=(?:'?(\w[\w-]{0,40})'?)",
    "kv_cache_dtype": r"kv_cache_dtype='?(\w{1,20})",
    "enforce_eager": r"enforce_eager=(True|False)",
    "gpu_memory_utilization": r"gpu_memory_utilization['\"]?[=:(]\s*\(?([01]\.[0-9]{1,4})",
    "max_num_seqs": r"max_num_seqs['\"]?[=:]\s*([0-9]{1,7})",
    "max_num_batched_tokens": r"max_num_batched_tokens['\"]?[=:]\s*([0-9]{1,9})",
}
VLLM = (
    _f("weights", rf"[Mm]odel (?:weights take|loading (?:weights )?took) {NUMBER} ?Gi?B", GIB),
    _f("kv_pool", rf"Available KV cache memory: {NUMBER} ?GiB", GIB),
    _f("kv_pool", rf"reserved for KV Cache is {NUMBER} ?GiB", GIB),
    _f("kv_tokens", rf"GPU KV cache size: {NUMBER} tokens", combine=min),
    _f("max_concurrency", rf"Maximum concurrency for [0-9,]+ tokens per request: {NUMBER}x",
       combine=min),
    _f("activation_peak", rf"activation peak memory takes {NUMBER} ?GiB", GIB),
    _f("cuda_graph", rf"Graph capturing finished in [0-9.]+ secs?, took {NUMBER} ?GiB", GIB),
    _f("device_total", rf"total_gpu_memory \({NUMBER} ?GiB\)", GIB),
)  # fmt: skip
SGLANG_SETTINGS = {
    "model": r"model_path='([^']{1,200})'",
    "tp": r"tp_size=([0-9]{1,4})",
    "gpu_memory_utilization": r"mem_fraction_static=([01]\.[0-9]{1,6})",
    "max_model_len": r"context_len(?:gth)?=([0-9]{1,9})",
    "quantization": r"quantization='(\w[\w-]{0,40})'",
    "max_num_batched_tokens": r"chunked_prefill_size=([0-9]{1,9})",
    "dtype": r"dtype=(?:torch\.)?(\w{1,20})",
}
SGLANG = (
    _f("weights", rf"Load weight end\..*?mem usage={NUMBER} GB", GIB),
    _f("kv_tokens", rf"(?:#tokens: |max_total_num_tokens=){NUMBER}", combine=min),
    _f("kv_pool", rf"K size: {NUMBER} GB", 2 * GIB),
)
LLAMA_SETTINGS = {
    "engine_version": r"build: ([0-9]{1,6}) \(",
    "model": r"general\.name\s+(?:str\s+)?=\s+(.{1,120})",
    "weight_format": r"(?:file type|model ftype)\s+=\s+(.{1,60})",
    "max_model_len": r"n_ctx\s+=\s+([0-9]{1,9})",
    "n_ubatch": r"n_ubatch\s+=\s+([0-9]{1,7})",
    "flash_attention": r"flash_attn\s+=\s+(\w{1,10})",
    "n_gpu_layers": r"offloaded ([0-9]{1,5})/[0-9]+ layers",
}
LLAMA = (
    _f("gguf_model_size", rf"model size\s+=\s+{NUMBER} GiB", GIB),
    _f("gguf_model_size", rf"model size\s+=\s+{NUMBER} MiB", MIB),
    _f("gguf_kv_buffer", rf"KV (?:self )?(?:buffer )?size\s+=\s+{NUMBER} MiB", MIB, sum),
    _f("gguf_compute_buffer",
       rf"(?:CUDA|ROCm|Vulkan|Metal|SYCL)\d* +compute buffer size\s+=\s+{NUMBER} MiB", MIB),
)  # fmt: skip
ENGINES: dict[str, tuple[dict[str, str], tuple[Found, ...]]] = {
    "vllm": (VLLM_SETTINGS, VLLM),
    "sglang": (SGLANG_SETTINGS, SGLANG),
    "llama.cpp": (LLAMA_SETTINGS, LLAMA),
}
TESTS = ("weights", "kv_pool", "kv_tokens", "max_concurrency", "gguf_model_size",
         "gguf_kv_buffer", "gguf_compute_buffer")  # fmt: skip
"""Figures that are scored; the others are kept as observed."""


def read_log(path: str, engine: str) -> dict[str, Any]:
    """Return the row of a start-up log; what it does not say is left for its author to fill in.

    Raises InputError where the log holds none of the engine's figures.
    """
    text = read_bounded(Path(path), MAX_LOG_BYTES)
    settings, patterns = ENGINES[engine]
    lines = [line[:MAX_LINE] for line in text.splitlines()]
    figures = _figures(lines, patterns)
    if not figures:
        raise InputError(
            f"{path}: holds no start-up figures of {engine}.",
            "Give the log from the start of the server, with its INFO lines.",
        )
    said = _settings(lines, settings)
    row = {"id": Path(path).stem[:60], "engine": engine, "source": {"url": None, "date": None}}
    row |= _typed(said)
    expected = {k: v for k, v in figures.items() if k in TESTS}
    tokens, pool = expected.get("kv_tokens"), expected.get("kv_pool")
    if engine != "llama.cpp" and tokens and pool:
        expected["kv_bytes_per_token"] = pool / tokens
    observed = {k: v for k, v in figures.items() if k not in TESTS}
    return row | {"observed": observed, "tests": sorted(expected), "expected": expected}


def _figures(lines: list[str], patterns: tuple[Found, ...]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    combine = {p.field: p.combine for p in patterns}
    for line in lines:
        for p in patterns:
            match = p.pattern.search(line)
            if match:
                value = float(match.group(1).replace(",", "")) * p.unit
                found.setdefault(p.field, []).append(value)
    return {field: combine[field](values) for field, values in found.items()}


def _settings(lines: list[str], patterns: dict[str, str]) -> dict[str, str]:
    compiled = {name: re.compile(p) for name, p in patterns.items()}
    found: dict[str, str] = {}
    for line in lines:
        for name in compiled.keys() - found.keys():
            match = compiled[name].search(line)
            if match and match.group(1):
                found[name] = match.group(1).strip()
    return found


WHOLE = ("max_model_len", "tp", "pp", "max_num_seqs", "max_num_batched_tokens", "n_gpu_layers")
DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "auto": None}
QUANTIZED = {"awq": "awq-int4", "awq_marlin": "awq-int4", "gptq": "gptq-int4",
             "gptq_marlin": "gptq-int4", "fp8": "fp8", "modelopt_fp4": "nvfp4",
             "mxfp4": "mxfp4", "bitsandbytes": "bnb-nf4"}  # fmt: skip


def _typed(said: dict[str, str]) -> dict[str, Any]:
    """Return settings in their own types; formats by the names of the catalogue."""
    row: dict[str, Any] = {k: int(said[k]) for k in WHOLE if k in said}
    for name in ("engine_version", "model"):
        row |= {name: said[name]} if name in said else {}
    if "gpu_memory_utilization" in said:
        row["gpu_memory_utilization"] = float(said["gpu_memory_utilization"])
    if "enforce_eager" in said:
        row["enforce_eager"] = said["enforce_eager"] == "True"
    if "flash_attention" in said:
        row["flash_attention"] = said["flash_attention"] in ("1", "enabled", "on")
    if "n_ubatch" in said:
        row["extra"] = {"n_ubatch": int(said["n_ubatch"])}
    form = DTYPES.get(said.get("dtype", ""))
    quantized = QUANTIZED.get(said.get("quantization", ""))
    gguf = re.match(r"(?:mostly )?([A-Z][A-Z0-9_]{1,12})", said.get("weight_format", ""))
    row["weight_format"] = f"gguf:{gguf[1]}" if gguf else quantized or form
    kv = said.get("kv_cache_dtype")
    row["kv_format"] = "fp8" if kv and kv.startswith("fp8") else form
    return row
