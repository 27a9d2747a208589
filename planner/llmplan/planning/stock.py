"""What so many devices of a stock cost: the cheapest offer by whole machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmplan.specs.number import Number, ceiling, smaller
from llmplan.specs.plan import Offer, Rent, Stock


def units_of(offer: Offer, *, gpus: int, tp: int) -> tuple[int, int]:
    """Return how many setups one machine of an offer holds, and how many machines one setup takes.

    (0, 0) where the offer cannot hold it: tensor-parallel ranks stay in one machine, and a setup
    of several machines fills them.
    """
    if gpus <= offer.devices:
        return offer.devices // gpus, 1
    if tp <= offer.devices and offer.devices % tp == 0 and gpus % offer.devices == 0:
        return 1, gpus // offer.devices
    return 0, 0


def cheapest_rent(stock: Stock, *, gpus: int, tp: int, replicas: int) -> Rent | None:
    """Return the offer that holds so many setups for the least an hour, None without one."""
    best: Rent | None = None
    for offer in stock.offers:
        held, each = units_of(offer, gpus=gpus, tp=tp)
        if not held:
            continue
        machines = -(-replicas // held) * each
        usd = machines * offer.usd_per_hour
        if best is None or usd < best.usd_per_hour:
            best = Rent(usd, machines, offer)
    return best


def pair_rent(stock: Stock, kinds: Sequence[tuple[int, int, int]]) -> Rent | None:
    """Return the offer that holds setups of two kinds for the least an hour, None without one.

    A kind: devices of a setup, its tensor-parallel ranks, replicas. Both share machines where the
    larger setup divides these and is a multiple of the smaller, else each has its own.
    """
    best: Rent | None = None
    for offer in stock.offers:
        held = [units_of(offer, gpus=gpus, tp=tp) for gpus, tp, _ in kinds]
        if not all(n for n, _ in held):
            continue
        small, large = sorted(gpus for gpus, _, _ in kinds)
        if offer.devices % large == 0 and large % small == 0:
            machines = -(-sum(gpus * n for gpus, _, n in kinds) // offer.devices)
        else:
            machines = sum(-(-k[2] // n) * each for k, (n, each) in zip(kinds, held, strict=True))
        if best is None or machines * offer.usd_per_hour < best.usd_per_hour:
            best = Rent(machines * offer.usd_per_hour, machines, offer)
    return best


def rent_column(stock: Stock, *, gpus: int, tp: int, replicas: Any) -> Number | None:
    """Return the least cost an hour for each number of replicas of an array."""
    best: Number | None = None
    for offer in stock.offers:
        held, each = units_of(offer, gpus=gpus, tp=tp)
        if held:
            usd = ceiling(replicas / held) * (each * offer.usd_per_hour)
            best = usd if best is None else smaller(best, usd)
    return best


def most_units(stock: Stock, *, gpus: int, most_gpus: int | None) -> int:
    """Return how many setups the stock and the limit on devices allow."""
    limits = [n for n in (stock.limit, most_gpus) if n is not None]
    return min(limits, default=UNLIMITED) // gpus


UNLIMITED = 4096
"""Devices that a plan takes at most where nothing limits it."""


def unit_sizes(stock: Stock, *, most_gpus: int | None) -> list[int]:
    """Return the devices of one setup that are tried: those that fill machines evenly.

    Own devices (`limit`) are tried in every number, offers in powers of two and whole machines.
    """
    most = most_units(stock, gpus=1, most_gpus=most_gpus)
    if stock.limit is not None:
        return list(range(1, min(most, MAX_UNIT) + 1))
    whole = {o.devices for o in stock.offers}
    sizes = {n for n in (1, 2, 4, 8) if n <= max(whole, default=stock.machine)} | whole
    if not whole:
        sizes.add(stock.machine)
    largest = max(sizes)
    sizes |= {largest * k for k in (2, 4)}
    return sorted(n for n in sizes if n <= min(most, MAX_UNIT))


MAX_UNIT = 64
"""Devices of one setup at most: eight machines of eight."""
