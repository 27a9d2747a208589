"""Prompts and decoding on replicas of their own."""

from __future__ import annotations

from llmplan.specs.number import Number, chosen, larger, smaller
from llmplan.speed.figures import SHORTEST_S, Figures, Load
from llmplan.speed.serving import FULL, ROUNDS
from llmplan.speed.step import decode_parts, prefill_s
from llmplan.speed.work import Setting

PREFILL_SHARE, DECODE_SHARE = 0.9, 0.92
"""Shares of their ideal rates that replicas of each kind keep.
Source: ai-dynamo/aiconfigurator@095f58a, degradation factors of disaggregated serving."""


def disaggregated_figures(setting: Setting, load: Load) -> Figures:
    """Return the figures of the best share of replicas for prompts and for decoding.

    The system delivers what the slower kind does; a prompt's cache crosses the host's link once.
    """
    replicas = int(setting.work.replicas)
    best: Figures | None = None
    for readers in range(1, replicas):
        found = _figures(setting, load, readers, replicas - readers)
        if best is None or found.requests_per_s > best.requests_per_s:
            best = found
    assert best is not None  # callers ask for two replicas at least
    return best


def _figures(setting: Setting, load: Load, readers: int, makers: int) -> Figures:
    w, r, _, c = setting
    alone = prefill_s(setting, prompts=1, tokens=load.input_tokens, past=load.past_tokens)
    sent = (load.past_tokens + load.input_tokens) * w.token_bytes / r.host_link
    context = load.past_tokens + load.input_tokens + load.output_tokens / 2
    steps = larger(load.output_tokens - 1, 1e-3) / setting.habits.yielded
    most = larger(smaller(load.in_flight / makers, load.held), 1)
    full = decode_parts(setting, sequences=most, context=context).total_s
    read_rate = PREFILL_SHARE * readers / alone
    capacity = smaller(read_rate, DECODE_SHARE * makers * most / (steps * full))
    opened = load.rate_per_s > 0
    batch = most
    for _ in range(ROUNDS):
        step = decode_parts(setting, sequences=batch, context=context).total_s
        looped = smaller(capacity, load.in_flight / (alone + sent + steps * step))
        rate = chosen(opened, smaller(capacity, larger(load.rate_per_s, SHORTEST_S)), looped)
        batch = (batch + larger(smaller(rate * steps * step / makers, most), 1)) / 2
    busy = smaller(rate / read_rate, FULL)
    tpot = step / setting.habits.yielded
    tokens = larger(load.output_tokens - 1, 0)
    own = alone * (1 + busy / (1 - busy) / 2) + sent + c.request_s
    # in a closed loop, what neither kind is at work on waits for its prompt to be read
    ttft = chosen(opened, own, larger(own, load.in_flight / rate - tokens * tpot))
    whole = ttft + tokens * tpot
    rate = chosen(opened, rate, load.in_flight / whole)
    out = larger(load.output_tokens, 1)
    return Figures(ttft, tpot, whole, rate * out, rate * (load.input_tokens + out), rate,
                   _inverse(tpot), rate * load.input_tokens, tpot, capacity, batch)  # fmt: skip


def _inverse(value: Number) -> Number:
    return 1 / larger(value, SHORTEST_S)
