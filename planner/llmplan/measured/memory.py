"""Each figure of a row predicted from its settings alone, or the reason why it cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from llmplan.catalog.resolve import find_gpu, find_model
from llmplan.engines import get_engine, known_engines
from llmplan.engines.base import Engine, Request
from llmplan.errors import AmbiguousName, LlmplanError, UnknownName
from llmplan.measured.rows import MemoryRow
from llmplan.memory.formats import weight_format
from llmplan.planning.request import Options, requested
from llmplan.specs.hardware import Accelerator

EXACT = ("weights", "kv_bytes_per_token", "gguf_model_size", "gguf_kv_buffer")
"""Figures that are arithmetic; the others rest on constants read off logs."""

FITTED = ("vllm", "llama.cpp", "ik_llama.cpp", "transformers")
"""Engines whose constants were read off rows like these; those of the others are assumed."""

ANY_DEVICE = "h200"
"""Stands for a device that a row does not name, where no figure of the device is needed."""

WITHOUT_DEVICE = (*EXACT, "max_concurrency", "gguf_compute_buffer")
CACHE_ALONE = ("kv_bytes_per_token", "gguf_kv_buffer")
"""Figures that the weight format does not change: a format that is not known is no hindrance."""

ANY_FORMATS = {"llama.cpp": "gguf:Q8_0", "ik_llama.cpp": "gguf:Q8_0"}
BY_LAYERS = ("transformers",)
"""Engines that spread layers over all devices given, without being told a split."""

POOLED = ("kv_pool", "kv_tokens")


class Score(NamedTuple):
    """One test of a row: what was observed and predicted, or why it is skipped."""

    id: str
    test: str
    observed: float
    predicted: float | None
    basis: str | None
    skipped: str | None
    engine: str
    engine_version: str | None
    repeat_of: str | None
    gpu: str | None = None
    fitted: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float | None:
        """(predicted - observed) / observed."""
        if self.predicted is None:
            return None
        return (self.predicted - self.observed) / self.observed

    def to_dict(self) -> dict[str, Any]:
        """Return the row as the contract says; `fitted` names the constants read off it."""
        return {
            "id": self.id, "test": self.test, "observed": self.observed,
            "predicted": self.predicted, "low": self.low, "high": self.high, "basis": self.basis,
            "error": self.error, "skipped": self.skipped, "engine": self.engine,
            "engine_version": self.engine_version, "repeat_of": self.repeat_of,
            "fitted": list(self.fitted),
        }  # fmt: skip


class SkipError(Exception):
    """Why a figure cannot be predicted from what the row states."""


def memory_scores(rows: Iterable[MemoryRow]) -> Iterator[Score]:
    """Yield a score for each test of each row, in their order: nothing is dropped."""
    for row in rows:
        version = row.engine_version
        for test, observed in row.expected.items():
            predicted, basis, skipped = None, None, None
            try:
                engine, request = request_of(row, test)
                version = request.version
                predicted = _predicted(engine, request, row, test)
                basis = _basis(engine, test)
            except (SkipError, LlmplanError) as e:
                skipped = " ".join(str(e).split())
            yield Score(row.id, test, float(observed), predicted, basis, skipped, row.engine,
                        version, row.repeats.get(test), row.gpu,
                        fitted_on(row, test))  # fmt: skip


def fitted_on(row: MemoryRow, test: str) -> tuple[str, ...]:
    """Return the constants that were read off this row and move this figure."""
    if row.engine not in known_engines():
        return ()
    declared = get_engine(row.engine).fitted_on
    return tuple(f.constant for f in declared if test in f.tests and row.id in f.rows)


def _basis(engine: Engine, test: str) -> str:
    if test in EXACT:
        return "exact"
    return "calibrated" if engine.name in FITTED else "assumed"


def request_of(row: MemoryRow, test: str) -> tuple[Engine, Request]:
    """Return the engine and the request that a row's settings describe."""
    model = find_model(row.model, offline=True).model
    gpu = _device(row, test)
    version = _version(row)
    options = Options(
        **{k: v for k, v in _options(row, test).items() if v is not None},
        engine=row.engine,
        weight_format=_format(row, test),
        engine_version=version,
    )
    if options.tp is not None or options.pp is not None:
        return requested(model, gpu, options)
    return requested(model, gpu, replace(options, tp=1))


