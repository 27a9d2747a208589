"""Rules over catalogue files: each is valid alone, and their names do not collide."""

from __future__ import annotations

from pathlib import Path

from llmplan.catalog.names import normalise
from llmplan.catalog.schema import kind_of, validate
from llmplan.catalog.yaml_reader import read_yaml
from llmplan.errors import CatalogFileError, InputError


def expand(paths: list[Path]) -> list[Path]:
    """Return the YAML files meant: files as given, folders searched."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    return found


def check_files(paths: list[Path], *, alone: frozenset[Path] = frozenset()) -> list[InputError]:
    """Return every fault of these files, in their order; `alone` may have any file name."""
    faults: list[InputError] = []
    taken: dict[tuple[str, str], str] = {}
    for path in paths:
        try:
            data, lines = read_yaml(path)
            kind = kind_of(data, str(path))
            record = validate(data, kind, where=str(path), lines=lines)
            if record.id != path.stem and path not in alone:
                raise CatalogFileError(
                    f"{path}: id {record.id!r} is not the file's name.",
                    f"Rename the file to {record.id}.yaml.",
                )
            for name in {record.id, *record.aliases}:
                other = taken.setdefault((kind, normalise(name)), str(path))
                if other != str(path):
                    raise CatalogFileError(
                        f"{path}: the name {name!r} is taken by {other}.", "Remove one of them."
                    )
        except InputError as e:
            faults.append(e)
    return faults
