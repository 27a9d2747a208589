"""Rows of cells that have as many loads each: the speed formulas on arrays, column by column.

Arrays are loads x cells: what depends on the cell alone stays one row, what on the load alone one
column, and the formulas join them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from llmplan.engines.speed_load import RESERVING, held_at, load_at
from llmplan.planning.columns import setting_columns, taken
from llmplan.planning.cost import cost_per_hour, cost_per_million
from llmplan.planning.intervals import REGIMES, interval
from llmplan.planning.performance import (
    nearly_full,
    read_alone,
    running_context,
    spread,
    utilization,
)
from llmplan.specs.plan_file import BANDED
from llmplan.specs.speed import SpeedTable
from llmplan.speed.figures import Figures, Load, loop_figures
from llmplan.speed.step import LIMITS, decode_parts, limit_shares
from llmplan.speed.work import Setting
from llmplan.sweeping.cells import Cell
from llmplan.sweeping.values import Words

UNKNOWN = float("nan")
_MEMORY = ("device_total_bytes", "budget_bytes", "weights_bytes", "activation_peak_bytes",
           "cuda_graph_bytes", "runtime_bytes", "kv_cache_bytes", "free_bytes")  # fmt: skip
_ASKED = ("input_tokens", "output_tokens", "concurrency", "rate_per_s")


class Batch:
    """Cells with the same number of loads each, all with a setting or all without one."""

    def __init__(self, cells: list[Cell], table: SpeedTable, limits: dict[str, float]) -> None:
        self.cells, self.table, self.limits = cells, table, limits
        self.loads = cells[0].loads.points
        self.speed = cells[0].setting is not None
        self._kept: dict[str, Any] = {}

    @property
    def rows(self) -> int:
        """Rows of the batch."""
        return self.loads * len(self.cells)

    def column(self, name: str) -> Any:
        """Return a column of all rows, cell by cell: an array or Words, NaN for null."""
        if name not in self._kept:
            self._kept[name] = self._made(name)
        return self._kept[name]

    def _made(self, name: str) -> Any:
        if name in _ASKED:
            return self._asked(_ASKED.index(name) + 1)
        of_cell = CELL.get(name)
        if of_cell is not None:
            return self._by_cell([of_cell(c) for c in self.cells])
        if name in SPEED:
            return SPEED[name](self)
        figure, _, end = name.rpartition("_")
        if end in ("low", "high") and figure in BANDED:
            return self._flat(self._figure(figure, end))
        return self._flat(self._figure(name, "value"))

    def _by_cell(self, values: list[Any]) -> Any:
        if values and isinstance(values[0], (str, type(None))):
            places = {w: i for i, w in enumerate(dict.fromkeys(v for v in values if v))}
            codes = np.array([places.get(v, -1) for v in values], dtype=np.int32)
            return Words(np.repeat(codes, self.loads), list(places))
        return np.repeat(np.array(values), self.loads)

    def _asked(self, place: int) -> Any:
        """Return what the plan asks; NaN where it asks nothing."""
        if self.cells[0].loads.asked[place] is None:
            return np.full(self.rows, UNKNOWN)
        if all(c.loads is self.cells[0].loads for c in self.cells):
            return np.tile(self.cells[0].loads.asked[place], len(self.cells))
        return np.concatenate([c.loads.asked[place] for c in self.cells])

    def _flat(self, values: Any) -> Any:
        """Return loads x cells as rows, cell by cell."""
        if not self.speed:
            return np.full(self.rows, UNKNOWN)
        return np.broadcast_to(values, (self.loads, len(self.cells))).T.reshape(-1)

    def _load_column(self, field: str) -> Any:
        """Return what the formulas take of each load: one number, a column, or loads x cells."""
        first = getattr(self.cells[0].loads, field)
        if all(c.loads is self.cells[0].loads for c in self.cells):
            return first[:, None] if isinstance(first, np.ndarray) else first
        columns = [np.broadcast_to(getattr(c.loads, field), (self.loads,)) for c in self.cells]
        return np.stack(columns, axis=1)

    @cached_property
    def setting(self) -> Setting:
        """The lowered cells, a number of each as a row."""
        return setting_columns([c.setting for c in self.cells if c.setting is not None])

    @cached_property
    def load(self) -> Load:
        """What the cells hold, and the loads that are asked of them."""
        prompt, output = self._load_column("prompts"), self._load_column("outputs")
        rate = self.cells[0].request.workload.prefix_hit_rate or 0.0
        held = held_at(
            max_concurrency=self._of_cell(lambda c: c.plan.kv_cache.max_concurrency),
            context_tokens=self._of_cell(lambda c: c.request.context_tokens),
            max_num_seqs=self._of_cell(lambda c: c.plan.max_num_seqs),
            caches=self._of_cell(lambda c: bool(c.plan.request_bytes)),
            reserves=self._of_cell(lambda c: c.engine.name in RESERVING),
            mean_tokens=prompt + output / 2,
            whole_tokens=prompt + output,
        )
        return load_at(
            prompt=prompt, output=output, hit_rate=rate, held=held,
            in_flight=self._load_column("in_flight"), rate=self._load_column("rate"),
        )  # fmt: skip

    def _of_cell(self, value: Callable[[Cell], Any]) -> Any:
        return np.array([value(c) for c in self.cells])

    @cached_property
    def figures(self) -> Figures:
        """Speed under the loads."""
        return loop_figures(self.setting, self.load)

    @cached_property
    def ends(self) -> tuple[Figures, Figures]:
        """Least and most over the doubt of the pool, looked at where it is nearly full."""
        near = np.broadcast_to(nearly_full(self.load), (self.loads, len(self.cells)))
        rows, cells = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not rows.size:
            return self.figures, self.figures
        setting = taken(self.setting, cells)
        load = Load(*(_picked(v, rows, cells) for v in self.load))
        inside = Figures(*(_picked(v, rows, cells) for v in self.figures))
        ends = spread(lambda other: loop_figures(setting, other), inside, load)
        least, most = (self._put(end, rows, cells) for end in ends)
        return least, most

    def _put(self, end: Figures, rows: Any, cells: Any) -> Figures:
        """Return the figures with those of some rows and cells in place of their own."""
        shape, found = (self.loads, len(self.cells)), []
        for own, other in zip(self.figures, end, strict=True):
            values = np.array(np.broadcast_to(own, shape))
            values[np.ix_(rows, cells)] = other
            found.append(values)
        return Figures(*found)

    def _figure(self, name: str, end: str) -> Any:
        if not self.speed:
            return None
        if name == "output_tokens_per_s_per_user":
            other = {"low": "high", "high": "low"}.get(end, end)
            return 1 / self._figure("tpot_s", other)
        if name == "output_tokens_per_s_per_gpu":
            gpus = self._of_cell(lambda c: c.request.parallel.gpus)
            return self._figure("output_tokens_per_s", end) * (1 / gpus)
        if name == "prefill_tokens_per_s":
            of_end = 1.0 if end == "value" else self._factors(name, REGIMES[0], end)
            return read_alone(self.setting, self.load) * of_end
        if end == "value":
            return getattr(self.figures, name)
        least_or_most = getattr(self.ends[end == "high"], name)
        stream, loaded = (self._factors(name, regime, end) for regime in REGIMES[:2])
        flying = self.load.in_flight > 1
        return least_or_most * np.where(flying, loaded, stream)

    def _factors(self, name: str, regime: str, end: str) -> Any:
        """Return an end of the interval of each cell in a regime."""
        known = {(c.engine.name, c.basis): None for c in self.cells}
        ends = {
            key: interval(self.table, name, key[0], key[1] or "", regime)[end == "high"]
            for key in known
        }
        return self._of_cell(lambda c: ends[c.engine.name, c.basis])

    def limited_by(self) -> Words:
        """Return what takes most of a decode step."""
        if not self.speed:
            return Words(np.full(self.rows, -1, dtype=np.int32), list(LIMITS))
        running, context = running_context(self.load, self.figures)
        parts = decode_parts(self.setting, sequences=running, context=context)
        shares = limit_shares(self.setting, parts, sequences=running, context=context)
        most = np.argmax(np.stack(np.broadcast_arrays(*shares)), axis=0)
        return Words(self._flat(most).astype(np.int32), list(LIMITS))

    def utilization(self) -> Any:
        """Return the share of the capacity that a rate takes, NaN without one."""
        asked = self.cells[0].loads.asked[4] is not None
        return self._flat(utilization(self.load, self.figures) if self.speed and asked else UNKNOWN)

    def meets_limits(self) -> Any:
        """Return whether a row fits and keeps the limits: 1, 0, or NaN where speed is unknown."""
        kept = self.column("fits").astype(float)
        for name, most in self.limits.items():
            found = self.column(name)
            kept = np.where(kept == 0, 0.0, np.where(np.isnan(found), found, found <= most))
        return kept

    def usd_per_million(self) -> Any:
        """Return the cost over the output, NaN without a price or a speed."""
        hour, rate = self.column("usd_per_hour"), self.column("output_tokens_per_s")
        with np.errstate(divide="ignore"):
            return cost_per_million(usd_per_hour=hour, output_tokens_per_s=rate)


def _picked(value: Any, rows: Any, cells: Any) -> Any:
    """Return some rows and cells of what is one number, one of each cell, or loads x cells."""
    shape = np.shape(value)
    if not shape:
        return value
    value = value if shape[-1] == 1 else value[..., cells]
    return value if len(shape) == 1 or shape[0] == 1 else value[rows]


def _hourly(cell: Cell) -> float:
    price = cell.gpu.price
    return UNKNOWN if price is None else cost_per_hour(price, cell.request.parallel.gpus)


def _part_of(name: str) -> Callable[[Cell], Any]:
    return lambda cell: getattr(cell.plan.memory, name)


CELL: dict[str, Callable[[Cell], Any]] = {
    "model": lambda c: c.model,
    "gpu": lambda c: c.gpu.name,
    "engine": lambda c: c.engine.name,
    "engine_version": lambda c: c.request.version,
    "weight_format": lambda c: c.request.weights.name,
    "kv_format": lambda c: c.request.kv.name,
    "gpus": lambda c: c.request.parallel.gpus,
    "tp": lambda c: c.request.parallel.tp,
    "pp": lambda c: c.request.parallel.pp,
    "dp": lambda c: c.request.parallel.dp,
    "ep": lambda c: c.request.parallel.ep,
    "context_tokens": lambda c: c.request.context_tokens,
    "fits": lambda c: c.plan.fits,
    "kv_bytes_per_token_per_gpu": lambda c: c.plan.kv_cache.bytes_per_token_per_gpu,
    "capacity_tokens": lambda c: c.plan.kv_cache.capacity_tokens,
    "max_concurrency": lambda c: c.plan.kv_cache.max_concurrency,
    "max_context_tokens": lambda c: c.plan.max_context_tokens,
    "max_num_seqs": lambda c: c.plan.max_num_seqs,
    "basis": lambda c: c.basis,
    "usd_per_hour": _hourly,
} | {name: _part_of(name) for name in _MEMORY}
"""Columns that all loads of a cell share."""

SPEED: dict[str, Callable[[Batch], Any]] = {
    "limited_by": Batch.limited_by,
    "utilization": Batch.utilization,
    "meets_limits": Batch.meets_limits,
    "usd_per_million_output_tokens": Batch.usd_per_million,
}
