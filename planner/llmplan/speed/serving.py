"""What a server of such steps delivers: a batch at once, a closed loop, arrivals at a rate."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.specs.number import Number, chosen, larger, smaller
from llmplan.speed.step import decode_parts, overhead_s, prefill_s
from llmplan.speed.work import Setting

ROUNDS = 10
"""Rounds of the fixed point; each halves the distance to it."""

FULL = 0.97
"""Utilisation beyond which a queue counts as full: waiting times have no steady state at 1."""


class Served(NamedTuple):
    """Steady state of one replica: times of a request and of a step [s], requests a second."""

    ttft_s: Number
    tpot_s: Number
    requests_per_s: Number
    capacity_per_s: Number
    running: Number
    gap_s: Number


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


def prompt_cost_s(
    setting: Setting, *, running: Number, others: Number, input_tokens: Number,
    output_tokens: Number, past: Number,
) -> Number:  # fmt: skip
    """Return the server's time that one prompt takes from decoding [s].

    In a steady state `running / output_tokens` prompts arrive a step and are read together, as
    far as the engine's chunk goes. Where prompts share steps with decoding, the step's fixed part
    (weights, overheads) is paid by decoding already. A prompt stalls the `others`, the share of
    the requests that are not its own [1].
    """
    w, r, h, c = setting
    steps = larger(output_tokens - 1, 1e-3) / h.yielded
    most = larger(h.chunk_tokens / larger(input_tokens, 1), 1)
    together = smaller(larger(running / larger(output_tokens, 1), 1), most)
    read = prefill_s(setting, prompts=together, tokens=input_tokens, past=past) / together
    fixed = (w.dense_bytes + w.head_bytes) / (r.bandwidth * c.memory) + overhead_s(setting)
    shared = h.mixes * fixed / w.stages * smaller(1 / together, steps / running)
    stall = 1 + (c.prefill_stall - 1) * others
    return larger(read - shared, 0.2 * read) * stall


def serve(
    setting: Setting, *, in_flight: Number, held: Number, rate_per_s: Number,
    input_tokens: Number, output_tokens: Number, past: Number,
) -> Served:  # fmt: skip
    """Return the steady state with `in_flight` requests, or at a rate where that is above 0.

    The server's time is conserved: each request takes its prompt's cost and its share of the
    decode steps, ``1 / X = (output - 1) step(B) / B + prompt(B)``. How many decode (B) follows from
    Little's law, found by a fixed point. A prompt waits for those before it (machine repair model),
    for its steps, and for memory where more are in flight than are `held`.
    """
    c, h = setting.costs, setting.habits
    most = smaller(in_flight, held)
    tokens = larger(output_tokens - 1, 1e-3)
    steps = tokens / h.yielded
    context = past + input_tokens + output_tokens / 2
    alone = prefill_s(setting, prompts=1, tokens=input_tokens, past=past)
    waits = c.admission_steps + h.waits
    chunks = larger(input_tokens / h.chunk_tokens, 1)
    opened = rate_per_s > 0
    decoding, limit = most, 0.0
    for turn in range(ROUNDS):
        cost = prompt_cost_s(
            setting, running=larger(decoding, 1), others=(most - 1) / most,
            input_tokens=input_tokens, output_tokens=output_tokens, past=past,
        )  # fmt: skip
        step = decode_parts(setting, sequences=larger(decoding, 1), context=context).total_s
        full_rate = 1 / (steps * step / larger(decoding, 1) + cost)
        if turn == 0:
            limit = full_rate
        rate = chosen(opened, smaller(rate_per_s, FULL * limit), full_rate)
        busy = smaller(rate * cost, FULL)
        first = alone / (1 - busy * (most - 1) / most) + (waits * chunks) * step + c.request_s
        slowed = step / (1 - busy)
        arriving = smaller(rate * first, 0.99 * most)
        target = chosen(opened, smaller(rate * steps * slowed, most), most - arriving)
        decoding = (decoding + target) / 2
    tpot = chosen(opened, slowed / h.yielded, decoding / (rate * tokens))
    queue = larger(in_flight - held, 0) / full_rate
    wave = c.first_wave * (most - 1) * cost
    ttft = first + chosen(opened, 0 * first, wave + queue)
    looped = in_flight / (ttft + tokens * tpot)
    return Served(ttft, tpot, chosen(opened, rate, looped), limit, decoding, step / h.yielded)
