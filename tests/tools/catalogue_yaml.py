"""How the importers write catalogue YAML, and clean the references of the shared facts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "planner"))

from llmplan.catalog.write import to_yaml  # noqa: E402

TODAY = "2026-11-21"
"""Day on which the shared facts were read."""


def write(target: Path, entry: dict[str, Any], schema: str | None) -> None:
    """Write an entry, making its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(to_yaml(entry, schema), encoding="utf-8")


def reference(text: str) -> str:
    """Return a reference without the shared files' own look-up marks, which lead nowhere here."""
    text = re.sub(r"[,;]? ?find_string (file )?ids? \d+(, \d+)*", "", text)
    return (
        re.sub(r"\(pages corpus; ?", "(", text)
        .replace(" (pages corpus)", "")
        .replace("(docs corpus, ", "(")
        .replace("(docs corpus: ", "(")
        .replace("; pages corpus)", ")")
        .replace(" ()", "")
    )
