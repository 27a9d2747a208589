"""Values of an axis in a plan file: single ones, lists, ranges (`1..512 x2`), or `all`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from llmplan.errors import InputError
from llmplan.specs.units import parse_tokens

MAX_VALUES = 1_000_000
"""Values of one axis at most."""
MAX_COUNT = 1 << 30
MAX_TEXT = 300
WAY_OUT = "write a number, a list, or a range: 1..8, 1..512 x2, 1k..32k +1k"

_RANGE = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+?)(?:\s+([x+])\s*(\S+))?\s*")

Problem = Callable[[tuple[int, ...], str], Exception]
"""Makes the error of a place below the axis and a sentence without its full stop."""


def numbers(value: Any, kind: str, problem: Problem) -> tuple[Any, ...]:
    """Return the values of an axis of counts, tokens or rates, each once, as they are written."""
    found: dict[Any, None] = {}
    for at, item in _items(value, problem):
        for number in _range(item, kind, at, problem):
            found[number] = None
            if len(found) > MAX_VALUES:
                raise problem(at, f"more than {MAX_VALUES:,} values on one axis")
    return tuple(found)


def names(value: Any, problem: Problem) -> tuple[str, ...]:
    """Return the values of an axis of names, each once, as they are written."""
    found: dict[str, None] = {}
    for at, item in _items(value, problem):
        if not isinstance(item, str) or not item.strip():
            raise problem(at, f"{str(item)[:40]!r} is no name: write it in quotes")
        if len(item) > MAX_TEXT or not item.isprintable():
            raise problem(at, "a name has at most 300 characters, and no control characters")
        found[item] = None
    if "all" in found and len(found) > 1:
        raise problem((), "all stands alone: the other names are among them")
    return tuple(found)


def _items(value: Any, problem: Problem) -> Iterator[tuple[tuple[int, ...], Any]]:
    if value is None or value == []:
        raise problem((), "has no values: leave it out or give one")
    if isinstance(value, list):
        for i, item in enumerate(value):
            if isinstance(item, (list, dict)) or item is None:
                raise problem((i,), "is not a value of a list")
            yield (i,), item
    elif isinstance(value, dict):
        raise problem((), "must be a value, a list or a range")
    else:
        yield (), value


def _range(item: Any, kind: str, at: tuple[int, ...], problem: Problem) -> Iterator[Any]:
    text = str(item) if isinstance(item, str) else ""
    if ".." not in text:
        yield _number(item, kind, at, problem)
        return
    match = _RANGE.fullmatch(text[:MAX_TEXT])
    if match is None:
        raise problem(at, f"{text[:40]!r} is not a range: {WAY_OUT}")
    first, last = (_number(match[i], kind, at, problem) for i in (1, 2))
    sign = match[3] or "+"
    step = 1 if match[4] is None else _number(match[4], "rate", at, problem, tokens=kind)
    if first > last or (sign == "x" and step <= 1):
        raise problem(at, f"{text[:40]!r} has no steps upwards: {WAY_OUT}")
    if sign == "+" and (last - first) / step >= MAX_VALUES:
        raise problem(at, f"{text[:40]!r} has more than {MAX_VALUES:,} values")
    yield from _steps(first, last, sign, step, whole=kind != "rate")


def _steps(first: float, last: float, sign: str, step: float, *, whole: bool) -> Iterator[Any]:
    """Yield a range; each value is computed from the first, so that no error adds up."""
    turn = 0
    while True:
        value = first * step**turn if sign == "x" else first + step * turn
        if value > last * (1 + 1e-12):
            return
        yield round(value) if whole else float(value)
        turn += 1


def _number(
    item: Any, kind: str, at: tuple[int, ...], problem: Problem, *, tokens: str = ""
) -> Any:
    """Return one number; `tokens` where a step may be written as a token count (+1k)."""
    if isinstance(item, bool):
        raise problem(at, f"{item} is not a number: {WAY_OUT}")
    if kind == "rate":
        return _rate(item, at, problem, tokens=tokens)
    if isinstance(item, str):
        try:
            value = parse_tokens(item)
        except InputError as e:
            raise problem(at, e.message.rstrip(".")) from None
        if kind == "count" and not item.replace(",", "").strip().isdecimal():
            raise problem(at, f"{item[:40]!r} is not a whole number")
        return value
    if not isinstance(item, int) or not 1 <= item <= MAX_COUNT:
        raise problem(at, f"{str(item)[:40]} is not a whole number from 1 to {MAX_COUNT:,}")
    return item


def _rate(item: Any, at: tuple[int, ...], problem: Problem, *, tokens: str) -> float:
    try:
        value = float(parse_tokens(item)) if tokens == "tokens" and "." not in item else float(item)
    except (ValueError, TypeError, InputError):
        raise problem(at, f"{str(item)[:40]!r} is not a number: {WAY_OUT}") from None
    if not 0 < value < MAX_COUNT or not math.isfinite(value):
        raise problem(at, f"{str(item)[:40]} is not above 0 and below {MAX_COUNT:,}")
    return value
