"""The catalogue: one compiled index when installed, the YAML files themselves in a checkout.

Nothing here imports yaml or pydantic when the index is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from llmplan.errors import OutsideError

INDEX_NAME = "catalog.jsonl"
KINDS = ("models", "gpus", "nodes")
Plain = dict[str, Any]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Store:
    """Entries by kind and id, with the tables that names are looked up in."""

    def __init__(self, header: Mapping[str, Any], read: Any) -> None:
        self._header = header
        self._read = read

    def names(self, kind: str) -> dict[str, list[str]]:
        """Return normalised name -> ids."""
        table: dict[str, list[str]] = self._header["names"][kind]
        return table

    def groups(self, kind: str) -> dict[str, list[str]]:
        """Return normalised bare name -> ids (usual checkpoint of a model, product of a device)."""
        table: dict[str, list[str]] = self._header["groups"].get(kind, {})
        return table

    def ids(self, kind: str) -> list[str]:
        """Return the ids of a kind, sorted."""
        return sorted(self._header["entries"][kind])

    def entry(self, kind: str, id: str) -> Plain:
        """Return one entry as plain data."""
        found: Plain = self._read(kind, id)
        return found

    def entries(self, kind: str) -> list[Plain]:
        """Return all entries of a kind, by id."""
        return [self.entry(kind, i) for i in self.ids(kind)]


def open_store() -> Store:
    """Return the built-in catalogue."""
    data = _index_bytes()
    if data is not None:
        return index_store(data)
    root = checkout_root()
    if root is None:
        raise OutsideError(
            "The llmplan catalogue is missing from this installation.",
            "Reinstall: pip install --force-reinstall llmplan.",
        )
    from llmplan.catalog.files import read_checkout

    return read_checkout(root)


def checkout_root() -> str | None:
    """Return the repository's root when this package runs from a checkout."""
    root = os.path.dirname(os.path.dirname(_PACKAGE))
    marks = ("pyproject.toml", "models", "hardware")
    return root if all(os.path.exists(os.path.join(root, m)) for m in marks) else None


def _index_bytes() -> bytes | None:
    path = os.path.join(_PACKAGE, INDEX_NAME)
    loader = globals().get("__loader__")
    try:
        data: bytes = loader.get_data(path)  # type: ignore[union-attr]  # works in a zip too
        return data
    except (OSError, AttributeError):
        return None


def index_store(data: bytes) -> Store:
    """Return the store of a compiled index: a header line, then one line an entry."""
    end = data.index(b"\n") + 1
    header = json.loads(data[:end])

    def read(kind: str, id: str) -> Plain:
        start, length = header["entries"][kind][id]
        entry: Plain = json.loads(data[end + start : end + start + length])
        return entry

    return Store(header, read)


def plain_store(entries: Mapping[str, list[Plain]]) -> Store:
    """Return the store of entries already read."""
    by_id = {kind: {e["id"]: e for e in entries.get(kind, [])} for kind in KINDS}
    return Store(make_header(by_id), lambda kind, id: by_id[kind][id])


def make_header(by_id: Mapping[str, Mapping[str, Plain]]) -> Plain:
    """Return the name tables of a catalogue; `entries` still without positions."""
    from llmplan.catalog.names import group_table, name_table

    return {
        "names": {k: name_table(list(by_id[k].values())) for k in KINDS},
        "groups": {
            "models": group_table(by_id["models"].values(), "usual_for"),
            "gpus": group_table(by_id["gpus"].values(), "products"),
        },
        "entries": {k: dict.fromkeys(by_id[k]) for k in KINDS},
    }


def write_index(by_id: Mapping[str, Mapping[str, Plain]]) -> bytes:
    """Return a compiled index, the same bytes for the same entries."""
    header = make_header(by_id)
    lines, position = [], 0
    for kind in KINDS:
        for id in sorted(by_id[kind]):
            line = _json(by_id[kind][id])
            header["entries"][kind][id] = [position, len(line)]
            lines.append(line)
            position += len(line) + 1
    return b"\n".join([_json(header), *lines]) + b"\n"


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()
