"""Legal setups of a part of the grid, each planned and lowered once for all its loads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from llmplan.engines import get_engine
from llmplan.engines.base import Engine, Plan, Request
from llmplan.errors import IllegalParallelism, InputError
from llmplan.memory.formats import kv_format, weight_format
from llmplan.planning.performance import NoSpeed, basis_of, lowered
from llmplan.planning.request import (
    Options,
    default_engine,
    limits_of,
    make_options,
    split,
)
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.setup import Limits, Parallelism, Workload
from llmplan.specs.speed import SpeedTable
from llmplan.speed.work import Setting
from llmplan.sweeping.loads import Loads, Workloads
from llmplan.sweeping.space import Layout, NamedGpu, NamedModel, Space


class Cell(NamedTuple):
    """A setup under the loads that share its plan; no setting where speed is not predicted."""

    model: str
    gpu: NamedGpu
    engine: Engine
    request: Request
    plan: Plan
    setting: Setting | None
    basis: str | None
    loads: Loads


class Head(NamedTuple):
    """A combination of all but devices and workloads."""

    model: NamedModel
    engine: Engine
    weights: WeightFormat | None
    kv: KvFormat | None
    layout: Layout


class Cells:
    """Makes cells; counts the points that are left out, by the reason."""

    def __init__(self, space: Space, table: SpeedTable, *, speed: bool) -> None:
        self.space, self.table, self.speed = space, table, speed
        self.left_out: Counter[str] = Counter()
        self._options = [_Settings(g) for g in space.gpus]
        self._splits: dict[tuple[Any, ...], Parallelism | str] = {}
        self._kvs: dict[tuple[Any, ...], KvFormat] = {}

    def between(self, start: int, stop: int) -> Iterator[Cell]:
        """Yield the cells of the points `start` to `stop` of the grid, in order."""
        loads, gpus = self.space.loads, len(self.space.gpus)
        whole: Workloads | None = None
        at = start
        while at < stop:
            setup, first = divmod(at, loads)
            last = min(loads, first + stop - at)
            if (first, last) == (0, loads):
                whole = points = whole or Workloads(self.space.plan, 0, loads)
            else:
                points = Workloads(self.space.plan, first, last)
            yield from self._setup(*divmod(setup, gpus), points)
            at += last - first

    def _setup(self, head: int, gpu: int, points: Workloads) -> Iterator[Cell]:
        h, named, settings = self._head(head), self.space.gpus[gpu], self._options[gpu]
        try:
            first = self._request(h, named, settings)
            if isinstance(first, str):
                self.left_out[first] += points.count
                return
            if h.engine.unsupported(first) is not None:
                self.left_out["not run by the engine"] += points.count
                return
            groups, beyond = self._groups(h.engine, first, points)
        except InputError:
            self.left_out["facts missing"] += points.count
            return
        if beyond:
            self.left_out["prompt and output beyond the context"] += beyond
        kept: dict[float | None, Setting | None] = {}
        for loads in groups:
            request = Request(first.model, first.gpu, first.weights, first.kv, first.parallel,
                              settings.workload(loads), first.limits, first.version)  # fmt: skip
            try:
                if h.engine.unsupported(request) is not None:
                    self.left_out["not run by the engine"] += loads.points
                    continue
                plan = h.engine.plan(request)
            except InputError:
                self.left_out["facts missing"] += loads.points
                continue
            yield self._cell(h, named, request, plan, loads, kept)

    def _request(self, h: Head, named: NamedGpu, settings: _Settings) -> Request | str:
        """Return the setup without its load, or why there is none."""
        weights = h.weights or settings.native(h.engine, h.model)
        parallel = self._split(h, weights, named)
        if isinstance(parallel, str):
            return parallel
        kv = h.kv or self._kv(h, weights)
        version = settings.version(h.engine)
        return Request(h.model.model, named.gpu, weights, kv, parallel, _NOTHING, settings.limits,
                       version)  # fmt: skip

    def _cell(
        self, h: Head, named: NamedGpu, request: Request, plan: Plan, loads: Loads,
        kept: dict[float | None, Setting | None],
    ) -> Cell:  # fmt: skip
        engine, setting, basis = h.engine, None, None
        if self.speed:
            chunk = engine.chunk_tokens(request)
            if chunk not in kept:
                kept[chunk] = self._lowered(engine, request)
            setting = kept[chunk]
        if setting is not None:
            basis = basis_of(request, engine, self.table)
        return Cell(h.model.name, named, engine, request, plan, setting, basis, loads)

    def _lowered(self, engine: Engine, request: Request) -> Setting | None:
        try:
            return lowered(engine, request, self.table)
        except (NoSpeed, InputError):
            return None

    def _groups(
        self, engine: Engine, request: Request, points: Workloads
    ) -> tuple[list[Loads], int]:
        model = request.model
        reads = engine.plan_reads_prompt or model.encoder is not None
        flying = points.concurrency is not None
        same = engine.same_plan_up_to(request) if flying else None
        return points.groups(model, same, reads_prompt=reads)

    @lru_cache(maxsize=64)  # noqa: B019 - lives as long as its part of the grid
    def _head(self, index: int) -> Head:
        s = self.space
        index, layout = divmod(index, len(s.layouts))
        index, kv = divmod(index, len(s.kvs))
        index, weights = divmod(index, len(s.weights))
        model, engine = divmod(index, len(s.engines))
        named = s.models[model]
        name = s.engines[engine] or default_engine(named.model)
        return Head(named, get_engine(name), s.weights[weights], s.kvs[kv], s.layouts[layout])

    def _split(self, h: Head, weights: WeightFormat, gpu: NamedGpu) -> Parallelism | str:
        """Return the split, or why there is none; each is looked at once for all devices."""
        devices = h.layout.gpus or (gpu.devices if h.layout.parallel is None else None)
        # all of these live as long as the grid
        key = (id(h.model), id(h.engine), weights.name, id(h.layout), devices)
        if key not in self._splits:
            if len(self._splits) > MAX_SPLITS:
                self._splits.clear()
            self._splits[key] = _split(h, weights, devices)
        return self._splits[key]

    def _kv(self, h: Head, weights: WeightFormat) -> KvFormat:
        """Return the KV format of an engine where the plan names none."""
        key = (id(h.model), id(h.engine), weights.name)
        if key not in self._kvs:
            if len(self._kvs) > MAX_SPLITS:
                self._kvs.clear()
            self._kvs[key] = kv_format(h.engine.default_kv(h.model.model, weights))
        return self._kvs[key]


MAX_SPLITS = 10_000
_NOTHING = Workload(1)


def _split(h: Head, weights: WeightFormat, devices: int | None) -> Parallelism | str:
    model, p = h.model.model, h.layout.parallel
    if p is None:
        try:
            return split(h.engine, model, weights, Options(gpus=devices))
        except IllegalParallelism:
            return "illegal split"
    return "illegal split" if h.engine.illegal(model, weights, p) else p


class _Settings:
    """Options of the plan on one device, and what follows from them for each engine."""

    def __init__(self, named: NamedGpu) -> None:
        self.gpu = named.gpu
        self.options: Options = make_options(**named.options)
        self.limits: Limits = limits_of(self.options)
        self._versions: dict[str, str] = {}
        self._workloads: dict[tuple[int | None, ...], Workload] = {}

    def workload(self, loads: Loads) -> Workload:
        """Return the load that a plan is made with, one record for all setups."""
        key = (loads.context, loads.prompt, loads.concurrency)
        if key not in self._workloads:
            if len(self._workloads) > MAX_SPLITS:
                self._workloads.clear()
            options = self.options
            self._workloads[key] = Workload(
                loads.context, loads.prompt, None, loads.concurrency, None,
                options.prefix_hit_rate, options.acceptance_rate,
            )  # fmt: skip
        return self._workloads[key]

    def version(self, engine: Engine) -> str:
        """Return the version of an engine that is planned for."""
        if engine.name not in self._versions:
            version = engine.check_version(self.options.engine_version)
            self._versions[engine.name] = version
        return self._versions[engine.name]

    def native(self, engine: Engine, named: NamedModel) -> WeightFormat:
        """Return the format of a model where the plan names none."""
        return weight_format(named.weight_format or engine.native_format(named.model, self.gpu))
