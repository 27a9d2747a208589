"""Build hook: compile the YAML catalogue to one index in the wheel. Editable installs skip it."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def compile_index(root: Path) -> bytes:
    """Return the compiled index of the YAML files below a repository root."""
    sys.path.insert(0, str(root / "planner"))
    try:
        from llmplan.catalog.files import read_entries
        from llmplan.catalog.store import write_index
        from llmplan.render.models import row_of_entry
    finally:
        sys.path.pop(0)
    entries = read_entries(root)
    listing = [row_of_entry(e) for e in sorted(entries["models"], key=lambda e: str(e["id"]))]
    by_kind = {kind: {e["id"]: e for e in found} for kind, found in entries.items()}
    return write_index(by_kind, listing)


# hatchling's type parameter is the builder's configuration, which the hook does not read
class CatalogHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds llmplan/catalog.jsonl to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the index into a temporary file and map it into the wheel."""
        if version == "editable":
            return
        folder = tempfile.mkdtemp(prefix="llmplan-index-")
        target = Path(folder) / "catalog.jsonl"
        target.write_bytes(compile_index(Path(self.root)))
        build_data["force_include"][str(target)] = "llmplan/catalog.jsonl"
