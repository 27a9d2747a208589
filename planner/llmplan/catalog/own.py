"""A user's own catalogue: folders of YAML files whose entries come before the built-in ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llmplan.catalog.store import VARIABLE, Store, lazy_store
from llmplan.errors import CatalogFileError, InputError


def own_store(folders: list[str]) -> Store:
    """Return the store of these folders; a file that does not validate is an error."""
    read: dict[str, list[dict[str, Any]]] = {}

    def entries(kind: str) -> list[dict[str, Any]]:
        if not read:
            read.update(_read(folders))
        return read.get(kind, [])

    return lazy_store(entries)


def _read(folders: list[str]) -> dict[str, list[dict[str, Any]]]:
    from llmplan.catalog.schema import kind_of, validate
    from llmplan.catalog.yaml_reader import read_yaml
    from llmplan.specs.prices import price_entries

    found: dict[str, list[dict[str, Any]]] = {"models": []}
    seen: dict[tuple[str, str], Path] = {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputError(f"{VARIABLE}: {folder}: no such folder.", "Name one that is there.")
        for path in sorted(Path(folder).rglob("*.yaml")):
            data, lines = read_yaml(path)
            kind = kind_of(data, str(path))
            record = validate(data, kind, where=str(path), lines=lines)
            first = seen.setdefault((kind, record.id), path)
            if first.parent == path.parent and first != path:
                raise CatalogFileError.at(
                    str(path), None, "id", f"{record.id!r} is taken by {first}", "Rename one."
                )
            if first == path:
                found.setdefault(kind, []).append(data)
    found["prices"] = price_entries(found.get("prices", []), found.get("nodes", []))
    return found


def layered(first: Store, second: Store) -> Store:
    """Return a store in which the entries and names of `first` come before those of `second`."""

    def header(kind: str) -> dict[str, Any]:
        front, back = first.header(kind), second.header(kind)
        merged = {k: {**back[k], **front[k]} for k in back if k != "entries"}
        shared = front["groups"].keys() & back["groups"].keys()
        both = {k: [*front["groups"][k], *back["groups"][k]] for k in shared}
        merged["groups"] |= both if kind == "gpus" else {}  # a bare product name means them all
        places = {id: (second, place) for id, place in back["entries"].items()}
        places |= {id: (first, place) for id, place in front["entries"].items()}
        return {**merged, "entries": places}

    def read(kind: str, id: str, place: Any) -> dict[str, Any]:
        store: Store = place[0]
        return store.entry(kind, id)

    return Store(header, read)
