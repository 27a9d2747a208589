"""Expressions of a plan over the columns of a batch; needs NumPy."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: np.true_divide, ast.Mod: np.mod,
}  # fmt: skip
ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


class Words(NamedTuple):
    """A column of text: places in a list of words, -1 where there is none."""

    codes: Any
    words: list[str]


def evaluate(node: ast.expr, column: Callable[[str], Any]) -> Any:
    """Return an expression over columns: numbers with NaN for null, bools, or Words.

    A comparison with null is false, and null neither holds nor does its `not`; division by 0
    gives null.
    """
    with np.errstate(all="ignore"):
        return _evaluate(node, column)


def holds(value: Any) -> Any:
    """Return where bools hold, null ones (NaN) nowhere."""
    return np.asarray(value) == 1


def _evaluate(node: ast.expr, column: Callable[[str], Any]) -> Any:
    if isinstance(node, ast.Name):
        return column(node.id)
    if isinstance(node, ast.Constant):
        value: Any = node.value
        return float(value) if type(value) is int else value
    if isinstance(node, ast.UnaryOp):
        operand = _evaluate(node.operand, column)
        return np.asarray(operand) == 0 if isinstance(node.op, ast.Not) else -operand
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, column), _evaluate(node.right, column)
        result = ARITHMETIC[type(node.op)](np.asarray(left, float), np.asarray(right, float))
        return np.where(np.isfinite(result), result, np.nan)
    if isinstance(node, ast.BoolOp):
        parts = [holds(_evaluate(v, column)) for v in node.values]
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        result = parts[0]
        for part in parts[1:]:
            result = join(result, part)
        return result
    assert isinstance(node, ast.Compare)  # nothing else passes parse_expression
    return _compared(node, column)


def _compared(node: ast.Compare, column: Callable[[str], Any]) -> Any:
    left, result = _evaluate(node.left, column), None
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right: Any
        if isinstance(op, (ast.In, ast.NotIn)):
            values = ast.literal_eval(comparator)
            found = _any_of(left, values)
            fine = found if isinstance(op, ast.In) else np.logical_not(found) & _known(left)
            right = left
        else:
            right = _evaluate(comparator, column)
            fine = ORDER[type(op)](*_paired(left, right)) & _known(left) & _known(right)
        result = fine if result is None else result & fine
        left = right
    return result


def _known(value: Any) -> Any:
    if isinstance(value, Words):
        return value.codes >= 0
    return True if isinstance(value, (str, bool)) else np.asarray(value == value)


def _any_of(value: Any, among: Any) -> Any:
    if isinstance(value, Words):
        inside = np.array([w in among for w in value.words] + [False])
        return inside[value.codes]
    if isinstance(value, str):
        return value in among
    return np.isin(value, np.array(list(among), dtype=np.asarray(value).dtype))


def _paired(left: Any, right: Any) -> tuple[Any, Any]:
    """Return both sides as what compares: words against a text by their places in the list."""
    if isinstance(left, Words) and isinstance(right, Words):
        return _texts(left), _texts(right)
    if isinstance(left, Words):
        return left.codes, left.words.index(right) if right in left.words else -2
    if isinstance(right, Words):
        return _paired(right, left)
    return left, right


def _texts(column: Words) -> Any:
    return np.array([*column.words, ""], dtype=object)[column.codes]
