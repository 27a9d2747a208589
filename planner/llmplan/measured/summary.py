"""Errors of predictions by engine, version or test: how many, median, 90th percentile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from llmplan.measured.memory import Score


class Summary(NamedTuple):
    """Scores of one group; a value that several rows repeat counts once."""

    group: tuple[str, ...]
    rows: int
    skipped: int
    median: float | None
    p90: float | None
    bias: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return {
            "group": list(self.group), "rows": self.rows, "skipped": self.skipped,
            "median_error": self.median, "p90_error": self.p90, "bias": self.bias,
        }  # fmt: skip


BY: dict[str, Callable[[Score], tuple[str, ...]]] = {
    "test": lambda s: (s.engine, s.test),
    "version": lambda s: (s.engine, s.engine_version or "not stated", s.test),
    "engine": lambda s: (s.engine,),
    "device": lambda s: (s.engine, s.gpu or "not stated", s.test),
}
"""What scores are grouped by."""


def summaries(scores: Iterable[Score], by: str = "test") -> list[Summary]:
    """Return a summary for each group, in order of the group's name."""
    groups: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        if score.repeat_of is None:
            groups.setdefault(BY[by](score), []).append(score)
    return [_summary(group, groups[group]) for group in sorted(groups)]


def _summary(group: tuple[str, ...], scores: list[Score]) -> Summary:
    errors = sorted(s.error for s in scores if s.error is not None)
    sizes = sorted(abs(e) for e in errors)
    return Summary(
        group,
        len(errors),
        sum(s.skipped is not None for s in scores),
        quantile(sizes, 0.5),
        quantile(sizes, 0.9),
        quantile(errors, 0.5),
    )


def quantile(values: list[float], share: float) -> float | None:
    """Return the quantile of sorted values, between neighbours in proportion; None for none.

    >>> quantile([0.0, 1.0, 2.0, 3.0], 0.5)
    1.5
    """
    if not values:
        return None
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])
