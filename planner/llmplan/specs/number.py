"""Numbers that formulas take: a float, an int, or a NumPy array of them."""

from __future__ import annotations

import sys
from math import ceil, log
from typing import Any

Number = Any
"""A float or an array: formulas use arithmetic and these helpers, so both go through one code."""


def _numpy() -> Any:
    # whoever passes an array has imported NumPy; a single number must not wait for it
    return sys.modules["numpy"]


def _plain(a: Number, b: Number) -> bool:
    return isinstance(a, (int, float)) and isinstance(b, (int, float))


def smaller(a: Number, b: Number) -> Number:
    """Return the smaller of two numbers, or of each pair of two arrays.

    >>> smaller(3, 5), smaller(0.1, 0.2)
    (3, 0.1)
    """
    return min(a, b) if _plain(a, b) else _numpy().minimum(a, b)


def larger(a: Number, b: Number) -> Number:
    """Return the larger of two numbers, or of each pair of two arrays.

    >>> larger(3, 5), larger(0.1, 0.2)
    (5, 0.2)
    """
    return max(a, b) if _plain(a, b) else _numpy().maximum(a, b)


def ceiling(a: Number) -> Number:
    """Return the number rounded up to a whole one.

    >>> ceiling(2.1), ceiling(3)
    (3, 3)
    """
    return ceil(a) if isinstance(a, (int, float)) else _numpy().ceil(a)


def logarithm(a: Number) -> Number:
    """Return the natural logarithm.

    >>> logarithm(1)
    0.0
    """
    return log(a) if isinstance(a, (int, float)) else _numpy().log(a)


def chosen(condition: Any, yes: Number, no: Number) -> Number:
    """Return `yes` where the condition holds, else `no`.

    >>> chosen(True, 1, 2)
    1
    """
    if isinstance(condition, bool):
        return yes if condition else no
    return _numpy().where(condition, yes, no)


def some(condition: Any) -> bool:
    """Return whether a condition holds, or holds anywhere in an array.

    >>> some(False)
    False
    """
    return condition if isinstance(condition, bool) else bool(condition.any())
