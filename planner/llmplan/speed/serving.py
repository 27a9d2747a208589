"""What a server of such steps delivers: a batch at once, a closed loop, arrivals at a rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llmplan.specs.number import Number, chosen, larger, smaller, some
from llmplan.speed.step import Parts, decode_parts, decoding, overhead_s, prefill_s
from llmplan.speed.work import Setting

HALVINGS, CHORDS = 4, 3
"""Rounds in which the number that decodes is found: its decades are halved, then chords are drawn
between the ends. Figures are within 1e-5 of what 70 halvings find (170,000 points, 2026-11)."""

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
    slowed: Number
    first: Number
    rate: Number


class _Server(NamedTuple):
    """A replica under a load: what it does with any number of sequences decoding.

    `step`: a step by its sequences; `alone`: a prompt that has the server for itself, `prompt`: the
    time that one takes from decoding, before its stall, `request`: the engine's own time [s].
    `most` requests are in memory, `others` of each as a share of them; `steps` are those of a
    request, `waits` those of a prompt.
    """

    step: Callable[[Number], Parts]
    alone: Number
    prompt: Number
    stall: Number
    request: Number
    most: Number
    others: Number
    steps: Number
    waits: Number
    rate_per_s: Number

    def loaded(self, running: Number) -> tuple[Number, Number]:
        """Return the time of a step and of a prompt beside it [s]."""
        beside = running * self.others
        cost = self.prompt * (1 + (self.stall - 1) * (beside / (1 + beside)))
        return self.step(larger(running, 1)).total_s, cost

    def at(self, running: Number, step: Number, cost: Number, limit: Number) -> _Point:
        """Return the server with so many decoding; `limit` is the most it delivers [1/s]."""
        opened = self.rate_per_s > 0
        arrives = some(opened)
        rate, most_busy = 1 / (self.steps * step / running + cost), 1.0
        if arrives:
            rate = chosen(opened, smaller(self.rate_per_s, FULL * limit), rate)
            most_busy = chosen(opened, FULL, 1.0)
        slower = 1 / (1 - smaller(rate * cost, most_busy) * self.others)
        first = larger(self.alone, cost) * slower + self.waits * step + self.request
        slowed = step * slower
        excess = rate * (self.steps * slowed + first) - self.most
        if arrives:
            arriving = running - smaller(rate * self.steps * slowed, self.most)
            excess = chosen(opened, arriving, excess)
        return _Point(excess, slowed, first, rate)


def serve(
    setting: Setting, *, in_flight: Number, held: Number, rate_per_s: Number,
    input_tokens: Number, output_tokens: Number, past: Number, at_once: Number = 0.0,
) -> Served:  # fmt: skip
    """Return the steady state with `in_flight` requests, or at a rate where that is above 0.

    The server's time is conserved, ``X (steps x step(B) / B + prompt(B)) = 1`` with B decoding. A
    step takes ``step(B) / (1 - busy)``, `busy` being the share of time that goes to prompts of
    others; a prompt waits for those before it, for its steps, and for memory where more are in
    flight than are `held`. The more sequences of others decode beside it, the nearer its cost is to
    `prefill_stall` times that. B follows from Little's law: ``X x time = in flight``.
    """
    c, h = setting.costs, setting.habits
    most = smaller(in_flight, held)
    tokens = larger(output_tokens - 1, 1e-3)
    steps = tokens / h.yielded
    read = prompt_s(
        setting, running=most, input_tokens=input_tokens, output_tokens=output_tokens, past=past
    )
    fixed, rounds = fixed_s(setting), steps / larger(most, 1)
    server = _Server(
        step=decoding(setting, context=past + input_tokens + output_tokens / 2),
        alone=prefill_s(setting, prompts=1, tokens=input_tokens, past=past),
        prompt=prompt_cost_s(setting, read=read, fixed=fixed, rounds=rounds),
        stall=c.prefill_stall, request=c.request_s, most=most, others=(most - 1) / most,
        steps=steps, rate_per_s=rate_per_s,
        waits=(c.admission_steps + h.waits) * larger(input_tokens / h.chunk_tokens, 1),
    )  # fmt: skip
    step, cost = server.loaded(most)
    limit = 1 / (steps * step / most + cost)
    over = server.at(most, step, cost, limit).excess
    running = _balanced(lambda n: server.at(n, *server.loaded(n), limit).excess, over, most)
    step, cost = server.loaded(running)
    found = server.at(running, step, cost, limit)
    tpot, opened = found.slowed / h.yielded, rate_per_s > 0
    queue = larger(in_flight - held, 0) / found.rate
    wave = at_once * c.first_wave * (most - 1) * cost
    ttft = found.first + chosen(opened, 0 * found.first, wave + queue)
    rate = chosen(opened, found.rate, in_flight / (ttft + tokens * tpot))
    return Served(ttft, tpot, rate, limit, step / h.yielded, larger(running, 1))


def _balanced(excess: Callable[[Number], Number], over: Number, most: Number) -> Number:
    """Return how many decode where as many arrive as leave; `over` is the excess at `most`.

    Halvings of the decades, then chords with the weights of Anderson and Bjorck (BIT 13, 1973): an
    end that stays twice is drawn nearer to the root.
    """
    low, high = most * SMALLEST, most
    under = excess(low)
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        found = excess(middle)
        many = found > 0
        low, high = chosen(many, low, middle), chosen(many, middle, high)
        under, over = chosen(many, under, found), chosen(many, found, over)
    side: Number = 0
    for _ in range(CHORDS):
        middle = _chord(low, high, under, over)
        found = excess(middle)
        many = found > 0
        moved = chosen(many, 1, -1)
        weight = 1 - found / chosen(many, larger(over, LEAST_EXCESS), smaller(under, -LEAST_EXCESS))
        weight = chosen(side == moved, chosen(weight > 0, weight, 0.5), 1.0)
        under, over = chosen(many, under * weight, found), chosen(many, found, over * weight)
        low, high = chosen(many, low, middle), chosen(many, middle, high)
        side = moved
    return _chord(low, high, under, over)


LEAST_EXCESS = 1e-300
"""Stands for no excess at all where it is divided by [requests]."""


def _chord(low: Number, high: Number, under: Number, over: Number) -> Number:
    """Return where the line between the ends crosses zero, within them."""
    share = -under / larger(over - under, LEAST_EXCESS)
    return low + (high - low) * smaller(larger(share, 0), 1)
