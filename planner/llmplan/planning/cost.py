"""What a setup costs on machines whose price is known."""

from __future__ import annotations

from dataclasses import replace

from llmplan.specs.number import Number
from llmplan.specs.prices import Price
from llmplan.specs.setup import Answer, Cost, Setup

SECONDS_PER_HOUR = 3600
MILLION = 1e6


def cost_of(setup: Setup, price: Price) -> Cost:
    """Return the on-demand cost of the whole machines that a setup needs.

    Per million output tokens only where their rate is predicted.
    """
    hour = cost_per_hour(price, setup.gpus)
    rate = setup.performance.output_tokens_per_s
    each = None
    if rate is not None and rate.value > 0:
        each = cost_per_million(usd_per_hour=hour, output_tokens_per_s=rate.value)
    return Cost(hour, each, price.provider, price.instance_type, price.as_of)


def cost_per_hour(price: Price, gpus: int) -> float:
    """Return what the machines for so many devices cost [USD/h]."""
    return -(-gpus // (price.gpu_count or 1)) * price.usd_per_hour


def cost_per_million(*, usd_per_hour: Number, output_tokens_per_s: Number) -> Number:
    """Return the cost of a million output tokens [USD], of numbers or arrays."""
    return usd_per_hour / (output_tokens_per_s * SECONDS_PER_HOUR) * MILLION


def priced(setup: Setup, price: Price) -> Setup:
    """Return the setup with its cost."""
    return replace(setup, cost=cost_of(setup, price))


def priced_answer(answer: Answer, price: Price) -> Answer:
    """Return the answer with the cost of every setup."""
    setups = tuple(priced(s, price) for s in answer.setups)
    return replace(answer, requested=priced(answer.requested, price), setups=setups)
