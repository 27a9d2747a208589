"""How the importers write catalogue YAML, and clean the references of the shared facts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TODAY = "2026-11-21"
"""Day on which the shared facts were read."""


class _Dumper(yaml.SafeDumper):
    """Block style for records, flow style for short lists of numbers."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(entry: dict[str, Any], schema: str) -> str:
    """Return an entry as catalogue YAML."""
    text = yaml.dump(entry, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)
    return f"# yaml-language-server: $schema={schema}\n{text}"


def write(target: Path, entry: dict[str, Any], schema: str) -> None:
    """Write an entry, making its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(dump(entry, schema), encoding="utf-8")


def reference(text: str) -> str:
    """Return a reference without the shared files' own look-up marks, which lead nowhere here."""
    text = re.sub(r"[,;]? ?find_string (file )?ids? \d+(, \d+)*", "", text)
    return (
        re.sub(r"\(pages corpus; ?", "(", text)
        .replace(" (pages corpus)", "")
        .replace("; pages corpus)", ")")
        .replace(" ()", "")
    )
