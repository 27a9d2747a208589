"""80 % bands from the errors of left-out results, and how often they hold; needs NumPy.

Split-conformal: the 10th and 90th percentile of log(observed / predicted) over results that the
fit did not see, of one regime. An engine with enough results has its own, drawn to those of all
engines; the others have one together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Band = tuple[float, float]
LOW, HIGH = 0.1, 0.9
ENOUGH = 50
"""Left-out results from which an engine has a band of its own."""

OWN_SHARE = 0.7
"""Weight of an engine's own percentiles against those of all. Chosen by how often bands of other
folds hold: from 61 % of TTFT on its own alone to 78 % on all alone, which misses single engines."""

ALL, FEW = "all", "few"
"""Bands of every engine together, and of those that have not enough results for their own."""


def bands_of(errors: Any, engines: Any) -> dict[str, Band]:
    """Return the band of each engine with enough results, of the others, and of all."""
    pooled = np.quantile(errors, (LOW, HIGH))
    found = {ALL: (float(pooled[0]), float(pooled[1]))}
    names = pools(engines)
    for name in sorted(set(names)):
        own = errors[names == name]
        if len(own) >= ENOUGH:
            low, high = OWN_SHARE * np.quantile(own, (LOW, HIGH)) + (1 - OWN_SHARE) * pooled
            found[name] = (float(low), float(high))
    return found


def pools(engines: Any) -> Any:
    """Return whose band each result has: its engine's, FEW where that has not enough results."""
    names, counts = np.unique(engines, return_counts=True)
    enough = names[counts >= ENOUGH]
    return np.where(np.isin(engines, enough), engines, FEW).astype(str)


def band_of(bands: Mapping[str, Band], engine: str) -> Band:
    """Return the band that holds for an engine."""
    return bands.get(engine) or bands.get(FEW) or bands[ALL]


def held(errors: Any, engines: Any, bands: dict[str, Band]) -> Any:
    """Return for each result whether its band holds it."""
    limits = np.array([band_of(bands, str(e)) for e in engines])
    return (errors >= limits[:, 0]) & (errors <= limits[:, 1])


def width(engines: Any, bands: dict[str, Band]) -> float:
    """Return the median over results of the band's high over its low."""
    return float(np.median([np.exp(np.diff(band_of(bands, str(e)))[0]) for e in engines]))


def held_across(errors: Any, engines: Any, folds: Any) -> Any:
    """Return for each result whether the band of the other folds' errors holds it."""
    found = np.zeros(len(errors), dtype=bool)
    for fold in sorted(set(folds)):
        mine = folds == fold
        bands = bands_of(errors[~mine], engines[~mine])
        found[mine] = held(errors[mine], engines[mine], bands)
    return found
