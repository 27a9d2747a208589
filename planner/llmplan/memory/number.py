"""Numbers that formulas take: a float, an int, or a NumPy array of them."""

from __future__ import annotations

from typing import Any

Number = Any
"""A float or an array: formulas use arithmetic alone, so both go through the same code."""


def smaller(a: Number, b: Number) -> Number:
    """Return the smaller of two numbers or arrays, by arithmetic alone.

    >>> smaller(3, 5)
    3.0
    """
    return (a + b - abs(a - b)) / 2
