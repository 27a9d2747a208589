"""The most that a setup could serve, before its memory is planned: bounds that never undersell.

A setup is left out by these only where the exact figures would leave it out too: its weights are
more than a device holds, a lone request is slower than the limits, or even at a bound of its
throughput it costs more than what was found.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from llmplan.planning.columns import taken
from llmplan.planning.space import LEAST_WEIGHTS, Space, stage_bytes
from llmplan.planning.stock import most_units, rent_column
from llmplan.specs.plan import Bounds, Demand
from llmplan.speed.serving import LEAST_PROMPT, fixed_s, prompt_cost_s, prompt_s
from llmplan.speed.step import decode_parts, prefill_s
from llmplan.speed.work import Costs, Habits, Rates, Setting, Work

GRID = tuple(2.0**i for i in range(13))
"""Sequences that decode at once at which steps are looked at: 1 to 4,096."""

SLACK = 1.02
"""How far the number that decode may be from its end: ten halvings of four decades, with room."""

LITTLE_ROUNDS = 3
"""Rounds of Little's law; each starts from a bound and gives a better one."""

LEAST_CACHE = 0.7
"""The same of the cache of a request: padding, paging and uneven stages only add to it."""


class Bounded(NamedTuple):
    """A column an attribute, an entry a row of the space.

    `steps` bounds cost [USD/hour, devices where nothing has a price] and latency [s] together, for
    just `replicas`, for up to twice as many, and for more.
    """

    replicas: Any
    usd_per_hour: Any
    gpus: Any
    e2e_s: Any
    steps: tuple[tuple[Any, Any], ...]
    possible: Any


def setting_of_rows(space: Space) -> Setting:
    """Return the lowered forms of all rows as columns, gathered from their shared parts."""
    places = np.array([(r.work, r.rates, r.habits) for r in space.rows], dtype=int).T
    habits = [h for h, _ in space.habits]
    costs = [c for _, c in space.habits]
    return Setting(
        _gathered(Work, space.works, places[0]),
        _gathered(Rates, space.rates, places[1]),
        _gathered(Habits, habits, places[2]),
        _gathered(Costs, costs, places[2]),
    )


def _gathered(make: Any, parts: Any, places: Any) -> Any:
    return make(*np.array(parts, dtype=float).T[:, places])


