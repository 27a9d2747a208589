"""The curves of a report: speed over load, cost over load, requests over their length."""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

import numpy as np

from llmplan.engines.speed_load import MANY
from llmplan.planning.intervals import REGIMES, interval, regime_of
from llmplan.planning.own_or_rent import HOURS_PER_MONTH
from llmplan.planning.performance import spread
from llmplan.planning.serving import Replica
from llmplan.planning.stock import cheapest_rent, most_units
from llmplan.reporting.ask import Option, Part
from llmplan.reporting.lowered import held_at, replica_of
from llmplan.specs.record import as_dict
from llmplan.specs.speed import SpeedTable
from llmplan.speed.figures import Figures, Load, loop_figures

LATENCIES = ("ttft_s", "tpot_s")

POINTS = 24
"""Points of a curve."""

LEAST_SHARE, MOST_SHARE = 0.04, 0.99
"""Loads that a curve over arrivals goes through, as shares of the rate of a full server."""

SHORTEST = 1024
"""Shortest requests of the curve over lengths [tokens]."""


class SpeedPoint(NamedTuple):
    """All replicas of a part under one load: rates [1/s] and latencies [s], 80 % intervals."""

    option: int
    gpu: str
    load: float
    in_flight: float
    output_tokens_per_s: float
    ttft_s: float
    ttft_low_s: float
    ttft_high_s: float
    tpot_s: float
    tpot_low_s: float
    tpot_high_s: float
    basis: str


class CostPoint(NamedTuple):
    """What so many replicas serve within the limits, and what they take."""

    option: int
    replicas: int
    gpus: int
    serves: float
    usd_per_month: float | None


class LengthPoint(NamedTuple):
    """Requests of one length that all replicas of an option run at once."""

    option: int
    context_tokens: int
    requests: float


class Curves(NamedTuple):
    """The points of all curves, option by option."""

    speed: tuple[SpeedPoint, ...]
    cost: tuple[CostPoint, ...]
    lengths: tuple[LengthPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the curves as plain data."""
        return as_dict(self)


def curves_of(options: list[Option], table: SpeedTable, *, most_load: float) -> Curves:
    """Return the curves of options; cost goes up to `most_load`, in the unit of the load."""
    speed = [p for o in options for part in o.parts for p in speed_points(o.number, part, table)]
    cost = [p for o in options if len(o.parts) == 1 for p in cost_points(o, most_load)]
    lengths = [p for o in options for p in length_points(o)]
    return Curves(tuple(speed), tuple(cost), tuple(lengths))


def speed_points(option: int, part: Part, table: SpeedTable) -> list[SpeedPoint]:
    """Return latencies over the load that the replicas of a part share, as far as they serve it."""
    replica = replica_of(part, part.demand, table)
    if replica is None:
        return []
    opened = part.demand.kind == "rate"
    own = part.demand.peak / part.planned.replicas
    loads = np.unique(np.append(_loads(replica, opened), own))
    each, low, high = _figures(replica, loads, opened)
    basis = part.planned.tpot_s.basis
    times = part.planned.replicas
    bands = {
        regime: [interval(table, n, replica.request_engine, basis, regime) for n in LATENCIES]
        for regime in REGIMES
    }
    points = []
    for i, load in enumerate(loads.tolist()):
        rate = float(each.requests_per_s[i])
        if opened and rate < load * (1 - 1e-9):
            break
        in_flight = times * rate * float(each.e2e_s[i])
        tokens = times * float(each.output_tokens_per_s[i])
        gpu = part.planned.setup.gpu
        regime = regime_of(replica.load._replace(in_flight=MANY if opened else load))
        ttft, tpot = (
            (getattr(each, n)[i], getattr(low, n)[i] * least, getattr(high, n)[i] * most)
            for n, (least, most) in zip(LATENCIES, bands[regime], strict=True)
        )
        values = map(float, (times * load, in_flight, tokens, *ttft, *tpot))
        points.append(_point(option, gpu, basis, list(values)))
    return points


def _point(option: int, gpu: str, basis: str, values: list[float]) -> SpeedPoint:
    names = SpeedPoint._fields[2:-1]
    return SpeedPoint(option=option, gpu=gpu, basis=basis,
                      **dict(zip(names, values, strict=True)))  # fmt: skip


def _loads(replica: Replica, opened: bool) -> Any:
    """Return the loads of one replica: arrivals a second, or requests in flight."""
    most = replica.load.held * replica.setting.work.replicas
    if not opened:
        return np.unique(np.round(np.geomspace(1, max(1, most), POINTS)))
    full = loop_figures(replica.setting, replica.load._replace(in_flight=most, rate_per_s=0.0))
    shares = np.linspace(LEAST_SHARE, MOST_SHARE, POINTS)
    return float(full.requests_per_s) * shares


def _figures(replica: Replica, loads: Any, opened: bool) -> tuple[Figures, Figures, Figures]:
    """Return figures over the loads, and the least and most with the pool's doubt."""
    one = np.ones_like(loads)
    columns = Load(*(float(x) * one for x in replica.load))._replace(
        rate_per_s=loads if opened else 0 * one,
        in_flight=MANY * one if opened else loads,
    )
    figures = loop_figures(replica.setting, columns)
    least, most = spread(lambda other: loop_figures(replica.setting, other), figures, columns)
    return figures, least, most


def cost_points(option: Option, most_load: float) -> list[CostPoint]:
    """Return a point for each number of replicas that loads up to the most need."""
    part = option.first
    p, setup = part.planned, part.planned.setup
    unit = part.unit
    count = ceil(most_load / unit * (1 - 1e-9)) if unit > 0 else p.replicas
    count = min(max(count, p.replicas), most_units(part.stock, gpus=setup.gpus, most_gpus=None))
    return [
        CostPoint(option.number, n, n * setup.gpus, n * unit, month_usd(part, n))
        for n in range(1, count + 1)
    ]


def month_usd(part: Part, replicas: int) -> float | None:
    """Return the least cost a month of so many replicas of a part [USD]."""
    s = part.planned.setup
    rent = cheapest_rent(part.stock, gpus=s.gpus, tp=s.tp, replicas=replicas)
    return None if rent is None else rent.usd_per_hour * HOURS_PER_MONTH


def length_points(option: Option) -> list[LengthPoint]:
    """Return the requests at once by their length, doubled until none fits."""
    points, tokens = [], SHORTEST
    model = option.first.model
    longest = max(model.context_tokens or 0, option.first.demand.context_tokens)
    lengths = []
    while tokens < longest:
        lengths.append(tokens)
        tokens *= 2
    for length in [*lengths, longest]:
        held = sum(held_at(part, length) for part in option.parts)
        if held < 1:
            break
        points.append(LengthPoint(option.number, length, held))
    return points
