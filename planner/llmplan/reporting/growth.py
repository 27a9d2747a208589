"""How options grow with the load: replicas, machines and cost a quarter, and when more are due."""

from __future__ import annotations

from math import ceil, log
from typing import Any, NamedTuple

from llmplan.planning.own_or_rent import HOURS_PER_MONTH
from llmplan.planning.stock import cheapest_rent, most_units, units_of
from llmplan.reporting.ask import Option
from llmplan.specs.record import as_dict
from llmplan.specs.report import Growth

SLACK = 1e-9


class Need(NamedTuple):
    """What an option takes at a load; null where its devices end, or no price is known."""

    option: int
    replicas: int | None
    gpus: int | None
    machines: int | None
    usd_per_month: float | None
    utilization: float


class Quarter(NamedTuple):
    """One quarter: its load, what each option then takes, which one costs least."""

    name: str
    mean: float
    peak: float
    needs: tuple[Need, ...]
    cheapest: int | None


class Due(NamedTuple):
    """When an option needs more: quarters from now, null where its load never grows past it.

    `holds`: the most load that is served by what is there, `adds` what comes next.
    """

    option: int
    what: str
    holds: float
    quarters: float | None
    name: str | None
    adds: str


class Growing(NamedTuple):
    """The quarters of a plan, and what is due when for each option."""

    quarters: tuple[Quarter, ...]
    due: tuple[Due, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return as_dict(self)


def growing(options: list[Option], growth: Growth, *, mean: float, peak: float) -> Growing:
    """Return what each option takes by quarter; loads in the unit of the load."""
    quarters = []
    for index in range(growth.quarters + 1):
        factor = (1 + growth.per_quarter) ** index
        needs = tuple(need_of(o, peak * factor) for o in options)
        priced = [n for n in needs if n.usd_per_month is not None]
        best = min(priced, key=lambda n: n.usd_per_month or 0.0, default=None)
        name = growth.name(index)
        quarters.append(
            Quarter(name, mean * factor, peak * factor, needs, best.option if best else None)
        )
    return Growing(tuple(quarters), tuple(due_of(o, growth, peak) for o in options))


def need_of(option: Option, peak: float) -> Need:
    """Return what an option takes at a peak load."""
    used = peak / option.capacity
    if len(option.parts) > 1:
        if used > 1 + SLACK:
            return Need(option.number, None, None, None, None, used)
        return Need(option.number, option.replicas, option.gpus, None, option.usd_per_month, used)
    part = option.first
    s = part.planned.setup
    unit = part.unit
    count = max(1, ceil(peak / unit * (1 - SLACK)))
    if count > most_units(part.stock, gpus=s.gpus, most_gpus=None):
        return Need(option.number, None, None, None, None, used)
    rent = cheapest_rent(part.stock, gpus=s.gpus, tp=s.tp, replicas=count)
    usd = None if rent is None else rent.usd_per_hour * HOURS_PER_MONTH
    machines = None if rent is None else rent.machines
    return Need(option.number, count, count * s.gpus, machines, usd, peak / (unit * count))


def due_of(option: Option, growth: Growth, peak: float) -> Due:
    """Return when an option needs its next machine, or its next replica where none is rented."""
    what, holds, adds = _holds(option)
    quarters = None
    if growth.per_quarter > 0:
        quarters = max(0.0, log(holds / peak) / log(1 + growth.per_quarter))
    name = None if quarters is None else growth.name(int(quarters))
    return Due(option.number, what, holds, quarters, name, adds)


def _holds(option: Option) -> tuple[str, float, str]:
    """Return what is there, the load that it holds, what would come next."""
    part = option.first
    p, s = part.planned, part.planned.setup
    if len(option.parts) > 1:
        return f"The {option.gpus} devices", option.capacity, "more devices are needed"
    unit = part.unit
    if p.rent is None:
        if part.stock.limit is not None:
            most = most_units(part.stock, gpus=s.gpus, most_gpus=None)
            return f"The {part.stock.limit} devices", most * unit, "more devices are needed"
        return _count(p.replicas, "replica"), p.replicas * unit, "one replica more"
    held, each = units_of(p.rent.offer, gpus=s.gpus, tp=s.tp)
    replicas = p.rent.machines // each * held
    adds = f"{_count(each, 'machine')} more ({p.rent.offer.provider} {p.rent.offer.instance_type})"
    return _count(p.rent.machines, "machine"), replicas * unit, adds


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
