"""The charts of a report as Vega-Lite specifications; each colour is a variable of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH = 480
BAR_STEP = 34
SHORT_NAME = 28
"""Letters of a name of which two stand side by side in a legend."""

Spec = dict[str, Any]
Rows = Sequence[dict[str, Any]]

INK, MUTED, LINE = "var(--ink, #1f2328)", "var(--muted, #57606a)", "var(--line, #d0d7de)"
LIMIT = "var(--limit, #b3261e)"
SERIES = ("var(--s1, #2a78d6)", "var(--s2, #b35900)", "var(--s3, #157f5c)", "var(--s4, #7a3fb0)")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3])
PARTS = {
    "weights": "var(--p1, #2a78d6)",
    "KV cache": "var(--p2, #1b9e77)",
    "activations": "var(--p3, #e0a100)",
    "CUDA graphs": "var(--p4, #b14a9b)",
    "runtime": "var(--p5, #8a6d3b)",
    "free": "var(--p6, #e6e9ed)",
}
"""Parts of a device's memory in the order of the stack, with their colours."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_AXIS = {
    "labelColor": MUTED, "titleColor": INK, "gridColor": LINE, "domainColor": LINE,
    "tickColor": LINE, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
    "labelLimit": 190, "titlePadding": 8, "labelOverlap": True, "labelSeparation": 8,
}  # fmt: skip
CONFIG: Spec = {
    "background": None, "font": FONT, "aria": False, "view": {"stroke": None}, "axis": _AXIS,
    "legend": {"labelColor": INK, "titleColor": MUTED, "labelFontSize": 12, "orient": "top",
               "symbolType": "stroke", "symbolSize": 300, "symbolStrokeWidth": 3,
               "labelLimit": 400, "offset": 6, "symbolOpacity": 1},
    "text": {"color": INK, "fontSize": 12},
}  # fmt: skip


def _chart(layers: list[Spec], *, height: int, rows: Rows = ()) -> Spec:
    return {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "width": WIDTH,
            "height": height, "config": CONFIG, "data": {"values": list(rows)},
            "layer": layers, "autosize": {"type": "fit-x", "contains": "padding"}}  # fmt: skip


def memory(rows: Rows) -> Spec:
    """Return stacked bars of memory by part; rows: option, part, gib, total_gib."""
    names = list(dict.fromkeys(r["option"] for r in rows))
    axis = {"labelFontSize": 12, "labelColor": INK, "ticks": False, "domain": False,
            "labelOverlap": False, "labelExpr": "split(datum.label, ', ')"}  # fmt: skip
    y = {"field": "option", "type": "nominal", "sort": names, "title": None, "axis": axis}
    bars = {
        "mark": {"type": "bar", "height": 18, "stroke": "var(--paper, #fff)", "strokeWidth": 1},
        "encoding": {
            "y": y,
            "x": {"field": "gib", "type": "quantitative", "stack": "zero",
                  "title": "GiB of one device", "axis": {"grid": True}},
            "order": {"field": "place", "type": "quantitative"},
            "color": {"field": "part", "type": "nominal", "title": None, "sort": list(PARTS),
                      "scale": {"domain": list(PARTS), "range": list(PARTS.values())},
                      "legend": {"symbolType": "square", "symbolSize": 140, "columns": 3,
                                 "symbolStrokeWidth": 0}},
        },
    }  # fmt: skip
    totals = [{"option": n, "total_gib": next(r["total_gib"] for r in rows if r["option"] == n)}
              for n in names]  # fmt: skip
    capacity = {
        "data": {"values": totals},
        "mark": {"type": "tick", "thickness": 3, "size": 28, "color": INK},
        "encoding": {"y": y, "x": {"field": "total_gib", "type": "quantitative"}},
    }
    return _chart([bars, capacity], height=BAR_STEP * len(names) + 10, rows=rows)


def latency(rows: Rows, points: Rows, *, field: str, title: str, limit: float | None) -> Spec:
    """Return latency over throughput with bands; rows: option, tokens, and the field's three."""
    top = max(r[f"{field}_high"] for r in rows)
    floor = max([*(p[field] for p in points), limit or 0.0])
    if floor:
        top = max(min(top, 2.5 * floor), 1.15 * (limit or 0.0))
    scale = {"domain": [0, top], "nice": True}
    x = {"field": "tokens", "type": "quantitative", "title": "output tokens/s, all replicas"}
    band = {
        "mark": {"type": "area", "opacity": 0.13, "clip": True},
        "encoding": {
            "x": x, "color": _colors(rows),
            "y": {"field": f"{field}_low", "type": "quantitative", "scale": scale},
            "y2": {"field": f"{field}_high"},
        },
    }  # fmt: skip
    line = _line(rows, x, {"field": field, "type": "quantitative", "scale": scale, "title": title})
    mark = {
        "data": {"values": list(points)},
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
        "encoding": {"x": x, "y": {"field": field, "type": "quantitative"},
                     "color": _colors(rows)},
    }  # fmt: skip
    return _chart([band, line, *_limit(limit, "y", "limit"), mark], height=250, rows=rows)


