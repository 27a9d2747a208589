"""The most that a setup could serve, before its memory is planned: bounds that never undersell.

A setup is left out by these only where the exact figures would leave it out too: its weights are
more than a device holds, a lone request is slower than the limits, or even at a bound of its
throughput it costs more than what was found.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from llmplan.planning.space import LEAST_WEIGHTS, Space, stage_bytes
from llmplan.planning.stock import most_units, rent_column
from llmplan.specs.plan import Bounds, Demand
from llmplan.speed.serving import fixed_s, prompt_cost_s, prompt_s
from llmplan.speed.step import decode_parts, prefill_s
from llmplan.speed.work import Costs, Habits, Rates, Setting, Work

GRID = tuple(2.0**i for i in range(13))
"""Sequences that decode at once at which steps are looked at: 1 to 4,096."""

SLACK = 1.02
"""How far the fixed point of ten halvings may be from its end: 2^-10, with room."""

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


def bounds_of(space: Space, demand: Demand, limits: Bounds) -> Bounded:
    """Return for each row the fewest replicas and the least cost and latency that it may need."""
    setting = setting_of_rows(space)
    prompt, past = prompt_and_past(demand)
    read = prefill_s(setting, prompts=1.0, tokens=prompt, past=past)
    context = demand.input_tokens + demand.output_tokens / 2
    step = decode_parts(setting, sequences=1.0, context=context).total_s
    first, token = read + setting.costs.request_s, step / setting.habits.yielded
    held = _held(space, setting, demand)
    possible = np.ones(len(space.rows), dtype=bool)
    if limits.ttft_s is not None:
        possible &= first * demand.input_ratio <= limits.ttft_s * SLACK
    if limits.tpot_s is not None:
        possible &= token <= limits.tpot_s * SLACK
    batch, rate = _most(setting, demand, limits, np.where(possible, held, 0.0))
    served = rate if demand.kind == "rate" else batch
    ranks = setting.work.replicas
    units = np.maximum(np.ceil(demand.peak / np.maximum(served * ranks * SLACK, 1e-12)), 1)
    sizes, most = _sizes(space, limits)
    usd = _rents(space, units)
    possible &= (units <= most) & ~(np.isnan(usd) & _offered(space))
    if limits.usd_per_hour is not None:
        possible &= ~(usd > limits.usd_per_hour)
    slow = first / SLACK
    e2e = [slow + _decoding_s(setting, demand, units * n, rate) / SLACK for n in (1, 2)]
    idle = slow + max(demand.output_tokens - 1, 0) * token / SLACK
    counts, latencies = (units, units + 1, 2 * units + 1), (*e2e, idle)
    costs = [np.where(np.isnan(c), n * sizes, c) for n in counts for c in [_rents(space, n)]]
    steps = tuple(zip(costs, latencies, strict=True))
    return Bounded(units, usd, sizes * units, e2e[0], steps, possible)


def _decoding_s(setting: Setting, demand: Demand, units: Any, most: Any) -> Any:
    """Return the least time that the output of a request takes with so many replicas [s].

    At a rate, those that decode follow from Little's law, from below; in flight, a request stays
    at least as long as all in flight take at the highest rate, its prompt included.
    """
    tokens = np.maximum(demand.output_tokens - 1, 1e-3)
    each = demand.peak / units / setting.work.replicas
    if demand.kind == "concurrency":
        prompt, past = prompt_and_past(demand)
        read = prefill_s(setting, prompts=1.0, tokens=prompt, past=past)
        stay = np.where(each >= 1, np.floor(each) / np.maximum(most, 1e-12), 0.0)
        step = decode_parts(setting, sequences=1.0, context=prompt + past).total_s
        return np.maximum(
            stay - read - setting.costs.request_s, tokens * step / setting.habits.yielded
        )
    context = demand.input_tokens + demand.output_tokens / 2
    steps = tokens / setting.habits.yielded
    running = np.ones_like(each)
    for _ in range(LITTLE_ROUNDS):
        step = decode_parts(setting, sequences=running, context=context).total_s
        running = np.clip(each * steps * step, 1, GRID[-1])
    return steps * step


def prompt_and_past(demand: Demand) -> tuple[float, float]:
    """Return the tokens of a prompt that are read, and those that the prefix cache holds."""
    past = demand.input_tokens * (demand.prefix_hit_rate or 0.0)
    return demand.input_tokens - past, past


def _held(space: Space, setting: Setting, demand: Demand) -> Any:
    """Return the requests that a data-parallel rank holds at once at most."""
    w = setting.work
    memory = np.array([space.stocks[r.stock].gpu.usable_memory_bytes for r in space.rows])
    free = memory - LEAST_WEIGHTS * stage_bytes(w)
    tokens = demand.input_tokens + demand.output_tokens / 2
    one = w.token_bytes * tokens + w.window_bytes * np.minimum(tokens, w.window)
    held = free / np.maximum(LEAST_CACHE * one / w.stages, 1.0)
    return np.clip(held, 1, GRID[-1])


def _most(setting: Setting, demand: Demand, limits: Bounds, held: Any) -> tuple[Any, Any]:
    """Return requests at once and requests a second of a data-parallel rank at most.

    Between two places of the grid a step takes at least what it takes at the lower one, and a
    prompt at least what it takes at the upper one.
    """
    steps = np.maximum(demand.output_tokens - 1, 1e-3) / setting.habits.yielded
    context = demand.input_tokens + demand.output_tokens / 2
    most, rate = np.zeros_like(held), np.zeros_like(held)
    cost = _cost(setting, demand, GRID[0])
    going = held > 0
    for at, upto in zip(GRID, (*GRID[1:], GRID[-1]), strict=True):
        step = decode_parts(setting, sequences=at, context=context).total_s
        if limits.tpot_s is not None:
            prompts = (at - 1) * cost / (steps * step + cost)
            slowest = step * (1 + prompts) / setting.habits.yielded
            going = going & (slowest <= limits.tpot_s * SLACK)
        going = going & (at <= held)
        if not going.any():
            break
        ahead, reached = _cost(setting, demand, upto), np.clip(held, 1, upto)
        fastest = 1 / (steps * step / reached + np.minimum(cost, ahead))
        most = np.where(going, reached, most)
        rate = np.where(going, np.maximum(rate, fastest), rate)
        cost = ahead
    return most, rate


def _cost(setting: Setting, demand: Demand, running: float) -> Any:
    """Return the least time that a prompt takes from decoding with up to `running` at once [s]."""
    prompt, past = prompt_and_past(demand)
    steps = np.maximum(demand.output_tokens - 1, 1e-3) / setting.habits.yielded
    read = prompt_s(
        setting, running=running, input_tokens=prompt, output_tokens=demand.output_tokens, past=past
    )
    cost = prompt_cost_s(setting, read=read, fixed=fixed_s(setting), rounds=steps)
    stall = 1 + (setting.costs.prefill_stall - 1) * running / (1 + running)
    return cost * np.minimum(stall, 1)


def _sizes(space: Space, limits: Bounds) -> tuple[Any, Any]:
    """Return the devices of a replica, and the most replicas that stock and limits allow."""
    rows = [(r.parallel.gpus, space.stocks[r.stock]) for r in space.rows]
    most = [most_units(stock, gpus=n, most_gpus=limits.gpus) for n, stock in rows]
    return np.array([n for n, _ in rows], dtype=float), np.array(most, dtype=float)


def _offered(space: Space) -> Any:
    return np.array([bool(space.stocks[r.stock].offers) for r in space.rows])


def _rents(space: Space, units: Any) -> Any:
    """Return the least cost an hour of so many replicas of each row, NaN without an offer."""
    keys: dict[tuple[int, int, int], list[int]] = {}
    for i, r in enumerate(space.rows):
        if space.stocks[r.stock].offers:
            keys.setdefault((r.stock, r.parallel.gpus, r.parallel.tp), []).append(i)
    usd = np.full(len(space.rows), np.nan)
    for (place, size, tp), rows in keys.items():
        stock = space.stocks[place]
        cost = rent_column(stock, gpus=size, tp=tp, replicas=units[rows])
        if cost is not None:
            usd[rows] = cost
    return usd
