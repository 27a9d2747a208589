"""What a plan file of `sweep` or `report` asks for, and the columns that rows have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from llmplan.specs.record import Record, record

ALL = ("all",)
"""Stands for every entry that there is of an axis."""


@record
class PlanFile(Record):
    """Axes of a grid, each a tuple of values; an empty one is left to llmplan.

    `splits`: every legal split over the devices, in place of `tp`, `pp`, `dp` and `ep`. `limits`:
    what an answer may take at most [s]. `filter`: an expression that kept rows meet. `columns`:
    those of the rows, by name; `derived`: further ones by their expressions. `options`: settings
    that hold for the whole grid, by the names of `estimate`.
    """

    models: tuple[str, ...]
    gpus: tuple[str, ...]
    gpu_counts: tuple[int, ...] = ()
    engines: tuple[str, ...] = ()
    weight_formats: tuple[str, ...] = ()
    kv_formats: tuple[str, ...] = ()
    splits: bool = False
    tp: tuple[int, ...] = ()
    pp: tuple[int, ...] = ()
    dp: tuple[int, ...] = ()
    ep: tuple[int, ...] = ()
    context_tokens: tuple[int, ...] = ()
    input_tokens: tuple[int, ...] = ()
    output_tokens: tuple[int, ...] = ()
    concurrency: tuple[int, ...] = ()
    rate_per_s: tuple[float, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    filter: str | None = None
    columns: tuple[str, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)


class Axis(NamedTuple):
    """A key of the plan file: what its values are, the group it stands in, what it means.

    `kind`: name, count, tokens or rate.
    """

    kind: str
    group: str | None
    what: str


AXES: Mapping[str, Axis] = {
    "models": Axis("name", None, "Models: ids, aliases, Hub ids, paths."),
    "gpus": Axis("name", None, "Devices or machines: ids, aliases, paths."),
    "gpu_counts": Axis("count", None, "Devices in all (default: 1, or what a machine has)."),
    "engines": Axis("name", None, "Engines (default: vllm, or llama.cpp for a GGUF file)."),
    "weight_formats": Axis("name", None, "Weight formats (default: the model's own)."),
    "kv_formats": Axis("name", None, "KV-cache formats (default: the engine's)."),
    "tp": Axis("count", "parallel", "Tensor-parallel ranks."),
    "pp": Axis("count", "parallel", "Pipeline stages."),
    "dp": Axis("count", "parallel", "Data-parallel replicas."),
    "ep": Axis("count", "parallel", "Expert-parallel ranks: tp x dp, or 1."),
    "context_tokens": Axis("tokens", "workload", "Longest request (default: as `fit` takes it)."),
    "input_tokens": Axis("tokens", "workload", "Prompt tokens of a request."),
    "output_tokens": Axis("tokens", "workload", "Generated tokens of a request."),
    "concurrency": Axis("count", "workload", "Requests in flight."),
    "rate_per_s": Axis("rate", "workload", "Requests a second."),
}
"""Axes by key, in the order in which rows vary: the last the fastest."""

LIMITS: Mapping[str, str] = {
    "ttft_s": "Time to first token at most.",
    "tpot_s": "Time per output token at most.",
    "e2e_s": "Time of a whole request at most.",
}
"""Limits of `limits:`, each a column; in seconds, or with a unit (500ms)."""

OPTIONS = (
    "engine_version", "prefix_hit_rate", "acceptance_rate", "gpu_memory_utilization",
    "max_num_seqs", "max_num_batched_tokens", "block_size", "kv_cache_memory_bytes",
    "enforce_eager", "flash_attention", "n_gpu_layers", "n_cpu_moe", "host_ram", "host_bandwidth",
    "speculative_tokens", "offline_batch",
)  # fmt: skip
"""Settings of the whole grid, by the names of `estimate`."""


class Column(NamedTuple):
    """A column of the rows: its type (text, int, float, bool), where it comes from, what it is.

    `part`: what has to be computed for it: setup, memory, speed, band, limit, load or cost.
    """

    type: str
    part: str
    what: str


BANDED = {
    "ttft_s": "Mean time to first token [s].",
    "tpot_s": "Mean time per output token [s].",
    "output_tokens_per_s": "Output tokens a second of all requests.",
    "total_tokens_per_s": "Input and output tokens a second.",
    "requests_per_s": "Requests a second.",
    "output_tokens_per_s_per_user": "Output tokens a second of one request.",
    "e2e_s": "Mean time of a whole request [s].",
    "output_tokens_per_s_per_gpu": "Output tokens a second and device.",
    "prefill_tokens_per_s": "Prompt tokens a second of one prompt read alone.",
}
"""Figures of speed; each has columns of its 80 % interval, `_low` and `_high`."""

_SETUP = {
    "model": ("text", "Model, as the plan names it."),
    "gpu": ("text", "Device, as the plan names it."),
    "engine": ("text", "Engine."),
    "engine_version": ("text", "Version of the engine that is planned for."),
    "weight_format": ("text", "Weight format."),
    "kv_format": ("text", "KV-cache format."),
    "gpus": ("int", "Devices used."),
    "tp": ("int", "Tensor-parallel ranks."),
    "pp": ("int", "Pipeline stages."),
    "dp": ("int", "Data-parallel replicas."),
    "ep": ("int", "Expert-parallel ranks."),
    "context_tokens": ("int", "Longest request [tokens]."),
    "input_tokens": ("int", "Prompt [tokens]; null where the plan says none: speed's default."),
    "output_tokens": ("int", "Output [tokens]; null where the plan says none: speed's default."),
    "concurrency": ("int", "Requests in flight; null where the plan says none."),
    "rate_per_s": ("float", "Requests a second asked; null where the plan says none."),
}
_MEMORY = {
    "fits": ("bool", "Weights, run-time parts and one longest request fit the fullest device."),
    "device_total_bytes": ("int", "Memory of a device that the driver reports [bytes]."),
    "budget_bytes": ("int", "What the engine may take of it [bytes]."),
    "weights_bytes": ("int", "Weights on the fullest device [bytes]."),
    "activation_peak_bytes": ("int", "Activations [bytes]."),
    "cuda_graph_bytes": ("int", "CUDA graphs [bytes]."),
    "runtime_bytes": ("int", "Memory outside the engine's allocator [bytes]."),
    "kv_cache_bytes": ("int", "KV pool [bytes]."),
    "free_bytes": ("int", "What is left, negative where it does not fit [bytes]."),
    "kv_bytes_per_token_per_gpu": ("float", "KV cache of a token on a device [bytes]."),
    "capacity_tokens": ("int", "Tokens that the pool of a replica holds."),
    "max_concurrency": ("float", "Longest requests that the pool of a replica holds."),
    "max_context_tokens": ("int", "Longest request that would fit [tokens]."),
    "max_num_seqs": ("int", "Sequences that the engine runs at once, a replica."),
}
_LAST = {
    "basis": Column("text", "basis", "What speed rests on: calibrated, transferred, assumed."),
    "limited_by": Column("text", "limit", "What takes most of a decode step."),
    "utilization": Column("float", "load", "Share of the capacity that a rate takes."),
    "meets_limits": Column("bool", "speed", "It fits and keeps the plan's limits."),
    "usd_per_hour": Column("float", "cost", "Whole machines on demand; null for bare devices."),
    "usd_per_million_output_tokens": Column("float", "cost", "The same over output."),
}


def _columns() -> dict[str, Column]:
    found = {name: Column(t, "setup", what) for name, (t, what) in _SETUP.items()}
    found |= {name: Column(t, "memory", what) for name, (t, what) in _MEMORY.items()}
    for name, what in BANDED.items():
        found[name] = Column("float", "speed", what)
        for end in ("low", "high"):
            found[f"{name}_{end}"] = Column("float", "band", f"{end.title()} end of {name}.")
    return found | _LAST


COLUMNS: Mapping[str, Column] = _columns()
"""Every column that rows can have, in order."""

DEFAULT_COLUMNS = (
    "model", "gpu", "engine", "weight_format", "kv_format", "gpus", "tp", "pp", "dp", "ep",
    "context_tokens", "input_tokens", "output_tokens", "concurrency", "rate_per_s",
    "fits", "weights_bytes", "kv_cache_bytes", "free_bytes", "max_concurrency",
    "ttft_s", "ttft_s_low", "ttft_s_high", "tpot_s", "tpot_s_low", "tpot_s_high",
    "output_tokens_per_s", "output_tokens_per_s_low", "output_tokens_per_s_high",
    "requests_per_s", "output_tokens_per_s_per_gpu", "basis",
)  # fmt: skip
"""Columns where a plan names none; `meets_limits` and costs come with limits and prices."""


def column_kinds() -> dict[str, str]:
    """Return column name to what an expression sees of it: text, number or bool."""
    kinds = {"int": "number", "float": "number"}
    return {name: kinds.get(c.type, c.type) for name, c in COLUMNS.items()}
