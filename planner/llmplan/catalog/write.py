"""Catalogue YAML from a model: what `llmplan models add` writes, and the importers too."""

from __future__ import annotations

import os
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from llmplan.catalog.store import own_folders, usual_folder
from llmplan.errors import InputError, OutsideError
from llmplan.sources.layers import layer_runs
from llmplan.specs.model import Model, Stack
from llmplan.specs.record import Record, plain

LEFT_OUT = ("stored", "path", "adapter")
"""Facts of the files at hand, not of the architecture."""

REVIEW = (
    "written by llmplan models add: review the licence, the release date and the sources, and add "
    "the published count"
)


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented below their key, nothing shared by reference."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(entry: dict[str, Any], schema: str | None = None) -> str:
    """Return an entry as catalogue YAML, with the editor's schema line on top."""
    text = yaml.dump(entry, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)
    return f"# yaml-language-server: $schema={schema}\n{text}" if schema else text


def entry_of(model: Model) -> dict[str, Any]:
    """Return a model as a catalogue entry: facts that are not the default, layers as runs."""
    entry = _without_defaults(model)
    for name in LEFT_OUT:
        entry.pop(name, None)
    for name in ("decoder", "encoder", "vision", "draft"):
        stack = getattr(model, name)
        if stack is not None:
            entry[name] = _stack(stack)
    entry["notes"] = [*entry.get("notes", ()), REVIEW]
    if not model.published and "architecture" not in model.unverified:
        entry["unverified"] = ["architecture", *entry.get("unverified", ())]
    today = datetime.now(UTC).date().isoformat()
    entry["sources"] = [{"date": today, **_without_defaults(s)} for s in model.sources]
    return entry


def _stack(stack: Stack) -> dict[str, Any]:
    found = _without_defaults(stack)
    found["blocks"] = {name: _without_defaults(b) for name, b in stack.blocks.items()}
    return found | {"layers": layer_runs(list(stack.layers))}


def _without_defaults(record: Record) -> dict[str, Any]:
    """Return the fields of a record that differ from their defaults, and its kind."""
    found: dict[str, Any] = {}
    for f in fields(record):
        value = getattr(record, f.name)
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if value == default and f.name != "kind":
            continue
        if isinstance(value, Record):
            found[f.name] = _without_defaults(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            found[f.name] = [_without_defaults(v) for v in value]
        else:
            found[f.name] = plain(value)
    return found


def entry_text(model: Model) -> str:
    """Return the catalogue YAML of a model."""
    return to_yaml(entry_of(model))


def add_model(model: Model, output: str | None) -> Path:
    """Write the catalogue YAML of a model: to a file or folder, else to the user's own catalogue.

    Raises InputError where the file is there already, OutsideError where it cannot be written.
    """
    target = Path(output or next(iter(own_folders()), usual_folder()))
    if target.suffix not in (".yaml", ".yml"):
        target = target / f"{model.id}.yaml"
    text = entry_text(model)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{target} is there already.", "Give another file: -o FILE.") from None
    except OSError as e:
        raise OutsideError(f"{target}: {(e.strerror or str(e)).lower()}.") from None
    return Path(os.path.relpath(target)) if output else target
