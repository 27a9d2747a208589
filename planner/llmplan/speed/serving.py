"""What a server of such steps delivers: a batch at once, a closed loop, arrivals at a rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llmplan.specs.number import Number, chosen, larger, smaller
from llmplan.speed.step import decode_parts, overhead_s, prefill_s
from llmplan.speed.work import Setting

ROUNDS = 10
"""Rounds of halving: how many decode is found to a hundredth, and then between its ends."""

SMALLEST = 1e-4
"""Smallest share of the requests in flight that decode: prompts take nearly all the time."""

LEAST_PROMPT = 0.2
"""Share of its own time that a prompt takes from decoding at least, however much of its steps is
paid already (assumed: its tokens are multiplied and attended to in any case)."""

FULL = 0.97
"""Utilisation beyond which a queue counts as full: waiting times have no steady state at 1."""


class Served(NamedTuple):
    """Steady state of one replica: times of a request and of a step [s], requests a second.

    `capacity_per_s` is what it delivers with all that it holds decoding, `running` how many
    sequences the steps of this load hold.
    """

    ttft_s: Number
    tpot_s: Number
    requests_per_s: Number
    capacity_per_s: Number
    gap_s: Number
    running: Number


def batch_s(
    setting: Setting, *, sequences: Number, input_tokens: Number, output_tokens: Number,
    past: Number, held: Number,
) -> tuple[Number, Number, Number]:  # fmt: skip
    """Return time to first token, time per token and time of a batch handed over at once [s].

    What the memory does not hold at once (`held` sequences) runs after the others.
    """
    running = smaller(sequences, held)
    read = prefill_s(setting, prompts=running, tokens=input_tokens, past=past)
    first = chosen(input_tokens > 0, read + setting.costs.request_s, 0 * read)
    context = past + input_tokens + output_tokens / 2
    step = decode_parts(setting, sequences=running, context=context).total_s
    step = step / setting.habits.yielded
    whole = first + larger(output_tokens - 1, 0) * step
    return first, step, whole * sequences / running


def fixed_s(setting: Setting) -> Number:
    """Return what a step takes whatever its tokens: its weights are read, its kernels start [s]."""
    w, r, c = setting.work, setting.rates, setting.costs
    return (w.dense_bytes + w.head_bytes) / (r.bandwidth * c.memory) + overhead_s(setting)


def prompt_s(
    setting: Setting, *, running: Number, input_tokens: Number, output_tokens: Number, past: Number
) -> Number:
    """Return the time of one prompt where `running` sequences decode [s].

    `running / output_tokens` prompts arrive a step and are read together, as far as the engine's
    chunk goes.
    """
    most = larger(setting.habits.chunk_tokens / larger(input_tokens, 1), 1)
    together = smaller(larger(running / larger(output_tokens, 1), 1), most)
    return prefill_s(setting, prompts=together, tokens=input_tokens, past=past) / together


def prompt_cost_s(setting: Setting, *, read: Number, fixed: Number, rounds: Number) -> Number:
    """Return the server's time that a prompt of `read` seconds takes from decoding [s].

    Where prompts share steps with decoding, the `fixed` part of a step (weights, overheads) [s] is
    paid by decoding already. `rounds`: decode steps that there are for each prompt; with fewer
    than one, some prompts find none to share.
    """
    w, h = setting.work, setting.habits
    shared = h.mixes * fixed / w.stages * smaller(rounds, 1)
    return larger(read - shared, LEAST_PROMPT * read)


class _Point(NamedTuple):
    """The server with some sequences decoding; `excess` is above 0 where these are too many."""

    excess: Number
    step: Number
    cost: Number
    busy: Number
    first: Number
    rate: Number


def serve(
    setting: Setting, *, in_flight: Number, held: Number, rate_per_s: Number,
    input_tokens: Number, output_tokens: Number, past: Number, at_once: Number = 0.0,
) -> Served:  # fmt: skip
    """Return the steady state with `in_flight` requests, or at a rate where that is above 0.

    The server's time is conserved, ``X (steps x step(B) / B + prompt(B)) = 1`` with B decoding. A
    step takes ``step(B) / (1 - busy)``, `busy` being the share of time that goes to prompts of
    others; a prompt waits for those before it, for its steps, and for memory where more are in
    flight than are `held`. The more sequences of others decode beside it, the nearer its cost is to
    `prefill_stall` times that. B is found by halving, from Little's law: ``X x time = in flight``.
    """
    c, h = setting.costs, setting.habits
    most = smaller(in_flight, held)
    others = (most - 1) / most
    tokens = larger(output_tokens - 1, 1e-3)
    steps = tokens / h.yielded
    context = past + input_tokens + output_tokens / 2
    alone = prefill_s(setting, prompts=1, tokens=input_tokens, past=past)
    read = prompt_s(
        setting, running=most, input_tokens=input_tokens, output_tokens=output_tokens, past=past
    )
    fixed = fixed_s(setting)
    prompt = prompt_cost_s(setting, read=read, fixed=fixed, rounds=steps / larger(most, 1))
    waits = (c.admission_steps + h.waits) * larger(input_tokens / h.chunk_tokens, 1)
    opened = rate_per_s > 0

    def at(running: Number) -> _Point:
        step = decode_parts(setting, sequences=larger(running, 1), context=context).total_s
        beside = running * others
        cost = prompt * (1 + (c.prefill_stall - 1) * beside / (1 + beside))
        looped = 1 / (steps * step / running + cost)
        rate = chosen(opened, smaller(rate_per_s, FULL * limit), looped)
        busy = smaller(rate * cost, chosen(opened, FULL, 1 + 0 * rate)) * others
        first = larger(alone, cost) / (1 - busy) + waits * step + c.request_s
        slowed = step / (1 - busy)
        surplus = rate * (steps * slowed + first) - most
        arriving = running - smaller(rate * steps * slowed, most)
        return _Point(chosen(opened, arriving, surplus), step, cost, busy, first, rate)

    limit: Number = float("inf")
    full = at(most)
    limit = 1 / (steps * full.step / most + full.cost)
    running = _halved(at, most)
    found = at(running)
    tpot = found.step / (1 - found.busy) / h.yielded
    queue = larger(in_flight - held, 0) / found.rate
    wave = at_once * c.first_wave * (most - 1) * found.cost
    ttft = found.first + chosen(opened, 0 * found.first, wave + queue)
    rate = chosen(opened, found.rate, in_flight / (ttft + tokens * tpot))
    return Served(ttft, tpot, rate, limit, found.step / h.yielded, larger(running, 1))


def _halved(at: Callable[[Number], _Point], most: Number) -> Number:
    """Return how many decode where as many arrive as leave: halving, then between the ends."""
    low, high = most * SMALLEST, most
    under, over = at(low).excess, at(high).excess
    for _ in range(ROUNDS):
        middle = (low * high) ** 0.5
        found = at(middle).excess
        many = found > 0
        low, high = chosen(many, low, middle), chosen(many, middle, high)
        under, over = chosen(many, under, found), chosen(many, found, over)
    share = -under / larger(over - under, 1e-300)
    return low + (high - low) * smaller(larger(share, 0), 1)
