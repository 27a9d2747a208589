"""A plan file of `sweep` or `report`: YAML or a mapping in, a record out, faults with places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmplan.catalog.axis_values import names, numbers
from llmplan.catalog.names import close_names
from llmplan.catalog.yaml_reader import Lines, line_of, read_yaml
from llmplan.errors import CatalogFileError, InputError
from llmplan.specs.expressions import ExpressionError, kind_of, parse_expression
from llmplan.specs.plan_file import (
    AXES,
    COLUMNS,
    LIMITS,
    OPTIONS,
    PlanFile,
    column_kinds,
)
from llmplan.specs.units import parse_seconds

GROUPS = ("parallel", "workload")
REST = ("limits", "filter", "columns", "options", "report")
GPU_COUNTS = (1, 2, 4, 8)
"""What `all` means for counts of devices: those of common machines (nodes of 2026-11)."""
At = tuple[str | int, ...]


def read_plan(path: Path) -> PlanFile:
    """Return the plan of a YAML file; CatalogFileError names file, line, column and the edit."""
    data, lines = read_yaml(path)
    return plan_of(data, where=str(path), lines=lines)


def is_plan(data: Any) -> bool:
    """Return whether plain data are meant as a plan, by the keys that only plans have."""
    return isinstance(data, dict) and bool({"models", "gpus", "workload"} & set(data))


def plan_of(data: Any, *, where: str = "plan", lines: Lines | None = None) -> PlanFile:
    """Return the plan of plain data: that of a file, or keywords of `llmplan.sweep`."""
    return _Reader(where, lines).plan(data)


class _Reader:
    """Reads one plan; knows where it stands, for its errors."""

    def __init__(self, where: str, lines: Lines | None) -> None:
        self.where, self.lines = where, lines

    def plan(self, data: Any) -> PlanFile:
        """Return the record."""
        if not isinstance(data, dict):
            raise self.fault((), "a plan is a mapping of keys to values")
        tops = [k for k, a in AXES.items() if a.group is None]
        self.known(data, (), [*tops, *GROUPS, *REST])
        found: dict[str, Any] = {}
        for key in tops:
            if key in data:
                found[key] = self.axis(key, data[key], (key,))
        for key in ("models", "gpus"):
            if key not in found:
                raise self.fault((), f"{key} is missing: name at least one, or all")
        for group in GROUPS:
            if group in data:
                found |= self.group(group, data[group])
        found["limits"] = self.limits(data.get("limits", {}))
        found["columns"], found["derived"] = self.columns(data.get("columns", []))
        found["filter"] = self.filter(data.get("filter"), found["derived"])
        found["options"] = self.options(data.get("options", {}))
        return PlanFile(**found)

    def fault(self, at: At, problem: str, offset: int | None = None) -> CatalogFileError:
        """Return the error of a place; `offset` characters into its text."""
        line = line_of(at, self.lines)
        column = None
        if line is not None:
            column = line.column + (offset or 0)
        field = ".".join(str(part) for part in at) or None
        return CatalogFileError.at(self.where, line, field, problem, column=column)

    def known(self, data: Any, at: At, keys: list[str]) -> None:
        """Refuse what is no mapping, and keys that there are not."""
        if not isinstance(data, Mapping):
            raise self.fault(at, "must be a mapping of keys to values")
        for key in data:
            if key not in keys:
                close = close_names(str(key)[:60], keys, 1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(keys)}"
                raise self.fault((*at, key), f"unknown key, {hint}")

    def group(self, group: str, data: Any) -> dict[str, Any]:
        """Return the axes of `parallel` or `workload`."""
        if group == "parallel" and data == "all":
            return {"splits": True}
        keys = [k for k, a in AXES.items() if a.group == group]
        self.known(data, (group,), keys)
        return {key: self.axis(key, data[key], (group, key)) for key in keys if key in data}

    def axis(self, key: str, value: Any, at: At) -> tuple[Any, ...]:
        """Return the values of an axis."""
        kind = AXES[key].kind

        def problem(below: tuple[int, ...], text: str) -> Exception:
            return self.fault((*at, *below), text)

        if kind == "name":
            return names(value, problem)
        if value == "all":
            if key == "gpu_counts":
                return GPU_COUNTS
            what = "parallel: all" if AXES[key].group == "parallel" else "a list or a range"
            raise self.fault(at, f"all is not known here: give {what}")
        return numbers(value, kind, problem)

    def limits(self, data: Any) -> dict[str, float]:
        """Return limits in seconds."""
        self.known(data, ("limits",), list(LIMITS))
        found = {}
        for key, value in data.items():
            try:
                found[key] = parse_seconds(value)
            except InputError as e:
                raise self.fault(("limits", key), e.message.rstrip(".")) from None
        return found

    def columns(self, data: Any) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return the names of the columns in order, and the expressions of derived ones."""
        if data == "all":
            return tuple(COLUMNS), {}
        if not isinstance(data, list):
            raise self.fault(("columns",), "must be a list of columns, or all")
        kinds, derived = column_kinds(), {}
        chosen: dict[str, None] = {}
        for i, item in enumerate(data):
            at: At = ("columns", i)
            if isinstance(item, dict):
                for name, text in item.items():
                    kinds[name] = self.derived(name, text, kinds, (*at, name))
                    derived[name] = text
                    chosen[name] = None
            elif item == "all":
                chosen |= dict.fromkeys(COLUMNS)
            elif isinstance(item, str) and item in COLUMNS:
                chosen[item] = None
            else:
                close = close_names(str(item)[:60], list(COLUMNS), 1)
                hint = f": did you mean {close[0]}?" if close else ""
                raise self.fault(at, f"{str(item)[:40]!r} is no column{hint}")
        return tuple(chosen), derived

    def derived(self, name: str, text: Any, kinds: Mapping[str, str], at: At) -> str:
        """Return what a derived column gives."""
        if not name.isidentifier() or len(name) > 60:
            raise self.fault(at, f"{name[:40]!r} is no name of a column: letters, digits and _")
        if name in kinds:
            raise self.fault(at, f"there is a column {name} already: choose another name")
        return kind_of(self.expression(text, kinds, at), kinds)

    def filter(self, text: Any, derived: Mapping[str, str]) -> str | None:
        """Return the filter, checked."""
        if text is None:
            return None
        kinds = column_kinds()
        for name, expression in derived.items():
            kinds[name] = kind_of(parse_expression(expression, kinds), kinds)
        self.expression(text, kinds, ("filter",), "bool")
        return str(text)

    def expression(
        self, text: Any, kinds: Mapping[str, str], at: At, kind: str | None = None
    ) -> Any:
        """Return the tree of an expression."""
        if not isinstance(text, str):
            raise self.fault(at, "must be an expression in quotes, as 'tpot_s < 0.05'")
        try:
            return parse_expression(text, kinds, kind=kind)
        except ExpressionError as e:
            raise self.fault(at, str(e), e.offset) from None

    def options(self, data: Any) -> dict[str, object]:
        """Return settings of the whole grid; their values are checked where they are used."""
        self.known(data, ("options",), list(OPTIONS))
        for key, value in data.items():
            if isinstance(value, (list, dict)) or value is None:
                raise self.fault(("options", key), "takes one value for the whole grid")
        return dict(data)
