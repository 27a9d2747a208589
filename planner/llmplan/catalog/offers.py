"""What the catalogue knows of rental prices: by machine, and the cheapest by device."""

from __future__ import annotations

from llmplan.catalog.resolve import store
from llmplan.specs.prices import Price, prices_from_dict


def node_prices(node: str) -> list[Price]:
    """Return the offers of a machine by its id; none where no price is on record."""
    if not store().has("prices", node):
        return []
    return prices_from_dict(store().entry("prices", node))


def all_prices() -> list[Price]:
    """Return every offer of the catalogue, by machine."""
    return [price for entry in store().entries("prices") for price in prices_from_dict(entry)]


def cheapest_by_gpu(prices: list[Price]) -> dict[str, Price]:
    """Return device id -> the offer with the least on-demand price a whole device.

    Medians, shares of a device and machines of unknown count are left out.
    """
    best: dict[str, Price] = {}
    for price in prices:
        each = price.usd_per_gpu_hour
        if price.statistic == "median" or price.gpu_share < 1 or each is None:
            continue
        least = best[price.gpu].usd_per_gpu_hour if price.gpu in best else None
        if least is None or each < least:
            best[price.gpu] = price
    return best
