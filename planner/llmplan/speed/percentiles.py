"""What latencies of the slowest requests are, from means: approximations, always assumed."""

from __future__ import annotations

from collections.abc import Mapping

from llmplan.specs.number import Number, larger, logarithm

SHARES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

NORMAL: Mapping[str, float] = {"p50": 0.0, "p90": 1.2816, "p95": 1.6449, "p99": 2.3263}
"""Quantiles of the standard normal distribution (NIST handbook, table 1.3.6.7.1)."""


def ttft_percentile_s(
    *, percentile: str, mean_s: Number, idle_s: Number, length_ratio: Number = 1.0
) -> Number:
    """Return the time to first token that a share of the requests stays below.

    Equation: ``idle x ratio + max(wait, mean x ln(rho / (1 - p)))`` with ``wait = mean - idle`` and
    ``rho = wait / mean``: reading a prompt takes time in proportion to its length, and waiting has
    the tail of M/M/1, whose mean wait and utilisation are these.

    Parameters
    ----------
    percentile : str
        p50, p90, p95 or p99 [1]
    mean_s : Number
        Mean time to first token under the load [s]
    idle_s : Number
        The same without other requests [s]
    length_ratio : Number
        Prompt length of that percentile over the mean length, at least 1 [1]

    Returns
    -------
    seconds : Number
        Time to first token of that percentile [s]

    Source: waiting time distribution of M/M/1 (Kleinrock, Queueing Systems 1, section 5.7); real
    arrivals are burstier than Poisson (performance notes of 2026-11), so this is optimistic.

    Examples
    --------
    >>> round(ttft_percentile_s(percentile="p99", mean_s=0.3, idle_s=0.2), 3)
    1.252

    """
    wait = larger(mean_s - idle_s, 0.0)
    busy = larger(wait / mean_s, 1e-12)
    tail = mean_s * logarithm(busy / (1 - SHARES[percentile]))
    return idle_s * length_ratio + larger(wait, tail)


def tpot_percentile_s(
    *, percentile: str, mean_s: Number, idle_s: Number, sequences: Number
) -> Number:
    """Return the time per output token that a share of the requests stays below.

    Equation: ``idle + (mean - idle) x (1 + z / sqrt(B))``: how many decode beside a request
    varies as a Poisson count of mean B does, and time beyond that of a lone request with it.

    Parameters
    ----------
    percentile : str
        p50, p90, p95 or p99 [1]
    mean_s : Number
        Mean time per output token under the load [s]
    idle_s : Number
        The same without other requests [s]
    sequences : Number
        Mean sequences that decode at once, B [sequences]

    Returns
    -------
    seconds : Number
        Time per output token of that percentile [s]

    Source: occupancy of M/G/infinity is Poisson (Kleinrock, Queueing Systems 1, 3.4), taken as
    normal.

    Examples
    --------
    >>> round(tpot_percentile_s(percentile="p99", mean_s=0.02, idle_s=0.01, sequences=16), 4)
    0.0258

    """
    spread = 1 + NORMAL[percentile] / larger(sequences, 1.0) ** 0.5
    return idle_s + larger(mean_s - idle_s, 0.0) * spread
