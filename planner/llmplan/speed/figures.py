"""The figures that benchmarks report, for all replicas together, by how the load arrives."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.specs.number import Number, chosen, larger, smaller
from llmplan.speed.serving import batch_s, serve
from llmplan.speed.step import prefill_s
from llmplan.speed.work import Setting


class Load(NamedTuple):
    """What one benchmark asks of a setup.

    `past_tokens` are in the cache before the prompt. `in_flight` counts requests at once over all
    replicas; `rate_per_s` is above 0 where requests arrive at a rate. `held`: requests that the KV
    cache and the engine's own limit hold at once, a replica. `batch_ends`: 1 where all requests
    are given at the start and the figure is over their whole time. `at_once`: 1 where all in flight
    start together, as benchmarks do, which their mean TTFT shows; 0 is the steady state.
    """

    input_tokens: Number
    output_tokens: Number
    past_tokens: Number
    in_flight: Number
    rate_per_s: Number
    held: Number
    batch_ends: Number
    at_once: Number = 0.0


class Figures(NamedTuple):
    """Latencies of a request [s] and rates of the whole system [1/s]; by the names of rows.

    `gap_s`: the usual time between two tokens, a step without prompts; `tpot_s` is the mean.
    `capacity_per_s`: requests a second at most. `running`: sequences that a replica's steps hold.
    """

    ttft_s: Number
    tpot_s: Number
    e2e_s: Number
    output_tokens_per_s: Number
    total_tokens_per_s: Number
    requests_per_s: Number
    decode_tokens_per_s: Number
    prefill_tokens_per_s: Number
    gap_s: Number
    capacity_per_s: Number
    running: Number


SHORTEST_S = 1e-9


def loop_figures(setting: Setting, load: Load) -> Figures:
    """Return the steady state of requests in flight, at a rate, or of all given at the start."""
    replicas = setting.work.replicas
    s = serve(
        setting,
        in_flight=larger(load.in_flight / replicas, 1),
        held=load.held,
        rate_per_s=load.rate_per_s / replicas,
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        past=load.past_tokens,
        at_once=load.at_once,
    )
    # a finite batch drains: its last requests run with fewer beside them
    drained = chosen(load.batch_ends > 0, setting.costs.drain, 1.0 + 0 * s.requests_per_s)
    # fewer requests than replicas leave some of these idle
    rate = smaller(replicas, larger(load.in_flight, 1)) * s.requests_per_s / drained
    e2e = s.ttft_s + larger(load.output_tokens - 1, 0) * s.tpot_s
    return _figures(load, s.ttft_s, s.tpot_s, e2e, rate)._replace(
        gap_s=s.gap_s, capacity_per_s=replicas * s.capacity_per_s, running=s.running
    )


def batch_figures(setting: Setting, load: Load) -> Figures:
    """Return a batch that is handed over at once, or a single stream."""
    replicas = setting.work.replicas
    first, step, whole = batch_s(
        setting,
        sequences=larger(load.in_flight / replicas, 1),
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        past=load.past_tokens,
        held=load.held,
    )
    rate = larger(load.in_flight, replicas) / larger(whole, SHORTEST_S)
    figures = _figures(load, first, step, whole, rate)
    together = smaller(larger(load.in_flight / replicas, 1), load.held)
    read = together * load.input_tokens / larger(first, SHORTEST_S)
    return figures._replace(prefill_tokens_per_s=read * replicas)


def prefill_figures(setting: Setting, load: Load) -> Figures:
    """Return the reading of prompts alone."""
    prompts = larger(load.in_flight, 1)
    read = prefill_s(setting, prompts=prompts, tokens=load.input_tokens, past=load.past_tokens)
    first = read + setting.costs.request_s
    none = 0 * read
    rate = prompts * load.input_tokens / larger(read, SHORTEST_S)
    return Figures(first, none, first, none, rate, none, none, rate, none, none, none)


def _figures(load: Load, ttft: Number, tpot: Number, e2e: Number, rate: Number) -> Figures:
    out = larger(load.output_tokens, 1)
    return Figures(
        ttft, tpot, e2e, rate * out, rate * (load.input_tokens + out), rate,
        1 / larger(tpot, SHORTEST_S), rate * load.input_tokens, tpot,
        rate, larger(smaller(load.in_flight, load.held), 1),
    )  # fmt: skip
