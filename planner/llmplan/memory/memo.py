"""Results kept for a model object, by identity: comparing whole models would cost more."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MAX_KEPT = 4096
"""Results kept before all are dropped, so that a sweep over many models stays small."""

PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types that count by value."""


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Keep the results of a pure function whose first argument is a record.

    Records are frozen, so the same object gives the same result: all arguments but numbers and
    texts count by identity. They are kept with the result, so that no other takes their place.
    """
    kept: dict[tuple[Any, ...], tuple[tuple[Any, ...], R]] = {}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        values = (*args, *kwargs.values()) if kwargs else args
        key = tuple([v if type(v) in PLAIN else id(v) for v in values])
        if kwargs:
            key = (*key, *kwargs)
        found = kept.get(key)
        if found is None:
            if len(kept) >= MAX_KEPT:
                kept.clear()
            found = kept[key] = (values, function(*args, **kwargs))
        return found[1]

    return call
