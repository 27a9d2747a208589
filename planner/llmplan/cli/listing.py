"""What `models` and `gpus` share: a query with `show ID` beside it, and one way to print rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from llmplan.errors import UnknownName


def print_rows(
    rows: Sequence[dict[str, Any]],
    headers: Sequence[str],
    cells: Callable[[dict[str, Any]], list[Any]],
    format: str,
) -> None:
    """Print a listing in the asked format; JSON and CSV hold base units."""
    from llmplan.render.records import to_csv, to_json

    if format == "json":
        click.echo(to_json(list(rows)))
    elif format == "csv":
        click.echo(to_csv(list(rows[0]), [list(r.values()) for r in rows]))
    else:
        from llmplan.render.tables import table

        click.echo(table(headers, [cells(r) for r in rows], markdown=format == "markdown"))


def show_name(words: Sequence[str]) -> str | None:
    """Return the name in `show NAME`, None when the words are a query."""
    return " ".join(words[1:]) if len(words) > 1 and words[0] == "show" else None


def none_found(what: str, query: str) -> UnknownName:
    """Return the error of a query that finds nothing."""
    return UnknownName(f"No {what} matches {query[:80]!r}.", f"List all: llmplan {what}s.")
