"""The search for the best plans: exhaustive, with bounds that only leave out what cannot win."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from llmplan.planning.bounds import Bounded, Bounder
from llmplan.planning.serving import (
    Crowd,
    Latency,
    Replica,
    device_doubts,
    planned_replica,
    started_replica,
)
from llmplan.planning.space import Space
from llmplan.planning.stock import cheapest_rent, most_units
from llmplan.specs.plan import Bounds, Demand, Rent

KEPT = (8, 4)
"""Groups (device, engine, weight format) of which the best plan is kept: priced, unpriced."""

CHUNK = 320
"""Setups planned between two looks at the bounds."""

POOR = 1e15
"""Added to the key of what lacks evidence: it stands behind everything that has it."""

TIER = 1e10
"""A quality tier in a key: beyond any cost."""

FINE_TIER, FINE = 1e-3, 1e-9
"""Weights of a quality tier and of a second of latency in a key of devices: between equals the
better format decides, then the faster plan."""

EPSILON = 1e-12


class Found(NamedTuple):
    """One plan that meets load and limits. Latencies are those at the peak [s]."""

    replica: Replica
    replicas: int
    gpus: int
    rent: Rent | None
    ttft_s: float
    tpot_s: float
    e2e_s: float
    ttft_limit_s: float
    tpot_limit_s: float
    tier: int
    key: float

    @property
    def usd_per_hour(self) -> float | None:
        """Cost of all machines [USD/hour]; null where no offer is on record."""
        return None if self.rent is None else self.rent.usd_per_hour

    @property
    def cost(self) -> float:
        """What the front weighs against latency: cost, or devices where nothing has a price."""
        return float(self.gpus) if self.rent is None else self.rent.usd_per_hour


def found_at(
    at: Latency, place: int, replica: Replica, count: int, rent: Rent | None, tier: int
) -> Found:
    """Return the plan of so many replicas from the figures of a crowd, still without a key."""
    f = at.figures
    return Found(
        replica=replica,
        replicas=count,
        gpus=count * replica.request.parallel.gpus,
        rent=rent,
        ttft_s=float(f.ttft_s[place]),
        tpot_s=float(f.tpot_s[place]),
        e2e_s=float(f.e2e_s[place]),
        ttft_limit_s=float(at.ttft_s[place]),
        tpot_limit_s=float(at.tpot_s[place]),
        tier=tier,
        key=0.0,
    )


class Result(NamedTuple):
    """The best plans in order, those without a price, the front, and how many were looked at."""

    priced: list[Found]
    unpriced: list[Found]
    front: list[Found]
    planned: int


class Search:
    """A space with what was planned of it, so that other limits are answered without new work."""

    def __init__(self, space: Space, prefer: str) -> None:
        self.space, self.prefer = space, prefer
        self.apart = prefer in ("cheapest", "quality") and any(s.offers for s in space.stocks)
        self._replicas: dict[int, Replica | None] = {}
        self._bounds: Bounder | None = None
        self._started: dict[int, Replica | None] = {}
        sizes = {(r.stock, r.parallel.gpus): i for i, r in enumerate(space.rows)}
        doubted = {size for size, i in sizes.items() if device_doubts(space, i)}
        self.poor = np.array([
            r.basis == "assumed" or (r.stock, r.parallel.gpus) in doubted for r in space.rows
        ])  # fmt: skip
        self._tier = np.array([r.tier for r in space.rows])
        self._groups = [(r.stock, r.engine, r.weights.name) for r in space.rows]

    def replica(self, index: int) -> Replica | None:
        """Return a row with its memory planned, once."""
        if index not in self._replicas:
            self._replicas[index] = planned_replica(self.space, index)
        return self._replicas[index]

    def started(self, replica: Replica) -> Replica | None:
        """Return a replica with all that it lacks evidence for, once; None if nothing starts it."""
        if replica.row not in self._started:
            self._started[replica.row] = started_replica(replica)
        return self._started[replica.row]

    def run(self, demand: Demand, limits: Bounds, *, any_will_do: bool = False) -> Result:
        """Return the best plans under these limits, or some where only their being there counts."""
        if not self.space.rows:
            return Result([], [], [], 0)
        bounds = self.bounder(demand).under(limits)
        keys = self._bound_keys(bounds)
        state = _State(self.apart)
        left = np.flatnonzero(bounds.possible)
        planned = 0
        while left.size:
            chunk = self._next(left, keys, bounds)
            left = np.setdiff1d(left, chunk, assume_unique=True)
            planned += chunk.size
            for found in sorted(self._found(chunk, bounds.replicas, demand, limits), key=order):
                group = self._groups[found.replica.row]
                started = self._proven(found) if state.enters(found, group) else None
                if started is not None:
                    state.add(started, group)
            if any_will_do and any(state.best):
                break
            left = left[state.may_win(left, keys, bounds)]
        return state.result(planned)

    def bounder(self, demand: Demand) -> Bounder:
        """Return the bounds of all rows under a load, once."""
        if self._bounds is None or self._bounds.demand is not demand:
            self._bounds = Bounder(self.space, demand)
        return self._bounds

    def most(self, demand: Demand, limits: Bounds) -> float:
        """Return the most load that all devices serve, each stock with its best setup."""
        replicas = [r for i in range(len(self.space.rows)) for r in [self.replica(i)] if r]
        if not replicas:
            return 0.0
        crowd = Crowd(replicas, demand, limits)
        units = [
            most_units(self.space.stocks[self.space.rows[r.row].stock],
                       gpus=r.request.parallel.gpus, most_gpus=limits.gpus)
            for r in replicas
        ]  # fmt: skip
        best: dict[int, float] = {}
        for r, load in zip(replicas, crowd.most()[0] * np.array(units), strict=True):
            place = self.space.rows[r.row].stock
            best[place] = max(best.get(place, 0.0), float(load))
        return sum(best.values())

    def _next(self, left: Any, keys: Any, bounds: Bounded) -> Any:
        """Return the most promising rows: by the preference, and by what a front is made of."""
        if left.size <= CHUNK:
            return left
        part = CHUNK // 4
        cost = np.nan_to_num(bounds.usd_per_hour, nan=np.inf)[left]
        fastest = np.argpartition(bounds.steps[-1][1][left] * (1 + 9 * self.poor[left]), part)[
            :part
        ]
        both = np.argpartition(cost * bounds.steps[-1][1][left], part)[:part]
        best = np.argsort(keys[left], kind="stable")[: CHUNK - 2 * part]
        return left[np.unique(np.concatenate([best, fastest, both]))]

    def _found(self, chunk: Any, least: Any, demand: Demand, limits: Bounds) -> list[Found]:
        replicas = [r for r in map(self.replica, chunk.tolist()) if r is not None]
        if not replicas:
            return []
        crowd = Crowd(replicas, demand, limits)
        counts = crowd.replicas(least[[r.row for r in replicas]])
        at = crowd.latency(crowd.share(counts))
        found = []
        for i, replica in enumerate(replicas):
            row, count = self.space.rows[replica.row], int(counts[i])
            stock, gpus = self.space.stocks[row.stock], row.parallel.gpus
            if not 1 <= count <= most_units(stock, gpus=gpus, most_gpus=limits.gpus):
                continue
            rent = cheapest_rent(stock, gpus=gpus, tp=row.parallel.tp, replicas=count)
            if stock.offers and rent is None:
                continue
            if limits.usd_per_hour is not None and stock.limit is None and (
                rent is None or rent.usd_per_hour > limits.usd_per_hour * (1 + EPSILON)
            ):  # fmt: skip
                continue
            row_found = found_at(at, i, replica, count, rent, row.tier)
            usd, e2e = row_found.usd_per_hour, row_found.e2e_s
            key = self.key(usd, count * gpus, e2e, row.tier) + POOR * bool(replica.evidence)
            found.append(row_found._replace(key=key))
        return found

    def _proven(self, found: Found) -> Found | None:
        """Return a found plan with all that it lacks evidence for in its key."""
        replica = self.started(found.replica)
        if replica is None:
            return None
        more = POOR if replica.evidence and not found.replica.evidence else 0.0
        return found._replace(replica=replica, key=found.key + more)

    def key(self, usd: float | None, gpus: float, e2e_s: float, tier: int) -> float:
        """Return what a plan is ranked by under the preference, the least first."""
        if self.prefer == "fastest":
            return e2e_s
        if self.prefer == "fewest":
            return gpus + FINE_TIER * tier + FINE * e2e_s
        cost = gpus + FINE_TIER * tier + FINE * e2e_s if usd is None else usd
        return cost + TIER * tier if self.prefer == "quality" else cost

    def _bound_keys(self, b: Bounded) -> Any:
        devices = b.gpus + FINE_TIER * self._tier + FINE * b.e2e_s
        if self.prefer == "fastest":
            keys = b.steps[-1][1]
        elif self.prefer == "fewest":
            keys = devices
        else:
            keys = np.where(np.isnan(b.usd_per_hour), devices, b.usd_per_hour)
            keys = keys + TIER * self._tier if self.prefer == "quality" else keys
        return keys + POOR * self.poor


class _State:
    """The best of each group so far, and the front."""

    def __init__(self, apart: bool) -> None:
        self.apart = apart
        self.best: tuple[dict[Any, Found], dict[Any, Found]] = ({}, {})
        self.front: list[Found] = []

    def enters(self, found: Found, group: Any) -> bool:
        """Return whether a plan would be the best of its group, or on the front."""
        pool = self.best[int(self.apart and found.rent is None)]
        if group not in pool or order(found) < order(pool[group]):
            return True
        apart = self.apart and found.rent is None
        return not apart and not any(_dominates(f, found) for f in self.front)

    def add(self, found: Found, group: Any) -> None:
        """Keep a plan where it is the best of its group, or on the front."""
        pool = self.best[int(self.apart and found.rent is None)]
        if group not in pool or order(found) < order(pool[group]):
            pool[group] = found
        if self.apart and found.rent is None:
            return
        if any(_dominates(f, found) for f in self.front):
            return
        self.front = [f for f in self.front if not _dominates(found, f)] + [found]

    def may_win(self, rows: Any, keys: Any, b: Bounded) -> Any:
        """Return which rows may still enter the best of a pool or the front."""
        unpriced = np.isnan(b.usd_per_hour[rows]) if self.apart else np.zeros(len(rows), bool)
        last = [self._last(*pool) for pool in zip(self.best, KEPT, strict=True)]
        wins = keys[rows] <= np.where(unpriced, last[1], last[0]) * (1 + EPSILON)
        front = sorted((f.cost, f.e2e_s) for f in self.front if not f.replica.evidence)
        if not front:
            return np.ones(len(rows), bool) if not self.front else wins | ~unpriced
        least = np.minimum.accumulate([e for _, e in front])
        new = np.zeros(len(rows), bool)
        for costs, latencies in b.steps:
            place = np.searchsorted([c for c, _ in front], costs[rows], side="right")
            reached = np.where(place > 0, least[np.maximum(place - 1, 0)], np.inf)
            new |= latencies[rows] < reached
        return wins | (~unpriced & (keys[rows] < POOR) & new)

    def _last(self, pool: dict[Any, Found], count: int) -> float:
        keys = sorted(f.key for f in pool.values())
        return keys[count - 1] if len(keys) >= count else np.inf

    def result(self, planned: int) -> Result:
        """Return the best plans in order; the front of those with evidence where there are any."""
        priced, unpriced = (
            sorted(pool.values(), key=order)[:count]
            for pool, count in zip(self.best, KEPT, strict=True)
        )
        proven = [f for f in self.front if not f.replica.evidence] or self.front
        return Result(priced, unpriced, sorted(proven, key=lambda f: (f.cost, f.e2e_s)), planned)


def order(f: Found) -> tuple[Any, ...]:
    """Return what plans are ordered by: evidence and the preference first, names last."""
    r = f.replica.request
    p = r.parallel
    return (
        f.key, f.cost, f.tier, f.e2e_s, f.gpus, r.gpu.id, r.weights.name, r.kv.name, p.pp, p.dp,
        p.ep, p.tp,
    )  # fmt: skip


def _dominates(one: Found, other: Found) -> bool:
    """Return whether a plan is as good as another in all, evidence included."""
    proven = bool(one.replica.evidence) <= bool(other.replica.evidence)
    return proven and one.cost <= other.cost and one.e2e_s <= other.e2e_s
