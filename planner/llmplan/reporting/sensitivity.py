"""What if: options sized anew under another load, other lengths, prices or speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from llmplan.engines.speed_load import MANY
from llmplan.planning.intervals import interval
from llmplan.planning.own_or_rent import HOURS_PER_MONTH
from llmplan.planning.serving import Crowd, Replica
from llmplan.planning.stock import cheapest_rent, most_units
from llmplan.reporting.ask import Option, Part
from llmplan.reporting.lowered import replica_of
from llmplan.specs.plan import Bounds, Demand
from llmplan.specs.record import as_dict
from llmplan.specs.speed import SpeedTable

DOUBLE, HALF, FIFTH = 2.0, 0.5, 0.2


class Change(NamedTuple):
    """One thing that turns out otherwise: the load, the price of a device, the speed."""

    name: str
    demand: Demand
    price: float = 1.0
    slow: bool = False


class Effect(NamedTuple):
    """What a change makes of an option; null counts where it no longer meets load and limits."""

    change: str
    option: int
    meets: bool
    replicas: int | None
    gpus: int | None
    usd_per_month: float | None
    over_plan: float | None
    utilization: float | None
    best_option: int | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return as_dict(self)


class _Sized(NamedTuple):
    option: int
    replicas: int
    gpus: int
    usd_per_month: float | None
    utilization: float


def effects_of(options: list[Option], limits: Bounds, table: SpeedTable) -> list[Effect]:
    """Return the effect of each change on the first option, and which would then be best."""
    first = options[0]
    found = []
    dearer = first.first.stock.name
    for change in changes(first.first.demand, dearer):
        if change.price != 1 and first.usd_per_month is None:
            continue
        each = (_sized(o, change, limits, table, dearer) for o in options)
        sized = [s for s in each if s is not None]
        own = next((s for s in sized if s.option == first.number), None)
        best = min(sized, key=_key, default=None)
        found.append(_effect(first, change, own, best))
    return found


def changes(demand: Demand, device: str) -> Iterator[Change]:
    """Yield what may turn out otherwise; `device` is the one whose price may move."""
    longer = demand.input_tokens + 2 * demand.output_tokens
    yield Change(
        "answers twice as long",
        replace(demand, output_tokens=2 * demand.output_tokens,
                context_tokens=max(demand.context_tokens, longer)),
    )  # fmt: skip
    hits = demand.prefix_hit_rate
    if hits:
        yield Change("half the prefix hits", replace(demand, prefix_hit_rate=hits * HALF))
    else:
        yield Change("half of each prompt cached", replace(demand, prefix_hit_rate=HALF))
    yield Change("twice the load", replace(demand, peak=demand.peak * DOUBLE))
    yield Change("half the load", replace(demand, peak=_at_least(demand, demand.peak * HALF)))
    yield Change("speed at the low end of its band", demand, slow=True)
    yield Change(f"price of {device} 20 % up", demand, price=1 + FIFTH)
    yield Change(f"price of {device} 20 % down", demand, price=1 - FIFTH)


def _at_least(demand: Demand, peak: float) -> float:
    return float(max(1, np.ceil(peak))) if demand.kind == "concurrency" else peak


def _sized(
    option: Option, change: Change, limits: Bounds, table: SpeedTable, dearer: str
) -> _Sized | None:
    """Return an option under a change, None where it cannot meet load and limits any more.

    The price changes for all options on the device `dearer`.
    """
    if len(option.parts) > 1:
        return _mixed(option, change, limits, table)
    part = option.first
    s = part.planned.setup
    count, used = _replicas(part, change, limits, table)
    if not count or count > most_units(part.stock, gpus=s.gpus, most_gpus=limits.gpus):
        return None
    rent = cheapest_rent(part.stock, gpus=s.gpus, tp=s.tp, replicas=count)
    usd = None if rent is None else rent.usd_per_hour * HOURS_PER_MONTH
    if usd is not None and part.stock.name == dearer:
        usd *= change.price
    return _Sized(option.number, count, count * s.gpus, usd, used)


def _replicas(part: Part, change: Change, limits: Bounds, table: SpeedTable) -> tuple[int, float]:
    """Return the replicas that a change needs, 0 where none do, and the share of them it takes."""
    replica = replica_of(part, change.demand, table)
    if replica is None:
        return 0, 0.0
    demand = change.demand
    if change.slow:
        low = _slowest(part, table)
        demand = replace(demand, peak=_at_least(demand, demand.peak / low))
    crowd = Crowd([replica], demand, limits)
    count = int(crowd.replicas(np.ones(1))[0])
    most = most_of(replica, demand, limits)
    return max(0, count), min(1.0, demand.peak / (most * max(1, count))) if most else 1.0


def most_of(replica: Replica, demand: Demand, limits: Bounds) -> float:
    """Return the most load that one replica serves within the limits."""
    whole = replace(demand, peak=MANY) if demand.kind == "concurrency" else demand
    return float(Crowd([replica], whole, limits).most()[0][0])


def _slowest(part: Part, table: SpeedTable) -> float:
    """Return the low end of the band of throughput, as a share of the prediction."""
    p = part.planned
    return interval(
        table, "output_tokens_per_s", p.setup.engine, p.tpot_s.basis, "load"
    )[0]  # fmt: skip


def _mixed(option: Option, change: Change, limits: Bounds, table: SpeedTable) -> _Sized | None:
    """Return a mix whose replicas stay as they are, None where they serve too little."""
    total, asked = 0.0, 0.0
    for part in option.parts:
        share = part.demand.peak / option.first.demand.peak
        demand = replace(change.demand, peak=change.demand.peak * share)
        replica = replica_of(part, demand, table)
        if replica is None:
            return None
        low = 1.0
        if change.slow:
            low = _slowest(part, table)
        total += most_of(replica, demand, limits) * part.planned.replicas * low
        asked += demand.peak
    if total < asked * (1 - 1e-9):
        return None
    return _Sized(option.number, option.replicas, option.gpus, option.usd_per_month, asked / total)


def _key(s: _Sized) -> tuple[float, int, int]:
    return (float("inf") if s.usd_per_month is None else s.usd_per_month, s.gpus, s.option)


def _effect(first: Option, change: Change, own: _Sized | None, best: _Sized | None) -> Effect:
    best_option = None if best is None else best.option
    if own is None:
        why = "no number of its replicas meets load and limits"
        return Effect(
            change.name, first.number, False, None, None, None, None, None, best_option, why
        )  # fmt: skip
    over = None
    if own.usd_per_month is not None and first.usd_per_month:
        over = own.usd_per_month / first.usd_per_month - 1
    why = "" if best_option in (None, first.number) else f"option {best_option} would cost less"
    return Effect(
        change.name, first.number, True, own.replicas, own.gpus, own.usd_per_month, over,
        own.utilization, best_option, why,
    )  # fmt: skip