def _format(row: MemoryRow, test: str) -> str:
    stand_in = ANY_FORMATS.get(row.engine, "bf16")
    if row.weight_format is None and test not in CACHE_ALONE:
        raise SkipError("the row does not state the weight format")
    try:
        return weight_format(row.weight_format or stand_in).name
    except UnknownName:
        if test in CACHE_ALONE:
            return stand_in
        raise


def _options(row: MemoryRow, test: str) -> dict[str, Any]:
    flags, tp = row.flags, row.tp or 1
    pool = row.logged_pool_bytes if test == "max_concurrency" else row.kv_cache_memory_bytes
    layers = row.n_gpu_layers
    stages = row.gpus if row.engine in BY_LAYERS and row.pp is None else row.pp
    return {
        "gpus": tp * (stages or 1) * (row.dp or 1) if row.tp else row.gpus,
        "tp": row.tp,
        "pp": stages,
        "dp": row.dp,
        "ep": tp if flags.get("expert_parallel") else None,
        "kv_format": row.kv_format,
        "context_tokens": row.max_model_len,
        "input_tokens": flags.get("input_len"),
        "output_tokens": flags.get("output_len"),
        "concurrency": flags.get("n_parallel"),
        "gpu_memory_utilization": row.gpu_memory_utilization,
        "max_num_seqs": row.max_num_seqs,
        "max_num_batched_tokens": row.max_num_batched_tokens or flags.get("n_ubatch"),
        "block_size": row.block_size,
        "kv_cache_memory_bytes": None if pool is None else round(pool),
        "enforce_eager": row.enforce_eager,
        "flash_attention": row.flash_attention,
        "offline_batch": flags.get("offline_batch"),
        "flashinfer": flags.get("flashinfer"),
        "speculative_tokens": flags.get("speculative_tokens"),
        "n_gpu_layers": layers if layers is None or layers >= 0 else None,
    }


def _device(row: MemoryRow, test: str) -> Accelerator:
    if row.gpu is None and row.device_total_gib is None and test not in WITHOUT_DEVICE:
        raise SkipError("the row states neither the device nor its memory")
    try:
        gpu = find_gpu(row.gpu or ANY_DEVICE).gpu
    except (UnknownName, AmbiguousName):
        if test not in WITHOUT_DEVICE:
            raise
        gpu = find_gpu(ANY_DEVICE).gpu
    if row.device_total_gib is None:
        return gpu
    total = row.device_total_gib
    nominal = max(total, gpu.memory_gib or total)
    return replace(gpu, memory_gib=nominal, usable_memory_gib=total, usable_memory_note=None)


def _version(row: MemoryRow) -> str | None:
    if row.engine_version is not None and row.engine_version.strip("b0"):
        return row.engine_version
    among = row.flags.get("engine_version_range")
    if among:
        return str(among[-1])
    return get_engine(row.engine).version_on(row.date) if row.date else None


def _predicted(engine: Engine, request: Request, row: MemoryRow, test: str) -> float:
    if test == "max_concurrency" and request.limits.kv_cache_memory_bytes is None:
        raise SkipError("the row logs no pool to take the concurrency from")
    if test in POOLED and row.gpu_memory_utilization is None and row.engine == "vllm":
        raise SkipError("the row does not state the share of memory that the engine took")
    figures = engine.printed(request, engine.plan(request))
    if test not in figures:
        raise SkipError(f"{engine.name} {request.version} has no prediction of {test} for this row")
    return figures[test]
