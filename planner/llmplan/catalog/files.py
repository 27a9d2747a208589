"""Catalogue YAML files of a checkout, read without validation (`llmplan check` validates)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmplan.catalog.store import KINDS, Store, plain_store
from llmplan.errors import CatalogFileError

FOLDERS = {"models": "models", "gpus": "hardware", "nodes": "hardware/nodes"}


def yaml_files(root: Path, kind: str) -> list[Path]:
    """Return the YAML files of a kind below a repository root."""
    folder = root / FOLDERS[kind]
    found = sorted(folder.rglob("*.yaml"))
    if kind == "gpus":
        found = [p for p in found if p.parent.name not in ("nodes", "prices")]
    return found


def read_entries(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every entry below a repository root, by kind."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        entries[kind] = []
        for path in yaml_files(root, kind):
            # a safe loader, which the linter cannot see through getattr
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
            if not isinstance(data, dict) or "id" not in data:
                raise CatalogFileError(
                    f"{path}: not a catalogue entry.", "Run: llmplan check " + str(path)
                )
            entries[kind].append(plain_dates(data))
    return entries


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
    return plain_store(read_entries(Path(root)))
