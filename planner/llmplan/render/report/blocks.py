"""What a page is made of: sections of blocks, the same for HTML and Markdown."""

from __future__ import annotations

from typing import Any, NamedTuple


class Text(NamedTuple):
    """A paragraph; `strong` marks the one that must be read."""

    text: str
    strong: bool = False
    kind: str = "text"


class Bullets(NamedTuple):
    """A list of sentences under a small heading."""

    title: str
    items: tuple[str, ...]
    kind: str = "bullets"


class Tiles(NamedTuple):
    """Figures to see at once: name, value, what it is over or against."""

    items: tuple[tuple[str, str, str], ...]
    kind: str = "tiles"


class Table(NamedTuple):
    """Rows under headers; the first column names the row, `numbers` are right-aligned columns."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    kind: str = "table"
    folded: bool = False


class Chart(NamedTuple):
    """A chart: its specification, what it shows in a sentence, its numbers as a table."""

    title: str
    caption: str
    spec: dict[str, Any]
    table: Table
    kind: str = "chart"


class Code(NamedTuple):
    """Commands under a sentence."""

    title: str
    text: str
    kind: str = "code"


Block = Text | Bullets | Tiles | Table | Chart | Code


class Section(NamedTuple):
    """Blocks under a heading; `id` is its place in the page."""

    id: str
    title: str
    blocks: tuple[Block, ...]


class Page(NamedTuple):
    """A whole report: title, what it was asked, sections, what made it."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]
    foot: str


def table(
    title: str, headers: str, rows: list[list[str]], numbers: str = "", *, folded: bool = False
) -> Table:
    """Return a table from headers `a | b | c`; `numbers` has an `r` for each right-aligned one.

    >>> table("", "a | b", [["x", "1"]], "lr").numbers
    frozenset({1})
    """
    at = frozenset(i for i, letter in enumerate(numbers) if letter == "r")
    heads = tuple(h.strip() for h in headers.split("|"))
    return Table(title, heads, tuple(map(tuple, rows)), at, folded=folded)
