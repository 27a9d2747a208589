"""A part of the grid as an Arrow table: planned, computed, filtered, with derived columns."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from llmplan.specs.expressions import conjuncts, kind_of, names_of, parse_expression
from llmplan.specs.plan_file import COLUMNS, DEFAULT_COLUMNS, PlanFile, column_kinds
from llmplan.specs.speed import SpeedTable
from llmplan.sweeping.batch import Batch
from llmplan.sweeping.cells import Cell, Cells
from llmplan.sweeping.loads import BLOCK
from llmplan.sweeping.space import Space
from llmplan.sweeping.values import Words, evaluate, holds

ARROW = {"text": pa.dictionary(pa.int32(), pa.string()), "int": pa.int64(), "float": pa.float64(),
         "bool": pa.bool_(), "number": pa.float64()}  # fmt: skip
WITHOUT_SPEED = ("setup", "memory")
"""Parts of columns that need no speed: filters on them alone come before it is computed."""


class Wanted(NamedTuple):
    """What rows of a plan have, and what they have to meet."""

    columns: tuple[str, ...]
    derived: dict[str, ast.expr]
    first: tuple[ast.expr, ...]
    then: tuple[ast.expr, ...]
    speed: bool
    schema: pa.Schema


def wanted_of(plan: PlanFile, *, priced: bool) -> Wanted:
    """Return the columns of a plan, by default with those of its limits and prices."""
    columns = plan.columns or DEFAULT_COLUMNS
    if not plan.columns:
        columns += ("meets_limits",) if plan.limits else ()
        columns += ("usd_per_hour", "usd_per_million_output_tokens") if priced else ()
    kinds, derived, fields = column_kinds(), {}, {}
    for name, text in plan.derived.items():
        derived[name] = parse_expression(text, kinds)
        kinds[name] = kind_of(derived[name], kinds)
    for name in columns:
        fields[name] = ARROW[COLUMNS[name].type if name in COLUMNS else kinds[name]]
    tree = None if plan.filter is None else parse_expression(plan.filter, kinds, kind="bool")
    parts = list(conjuncts(tree))
    read = {id(p): _read(names_of(p), derived) for p in parts}
    first = [p for p in parts if all(COLUMNS[n].part in WITHOUT_SPEED for n in read[id(p)])]
    used = _read({*columns, *plan.limits}, derived).union(*read.values())
    return Wanted(
        columns=tuple(columns),
        derived=derived,
        first=tuple(first),
        then=tuple(p for p in parts if p not in first),
        speed=any(COLUMNS[n].part not in WITHOUT_SPEED for n in used),
        schema=pa.schema(list(fields.items())),
    )


def _read(names: set[str], derived: dict[str, ast.expr]) -> set[str]:
    """Return the columns behind names, those of derived columns in their place."""
    found: set[str] = set()
    for name in names:
        found |= _read(names_of(derived[name]), derived) if name in derived else {name}
    return found


class Rows(NamedTuple):
    """Rows of a part of the grid, the points they stand for, and those left out by reason.

    `fitting` counts the rows that fit, and keep the plan's limits where it has any.
    """

    table: pa.Table
    points: int
    fitting: int
    left_out: Counter[str]


class Evaluator:
    """Computes parts of a grid; keeps what depends on the model or the device alone."""

    def __init__(self, space: Space, table: SpeedTable) -> None:
        self.space, self.table = space, table
        self.wanted = wanted_of(space.plan, priced=any(g.price for g in space.gpus))
        self.cells = Cells(space, table, speed=self.wanted.speed)

    def rows(self, start: int, stop: int) -> Rows:
        """Return the rows of the points `start` to `stop`."""
        self.cells.left_out = Counter()
        parts: list[pa.RecordBatch] = []
        order: list[Any] = []
        fitting = 0
        for places, batch in self._batches(start, stop):
            part, kept = self._part(batch)
            if part.num_rows:
                parts.append(part)
                order.append(np.repeat(places, batch.loads)[kept])
                fits = batch.column("meets_limits" if batch.limits else "fits")
                fitting += int(np.count_nonzero(fits[kept] == 1))
        table = pa.Table.from_batches(parts, self.wanted.schema)
        if order:
            places = np.concatenate(order)
            if (places[1:] < places[:-1]).any():
                table = table.take(np.argsort(places, kind="stable"))
        table = table.unify_dictionaries().combine_chunks()
        return Rows(table, stop - start, fitting, self.cells.left_out)

    def _batches(self, start: int, stop: int) -> Iterator[tuple[Any, Batch]]:
        """Yield batches of cells of one shape, with the place of each cell in the order."""
        waiting: dict[tuple[int, bool], list[tuple[int, Cell]]] = {}
        for place, cell in enumerate(self.cells.between(start, stop)):
            key = (cell.loads.points, cell.setting is None)
            held = waiting.setdefault(key, [])
            held.append((place, cell))
            if len(held) * cell.loads.points >= BLOCK:
                yield self._batch(waiting.pop(key))
        for held in waiting.values():
            yield self._batch(held)

    def _batch(self, held: list[tuple[int, Cell]]) -> tuple[Any, Batch]:
        places, cells = zip(*held, strict=True)
        return np.array(places), Batch(list(cells), self.table, dict(self.space.plan.limits))

    def _part(self, batch: Batch) -> tuple[pa.RecordBatch, Any]:
        """Return the rows of a batch that meet the filter, and which ones of it they are."""
        column = _Columns(batch, self.wanted.derived)
        kept: Any = slice(None)
        for tree in (*self.wanted.first, *self.wanted.then):
            fine = np.broadcast_to(holds(evaluate(tree, column)), (batch.rows,))
            kept = fine if isinstance(kept, slice) else kept & fine
            if not kept.any():
                return pa.RecordBatch.from_pylist([], self.wanted.schema), kept
        names, types = self.wanted.columns, self.wanted.schema.types
        arrays = [_arrow(column(n), t, kept) for n, t in zip(names, types, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.wanted.schema), kept


class _Columns:
    """The columns of a batch by name, derived ones computed once.

    No closure: that would be a cycle, whose arrays only the garbage collector frees.
    """

    def __init__(self, batch: Batch, trees: dict[str, ast.expr]) -> None:
        self.batch, self.trees = batch, trees
        self.derived: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        """Return a column of all rows."""
        if name not in self.trees:
            return self.batch.column(name)
        if name not in self.derived:
            value = evaluate(self.trees[name], self)
            self.derived[name] = _spread(value, self.batch.rows)
        return self.derived[name]


def _spread(value: Any, rows: int) -> Any:
    if isinstance(value, (Words, np.ndarray)):
        return value
    if isinstance(value, str):
        return Words(np.zeros(rows, dtype=np.int32), [value])
    return np.full(rows, value)


def _arrow(values: Any, type: pa.DataType, kept: Any) -> pa.Array:
    if isinstance(values, Words):
        codes = values.codes[kept]
        nulls = codes < 0 if codes.size and codes.min() < 0 else None
        places = pa.array(codes, type=pa.int32(), mask=nulls)
        return pa.DictionaryArray.from_arrays(places, pa.array(values.words, pa.string()))
    values = values[kept]
    if values.dtype.kind != "f":
        return pa.array(values, type=type)
    nulls = np.isnan(values)
    if not nulls.any():
        return pa.array(values if type == pa.float64() else values.astype(np.int64)).cast(type)
    return pa.array(np.where(nulls, 0, values), mask=nulls).cast(type)
