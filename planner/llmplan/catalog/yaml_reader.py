"""YAML from people: bounded, no anchors, no duplicate keys, every value with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from llmplan.catalog.reading import read_bounded
from llmplan.errors import CatalogFileError

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
MAX_DIGITS = 40


class Line(int):
    """The number of a line, with the column at which a value's text starts in it, both from 1."""

    column: int

    def __new__(cls, node: Any) -> Line:
        """Return the place of a node of PyYAML."""
        line = super().__new__(cls, node.start_mark.line + 1)
        quoted = getattr(node, "style", None) in ("'", '"')
        line.column = node.start_mark.column + 1 + quoted
        return line


Lines = dict[tuple[str | int, ...], Line]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_KEPT_AS_TEXT = f"{_CORE}timestamp"
_OLD_NUMBER = re.compile(r"[+-]?0[0-9_]|.*:")
"""Numbers that YAML 1.1 reads in base 8 or 60: kept as the text they look like."""
_SCALARS = tuple(_CORE + name for name in ("str", "int", "float", "bool", "null"))


def read_yaml(path: Path) -> tuple[Any, Lines]:
    """Return the data of a YAML file and the line of each value, or one clear error."""
    text = read_bounded(path, MAX_BYTES)
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> tuple[Any, Lines]:
    """Return data and lines of YAML text."""
    try:
        _refuse_bombs(text, where)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as e:
        raise CatalogFileError(f"{where}{_place(e)}: not valid YAML: {_problem(e)}.") from None
    if node is None:
        raise CatalogFileError(f"{where}: the file is empty.")
    lines: Lines = {}
    loader = yaml.SafeLoader("")
    return _build(node, (), lines, loader, where), lines


def line_of(at: tuple[str | int, ...], lines: Lines | None) -> Line | None:
    """Return the line of a place in the data, or of the nearest part above it."""
    if not lines:
        return None
    while at and at not in lines:
        at = at[:-1]
    return lines.get(at)


def _refuse_bombs(text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
            if depth > MAX_DEPTH:
                line = _event_line(event)
                raise CatalogFileError(f"{where}:{line}: nested deeper than {MAX_DEPTH} levels.")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            line = _event_line(event)
            raise CatalogFileError(
                f"{where}:{line}: anchors and aliases are not allowed.", "Write the value out."
            )


def _event_line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _build(node: Any, at: tuple[str | int, ...], lines: Lines, loader: Any, where: str) -> Any:
    lines[at] = Line(node)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, lines[at], loader, where)
    if isinstance(node, yaml.SequenceNode):
        return [_build(n, (*at, i), lines, loader, where) for i, n in enumerate(node.value)]
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = Line(key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            raise CatalogFileError(f"{where}:{line}: a key must be plain text.")
        key = str(key_node.value)
        if key in result:
            raise CatalogFileError(f"{where}:{line}: key {key!r} stands twice.", "Keep one.")
        result[key] = _build(value_node, (*at, key), lines, loader, where)
        if lines[(*at, key)] != line:
            lines[(*at, key)] = line
    return result


def _scalar(node: Any, line: int, loader: Any, where: str) -> Any:
    kind = node.tag.removeprefix(_CORE)
    if node.tag == _KEPT_AS_TEXT:
        return node.value
    if node.tag not in _SCALARS:
        raise CatalogFileError.at(where, line, None, f"the tag {kind} is not allowed")
    if kind in ("int", "float"):
        if len(node.value) > MAX_DIGITS:
            raise CatalogFileError.at(where, line, None, "a number of too many digits")
        if _OLD_NUMBER.match(node.value):
            return node.value
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise CatalogFileError.at(where, line, None, f"not a valid {kind}") from None


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _problem(error: Exception) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())[:120]
