"""Devices of several kinds together: each kind runs replicas of its own, memory is never summed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from llmplan.planning.search import Found, Search, found_at
from llmplan.planning.serving import Crowd, Replica
from llmplan.planning.stock import most_units
from llmplan.specs.plan import Bounds, Demand


class Part(NamedTuple):
    """The replicas of one kind of device, and their share of the load."""

    found: Found
    demand: Demand


class _Pick(NamedTuple):
    replica: Replica
    most: float
    units: int

    @property
    def total(self) -> float:
        return self.most * self.units


def mixed_parts(search: Search, demand: Demand, limits: Bounds) -> list[Part]:
    """Return replicas of several stocks that meet the load together, none where they cannot.

    Of each stock the setup that serves most within the limits; the strongest stocks come first,
    and the last one starts only as many replicas as the rest of the load needs.
    """
    picks = [p for i in range(len(search.space.stocks)) for p in [_pick(search, i, demand, limits)]]
    ranked = sorted((p for p in picks if p is not None), key=lambda p: -p.total)
    rest, used, parts = demand.peak, 0, []
    for pick in ranked:
        if rest <= demand.peak * 1e-9:
            break
        size = pick.replica.request.parallel.gpus
        free = pick.units if limits.gpus is None else min(pick.units, (limits.gpus - used) // size)
        count = min(free, int(np.ceil(rest / pick.most * (1 - 1e-9))))
        if count < 1:
            continue
        share = min(rest, count * pick.most)
        parts.append(_part(search, pick, count, replace(demand, peak=share), limits))
        rest, used = rest - share, used + count * size
    return parts if rest <= demand.peak * 1e-9 and len(parts) > 1 else []


def _pick(search: Search, place: int, demand: Demand, limits: Bounds) -> _Pick | None:
    """Return the setup of one stock that serves most, with evidence where there is any."""
    stock = search.space.stocks[place]
    if stock.limit is None:
        return None
    rows = [i for i, r in enumerate(search.space.rows) if r.stock == place]
    planned = [r for r in map(search.replica, rows) if r is not None]
    replicas = [r for r in map(search.started, planned) if r is not None]
    if not replicas:
        return None
    most = Crowd(replicas, demand, limits).most()[0]
    picks = [
        _Pick(r, float(m), most_units(stock, gpus=r.request.parallel.gpus, most_gpus=limits.gpus))
        for r, m in zip(replicas, most, strict=True)
        if m > 0
    ]
    return max(picks, key=lambda p: (not p.replica.evidence, p.total), default=None)


def _part(search: Search, pick: _Pick, count: int, demand: Demand, limits: Bounds) -> Part:
    crowd = Crowd([pick.replica], demand, limits)
    at = crowd.latency(crowd.share(np.array([float(count)])))
    row = search.space.rows[pick.replica.row]
    return Part(found_at(at, 0, pick.replica, count, None, row.tier), demand)
