"""The cost of a plan against a hosted API, and the load at which they cross."""

from __future__ import annotations

from collections.abc import Callable

from llmplan.specs.plan import OwnOrRent

HOURS_PER_MONTH = 730.0
"""Hours of a mean month: 365 x 24 / 12."""

SECONDS_PER_HOUR = 3600
MILLION = 1e6
MOST_STEPS = 4096
"""Replicas up to which a crossing is looked for."""


def api_usd_per_request(
    *, input_tokens: float, output_tokens: float, input_usd: float, output_usd: float
) -> float:
    """Return what a hosted API takes for a request, at prices per million tokens [USD].

    >>> api_usd_per_request(input_tokens=1000, output_tokens=200, input_usd=0.5, output_usd=1.5)
    0.0008
    """
    return (input_tokens * input_usd + output_tokens * output_usd) / MILLION


def own_or_rent(
    *, prices: tuple[float, float], input_tokens: float, output_tokens: float,
    mean_per_s: float, unit_per_s: float, usd_per_hour: float | None,
    cost_of: Callable[[int], float | None],
) -> OwnOrRent:  # fmt: skip
    """Return both costs a month and the loads at which they cross.

    `unit_per_s` is the mean load that one replica takes, headroom left; `cost_of` the cost an hour
    of so many replicas. Costs of a month are for the whole of it: rented machines run day and night
    (assumed).
    """
    each = api_usd_per_request(
        input_tokens=input_tokens, output_tokens=output_tokens, input_usd=prices[0],
        output_usd=prices[1],
    )  # fmt: skip
    api_hour = each * SECONDS_PER_HOUR
    cross, always = crossings(unit_per_s=unit_per_s, api_usd_per_request=each, cost_of=cost_of)
    return OwnOrRent(
        prices[0], prices[1],
        None if usd_per_hour is None else usd_per_hour * HOURS_PER_MONTH,
        api_hour * mean_per_s * HOURS_PER_MONTH, mean_per_s, cross, always, HOURS_PER_MONTH,
    )  # fmt: skip


def crossings(
    *, unit_per_s: float, api_usd_per_request: float, cost_of: Callable[[int], float | None]
) -> tuple[float | None, float | None]:
    """Return the least load where own replicas cost no more, and that from which they never do.

    `n` replicas take loads up to ``n x unit``; within that step the API costs as much at
    ``cost(n) / price``. Loads in requests a second.

    At $0.001 a request and $30 an hour a replica of 10 requests/s: one pays off from 30 / 3.6, and
    steps lose against the API for the last time before 5 x 30 / 3.6.

    >>> first, always = crossings(
    ...     unit_per_s=10, api_usd_per_request=0.001, cost_of=lambda n: 30.0 * n
    ... )
    >>> round(first, 2), round(always, 2)
    (8.33, 41.67)
    """
    if api_usd_per_request <= 0 or unit_per_s <= 0:
        return None, None
    first = always = None
    for n in range(1, MOST_STEPS + 1):
        usd = cost_of(n)
        if usd is None:
            break
        even = usd / SECONDS_PER_HOUR / api_usd_per_request
        below, upto = (n - 1) * unit_per_s, n * unit_per_s
        if even > upto:
            always = None
            continue
        first = max(even, below) if first is None else first
        if always is None or even > below:
            always = max(even, below)
    return first, always
