"""80 % intervals of predicted speed, by what was measured of setups like it."""

from __future__ import annotations

from math import exp

from llmplan.specs.speed import SpeedTable
from llmplan.speed.figures import Load

REGIMES = ("stream", "load", "offline")
"""One request at a time, more, or all given at the start: errors are alike within each."""

SAME = {"total_tokens_per_s": "output_tokens_per_s", "requests_per_s": "output_tokens_per_s"}
"""Rates that are one rate times lengths: they are as sure as it is."""

INVERSE = {"decode_tokens_per_s": "tpot_s", "output_tokens_per_s_per_user": "tpot_s"}
"""Rates of one user, which are one over the time per token."""

UNSEEN = (0.5, 2.0)
"""Factors of a band where no residuals are on record (assumed)."""


def regime_of(load: Load) -> str:
    """Return the regime of a load."""
    if load.batch_ends:
        return "offline"
    return "load" if load.in_flight > 1 else "stream"


def band_key(quantity: str) -> tuple[str, bool]:
    """Return the quantity whose band a quantity has, and whether it is turned over."""
    if quantity in INVERSE:
        return INVERSE[quantity], True
    return SAME.get(quantity, quantity), False


def interval(
    table: SpeedTable, quantity: str, engine: str, basis: str, regime: str
) -> tuple[float, float]:
    """Return the factors of the 80 % interval of a quantity, at most and at least 1.

    That of the engine in the regime, else of engines with few results, else of all.
    """
    if table.bands is None:
        return UNSEEN
    name, turned = band_key(quantity)
    rows = table.bands.quantiles.get(name, {})
    keys = (f"{engine}|{regime}|{basis}", f"few|{regime}|{basis}", f"all|{regime}|{basis}")
    found = next((rows[key] for key in keys if key in rows), None)
    if found is None:
        return UNSEEN
    low, high = (-found[1], -found[0]) if turned else (found[0], found[1])
    return min(1.0, exp(low)), max(1.0, exp(high))
