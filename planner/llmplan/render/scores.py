"""Scores of predicted speed as text, tables and JSON."""

from __future__ import annotations

from typing import Any

from llmplan.measured.speed_scores import WAYS
from llmplan.measured.speed_summary import Errors, SpeedSummary
from llmplan.render.records import to_csv, to_json
from llmplan.render.tables import table

TITLES = ("in use", "device left out", "model left out")


def speed_scores_text(found: list[SpeedSummary], format: str) -> str:
    """Return summaries as a table, Markdown, CSV or JSON."""
    if format == "json":
        return to_json([s.to_dict() for s in found])
    if format == "csv":
        headers = ["group", "rows", "skipped"]
        headers += [f"{way} {name}" for way in TITLES for name in Errors._fields]
        rows = [
            [" ".join(s.group), s.rows, s.skipped, *(x for w in WAYS for x in s.ways[w])]
            for s in found
        ]
        return to_csv(headers, rows)
    return speed_scores_table(found, markdown=format == "markdown")


def speed_scores_table(found: list[SpeedSummary], *, markdown: bool = False) -> str:
    """Return median and 90th-percentile error by way, and how often and how wide bands hold."""
    headers = ["group", "rows", "skipped"]
    headers += [f"{title}, median / p90" for title in TITLES]
    headers += [f"band holds, {title}" for title in TITLES[1:]] + ["width"]
    rows = [_row(s) for s in found]
    return table(headers, rows, markdown=markdown, align=("left", *["right"] * (len(headers) - 1)))


def _row(s: SpeedSummary) -> list[Any]:
    cells = [_pair(s.ways[way]) for way in WAYS]
    held = [_percent(s.ways[way].held) for way in WAYS[1:]]
    width = s.ways[WAYS[2]].width
    return [" ".join(s.group), s.rows, s.skipped, *cells, *held, f"x{width:.2f}" if width else ""]


def _pair(errors: Errors) -> str:
    if errors.median is None or errors.p90 is None:
        return ""
    return f"{errors.median:.1%} / {errors.p90:.1%}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
