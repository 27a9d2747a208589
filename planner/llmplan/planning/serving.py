"""What one replica serves within the limits, exactly: memory planned, load found by bisection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from llmplan.engines import get_engine
from llmplan.engines.base import Plan, Request
from llmplan.engines.speed_load import load_of
from llmplan.planning.columns import load_columns, setting_columns
from llmplan.planning.space import Space
from llmplan.specs.plan import Bounds, Demand
from llmplan.speed.figures import Figures, Load, loop_figures
from llmplan.speed.percentiles import tpot_percentile_s, ttft_percentile_s
from llmplan.speed.work import Setting

EXACT = 1e-9
MANY = 1e6
"""Requests in flight beyond what any replica runs at once."""

HALVINGS = 24
"""Halvings of the search for the highest rate: to 6e-8 of the capacity."""

TIMES = (1.0, 1.2, 1.5, 2.0, 4.0, 16.0, 100.0)
"""Multiples of the bound at which replicas are tried before they are bisected."""

BEYOND = 1.25
"""Times the rate of a full closed loop from which rates are looked for: none is served there."""

ROOM = (1.0, 1.25, 1.5, 2.0)
"""Multiples of the batch that keeps the limits which are tried as the engine's own limit."""


class Replica(NamedTuple):
    """A setup whose memory was planned: its request, its lowered form, what it lacks proof of."""

    row: int
    request: Request
    request_engine: str
    plan: Plan
    setting: Setting
    load: Load
    evidence: tuple[str, ...]


class Latency(NamedTuple):
    """Figures under a load, and the latencies that limits are held against [s]."""

    figures: Figures
    ttft_s: Any
    tpot_s: Any


def planned_replica(space: Space, index: int) -> Replica | None:
    """Return a row with its memory planned; None where it does not fit or is not supported."""
    row = space.rows[index]
    request, engine = space.request(row), get_engine(row.engine)
    if engine.unsupported(request) is not None:
        return None
    plan = engine.plan(request)
    if not plan.fits:
        return None
    lacks = ["speed assumed"] if row.basis == "assumed" else []
    lacks += device_doubts(space, index)
    load = load_of(engine, request, plan)
    return Replica(index, request, row.engine, plan, space.setting(row), load, tuple(lacks))


def started_replica(replica: Replica) -> Replica | None:
    """Return a replica with what its checkpoint lacks; None where nothing starts it."""
    start = get_engine(replica.request_engine).start(replica.request, replica.plan)
    if not start.words:
        return None
    if not start.has_to_be_made:
        return replica
    return replica._replace(evidence=(*replica.evidence, "no published checkpoint"))


def device_doubts(space: Space, index: int) -> list[str]:
    """Return what is not proven of a row's device, and of a replica over several machines."""
    row = space.rows[index]
    stock = space.stocks[row.stock]
    lacks = ["device facts unverified"] if stock.gpu.confidence == "low" else []
    machine = max((o.devices for o in stock.offers), default=stock.machine)
    if stock.limit is None and row.parallel.gpus > machine:
        lacks.append("links between machines not modelled")
    return lacks


def limited(
    replicas: list[Replica], shares: Any, demand: Demand, limits: Bounds
) -> tuple[list[Replica], Any]:
    """Return replicas that take no more at once than keeps the limits, and how many that is.

    Requests beyond it wait, in place of slowing all that run. The engine's limit is set only where
    it is above that, and with room where the load of a replica (`shares`) needs some.
    """
    crowd = replace(demand, kind="concurrency", peak=MANY)
    batch = np.maximum(np.floor(Crowd(replicas, crowd, limits).most()[0]), 1)
    ranks = np.array([r.setting.work.replicas for r in replicas], dtype=float)
    found: list[Replica | None] = [None] * len(replicas)
    for times in ROOM:
        tried = [
            _taking(r, n) for r, n in zip(replicas, np.ceil(batch * times / ranks), strict=True)
        ]
        fine = Crowd(tried, demand, limits).meets(shares)
        found = [f or (t if ok else None) for f, t, ok in zip(found, tried, fine, strict=True)]
    return [f or r for f, r in zip(found, replicas, strict=True)], batch


def _taking(replica: Replica, sequences: float) -> Replica:
    """Return a replica whose ranks run so many sequences at once, itself where it runs no more."""
    if sequences >= replica.load.held:
        return replica
    request = replica.request
    kept = replace(request, limits=request.limits._replace(max_num_seqs=int(sequences)))
    return replica._replace(request=kept, load=replica.load._replace(held=sequences))


