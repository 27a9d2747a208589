"""The answer of `plan`: which hardware, how many, which setup meets a load within limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from llmplan.engines import get_engine
from llmplan.errors import InputError
from llmplan.memory.formats import weight_format
from llmplan.planning.binding import relaxations
from llmplan.planning.describe import model_facts
from llmplan.planning.disaggregated import best_pair
from llmplan.planning.licences import licence_problem
from llmplan.planning.mixed import mixed_parts
from llmplan.planning.own_or_rent import own_or_rent
from llmplan.planning.planned import planned_of, planned_pair, point_of, share_of
from llmplan.planning.remedies import remedies_for
from llmplan.planning.request import Options, requested
from llmplan.planning.search import Found, Result, Search
from llmplan.planning.serving import Crowd, limited
from llmplan.planning.space import Space, space_of
from llmplan.planning.stock import cheapest_rent
from llmplan.planning.wanted import Wanted, demand_of
from llmplan.specs.model import Model
from llmplan.specs.plan import (
    Bounds,
    Demand,
    Disaggregated,
    OwnOrRent,
    PlanAnswer,
    Planned,
    Point,
    Relaxation,
    Stock,
)
from llmplan.specs.setup import Warning_
from llmplan.specs.speed import SpeedTable
from llmplan.specs.traffic import Traffic
from llmplan.version import __version__

SCHEMA = "llmplan.plan/1"
ORDER = {
    "cheapest": "cost an hour; what has no price stands apart, by devices, quality, time",
    "fastest": "time of a whole request at the peak",
    "fewest": "devices, then quality tier, then time of a request",
    "quality": "quality of the weight format (its own and 8 bits, then 4, 3, 2), then cost",
}
"""What each preference ranks by, after evidence; printed with every ranking."""


def plan_answer(
    model: Model,
    stocks: Iterable[Stock],
    wanted: Wanted,
    table: SpeedTable,
    *,
    trace: Traffic | None = None,
    said: tuple[Warning_, ...] = (),
    name: str | None = None,
) -> PlanAnswer:
    """Return the plans that meet a load within limits, best first, or what keeps them away.

    Parameters
    ----------
    model : Model
        What is to be served
    stocks : iterable of Stock
        Devices that may be used, with their offers
    wanted : Wanted
        Load, limits, preference and constraints
    table : SpeedTable
        Measured kernels and fitted coefficients
    trace : Traffic
        Statistics of a trace of the user's own
    said : tuple of Warning_
        What was read into the names, and facts that are the user's
    name : str
        The model as the user named it, for the commands that are shown

    """
    if model.decoder is None or not model.head:
        raise InputError(f"{model.id} makes no tokens: llmplan plans generation.",
                         "llmplan fit tells its memory.")  # fmt: skip
    demand, notes = demand_of(model, wanted, trace)
    kept = tuple(stocks)
    space = space_of(model, kept, demand, wanted, table)
    search = Search(space, wanted.prefer)
    answer = _Answer(model, kept, wanted, demand, search, table, name or model.id)
    problem = licence_problem(model, allowed=wanted.license, commercial=wanted.commercial)
    if problem is not None:
        refused = (Relaxation("license", None, None, problem),)
        return answer.of(Result([], [], [], 0), (), refused, (*said, *notes))
    result = search.run(demand, wanted.bounds)
    apart = answer.disaggregated()
    mixed = () if result.priced or result.unpriced else answer.mixed()
    met = result.priced or result.unpriced or mixed
    binding = () if met else answer.binding()
    return answer.of(result, mixed, binding, (*said, *notes), apart)


class _Answer:
    """Turns what was found into the records of the answer."""

    def __init__(
        self, model: Model, stocks: tuple[Stock, ...], wanted: Wanted, demand: Demand,
        search: Search, table: SpeedTable, name: str,
    ) -> None:  # fmt: skip
        self.model, self.stocks, self.wanted, self.demand = model, stocks, wanted, demand
        self.search, self.table, self.name = search, table, name

    def of(
        self, result: Result, mixed: tuple[Planned, ...], binding: tuple[Relaxation, ...],
        said: tuple[Warning_, ...], apart: tuple[Disaggregated, ...] = (),
    ) -> PlanAnswer:  # fmt: skip
        """Return the whole answer."""
        priced, unpriced = self._planned(result.priced), self._planned(result.unpriced)
        return PlanAnswer(
            schema=SCHEMA,
            llmplan_version=__version__,
            model=model_facts(self.model),
            load=self.demand,
            limits=self.wanted.bounds,
            prefer=self.wanted.prefer,
            searched=self._searched(result),
            setups=priced,
            unpriced=unpriced,
            mixed=mixed,
            disaggregated=apart,
            pareto=self._front(result.front),
            binding=binding,
            own_or_rent=self._own_or_rent(result.priced, priced),
            warnings=(*said, *_model_notes(self.model)),
        )

    def _planned(self, found: list[Found]) -> tuple[Planned, ...]:
        stocks = [self._stock(f) for f in found]
        return tuple(
            planned_of(
                found, stocks, self.demand, self.wanted.bounds, self.table, name=self.name,
                explain=self.wanted.explain,
            )
        )  # fmt: skip

    def _front(self, found: list[Found]) -> tuple[Point, ...]:
        if not found:
            return ()
        shares = np.array([share_of(self.demand, f.replicas) for f in found])
        bounds = self.wanted.bounds
        replicas, _ = limited([f.replica for f in found], shares, self.demand, bounds)
        most = Crowd(replicas, self.demand, bounds).most()[0]
        return tuple(point_of(f, float(m) * f.replicas) for f, m in zip(found, most, strict=True))

    def _stock(self, f: Found) -> Stock:
        return self.search.space.stocks[self.search.space.rows[f.replica.row].stock]

    def disaggregated(self) -> tuple[Disaggregated, ...]:
        """Return the best pair of setups for prompts and for decoding, if there is one."""
        bounds = self.wanted.bounds
        pair = best_pair(self.search, self.demand, bounds)
        if pair is None:
            return ()
        space = self.search.space
        stock = space.stocks[space.rows[pair.decode.replica.row].stock]
        return (planned_pair(pair, stock, self.demand, bounds, self.table, name=self.name),)

    def mixed(self) -> tuple[Planned, ...]:
        """Return replicas on several kinds of devices that meet the load together."""
        parts = mixed_parts(self.search, self.demand, self.wanted.bounds)
        shown = []
        for part in parts:
            shown += planned_of(
                [part.found], [self._stock(part.found)], part.demand, self.wanted.bounds,
                self.table, name=self.name, explain=self.wanted.explain,
            )  # fmt: skip
        return tuple(shown)

    def binding(self) -> tuple[Relaxation, ...]:
        """Return what keeps every plan away."""
        found = relaxations(self.search, self.demand, self.wanted.bounds)
        if found:
            return tuple(found)
        if any(self.search.replica(i) for i in range(len(self.search.space.rows))):
            most = self.search.most(self.demand, Bounds())
            unit = "requests a second" if self.demand.kind == "rate" else "requests in flight"
            message = (
                f"The devices bind: at best they serve {most:.3g} of {self.demand.peak:.3g} {unit}."
            )
            return (Relaxation("devices", most, self.demand.peak, message),)
        return (Relaxation("memory", None, None, self._memory()),)

    def _memory(self) -> str:
        if not self.stocks:
            return "No device meets the constraints."
        formats, engines = self.wanted.weight_format, self.wanted.engine
        options = Options(
            gpus=self.stocks[0].limit or 1,
            engine=engines[0] if engines else None,
            weight_format=formats[0] if formats else None,
            context_tokens=self.demand.context_tokens,
        )
        gpu = self.stocks[0].gpu
        engine, request = requested(self.model, gpu, options)
        nearest = remedies_for(engine, request, [s.gpu for s in self.stocks[1:]])
        hint = (
            f" What would on {options.devices} x {gpu.id}: {'; '.join(nearest)}." if nearest else ""
        )
        return f"No setup fits and can be started on these devices.{hint}"

    def _searched(self, result: Result) -> dict[str, Any]:
        space: Space = self.search.space
        return {
            "devices": len(self.stocks),
            "devices_with_offers": sum(bool(s.offers) for s in self.stocks),
            "setups": len(space.rows),
            "planned": result.planned,
            "skipped": list(space.skipped),
        }

    def _own_or_rent(self, found: list[Found], planned: tuple[Planned, ...]) -> OwnOrRent | None:
        prices = self.wanted.api_price
        if prices is None or not planned or planned[0].rent is None:
            return None
        best, first, demand = found[0], planned[0], self.demand
        p = best.replica.request.parallel
        stock = self._stock(best)

        def cost_of(replicas: int) -> float | None:
            rent = cheapest_rent(stock, gpus=p.gpus, tp=p.tp, replicas=replicas)
            return None if rent is None else rent.usd_per_hour

        mean = demand.rate_per_s or first.requests_per_s.value
        unit = first.capacity / first.replicas / demand.headroom
        if demand.kind == "concurrency":
            unit = first.requests_per_s.value / first.replicas
        return own_or_rent(
            prices=prices, input_tokens=demand.input_tokens, output_tokens=demand.output_tokens,
            mean_per_s=mean, unit_per_s=unit, usd_per_hour=first.usd_per_hour, cost_of=cost_of,
        )  # fmt: skip


def check_formats(wanted: Wanted) -> None:
    """Raise UnknownName for an engine or format that does not exist."""
    for name in wanted.engine:
        get_engine(name)
    for name in wanted.weight_format:
        weight_format(name)


def _model_notes(model: Model) -> tuple[Warning_, ...]:
    if model.guessed:
        text = f"The architecture of {model.id} is not known and its figures are a guess."
        return (Warning_("unknown_architecture", text),)
    if not model.unverified:
        return ()
    what = ", ".join(model.unverified)
    text = f"Unverified facts of {model.id}: {what} (see models show)."
    return (Warning_("unverified_facts", text),)
