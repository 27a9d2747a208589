"""Prompts and decoding on replicas of their own."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.specs.number import Number, chosen, larger, smaller
from llmplan.speed.figures import SHORTEST_S, Figures, Load
from llmplan.speed.serving import FULL
from llmplan.speed.step import decode_parts, decoding, prefill_s
from llmplan.speed.work import Setting

PREFILL_SHARE, DECODE_SHARE = 0.9, 0.92
"""Shares of their ideal rates that replicas of each kind keep; decoding loses it on every step.
Source: ai-dynamo/aiconfigurator@095f58a, degradation factors of disaggregated serving."""

ROUNDS = 10
"""Damped rounds of Little's law: each halves the distance to where as many arrive as leave."""


class Reading(NamedTuple):
    """Prompts on their own: one alone [s], sent and answered [s], prompts a second of a rank."""

    alone_s: Number
    sent_s: Number
    rate_per_s: Number

    def first_s(self, rate: Number, readers: Number) -> Number:
        """Return the time to first token of so many prompts a second on so many ranks [s].

        Each rank reads one at a time: the wait is that of M/D/1, ``busy / (1 - busy) / 2`` prompts.
        """
        busy = smaller(rate / (readers * self.rate_per_s), FULL)
        return self.alone_s * (1 + busy / (1 - busy) / 2) + self.sent_s


def step_of(setting: Setting, *, sequences: Number, context: Number) -> Number:
    """Return the time of a step of a rank that only decodes [s]."""
    return decode_parts(setting, sequences=sequences, context=context).total_s / DECODE_SHARE


class Making(NamedTuple):
    """Decoding on its own: a step [s], time per token [s], sequences of a rank, rates [1/s]."""

    step_s: Number
    tpot_s: Number
    running: Number
    rate_per_s: Number
    capacity_per_s: Number


def reading_of(setting: Setting, load: Load) -> Reading:
    """Return what a rank does that only reads prompts; their cache crosses the host's link once."""
    w = setting.work
    prompt = load.past_tokens + load.input_tokens
    cache = prompt * w.token_bytes + smaller(prompt, w.window) * w.window_bytes + w.state_bytes
    alone = prefill_s(setting, prompts=1, tokens=load.input_tokens, past=load.past_tokens)
    sent = cache / w.stages / setting.rates.host_link + setting.costs.request_s
    return Reading(alone, sent, PREFILL_SHARE / alone)


def making_of(
    setting: Setting, load: Load, *, makers: Number, most_per_s: Number, before_s: Number
) -> Making:
    """Return what so many ranks do that only decode, with `load` on all of them.

    `most_per_s`: prompts a second that are read at most; `before_s`: time of a request before its
    first token, which a closed loop spends away from here. How many decode follows from Little's
    law, by damped rounds.
    """
    context = load.past_tokens + load.input_tokens + load.output_tokens / 2
    steps = larger(load.output_tokens - 1, 1e-3) / setting.habits.yielded
    most = larger(smaller(load.in_flight / makers, load.held), 1)
    full = step_of(setting, sequences=most, context=context)
    capacity = smaller(most_per_s, makers * most / (steps * full))
    opened = load.rate_per_s > 0
    step, batch, rate = full, most, capacity
    steps_of = decoding(setting, context=context)
    for _ in range(ROUNDS):
        step = steps_of(batch).total_s / DECODE_SHARE
        looped = smaller(capacity, load.in_flight / (before_s + steps * step))
        rate = chosen(opened, smaller(capacity, larger(load.rate_per_s, SHORTEST_S)), looped)
        batch = (batch + larger(smaller(rate * steps * step / makers, most), 1)) / 2
    return Making(step, step / setting.habits.yielded, batch, rate, capacity)


def pair_figures(
    reading: Setting, making: Setting, load: Load, *, readers: Number, makers: Number
) -> Figures:
    """Return the figures of ranks that read prompts and ranks that decode, numbers or arrays.

    The system delivers what the slower kind does; `load.held` is what a decoding rank holds. In a
    closed loop, what neither kind is at work on waits for its prompt to be read.
    """
    read = reading_of(reading, load)
    most = readers * read.rate_per_s
    before = read.alone_s + read.sent_s
    made = making_of(making, load, makers=makers, most_per_s=most, before_s=before)
    rate, tpot = made.rate_per_s, made.tpot_s
    opened, tokens = load.rate_per_s > 0, larger(load.output_tokens - 1, 0)
    first = read.first_s(rate, readers)
    first = chosen(opened, first, larger(first, load.in_flight / rate - tokens * tpot))
    whole = first + tokens * tpot
    rate = chosen(opened, rate, load.in_flight / whole)
    out = larger(load.output_tokens, 1)
    return Figures(
        first, tpot, whole, rate * out, rate * (load.input_tokens + out), rate,
        1 / larger(tpot, SHORTEST_S), rate * load.input_tokens, tpot, made.capacity_per_s,
        made.running,
    )  # fmt: skip


def disaggregated_figures(setting: Setting, load: Load) -> Figures:
    """Return the figures of the best share of a setup's replicas for prompts and for decoding."""
    replicas = int(setting.work.replicas)
    best: Figures | None = None
    for readers in range(1, replicas):
        found = pair_figures(setting, setting, load, readers=readers, makers=replicas - readers)
        if best is None or found.requests_per_s > best.requests_per_s:
            best = found
    assert best is not None  # callers ask for two replicas at least
    return best
