"""The devices that a plan may use: those named, or the whole catalogue, with what is offered."""

from __future__ import annotations

from collections.abc import Iterable

from llmplan.catalog.offers import all_prices
from llmplan.catalog.resolve import all_accelerators, find_gpu
from llmplan.errors import InputError
from llmplan.specs.plan import Offer, Stock
from llmplan.specs.prices import Price

MACHINE_DEVICES = 8
"""Devices of one machine where no offer says so: the largest common one (nodes of 2026-11)."""

MAX_STOCKS = 64


def find_stocks(
    names: Iterable[str] = (), *, providers: Iterable[str] = (), regions: Iterable[str] = ()
) -> tuple[list[Stock], list[str]]:
    """Return the stocks of names like `--gpu` takes, all devices where there are none, and notes.

    A name with a count (`rtx-3090*2`) is hardware of one's own, of which there is no more and that
    has no price; lists are split at commas. A machine (`aws-p4d.24xlarge`) is offered as it is.
    """
    prices = all_prices()
    _known(providers, {x for p in prices for x in (p.provider, p.reseller)}, "provider")
    _known(regions, {p.region for p in prices}, "region")
    wanted = [p for p in prices if _sold_by(p, providers) and _in_region(p, regions)]
    offers = _by_gpu(wanted)
    filtered = bool(list(providers) or list(regions))
    parts = [part.strip() for name in names for part in _split(name)]
    if not parts:
        found = [Stock(g.id, g, offers.get(g.id, ()), None, _machine()) for g in all_accelerators()]
        return [s for s in found if s.offers or not filtered], []
    if len(parts) > MAX_STOCKS:
        raise InputError(f"{len(parts)} kinds of devices are too many.", f"At most {MAX_STOCKS}.")
    return _named(parts, wanted, offers, filtered=filtered)


def _named(
    parts: list[str], prices: list[Price], offers: dict[str, tuple[Offer, ...]], *, filtered: bool
) -> tuple[list[Stock], list[str]]:
    stocks: dict[str, Stock] = {}
    notes: list[str] = []
    for part in parts:
        found = find_gpu(part)
        notes += [found.note] if found.note else []
        base = part.rpartition("*")[0] if "*" in part else part
        if found.node is not None:
            sold = tuple(_offer(p) for p in prices if p.node == found.node and _usable(p))
            limit = None if "*" not in part else found.devices
            stock = Stock(found.gpu.id, found.gpu, sold, limit, found.devices or 1)
        elif found.devices is not None:
            if found.devices < 1:
                raise InputError(f"{part[:80]!r} counts no devices.", "Write it as rtx-3090*2.")
            stock = Stock(base, found.gpu, (), found.devices, found.devices)
        else:
            stock = Stock(base, found.gpu, offers.get(found.gpu.id, ()), None, _machine())
        if stock.name in stocks and stock.limit is not None:
            before = stocks[stock.name]
            together = None if before.limit is None else before.limit + stock.limit
            stock = stock._replace(limit=together)
        if filtered and not stock.offers and stock.limit is None:
            notes.append(f"{part} is not offered there, so that it is left out.")
            continue
        stocks[stock.name] = stock
    return list(stocks.values()), notes


def _machine() -> int:
    return MACHINE_DEVICES


def _split(name: str) -> list[str]:
    """Return the parts of a list; a device described by `memory=...,bandwidth=...` is one."""
    return [name] if "=" in name else [p for p in name.split(",") if p.strip()] or [name]


def _by_gpu(prices: Iterable[Price]) -> dict[str, tuple[Offer, ...]]:
    """Return device id -> its offers, without those that another beats at the same size."""
    best: dict[tuple[str, int], Price] = {}
    for p in prices:
        if not _usable(p):
            continue
        key = (p.gpu, p.gpu_count or 0)
        if key not in best or p.usd_per_hour < best[key].usd_per_hour:
            best[key] = p
    found: dict[str, tuple[Offer, ...]] = {}
    for (gpu, _), price in sorted(best.items()):
        found[gpu] = (*found.get(gpu, ()), _offer(price))
    return found


def _usable(p: Price) -> bool:
    """Return whether a price is one to rent by: whole devices, a known count, no median."""
    return p.statistic != "median" and p.gpu_share == 1 and p.gpu_count is not None


def _offer(p: Price) -> Offer:
    return Offer(p.gpu_count or 1, p.usd_per_hour, p.provider, p.instance_type, p.region, p.as_of)


def _sold_by(p: Price, providers: Iterable[str]) -> bool:
    wanted = {name.casefold() for name in providers}
    return not wanted or bool({p.provider.casefold(), (p.reseller or "").casefold()} & wanted)


def _in_region(p: Price, regions: Iterable[str]) -> bool:
    wanted = {name.casefold() for name in regions}
    return not wanted or (p.region or "").casefold() in wanted


def _known(names: Iterable[str], known: set[str | None], what: str) -> None:
    values = sorted(k for k in known if k)
    for name in names:
        if name.casefold() not in {k.casefold() for k in values}:
            raise InputError(
                f"No price of {what} {name[:40]!r} is on record.", f"Known: {', '.join(values)}."
            )
