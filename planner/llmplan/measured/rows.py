"""Rows of measurements/: what was asked of an engine, and what it printed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from llmplan.catalog.store import checkout_root
from llmplan.errors import CatalogFileError, InputError, OutsideError
from llmplan.specs.record import Record, record

KINDS = ("memory", "speed")
MAX_LINE = 1 << 20
"""Characters of the longest row."""

INPUT_FLAGS = (
    "n_ubatch", "n_parallel", "swa_full", "mla_cache", "input_len", "output_len", "batch",
    "expert_parallel", "lora", "engine_version_range", "offline_batch", "speculative_tokens",
    "flashinfer",
)  # fmt: skip
"""Entries of `extra` that were given to the engine; the others were measured."""


@record
class MemoryRow(Record):
    """One start-up of an engine: its settings (null: not stated) and the figures it printed.

    A prediction reads the settings only: `expected` and `logged_pool_bytes` are not among what
    `request_options` passes on, but for the pool that a concurrency is asked for.
    """

    id: str
    engine: str
    model: str
    expected: Mapping[str, float]
    date: str | None = None
    engine_version: str | None = None
    gpu: str | None = None
    device_total_gib: float | None = None
    gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    weight_format: str | None = None
    kv_format: str | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool | None = None
    block_size: int | None = None
    kv_cache_memory_bytes: int | None = None
    flash_attention: bool | None = None
    n_gpu_layers: int | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    repeats: Mapping[str, str] = field(default_factory=dict)
    logged_pool_bytes: float | None = None
    logged_tokens: float | None = None


def row_of(data: Mapping[str, Any], where: str) -> MemoryRow:
    """Return the record of one row of plain data; an error names what it lacks."""
    missing = [k for k in ("id", "engine", "model", "expected") if not data.get(k)]
    if missing:
        raise CatalogFileError(f"{where}: the row lacks {', '.join(missing)}.")
    extra, observed = data.get("extra") or {}, data.get("observed") or {}
    source = data.get("source") or {}
    pool = data["expected"].get("kv_pool") or _gib(observed.get("kv_cache_gib_per_gpu"))
    tokens = data["expected"].get("kv_tokens") or observed.get("kv_cache_tokens")
    settings = {
        name: data[name]
        for name in MemoryRow.__dataclass_fields__
        if name in data and data[name] is not None
    }
    return MemoryRow(
        **{
            **settings,
            "date": source.get("date"),
            "flags": {k: v for k, v in extra.items() if k in INPUT_FLAGS},
            "repeats": extra.get("repeat_of") or {},
            "logged_pool_bytes": pool,
            "logged_tokens": tokens,
        }
    )


def _gib(value: Any) -> float | None:
    return value * (1 << 30) if isinstance(value, (int, float)) else None


@record
class SpeedRow(Record):
    """One public result: what was run, and what was measured.

    `suspect` says why its figures cannot be right, `doubts` why one of them cannot.
    `tpot_statistic`: `median gap` where the source gives the median time between two tokens for
    `tpot_s`, which no prompt disturbs; else the mean over a request.
    """

    id: str
    engine: str
    model: str
    gpu: str
    scenario: str
    expected: Mapping[str, float]
    source: Mapping[str, Any] = field(default_factory=dict)
    weight_format: str | None = None
    kv_format: str | None = None
    engine_version: str | None = None
    engine_era: str | None = None
    gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    context_depth: float | None = None
    concurrency: float | None = None
    request_rate_per_s: float | None = None
    quality: str | None = None
    suspect: str | None = None
    doubts: Mapping[str, str] = field(default_factory=dict)
    tpot_statistic: str | None = None

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Rows of one model, device, engine and format: their errors are alike."""
        return (self.engine, self.model, self.gpu, self.weight_format or "")


SCENARIOS = ("single-stream", "static-batch", "closed-loop", "open-loop", "offline", "prefill")


def speed_row(data: Mapping[str, Any], where: str) -> SpeedRow:
    """Return the record of one row of plain data; an error names what it lacks."""
    needed = ("id", "engine", "model", "gpu", "scenario", "expected")
    missing = [k for k in needed if not data.get(k)]
    if missing:
        raise CatalogFileError(f"{where}: the row lacks {', '.join(missing)}.")
    if data["scenario"] not in SCENARIOS:
        raise CatalogFileError(f"{where}: scenario is one of {', '.join(SCENARIOS)}.")
    names = SpeedRow.__dataclass_fields__
    return SpeedRow(**{k: v for k, v in data.items() if k in names and v is not None})


def speed_rows(paths: list[str]) -> Iterator[SpeedRow]:
    """Yield the rows of measured speed, or raise one clear error with file and line."""
    return (speed_row(data, where) for data, where in _objects(paths))


def read_rows(paths: list[str]) -> Iterator[MemoryRow]:
    """Yield the rows of measured memory, or raise one clear error with file and line."""
    return (row_of(data, where) for data, where in _objects(paths))


def _objects(paths: list[str]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _object(line, f"{path}:{number}"), f"{path}:{number}"
        except (OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "strerror", None) or "not UTF-8 text"
            raise InputError(f"{path}: {reason.lower()}.") from None


def _object(line: str, where: str) -> Mapping[str, Any]:
    if len(line) > MAX_LINE:
        raise CatalogFileError(f"{where}: more than {MAX_LINE:,} characters in a row.")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise CatalogFileError(f"{where}: not valid JSON: {str(e)[:100]}.") from None
    if not isinstance(data, dict):
        raise CatalogFileError(f"{where}: a row must be an object of settings and figures.")
    return data


def own_measurements(kind: str) -> str:
    """Return the file of the project's own rows."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for root in (package, checkout_root()):
        path = os.path.join(root, "measurements", f"{kind}.jsonl") if root else ""
        if path and os.path.exists(path):
            return path
    raise OutsideError(
        "The measurements are missing from this installation.",
        "Give a file: llmplan validate --measurements FILE.",
    )
