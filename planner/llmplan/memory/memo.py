"""Results kept for a model object, by identity: comparing whole models would cost more."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MAX_KEPT = 1024
"""Results kept before all are dropped, so that a sweep over many models stays small."""


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Keep the results of a pure function whose first argument is a record.

    Records are frozen, so the same object gives the same result; the other arguments must
    be hashable, records among them count by identity too.
    """
    kept: dict[tuple[Any, ...], tuple[tuple[Any, ...], R]] = {}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        values = (*args, *kwargs.values())
        key = (*(id(v) if hasattr(v, "to_dict") else v for v in values), *kwargs)
        found = kept.get(key)
        if found is None:
            if len(kept) >= MAX_KEPT:
                kept.clear()
            found = kept[key] = (values, function(*args, **kwargs))
        return found[1]

    return call
