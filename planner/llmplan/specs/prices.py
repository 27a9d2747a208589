"""What devices cost to rent: price lists as people keep them, and one offer as it is planned with.

All prices are in US dollars an hour for the whole machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from llmplan.specs.record import Record, record

STATISTICS = ("listed", "cheapest_ondemand", "cheapest_spot", "median")
"""What a row stands for: the only price there is, the cheapest region's by on-demand or by spot
price, or the median over all regions."""

MAX_USD_PER_HOUR = 1e6
_AS_OF = re.compile(r"20\d\d(-\d\d-\d\d)?(/20\d\d)?")


@record
class PriceRow(Record):
    """One price of an instance type; `node` is the catalogue's machine, null where it has none."""

    instance_type: str
    usd_per_hour: float
    statistic: str
    node: str | None = None
    region: str | None = None
    regions: int | None = None
    spot_usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name in ("usd_per_hour", "spot_usd_per_hour"):
            value = getattr(self, name)
            if value is not None and not 0 < value < MAX_USD_PER_HOUR:
                raise ValueError(f"{name} must be above 0 and finite")
        if self.statistic not in STATISTICS:
            raise ValueError(f"statistic is one of {', '.join(STATISTICS)}")


@record
class PriceList(Record):
    """The prices of one provider from one source, as it stood on one date.

    `as_of` is a date, or a year or interval of years where the source names no day
    (`2026`, `2025/2026`). `reseller` is the market that lists the provider.
    """

    id: str
    provider: str
    currency: str
    as_of: str
    source: str
    checked: str
    prices: tuple[PriceRow, ...]
    reseller: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.currency != "USD":
            raise ValueError("currency is USD: convert the prices and say so in notes")
        if not _AS_OF.fullmatch(self.as_of):
            raise ValueError("as_of is a date, a year or two years: 2026-11-21, 2026, 2025/2026")
        if not self.prices:
            raise ValueError("prices must list at least one")


@record
class Price(Record):
    """One offer: an instance type of a provider with its devices, its price, and how old it is.

    `gpu_count` counts devices of which each gives `gpu_share`; null where no source states it.
    """

    node: str
    gpu: str
    gpu_count: int | None
    gpu_share: float
    provider: str
    reseller: str | None
    instance_type: str
    region: str | None
    regions: int | None
    statistic: str
    usd_per_hour: float
    spot_usd_per_hour: float | None
    as_of: str
    source: str

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """Price of one whole device [USD/hour], None where the count is not known."""
        if self.gpu_count is None:
            return None
        return self.usd_per_hour / (self.gpu_count * self.gpu_share)


def prices_from_dict(data: Mapping[str, Any]) -> list[Price]:
    """Build the offers of one machine from trusted plain data (the compiled index)."""
    machine = {k: data[k] for k in ("gpu", "gpu_count", "gpu_share")}
    return [Price(node=data["id"], **machine, **row) for row in data["offers"]]


def price_entries(
    lists: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return price lists turned over to one plain entry a machine, by id."""
    machines = {n["id"]: n for n in nodes}
    offers: dict[str, list[dict[str, Any]]] = {}
    for prices in lists:
        for row in prices["prices"]:
            if row.get("node") in machines:
                offers.setdefault(row["node"], []).append(_offer(prices, row))
    return [
        {
            "id": node,
            "gpu": machines[node]["gpu"],
            "gpu_count": machines[node]["gpu_count"],
            "gpu_share": machines[node].get("gpu_share", 1.0),
            "offers": offers[node],
        }
        for node in sorted(offers)
    ]


def _offer(prices: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "provider": prices["provider"],
        "reseller": prices.get("reseller"),
        "instance_type": row["instance_type"],
        "region": row.get("region"),
        "regions": row.get("regions"),
        "statistic": row["statistic"],
        "usd_per_hour": row["usd_per_hour"],
        "spot_usd_per_hour": row.get("spot_usd_per_hour"),
        "as_of": prices["as_of"],
        "source": prices["source"],
    }


def cheapest(prices: Iterable[Price]) -> Price | None:
    """Return the offer with the least on-demand price, medians left out; None if there is none."""
    real = [p for p in prices if p.statistic != "median"]
    return min(real, key=lambda p: (p.usd_per_hour, p.region or ""), default=None)
