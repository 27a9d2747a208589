"""Many lowered setups as one setting of arrays, for the same formulas; needs NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmplan.speed.figures import Load
from llmplan.speed.work import Costs, Habits, Rates, Setting, Work


def setting_columns(settings: Sequence[Setting]) -> Setting:
    """Return settings as one, whose fields are arrays with an entry for each."""
    return Setting(
        _columns(Work, [s.work for s in settings]),
        _columns(Rates, [s.rates for s in settings]),
        _columns(Habits, [s.habits for s in settings]),
        _columns(Costs, [s.costs for s in settings]),
    )


def taken(setting: Setting, rows: Any) -> Setting:
    """Return some entries of a setting of arrays."""
    parts: Any = (type(part)(*(column[rows] for column in part)) for part in setting)
    return Setting(*parts)


def load_columns(loads: Sequence[Load]) -> Load:
    """Return loads as one, whose fields are arrays with an entry for each."""
    found: Load = _columns(Load, loads)
    return found


def _columns(make: Any, rows: Sequence[Any]) -> Any:
    return make(*np.array(rows, dtype=float).T)