def cost(rows: Rows, *, unit: str, money: bool, loads: Sequence[tuple[float, str]]) -> Spec:
    """Return steps of cost or devices over load; rows: option, load, amount."""
    x = {"field": "load", "type": "quantitative", "title": f"peak load, {unit}"}
    title = "US dollars a month" if money else "devices"
    y = {"field": "amount", "type": "quantitative", "title": title,
         "axis": {"format": "~s"} if money else {}}  # fmt: skip
    line = _line(rows, x, y, interpolate="step-before")
    end = max(r["load"] for r in rows)
    marks = [layer for load, name in loads
             for layer in _limit(load, "x", name, left=load > 0.6 * end)]  # fmt: skip
    return _chart([line, *marks], height=250, rows=rows)


def lengths(rows: Rows, *, asked: int) -> Spec:
    """Return requests at once over their length; rows: option, tokens, requests."""
    x = {"field": "tokens", "type": "quantitative", "title": "tokens of a request",
         "scale": {"type": "log", "base": 2, "nice": False},
         "axis": {"format": "~s", "values": sorted({r["tokens"] for r in rows}),
                  "labelOverlap": True, "labelExpr": "datum.value >= 1024 ? "
                  "format(datum.value / 1024, '.3~r') + 'k' : datum.value"}}  # fmt: skip
    most = max(r["requests"] for r in rows)
    ticks = [n * 10**k for k in range(9) for n in (1, 2, 5) if n * 10**k <= 2 * most]
    y = {"field": "requests", "type": "quantitative", "title": "requests at once, all replicas",
         "scale": {"type": "log"}, "axis": {"format": "~s", "values": ticks}}  # fmt: skip
    line = _line(rows, x, y)
    return _chart([line, *_limit(asked, "x", "longest planned")], height=250, rows=rows)


def growth(rows: Rows) -> Spec:
    """Return load by quarter against what today's machines hold; rows: quarter, peak, holds."""
    order = [r["quarter"] for r in rows]
    x = {"field": "quarter", "type": "ordinal", "sort": order, "title": None,
         "axis": {"labelAngle": 0, "labelOverlap": True}}  # fmt: skip
    bars = {
        "mark": {"type": "bar", "color": SERIES[0], "width": {"band": 0.6}},
        "encoding": {"x": x, "y": {"field": "peak", "type": "quantitative",
                                   "title": rows[0]["unit"]}},
    }  # fmt: skip
    steps = {
        "mark": {"type": "line", "interpolate": "step", "color": INK, "strokeWidth": 2},
        "encoding": {"x": x, "y": {"field": "holds", "type": "quantitative"}},
    }
    return _chart([bars, steps], height=220, rows=rows)


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(r["option"] for r in rows))


def _colors(rows: Rows) -> Spec:
    names = _names(rows)
    return {"field": "option", "type": "nominal", "title": None, "sort": names,
            "legend": _legend(names),
            "scale": {"domain": names, "range": list(SERIES[: len(names)])}}  # fmt: skip


def _legend(names: list[str]) -> Spec:
    return {"columns": 1 if max(map(len, names)) > SHORT_NAME else 2}


def _line(rows: Rows, x: Spec, y: Spec, **mark: Any) -> Spec:
    names = _names(rows)
    dash = {"field": "option", "type": "nominal", "title": None, "sort": names,
            "legend": _legend(names),
            "scale": {"domain": names, "range": list(DASHES[: len(names)])}}  # fmt: skip
    return {
        "mark": {"type": "line", "strokeWidth": 2.2, "clip": True, **mark},
        "encoding": {"x": x, "y": y, "color": _colors(rows), "strokeDash": dash},
    }


def _limit(at: float | None, axis: str, name: str, *, left: bool = False) -> list[Spec]:
    """Return a line across the chart at a limit, with its name beside it."""
    if at is None:
        return []
    data = {"values": [{"at": at, "name": name}]}
    place = {axis: {"field": "at", "type": "quantitative"}}
    rule = {"data": data, "mark": {"type": "rule", "color": LIMIT, "strokeWidth": 1.5},
            "encoding": place}  # fmt: skip
    side: Spec = {"align": "left", "dx": 4, "baseline": "top", "dy": 2}
    other: Spec = {"y": {"value": 0}}
    if left:
        side |= {"align": "right", "dx": -4}
    if axis == "y":
        side, other = (
            {"align": "left", "dx": 4, "baseline": "bottom", "dy": -3},
            {"x": {"value": 0}},
        )
    text = {"data": data, "mark": {"type": "text", "color": LIMIT, **side},
            "encoding": {**place, **other, "text": {"field": "name"}}}  # fmt: skip
    return [rule, text]
