"""Rules over catalogue files: each is valid alone, and their names do not collide."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from llmplan.catalog.names import normalise
from llmplan.catalog.plan_file import is_plan, plan_of
from llmplan.catalog.report_file import check_section
from llmplan.catalog.schema import kind_of, validate
from llmplan.catalog.yaml_reader import Lines, line_of, read_yaml
from llmplan.errors import CatalogFileError, InputError
from llmplan.specs.model import Model

At = tuple[str | int, ...]
Rules = Callable[[Model], Iterable[tuple[At, str]]]
Taken = dict[tuple[str, str], Path]
NAMESPACE = {"nodes": "gpus"}
"""A device and a machine are asked for in one place, so their names must differ too."""


def expand(paths: list[Path]) -> list[Path]:
    """Return the YAML files meant: files as given, folders searched, each file once."""
    found: dict[Path, Path] = {}
    for path in paths:
        for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
            found.setdefault(Path(os.path.realpath(file)), file)
    return list(found.values())


def check_files(
    paths: list[Path], *, alone: frozenset[Path] = frozenset(), rules: Rules | None = None
) -> list[CatalogFileError]:
    """Return every fault of these files, in their order.

    Files in `alone` may have any name. `rules` are faults that only arithmetic finds.
    """
    faults: list[CatalogFileError] = []
    taken: Taken = {}
    for path in paths:
        try:
            data, lines = read_yaml(path)
            if is_plan(data):
                plan_of(data, where=str(path), lines=lines)
                check_section(data, where=str(path), lines=lines)
                continue
            kind = kind_of(data, str(path))
            record = validate(data, kind, where=str(path), lines=lines)
        except InputError as e:
            faults.append(_of_file(e, path))
            continue
        found = [*_names(record, kind, path, taken, any_name=path in alone)]
        if rules and isinstance(record, Model):
            found += [(at, problem, None) for at, problem in rules(record)]
        faults += [_fault(path, lines, *fault) for fault in found]
    return faults


def _fault(
    path: Path, lines: Lines, at: At, problem: str, hint: str | None = None
) -> CatalogFileError:
    field = ".".join(str(part) for part in at)
    return CatalogFileError.at(str(path), line_of(at, lines), field, problem, hint)


def _of_file(error: InputError, path: Path) -> CatalogFileError:
    if isinstance(error, CatalogFileError) and error.file:
        return error
    fault = CatalogFileError(error.message, error.hint)
    fault.file = str(path)
    return fault


def _names(
    record: Any, kind: str, path: Path, taken: Taken, *, any_name: bool
) -> Iterable[tuple[At, str, str | None]]:
    if record.id != path.stem and not any_name:
        yield ("id",), f"{record.id!r} is not the file's name", f"Rename it to {record.id}.yaml."
    places: list[tuple[At, str]] = [(("id",), record.id)]
    places += [(("aliases", i), alias) for i, alias in enumerate(getattr(record, "aliases", ()))]
    for i, variant in enumerate(getattr(record, "variants", ())):
        places.append((("variants", i, "name"), variant.name))
        if variant.hub_id:
            places.append((("variants", i, "hub_id"), variant.hub_id))
        places += [(("variants", i, "aliases", j), a) for j, a in enumerate(variant.aliases)]
    for at, name in places:
        if not normalise(name):
            yield at, f"{name!r} is no name: it has neither letters nor digits", None
            continue
        other = taken.setdefault((NAMESPACE.get(kind, kind), normalise(name)), path)
        if other != path:
            yield at, f"the name {name!r} is taken by {other}", "Remove one of them."
