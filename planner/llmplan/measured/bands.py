"""What may be quoted: rows that no constant was read off, and the bands of their errors."""

from __future__ import annotations

from collections.abc import Iterable

from llmplan.errors import OutsideError
from llmplan.measured.memory import Score, memory_scores
from llmplan.measured.rows import own_measurements, read_rows
from llmplan.measured.summary import quantile

CONFIDENCE = 0.8
"""Share of measured values that a band is to hold."""

LEAST_ROWS = 8
"""Held-out rows below which no band is stated: a 10 % tail of fewer is one row at most."""


def held_out(scores: Iterable[Score]) -> list[Score]:
    """Return the scores of rows that no constant was read off."""
    return [s for s in scores if not s.fitted]


def own_scores() -> list[Score]:
    """Return the scores of the project's own rows: none where an installation lacks them."""
    try:
        return list(memory_scores(read_rows([own_measurements("memory")])))
    except OutsideError:
        return []


def with_bands(scores: Iterable[Score], own: Iterable[Score]) -> list[Score]:
    """Return scores with the band that held-out errors of the same engine and figure give.

    Parameters
    ----------
    scores : iterable of Score
        What gets a band
    own : iterable of Score
        The project's own rows; a row never adds to its own band

    """
    errors: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for s in held_out(own):
        if s.error is not None and s.repeat_of is None:
            errors.setdefault((s.engine, s.test), []).append((s.id, s.error))
    return [_banded(s, errors.get((s.engine, s.test), [])) for s in scores]


def _banded(score: Score, errors: list[tuple[str, float]]) -> Score:
    """Return a score whose band is predicted / (1 + error) at both ends of the errors' middle."""
    others = sorted(error for id_, error in errors if id_ not in (score.id, score.repeat_of))
    tail = (1 - CONFIDENCE) / 2
    least, most = quantile(others, tail), quantile(others, 1 - tail)
    if score.predicted is None or len(others) < LEAST_ROWS or least is None or most is None:
        return score
    if least <= -1:
        return score
    return score._replace(low=score.predicted / (1 + most), high=score.predicted / (1 + least))
