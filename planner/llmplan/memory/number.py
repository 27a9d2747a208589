"""Numbers that formulas take: a float, an int, or a NumPy array of them."""

from __future__ import annotations

from typing import Any

Number = Any
"""A float or an array: formulas use arithmetic alone, so both go through the same code."""


def smaller(a: Number, b: Number) -> Number:
    """Return the smaller of two numbers or arrays, by arithmetic alone, without rounding.

    >>> smaller(3, 5), smaller(0.1, 0.2)
    (3, 0.1)
    """
    return (a <= b) * a + (a > b) * b
