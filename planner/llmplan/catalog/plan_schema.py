"""The JSON schema of plan files, made of the tables that their reader reads by."""

from __future__ import annotations

from typing import Any

from llmplan.specs import report
from llmplan.specs.plan_file import AXES, COLUMNS, LIMITS, OPTIONS, Axis

_VALUES: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 300},
    "count": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]},
    "tokens": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]},
    "rate": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]},
}
_GROUPS = {
    "parallel": "Splits over the devices; all: every legal one.",
    "workload": "Lengths and loads of the requests.",
}


def plan_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of plan files of `sweep` and `report`."""
    tops: dict[str, Any] = {k: _axis(a) for k, a in AXES.items() if a.group is None}
    for group, what in _GROUPS.items():
        keys = {k: _axis(a) for k, a in AXES.items() if a.group == group}
        tops[group] = _mapping(keys, what)
    tops["parallel"] = {"anyOf": [{"const": "all"}, tops["parallel"]]}
    number = {"type": ["number", "string", "boolean"]}
    seconds = {"type": ["number", "string"]}
    tops |= {
        "limits": _mapping({k: seconds | {"description": w} for k, w in LIMITS.items()},
                           "What an answer may take at most."),
        "filter": {"type": "string", "description": "Expression over columns that rows meet."},
        "columns": _columns(),
        "options": _mapping(dict.fromkeys(OPTIONS, number), "Settings of the whole grid."),
        "report": _report(),
    }  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llmplan plan file",
        **_mapping(tops, "A grid of setups and loads."),
        "required": ["models", "gpus"],
    }


def _report() -> dict[str, Any]:
    text: dict[str, Any] = {"type": ["string", "number"]}
    names = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    kinds: dict[str, dict[str, Any]] = {
        "number": {"type": "number"},
        "string": {"type": "string"},
        "boolean": {"type": "boolean"},
        "names": names,
        "prices": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    }
    growth = {k: text | {"description": what} for k, what in report.GROWTH.items()}
    keys = {k: {"type": "string", "description": what} for k, what in report.TEXTS.items()}
    keys |= {k: kinds[kind] | {"description": what} for k, (kind, what) in report.OPTIONS.items()}
    return _mapping(keys | {"growth": _mapping(growth, "How the load grows.")},
                    "What only `llmplan report` reads.")  # fmt: skip


def _mapping(properties: dict[str, Any], what: str) -> dict[str, Any]:
    return {"type": "object", "description": what, "properties": properties,
            "additionalProperties": False}  # fmt: skip


def _axis(axis: Axis) -> dict[str, Any]:
    value = _VALUES[axis.kind]
    return {"description": axis.what, "anyOf": [value, {"type": "array", "items": value,
                                                        "minItems": 1}]}  # fmt: skip


def _columns() -> dict[str, Any]:
    names = [{"const": name, "description": c.what} for name, c in COLUMNS.items()]
    derived = {"type": "object", "additionalProperties": {"type": "string"},
               "description": "A column of one's own: its name and expression."}  # fmt: skip
    item = {"anyOf": [{"oneOf": names}, {"const": "all"}, derived]}
    return {"description": "Columns of the rows, in order; all for every one.",
            "anyOf": [{"const": "all"}, {"type": "array", "items": item}]}  # fmt: skip
