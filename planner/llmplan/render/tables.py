"""Tables of text, by tabulate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

METADATA = "importlib.metadata"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    markdown: bool = False,
    align: Sequence[str] | None = None,
) -> str:
    """Return an aligned or a Markdown table; None is an empty cell."""
    text: str = _tabulate()(
        [["" if c is None else c for c in row] for row in rows],
        headers=list(headers),
        tablefmt="github" if markdown else "simple",
        disable_numparse=True,
        colalign=align,
    )
    return text


def _tabulate() -> Any:
    """Return tabulate's function, without the e-mail parser behind its question for its version.

    `importlib.metadata` takes three quarters of the time that tabulate takes to import, and is
    asked for the version only; a stand-in says that it is not known.
    """
    asked = METADATA in sys.modules or "tabulate" in sys.modules
    if not asked:
        stand_in = ModuleType(METADATA)
        stand_in.version = _no_version  # type: ignore[attr-defined]
        stand_in.PackageNotFoundError = LookupError  # type: ignore[attr-defined]
        sys.modules[METADATA] = stand_in
    try:
        from tabulate import tabulate
    finally:
        if not asked:
            del sys.modules[METADATA]
    return tabulate


def _no_version(name: str) -> str:
    raise LookupError(name)
