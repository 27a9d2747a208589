"""The grid of a plan: names found, formats looked up, splits listed, points counted."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from llmplan.catalog.asked import asked
from llmplan.catalog.resolve import all_accelerators, find_model, store
from llmplan.engines import get_engine, known_engines
from llmplan.errors import InputError
from llmplan.memory.formats import KV_FORMATS, WEIGHT_FORMATS, kv_format, weight_format
from llmplan.planning.request import MAX_GPUS, make_options
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.plan_file import ALL, PlanFile
from llmplan.specs.prices import Price
from llmplan.specs.setup import Parallelism

MAX_POINTS = 10**12
"""Points of a grid at most; 10^12 take a day on a hundred cores."""


class NamedModel(NamedTuple):
    """A model as the plan names it, and the weight format that the name implies."""

    name: str
    model: Model
    weight_format: str | None


class NamedGpu(NamedTuple):
    """A device as the plan names it, how many the name means, the price of a named machine.

    `options`: those of the plan, with what they say of its host in plain numbers.
    """

    name: str
    gpu: Accelerator
    devices: int | None
    price: Price | None
    options: dict[str, Any]


class Layout(NamedTuple):
    """Devices, and how a model is split over them; null ones are left to llmplan."""

    gpus: int | None
    parallel: Parallelism | None


class Space(NamedTuple):
    """A grid, its names resolved: all that a worker needs beside the speed table.

    Null engines and formats are the model's, the device's or the engine's own. `idle` counts the
    points of splits that need other than the devices there are.
    """

    plan: PlanFile
    models: tuple[NamedModel, ...]
    engines: tuple[str | None, ...]
    weights: tuple[WeightFormat | None, ...]
    kvs: tuple[KvFormat | None, ...]
    layouts: tuple[Layout, ...]
    gpus: tuple[NamedGpu, ...]
    idle: int

    @property
    def heads(self) -> int:
        """Combinations of all but devices and workloads."""
        axes = (self.models, self.engines, self.weights, self.kvs, self.layouts)
        count = 1
        for axis in axes:
            count *= len(axis)
        return count

    @property
    def loads(self) -> int:
        """Points of the workload."""
        count = 1
        for axis in workload_axes(self.plan):
            count *= max(1, len(axis))
        return count

    @property
    def points(self) -> int:
        """Points of the whole grid, illegal ones included, idle ones not."""
        return self.heads * len(self.gpus) * self.loads


def workload_axes(plan: PlanFile) -> tuple[tuple[Any, ...], ...]:
    """Return the axes of the workload in the order in which rows vary."""
    return (plan.context_tokens, plan.input_tokens, plan.output_tokens, plan.concurrency,
            plan.rate_per_s)  # fmt: skip


def space_of(plan: PlanFile, *, offline: bool = False) -> Space:
    """Return the grid of a plan; InputError names what is unknown."""
    options = dict(plan.options)
    make_options(**{k: v for k, v in options.items() if not k.startswith("host_")})
    models = _models(plan.models, offline)
    gpus = _gpus(plan.gpus, models[0].model, options)
    engines = _engines(plan, options)
    weights = _formats(plan.weight_formats, WEIGHT_FORMATS, weight_format)
    kvs = _formats(plan.kv_formats, KV_FORMATS, kv_format)
    layouts, idle = layouts_of(plan)
    if not layouts:
        raise InputError(
            "No split of the plan uses as many devices as it counts.",
            "tp x pp x dp has to be one of gpu_counts; leave one of them out.",
        )
    space = Space(plan, models, engines, weights, kvs, layouts, gpus, 0)
    if space.points > MAX_POINTS:
        raise InputError(
            f"The plan has {space.points:,} points, more than {MAX_POINTS:,}.", "Split it."
        )
    return space._replace(idle=idle * (space.points // len(layouts)))


def _models(names: tuple[str, ...], offline: bool) -> tuple[NamedModel, ...]:
    if names == ALL:
        names = tuple(store().ids("models"))
    found = []
    for name in names:
        f = find_model(name, offline=offline)
        found.append(NamedModel(name, f.model, f.weight_format))
    return tuple(found)


def _gpus(names: tuple[str, ...], model: Model, options: dict[str, Any]) -> tuple[NamedGpu, ...]:
    given = [(g.id, g) for g in all_accelerators()] if names == ALL else [(n, n) for n in names]
    found = []
    for name, gpu in given:
        a = asked(model, gpu, options)
        devices = a.options.pop("gpus", None)
        found.append(NamedGpu(name, a.gpu, devices, a.price, a.options))
    return tuple(found)


def _engines(plan: PlanFile, options: dict[str, Any]) -> tuple[str | None, ...]:
    names = known_engines() if plan.engines == ALL else plan.engines
    found = tuple(dict.fromkeys(get_engine(n).name for n in names))
    if "engine_version" in options and len(found) > 1:
        raise InputError(
            "options.engine_version is of one engine, and the plan has several.",
            "Leave it out, or sweep one engine.",
        )
    return found or (None,)


def _formats(names: tuple[str, ...], table: dict[str, Any], find: Any) -> tuple[Any, ...]:
    found = table if names == ALL else dict.fromkeys(find(n).name for n in names)
    return tuple(find(n) for n in found) or (None,)


def layouts_of(plan: PlanFile) -> tuple[tuple[Layout, ...], int]:
    """Return the splits that use just the devices there are, and how many others there were."""
    counts = plan.gpu_counts or (None,)
    for count in plan.gpu_counts:
        if count > MAX_GPUS:
            raise InputError(f"gpu_counts must be between 1 and {MAX_GPUS:,}, not {count:,}.")
    axes = (plan.tp, plan.pp, plan.dp, plan.ep)
    if plan.splits:
        return tuple(_all_splits(plan.gpu_counts or (1,))), 0
    if not any(axes):
        return tuple(Layout(n, None) for n in counts), 0
    splits = [Parallelism(*p) for p in product(*(axis or (1,) for axis in axes))]
    kept = tuple(
        Layout(n, p) for n in counts for p in splits if n in (None, p.gpus) and p.gpus <= MAX_GPUS
    )
    return kept, len(counts) * len(splits) - len(kept)


def _all_splits(counts: tuple[int, ...]) -> list[Layout]:
    found = []
    for n in counts:
        for tp in (d for d in range(1, n + 1) if n % d == 0):
            for pp in (d for d in range(1, n // tp + 1) if (n // tp) % d == 0):
                dp = n // tp // pp
                wide = {1, tp * dp}
                found += [Layout(n, Parallelism(tp, pp, dp, ep)) for ep in sorted(wide)]
    return found
