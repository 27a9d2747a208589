"""A report as Markdown: charts are their tables, everything else is the same."""

from __future__ import annotations

import re

from llmplan.render.report.blocks import Block, Bullets, Chart, Code, Page, Table, Text, Tiles

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")
_CODE = re.compile(r"`+")


def markdown_page(page: Page) -> str:
    """Return the page as Markdown."""
    lines = [f"# {plain(page.title)}", "", *[f"{plain(x)}\n" for x in page.lead]]
    seen: set[Table] = set()
    for section in page.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_block(block, seen), ""]
    return "\n".join([*lines, plain(page.foot), ""])


def plain(text: str) -> str:
    r"""Return text whose Markdown signs are shown, not obeyed, on one line.

    >>> print(plain("a_b <b>"))
    a\_b \<b\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _block(block: Block, seen: set[Table]) -> list[str]:
    if isinstance(block, Text):
        return [f"**{plain(block.text)}**" if block.strong else plain(block.text)]
    if isinstance(block, Bullets):
        return [f"{block.title}:", "", *(f"- {plain(item)}" for item in block.items)]
    if isinstance(block, Tiles):
        rows = [(name, value, note) for name, value, note in block.items]
        return _table(Table("", ("", "value", ""), tuple(rows)))
    if isinstance(block, Code):
        return [f"{plain(block.title)}:", "", *_fenced(block.text)]
    if isinstance(block, Chart):
        again = block.table in seen
        seen.add(block.table)
        head = [f"### {plain(block.title)}", "", plain(block.caption)]
        return head if again else [*head, "", *_table(block.table)]
    return [f"### {plain(block.title)}", "", *_table(block)]


def _fenced(text: str) -> list[str]:
    longest = max((len(m) for m in _CODE.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}sh", *text.splitlines(), fence]


def _table(t: Table) -> list[str]:
    marks = ["--:" if i in t.numbers else "---" for i in range(len(t.headers))]
    lines = [_row(t.headers), f"| {' | '.join(marks)} |"]
    return [*lines, *map(_row, t.rows)]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(plain(c) for c in cells)} |"
