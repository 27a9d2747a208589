"""Catalogue YAML files of a checkout, read without validation (`llmplan check` validates)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmplan.catalog.store import KINDS, Store, lazy_store
from llmplan.errors import CatalogFileError
from llmplan.specs.prices import price_entries

FOLDERS = {
    "models": "models", "gpus": "hardware", "nodes": "hardware/nodes", "topics": "models/topics",
    "prices": "hardware/prices", "engines": "engines", "speed": "hardware/speed",
}  # fmt: skip
ASIDE = {"models": ("topics",), "gpus": ("nodes", "prices", "speed")}
"""Folders below a kind's own that hold other kinds."""


def yaml_files(root: Path, kind: str) -> list[Path]:
    """Return the YAML files of a kind below a repository root."""
    folder = root / FOLDERS[kind]
    aside = [folder / name for name in ASIDE.get(kind, ())]
    found = sorted(folder.rglob("*.yaml"))
    return [p for p in found if not any(a in p.parents for a in aside)]


def read_entries(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every entry below a repository root, by kind."""
    return {kind: read_kind(root, kind) for kind in KINDS}


def read_kind(root: Path, kind: str) -> list[dict[str, Any]]:
    """Return the entries of one kind; price lists come turned over to one entry a machine."""
    found = [_read_entry(path) for path in yaml_files(root, kind)]
    return price_entries(found, read_kind(root, "nodes")) if kind == "prices" else found


def _read_entry(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # a safe loader, which the linter cannot see through getattr
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    if not isinstance(data, dict) or "id" not in data:
        raise CatalogFileError(f"{path}: not a catalogue entry.", "Run: llmplan check " + str(path))
    plain: dict[str, Any] = plain_dates(data)
    return plain


def plain_dates(value: Any) -> Any:
    """Return the value with dates as ISO text, as JSON will have them."""
    if isinstance(value, dict):
        return {str(k): plain_dates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain_dates(v) for v in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def read_checkout(root: str) -> Store:
    """Return the store of a checkout."""
    return lazy_store(lambda kind: read_kind(Path(root), kind))