class Bounder:
    """What rows of a space may do at best under one load; limits come with the question."""

    def __init__(self, space: Space, demand: Demand) -> None:
        self.space, self.demand = space, demand
        self.setting = setting_of_rows(space)
        self.stock = np.array([r.stock for r in space.rows], dtype=int)
        self.gpus = np.array([r.parallel.gpus for r in space.rows], dtype=float)
        self.offered = np.array([bool(s.offers) for s in space.stocks])[self.stock]
        self.rented = _rented(space)
        prompt, past = prompt_and_past(demand)
        self.alone = prefill_s(self.setting, prompts=1.0, tokens=prompt, past=past)
        context = demand.input_tokens + demand.output_tokens / 2
        step = decode_parts(self.setting, sequences=1.0, context=context).total_s
        self.steps = np.maximum(demand.output_tokens - 1, 1e-3) / self.setting.habits.yielded
        self.first = self.alone + self.setting.costs.request_s
        self.token = step / self.setting.habits.yielded
        self.held = _held(space, self.setting, self.stock, demand)

    def under(self, limits: Bounds) -> Bounded:
        """Return for each row the fewest replicas and the least cost and latency it may need."""
        demand = self.demand
        possible = np.ones(len(self.space.rows), dtype=bool)
        if limits.ttft_s is not None:
            possible &= self.first * demand.input_ratio <= limits.ttft_s * SLACK
        if limits.tpot_s is not None:
            possible &= self.token <= limits.tpot_s * SLACK
        batch, rate = np.zeros_like(self.held), np.zeros_like(self.held)
        rows = np.flatnonzero(possible)
        batch[rows], rate[rows] = self._most(rows, limits)
        served = (rate if demand.kind == "rate" else batch) * self.setting.work.replicas
        units = np.maximum(np.ceil(demand.peak / np.maximum(served * SLACK, 1e-12)), 1)
        sizes, stocks = self.gpus, self.space.stocks
        units_of = [most_units(s, gpus=1, most_gpus=limits.gpus) for s in stocks]
        most = np.array(units_of, dtype=float)[self.stock] // sizes
        usd = self._rents(units)
        possible &= (units <= most) & ~(np.isnan(usd) & self.offered)
        if limits.usd_per_hour is not None:
            possible &= ~(usd > limits.usd_per_hour)
        least = [self._least_s(units * n, rate) for n in (1, 2)]
        counts, latencies = (units, units + 1, 2 * units + 1), (*least, self._alone_s())
        costs = [usd, *(self._rents(n) for n in counts[1:])]
        costs = [np.where(np.isnan(c), n * sizes, c) for c, n in zip(costs, counts, strict=True)]
        steps = tuple((c, e / SLACK) for c, e in zip(costs, latencies, strict=True))
        return Bounded(units, usd, sizes * units, steps[0][1], steps, possible)

    def _rents(self, units: Any) -> Any:
        """Return the least cost an hour of so many replicas of each row, NaN without an offer."""
        usd = np.full(len(self.space.rows), np.nan)
        for (place, size, tp), rows in self.rented.items():
            stock = self.space.stocks[place]
            cost = rent_column(stock, gpus=size, tp=tp, replicas=units[rows])
            if cost is not None:
                usd[rows] = cost
        return usd

    def _alone_s(self) -> Any:
        """Return the least time of a request that has a replica for itself [s]."""
        return self.first + max(self.demand.output_tokens - 1, 0) * self.token

    def _least_s(self, units: Any, most: Any) -> Any:
        """Return the least time of a request with so many replicas [s].

        At a rate, those that decode follow from Little's law, from below; in flight, a request
        stays as long as all in flight take at the highest rate, or all of them decode.
        """
        each = self.demand.peak / units / self.setting.work.replicas
        context = self.demand.input_tokens + self.demand.output_tokens / 2
        if self.demand.kind == "concurrency":
            each = np.maximum(each, 1.0)
            stay = np.where(most > 0, each / np.maximum(most, 1e-12), np.inf)
            step = decode_parts(self.setting, sequences=each, context=context).total_s
            least = LEAST_PROMPT * np.minimum(self.setting.costs.prefill_stall, 1.0)
            whole, cost = self.steps * step, least * self._read(self.setting, self.held)
            slowed = whole * (whole + each * cost) / (whole + cost)
            return np.maximum(self._alone_s(), np.minimum(stay, self.first + slowed))
        running = np.ones_like(each)
        for _ in range(LITTLE_ROUNDS):
            step = decode_parts(self.setting, sequences=running, context=context).total_s
            running = np.clip(each * self.steps * step, 1, GRID[-1])
        return self.first + self.steps * step

    def _most(self, rows: Any, limits: Bounds) -> tuple[Any, Any]:
        """Return requests in flight and requests a second of a data-parallel rank at most.

        Between two places of the grid a step takes at least what it takes at the lower one, a
        prompt what it takes where all that is held is read together. With B decoding, arrivals at a
        rate make ``X = 1 / (S / B + others x prompt)``, a closed loop less, S being the steps of a
        request, and ``B (1 + reading / S + waits / steps)`` are in flight, beside the engine's own
        time. No more is served than with all decoding.
        """
        setting = taken(self.setting, rows)
        held, steps, alone = self.held[rows], self.steps[rows], self.alone[rows]
        read, fixed = self._read(setting, held), fixed_s(setting)
        costs, habits = setting.costs, setting.habits
        waits = costs.admission_steps + habits.waits
        waits = waits * np.maximum(prompt_and_past(self.demand)[0] / habits.chunk_tokens, 1)
        context = self.demand.input_tokens + self.demand.output_tokens / 2
        most, rate, full = np.zeros_like(held), np.zeros_like(held), np.zeros_like(held)
        slowest_read = alone * np.maximum(costs.prefill_stall, 1)
        going = held > 0
        for at, upto in zip(GRID, (*GRID[1:], GRID[-1]), strict=True):
            inside = at <= held
            if not inside.any():
                break
            step = decode_parts(setting, sequences=at, context=context).total_s
            whole = steps * step
            cost = prompt_cost_s(setting, read=read, fixed=fixed, rounds=steps / at)
            fewest = (at - 1) / at  # of others, where as many decode as there are requests
            share = np.where(costs.prefill_stall >= 1, fewest, upto / (1 + upto))
            cost = cost * (1 + (costs.prefill_stall - 1) * share)
            if limits.tpot_s is not None:
                slowest = step * (whole + at * cost) / (whole + cost) / habits.yielded
                going = going & (slowest <= limits.tpot_s * SLACK)
            now = going & inside
            reached = np.clip(held, 1, upto)
            fastest = 1 / (whole / reached + cost * (at - 1) / at)
            full = np.where(inside, np.maximum(full, 1 / (whole / reached + cost)), full)
            rate = np.where(now, np.maximum(rate, fastest), rate)
            flying = reached * (1 + slowest_read / whole + waits / steps) + rate * costs.request_s
            most = np.where(now, np.minimum(np.maximum(flying, most), held), most)
        return most, np.minimum(rate, full)

    def _read(self, setting: Setting, held: Any) -> Any:
        prompt, past = prompt_and_past(self.demand)
        return prompt_s(
            setting, running=held, input_tokens=prompt, output_tokens=self.demand.output_tokens,
            past=past,
        )  # fmt: skip


def prompt_and_past(demand: Demand) -> tuple[float, float]:
    """Return the tokens of a prompt that are read, and those that the prefix cache holds."""
    past = demand.input_tokens * (demand.prefix_hit_rate or 0.0)
    return demand.input_tokens - past, past


def _held(space: Space, setting: Setting, stock: Any, demand: Demand) -> Any:
    """Return the requests that a data-parallel rank holds at once at most."""
    w = setting.work
    memory = np.array([s.gpu.usable_memory_bytes or 0 for s in space.stocks], dtype=float)[stock]
    free = memory - LEAST_WEIGHTS * stage_bytes(w)
    tokens = demand.input_tokens + demand.output_tokens / 2
    one = w.token_bytes * tokens + w.window_bytes * np.minimum(tokens, w.window)
    held = free / np.maximum(LEAST_CACHE * one / w.stages, 1.0)
    return np.clip(held, 1, GRID[-1])


def _rented(space: Space) -> dict[tuple[int, int, int], Any]:
    """Return the rows of each stock with offers, by devices and tensor-parallel ranks."""
    keys: dict[tuple[int, int, int], list[int]] = {}
    for i, r in enumerate(space.rows):
        if space.stocks[r.stock].offers:
            keys.setdefault((r.stock, r.parallel.gpus, r.parallel.tp), []).append(i)
    return {key: np.array(rows) for key, rows in keys.items()}
