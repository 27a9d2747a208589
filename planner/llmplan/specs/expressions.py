"""Expressions over columns, as plan files write them: compared, combined, computed, never run.

Python's parser reads the text and a short list of node kinds is let through: names of columns,
numbers, texts, comparisons, `and`, `or`, `not`, `in` and arithmetic without powers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_NUMBER = 1e300

ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
WAY_OUT = "use columns, numbers, 'texts', + - * / %, < <= == != in, and, or, not"


class ExpressionError(Exception):
    """What is wrong with an expression, and at which character of it, from 0."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def parse_expression(text: str, columns: Mapping[str, str], *, kind: str | None = None) -> ast.expr:
    """Return the tree of an expression over columns (name to text, number or bool).

    `kind` is what it has to give. ExpressionError says what is wrong, and where.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as e:
        raise ExpressionError(f"not an expression: {e.msg}", max(0, (e.offset or 1) - 1)) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("not an expression") from None
    found = kind_of(tree, columns)
    if kind is not None and found != kind:
        raise ExpressionError(f"gives a {found}, not a {kind}")
    return tree


def names_of(tree: ast.expr) -> set[str]:
    """Return the columns that an expression reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def conjuncts(tree: ast.expr | None) -> Iterator[ast.expr]:
    """Yield the parts that `and` joins on top."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for value in tree.values:
            yield from conjuncts(value)
    elif tree is not None:
        yield tree


def kind_of(node: ast.expr, columns: Mapping[str, str], depth: int = 0) -> str:
    """Return what an expression gives: text, number or bool; ExpressionError where it can't be."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"nested deeper than {MAX_DEPTH} levels", node.col_offset)
    if isinstance(node, ast.Name):
        return _column(node, columns)
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.BoolOp):
        return _of(node.values, "bool", columns, depth)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        kind = "bool" if isinstance(node.op, ast.Not) else "number"
        return _of([node.operand], kind, columns, depth)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC):
        return _of([node.left, node.right], "number", columns, depth)
    if isinstance(node, ast.Compare) and all(isinstance(op, COMPARISONS) for op in node.ops):
        return _comparison(node, columns, depth)
    what = type(node).__name__.lower()
    raise ExpressionError(f"{what} is not allowed here: {WAY_OUT}", node.col_offset)


def _of(parts: list[ast.expr], kind: str, columns: Mapping[str, str], depth: int) -> str:
    for part in parts:
        found = kind_of(part, columns, depth + 1)
        if found != kind:
            raise ExpressionError(f"a {kind} is needed here, not a {found}", part.col_offset)
    return kind


def _comparison(node: ast.Compare, columns: Mapping[str, str], depth: int) -> str:
    left = kind_of(node.left, columns, depth + 1)
    for op, right in zip(node.ops, node.comparators, strict=True):
        parts = _listed(right) if isinstance(op, (ast.In, ast.NotIn)) else [right]
        _of(parts, left, columns, depth)
        if left != "number" and isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
            raise ExpressionError(f"a {left} has no order", right.col_offset)
    return "bool"


def _listed(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, (ast.List, ast.Tuple)) or not node.elts:
        raise ExpressionError("`in` takes a list: in ['a', 'b']", node.col_offset)
    if not all(isinstance(e, ast.Constant) for e in node.elts):
        raise ExpressionError("a list after `in` has numbers or texts", node.col_offset)
    return node.elts


def _column(node: ast.Name, columns: Mapping[str, str]) -> str:
    if node.id in columns:
        return columns[node.id]
    close = get_close_matches(node.id, columns, n=1, cutoff=0.6)
    hint = f", did you mean {close[0]}?" if close else ""
    raise ExpressionError(f"{node.id[:40]!r} is no column{hint}", node.col_offset)


def _constant(node: ast.Constant) -> str:
    value: Any = node.value
    if isinstance(value, (bool, str)):
        return "bool" if isinstance(value, bool) else "text"
    if not isinstance(value, (int, float)):
        raise ExpressionError(f"{type(value).__name__} is not allowed: {WAY_OUT}", node.col_offset)
    if not abs(value) <= MAX_NUMBER:
        raise ExpressionError("a number beyond any column", node.col_offset)
    return "number"