def fewest(meets: Callable[[Any], Any], least: Any) -> Any:
    """Return the least counts that meet something, 0 where none do; more never meets less.

    `least` is known to be needed. Replicas used to less than a hundredth of what that says are
    not looked at.
    """
    low, high = least - 1, np.zeros_like(least)
    for times in TIMES:
        tried = np.ceil(least * times)
        fine = (high == 0) & meets(tried)
        low = np.where((high == 0) & ~fine, tried, low)
        high = np.where(fine, tried, high)
        if (high > 0).all():
            break
    low = np.where(high > 0, low, -1)
    while (high - low > 1).any():
        middle = np.where(high - low > 1, np.floor((low + high) / 2), np.maximum(high, 1))
        fine = meets(middle) | (high - low <= 1)
        low = np.where(fine, low, middle)
        high = np.where(fine & (high - low > 1), middle, high)
    return high


class Crowd:
    """Replicas of many setups as columns, under one kind of load."""

    def __init__(self, replicas: list[Replica], demand: Demand, limits: Bounds) -> None:
        self.setting = setting_columns([r.setting for r in replicas])
        self.load = load_columns([r.load for r in replicas])
        self.demand, self.limits = demand, limits
        self.ranks = self.setting.work.replicas
        none = np.zeros_like(self.ranks)
        alone = self.load._replace(in_flight=self.ranks, rate_per_s=none)
        self.idle = loop_figures(self.setting, alone)

    def latency(self, amount: Any) -> Latency:
        """Return figures and latencies of each replica under its own amount of load."""
        opened = self.demand.kind == "rate"
        none = np.zeros_like(amount)
        load = self.load._replace(
            rate_per_s=amount if opened else none,
            in_flight=np.full_like(amount, MANY) if opened else amount,
        )
        f = loop_figures(self.setting, load)
        if self.demand.percentile == "mean":
            return Latency(f, f.ttft_s, f.tpot_s)
        decoding = amount * f.tpot_s * self.demand.output_tokens if opened else amount
        p = self.demand.percentile
        return Latency(
            f,
            ttft_percentile_s(
                percentile=p, mean_s=f.ttft_s, idle_s=self.idle.ttft_s,
                length_ratio=self.demand.input_ratio,
            ),
            tpot_percentile_s(
                percentile=p, mean_s=f.tpot_s, idle_s=self.idle.tpot_s,
                sequences=decoding / self.ranks,
            ),
        )  # fmt: skip

    def meets(self, amount: Any) -> Any:
        """Return whether each replica serves its amount of load within the limits."""
        at = self.latency(amount)
        if self.demand.kind == "rate":
            fine = at.figures.requests_per_s >= amount * (1 - EXACT)
        else:
            fine = amount <= self.load.held * self.ranks * (1 + EXACT)
        if self.limits.ttft_s is not None:
            fine &= at.ttft_s <= self.limits.ttft_s * (1 + EXACT)
        if self.limits.tpot_s is not None:
            fine &= at.tpot_s <= self.limits.tpot_s * (1 + EXACT)
        return fine

    def most(self) -> tuple[Any, Any]:
        """Return the most load that each meets, and the least that it is known to fail (0: none).

        Latencies rise with load, so that what is met is one interval from 0.
        """
        if self.demand.kind == "concurrency":
            return self._most_in_flight()
        full = loop_figures(
            self.setting,
            self.load._replace(
                in_flight=self.load.held * self.ranks, rate_per_s=np.zeros_like(self.ranks)
            ),
        )
        low, high = np.zeros_like(self.ranks), BEYOND * full.requests_per_s
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fine = self.meets(middle)
            low, high = np.where(fine, middle, low), np.where(fine, high, middle)
        return low, high

    def _most_in_flight(self) -> tuple[Any, Any]:
        low = np.zeros_like(self.ranks)
        high = np.floor(np.minimum(self.load.held * self.ranks, self.demand.peak)) + 1
        while (high - low > 1).any():
            middle = np.floor((low + high) / 2)
            fine = self.meets(np.maximum(middle, 1)) & (middle >= 1)
            low, high = np.where(fine, middle, low), np.where(fine, high, np.maximum(middle, 1))
        return low, high

    def replicas(self, least: Any) -> Any:
        """Return the fewest replicas of each that meet the whole load, 0 where none do."""
        return fewest(lambda count: self.meets(self.share(count)), least)

    def share(self, count: Any) -> Any:
        """Return the load of the busiest of so many replicas."""
        each = self.demand.peak / np.maximum(count, 1)
        return np.ceil(each - EXACT) if self.demand.kind == "concurrency" else each
