"""The catalogue: one compiled index when installed, the YAML files themselves in a checkout.

Nothing here imports yaml or pydantic when the index is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from llmplan.errors import OutsideError

INDEX_NAME = "catalog.jsonl"
KINDS = ("models", "gpus", "nodes", "topics", "prices", "engines", "speed")
Plain = dict[str, Any]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Store:
    """Entries by kind and id, with the tables that names are looked up in, read when asked for."""

    def __init__(
        self,
        header: Callable[[str], Plain],
        read: Callable[[str, str, Any], Plain],
        listing: Callable[[], list[Plain] | None] = lambda: None,
    ) -> None:
        self._make_header = header
        self._headers: dict[str, Plain] = {}
        self._read = read
        self._listing = listing

    def header(self, kind: str) -> Plain:
        """Return the tables of a kind: names, groups, places of its entries."""
        if kind not in self._headers:
            self._headers[kind] = self._make_header(kind)
        return self._headers[kind]

    def names(self, kind: str) -> dict[str, list[str]]:
        """Return normalised name -> ids."""
        table: dict[str, list[str]] = self.header(kind)["names"]
        return table

    def groups(self, kind: str) -> dict[str, list[str]]:
        """Return normalised bare name -> ids (usual checkpoint of a model, product of a device)."""
        table: dict[str, list[str]] = self.header(kind)["groups"]
        return table

    def listing(self) -> list[Plain] | None:
        """Return what the listing of models says, computed when the index was compiled."""
        return self._listing()

    def sizes(self) -> dict[str, list[Any]]:
        """Return device id -> vendor, usable memory [bytes] and bandwidth [bytes/s]."""
        table: dict[str, list[Any]] = self.header("gpus")["sizes"]
        return table

    def ids(self, kind: str) -> list[str]:
        """Return the ids of a kind, sorted."""
        return sorted(self.header(kind)["entries"])

    def has(self, kind: str, id: str) -> bool:
        """Return whether there is an entry of this very id."""
        return id in self.header(kind)["entries"]

    def entry(self, kind: str, id: str) -> Plain:
        """Return one entry as plain data."""
        return self._read(kind, id, self.header(kind)["entries"][id])

    def entries(self, kind: str) -> list[Plain]:
        """Return all entries of a kind, by id."""
        return [self.entry(kind, i) for i in self.ids(kind)]


VARIABLE = "LLMPLAN_CATALOG"
"""Environment variable with one or more folders, the first one first."""


def own_folders() -> list[str]:
    """Return the folders of the user's own catalogue: those named, else the usual one if there."""
    named = os.environ.get(VARIABLE)
    if named:
        return [f for f in named.split(os.pathsep) if f]
    usual = usual_folder()
    return [usual] if os.path.isdir(usual) else []


def usual_folder() -> str:
    """Return the folder that is read without being named."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, "llmplan", "catalog")


def open_store() -> Store:
    """Return the catalogue: the user's own entries before the built-in ones."""
    folders = own_folders()
    if not folders:
        return _builtin()
    from llmplan.catalog.own import layered, own_store

    return layered(own_store(folders), _builtin())


def _builtin() -> Store:
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
        # a loader reads inside a zip too; one without get_data is the AttributeError below
        data: bytes = loader.get_data(path)  # type: ignore[union-attr]
        return data
    except (OSError, AttributeError):
        return None


def index_store(data: bytes) -> Store:
    """Return the store of a compiled index: a line of places, then entries, then name tables.

    Each kind has its own tables, so that a command parses only those it looks a name up in.
    """
    base = data.index(b"\n") + 1
    places = json.loads(data[:base])

    def cut(start: int, length: int) -> Plain:
        found: Plain = json.loads(data[base + start : base + start + length])
        return found

    return Store(
        lambda kind: cut(*places[kind]),
        lambda kind, id, place: cut(*place),
        lambda: cut(*places["listing"])["rows"],
    )


def lazy_store(read_kind: Callable[[str], list[Plain]]) -> Store:
    """Return the store of entries that are read a kind at a time."""
    by_id: dict[str, dict[str, Plain]] = {}

    def header(kind: str) -> Plain:
        by_id[kind] = {e["id"]: e for e in read_kind(kind)}
        return make_header(kind, by_id[kind])

    return Store(header, lambda kind, id, place: by_id[kind][id])


GROUPED_BY = {"models": ("usual_for",), "gpus": ("products", "driver_names")}
UNNAMED = ("prices", "speed")
"""Kinds whose entries are found by the id of what they belong to."""


def make_header(kind: str, by_id: Mapping[str, Plain]) -> Plain:
    """Return the name tables of a kind; `entries` still without positions."""
    from llmplan.catalog.names import group_table, name_table

    entries = list(by_id.values())
    header = {
        "names": {} if kind in UNNAMED else name_table(entries),
        "groups": group_table(entries, GROUPED_BY[kind]) if kind in GROUPED_BY else {},
        "entries": dict.fromkeys(by_id),
    }
    if kind == "gpus":
        header["sizes"] = {e["id"]: _size(e) for e in entries}
    return header


def _size(entry: Plain) -> list[Any]:
    from llmplan.specs.hardware import accelerator_from_dict

    gpu = accelerator_from_dict(entry)
    return [gpu.vendor, gpu.usable_memory_bytes, gpu.memory_bandwidth_bytes_per_s]


def write_index(
    by_id: Mapping[str, Mapping[str, Plain]], listing: list[Plain] | None = None
) -> bytes:
    """Return a compiled index, the same bytes for the same entries."""
    lines: list[bytes] = []
    position = 0

    def add(value: Plain) -> list[int]:
        nonlocal position
        line = _json(value)
        lines.append(line)
        position += len(line) + 1
        return [position - len(line) - 1, len(line)]

    headers = {kind: make_header(kind, by_id.get(kind, {})) for kind in KINDS}
    for kind, header in headers.items():
        for id in sorted(header["entries"]):
            header["entries"][id] = add(by_id[kind][id])
    places = {kind: add(header) for kind, header in headers.items()}
    places["listing"] = add({"rows": listing})
    return b"\n".join([_json(places), *lines]) + b"\n"


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()
