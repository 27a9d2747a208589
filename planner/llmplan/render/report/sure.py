"""How sure the numbers are: basis, error and source of each, what was assumed, what was read."""

from __future__ import annotations

from llmplan.render.plan_table import money
from llmplan.render.report.blocks import Block, Bullets, Section, Text, table
from llmplan.render.report.words import gib_text, watts
from llmplan.render.speed import duration, rate
from llmplan.reporting.evidence import Figure
from llmplan.reporting.report import Report


def sure_section(r: Report) -> Section:
    """Return figures with basis, error and source, assumptions, sources."""
    blocks: list[Block] = []
    if r.figures:
        rows = [[f.name, _value(f), f.basis, f.error, f.source] for f in r.figures]
        blocks.append(Text(
            "exact: arithmetic. measured: read off hardware. calibrated: constants fitted to "
            "public results of this engine and device. transferred: to its class of devices only. "
            "assumed: neither. `llmplan validate` scores this version on public measurements."
        ))  # fmt: skip
        heads = "number | value | basis | how sure | source"
        blocks.append(table("Numbers of the recommended option", heads, rows, "lrlll"))
    if r.terms:
        rows = [[t.name, f"{gib_text(t.value_bytes)} GiB", t.formula, t.basis, t.source]
                for t in r.terms]  # fmt: skip
        blocks.append(table("Terms of its memory", "term | value | formula | basis | source", rows,
                            "lrlll", folded=True))  # fmt: skip
    blocks.append(Bullets("Assumed", r.assumptions))
    if r.sources:
        blocks.append(table("Sources", "of what | where", [list(s) for s in r.sources],
                            folded=True))  # fmt: skip
    return Section("sure", "How sure is it", tuple(blocks))


def _value(f: Figure) -> str:
    if f.value is None:
        return "not known"
    if f.unit == "bytes":
        return f"{gib_text(f.value)} GiB"
    if f.unit == "s":
        low, high = duration(f.low or 0), duration(f.high or 0)
        return f"{duration(f.value)} ({low} to {high})"
    if f.unit == "tokens/s":
        return f"{rate(f.value)} ({rate(f.low or 0)} to {rate(f.high or 0)}) tokens/s"
    return watts(f.value) if f.unit == "W" else f"{money(f.value)} an hour"
