"""Errors and bands of predicted speed by quantity, engine, device, class, model or regime."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from llmplan.measured.speed_scores import WAYS, SpeedScore
from llmplan.measured.summary import quantile


class Errors(NamedTuple):
    """Errors of one way of predicting a group, and what its 80 % bands are worth.

    `held`: share of observed values inside the band; `width`: median of its high over its low.
    """

    rows: int
    median: float | None
    p90: float | None
    bias: float | None
    held: float | None
    width: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the errors as plain data."""
        return {
            "rows": self.rows, "median_error": self.median, "p90_error": self.p90,
            "bias": self.bias, "band_holds": self.held, "band_width": self.width,
        }  # fmt: skip


class SpeedSummary(NamedTuple):
    """Scores of one group, by way of predicting."""

    group: tuple[str, ...]
    rows: int
    skipped: int
    ways: dict[str, Errors]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        ways = {way.replace(" ", "_"): errors.to_dict() for way, errors in self.ways.items()}
        return {"group": list(self.group), "rows": self.rows, "skipped": self.skipped, **ways}


BY: dict[str, Callable[[SpeedScore], tuple[str, ...]]] = {
    "test": lambda s: (s.test,),
    "engine": lambda s: (s.engine, s.test),
    "version": lambda s: (s.engine, s.engine_version or "not stated", s.test),
    "device": lambda s: (s.gpu, s.test),
    "class": lambda s: (s.device_class or "not known", s.test),
    "model": lambda s: (s.model, s.test),
    "regime": lambda s: (s.scenario, s.test),
}
"""What scores are grouped by."""


def speed_summaries(scores: Iterable[SpeedScore], by: str = "test") -> list[SpeedSummary]:
    """Return a summary for each group, in order of the group's name."""
    groups: dict[tuple[str, ...], list[SpeedScore]] = {}
    for score in scores:
        groups.setdefault(BY[by](score), []).append(score)
    return [_summary(group, groups[group]) for group in sorted(groups)]


def _summary(group: tuple[str, ...], scores: list[SpeedScore]) -> SpeedSummary:
    skipped = sum(s.skipped is not None for s in scores)
    ways = {way: errors_of(scores, way) for way in WAYS}
    return SpeedSummary(group, len(scores) - skipped, skipped, ways)


def errors_of(scores: Iterable[SpeedScore], way: str) -> Errors:
    """Return the errors of one way of predicting."""
    errors, inside, widths = [], 0, []
    for s in scores:
        guess, error = s.guesses.get(way), s.error(way)
        if guess is None or error is None:
            continue
        errors.append(error)
        inside += guess.low <= s.observed <= guess.high
        if guess.low > 0:
            widths.append(guess.high / guess.low)
    errors.sort()
    sizes = sorted(map(abs, errors))
    held = inside / len(errors) if errors else None
    return Errors(len(errors), quantile(sizes, 0.5), quantile(sizes, 0.9), quantile(errors, 0.5),
                  held, quantile(sorted(widths), 0.5))  # fmt: skip
