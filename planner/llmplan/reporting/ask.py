"""What a report is asked for, and one way to meet the load."""

from __future__ import annotations

from typing import Any, NamedTuple

from llmplan.planning.own_or_rent import HOURS_PER_MONTH
from llmplan.planning.wanted import Wanted
from llmplan.specs.model import Model
from llmplan.specs.plan import Demand, Planned, Stock
from llmplan.specs.record import Record, record
from llmplan.specs.report import Growth, Named
from llmplan.specs.setup import Warning_
from llmplan.specs.traffic import Traffic


@record
class Ask(Record):
    """A report as a plan file asks for it: models, devices, load, limits, growth."""

    title: str
    models: tuple[Named, ...]
    stocks: tuple[Stock, ...]
    wanted: Wanted
    growth: Growth | None = None
    note: str | None = None
    date: str | None = None
    trace: Traffic | None = None
    said: tuple[Warning_, ...] = ()


@record
class Part(Record):
    """Replicas of one setup, with the share of the load that they take."""

    model: Model
    name: str
    stock: Stock
    planned: Planned
    demand: Demand

    @property
    def unit(self) -> float:
        """The most that one replica serves within the limits, in the unit of the load."""
        p = self.planned
        return (
            float(p.batch_limit) if self.demand.kind == "concurrency" else p.capacity / p.replicas
        )


@record
class Option(Record):
    """One way to meet the load: one setup with its replicas, or several kinds of devices."""

    number: int
    parts: tuple[Part, ...]

    @property
    def first(self) -> Part:
        """The part that takes most of the load."""
        return self.parts[0]

    @property
    def gpus(self) -> int:
        """Devices in all."""
        return sum(p.planned.gpus for p in self.parts)

    @property
    def replicas(self) -> int:
        """Replicas in all."""
        return sum(p.planned.replicas for p in self.parts)

    @property
    def capacity(self) -> float:
        """The most that all replicas serve within the limits, in the unit of the load."""
        return sum(p.unit * p.planned.replicas for p in self.parts)

    @property
    def usd_per_hour(self) -> float | None:
        """Cost of all machines [USD/hour]; null where a part has no price."""
        return _sum([p.planned.usd_per_hour for p in self.parts])

    @property
    def usd_per_month(self) -> float | None:
        """Cost of a mean month, day and night [USD]."""
        return None if self.usd_per_hour is None else self.usd_per_hour * HOURS_PER_MONTH

    @property
    def power_w(self) -> float | None:
        """Board power at the limit [W]; null where a device has none on record."""
        return _sum([p.planned.power_w for p in self.parts])

    @property
    def evidence(self) -> tuple[str, ...]:
        """What the option lacks evidence for."""
        return tuple(dict.fromkeys(e for p in self.parts for e in p.planned.evidence))

    def to_dict(self) -> dict[str, Any]:
        """Return the option as plain data: totals, then its parts."""
        names = ("number", "gpus", "replicas", "capacity", "usd_per_hour", "usd_per_month",
                 "power_w")  # fmt: skip
        result = {name: getattr(self, name) for name in names}
        result["evidence"] = list(self.evidence)
        result["parts"] = [_part(p) for p in self.parts]
        return result


def _part(p: Part) -> dict[str, Any]:
    planned = p.planned.to_dict()
    planned["setup"] = p.planned.setup.to_dict()
    return {"model": p.model.id, "device": p.stock.gpu.id, "peak": p.demand.peak, **planned}


def _sum(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if len(known) == len(values) else None


class Rejected(NamedTuple):
    """A candidate that does not meet the load and limits, and what keeps it away."""

    model: str
    device: str
    why: str
