"""The sections with charts: memory, speed, cost and growth, lengths, what if."""

from __future__ import annotations

from typing import Any

from llmplan.render.report import charts
from llmplan.render.report.blocks import Block, Bullets, Chart, Section, Table, Text, table
from llmplan.render.report.words import (
    gib_text,
    label,
    month,
    part_label,
    unit_of,
)
from llmplan.render.speed import duration, rate
from llmplan.reporting.recommend import AT_ONCE
from llmplan.reporting.report import Report
from llmplan.specs.units import GIB, tokens_text

BARS = 12
"""Devices in the chart of memory; all are in its table."""

PARTS = (("weights", "weights_bytes"), ("KV cache", "kv_cache_bytes"),
         ("activations", "activation_peak_bytes"), ("CUDA graphs", "cuda_graph_bytes"),
         ("runtime", "runtime_bytes"), ("free", "free_bytes"))  # fmt: skip


def memory_chart(r: Report) -> Chart:
    """Return the memory of one device of each option, by part, against what it has."""
    bars: list[dict[str, Any]] = []
    rows = []
    for o in r.options:
        for part in o.parts:
            m = part.planned.setup.memory_per_gpu
            name = part_label(part, o, r)
            sizes = [max(0, getattr(m, field)) for _, field in PARTS]
            rows.append([name, *map(gib_text, sizes), gib_text(m.device_total_bytes)])
            if len(rows) <= BARS:
                bars += [
                    {"option": name, "part": p, "gib": size / GIB, "place": i,
                     "total_gib": m.device_total_bytes / GIB}
                    for i, ((p, _), size) in enumerate(zip(PARTS, sizes, strict=True))
                ]  # fmt: skip
    heads = "option | " + " | ".join(n for n, _ in PARTS) + " | usable"
    shown = f" The first {BARS} of {len(rows)}." if len(rows) > BARS else ""
    return Chart(
        "Memory of one device, by part",
        f"The upright line is what the driver reports as usable; free lies outside the engine's "
        f"budget.{shown}",
        charts.memory(bars),
        table("GiB of the fullest device", heads, rows, "l" + "r" * 7),
    )


def speed_section(r: Report) -> Section:
    """Return latency over throughput, with bands and limits."""
    rows = [
        {"option": _name(r, p.option, p.gpu), "tokens": p.output_tokens_per_s,
         "ttft": p.ttft_s * 1e3, "ttft_low": p.ttft_low_s * 1e3, "ttft_high": p.ttft_high_s * 1e3,
         "tpot": p.tpot_s * 1e3, "tpot_low": p.tpot_low_s * 1e3, "tpot_high": p.tpot_high_s * 1e3}
        for p in r.curves.speed
    ]  # fmt: skip
    if not rows:
        return Section("speed", "Speed under load", ())
    points = [
        {"option": part_label(part, o, r), "tokens": part.planned.output_tokens_per_s.value,
         "ttft": part.planned.ttft_s.value * 1e3, "tpot": part.planned.tpot_s.value * 1e3}
        for o in r.drawn for part in o.parts
    ]  # fmt: skip
    b = r.ask.wanted.bounds
    blocks: list[Block] = [Text(_curve_text(r))]
    for field, name, limit in (("tpot", "Time per output token", b.tpot_s),
                               ("ttft", "Time to first token", b.ttft_s)):  # fmt: skip
        spec = charts.latency(
            rows, points, field=field, title=f"mean {field.upper()}, ms",
            limit=None if limit is None else limit * 1e3,
        )  # fmt: skip
        numbers = _speed_table(r, field, name)
        blocks.append(Chart(f"{name} against throughput", _shown(r, limit), spec, numbers))
    return Section("speed", "Speed under load", tuple(blocks))


def _speed_table(r: Report, field: str, name: str) -> Table:
    ends = (f"{field}_s", f"{field}_low_s", f"{field}_high_s")
    cells = [
        [_name(r, p.option, p.gpu), rate(p.load), rate(p.in_flight), rate(p.output_tokens_per_s),
         _band(*(getattr(p, end) for end in ends)), p.basis]
        for p in r.curves.speed
    ]  # fmt: skip
    load = "" if r.load.kind != "rate" else " | in flight"
    heads = f"option | {unit_of(r.load)}{load} | output tokens/s | {field.upper()}, ms | basis"
    if not load:
        cells = [[*row[:2], *row[3:]] for row in cells]
    return table(f"{name} over load", heads, cells, "lrrrrl" if load else "lrrrl")


def _curve_text(r: Report) -> str:
    way = "arrivals" if r.load.kind == "rate" else "requests in flight"
    more = len(r.options) - len(r.drawn)
    rest = f" The other {more} are in the table above." if more else ""
    return (
        f"Each curve goes through {way} from few to as many as the replicas take; the dot is the "
        f"peak of this plan. Shaded: 80 % bands. Curves and bands are means.{rest}"
    )


def _shown(r: Report, limit: float | None) -> str:
    line = f"The line across is the limit of {duration(limit)}" if limit else "There is no limit"
    percentile = r.load.percentile
    held = "" if percentile == "mean" else f", which holds for {percentile}, above the mean"
    return f"{line}{held}."


def cost_section(r: Report) -> Section:
    """Return cost over load with its steps, growth by quarter, and what is due when."""
    blocks: list[Block] = []
    if r.curves.cost:
        blocks.append(_cost_chart(r))
    if r.growing is not None:
        blocks += _growth(r)
    return Section("cost", "Cost, load and growth", tuple(blocks))


def _cost_chart(r: Report) -> Chart:
    money = any(p.usd_per_month is not None for p in r.curves.cost)
    rows: list[dict[str, Any]] = []
    for p in r.curves.cost:
        amount = p.usd_per_month if money else float(p.gpus)
        if amount is not None:
            name = _name(r, p.option, "")
            if not any(row["option"] == name for row in rows):
                rows.append({"option": name, "load": 0.0, "amount": amount})
            rows.append({"option": name, "load": p.serves, "amount": amount})
    marks = [(r.load.peak, "peak today")]
    if r.growing is not None and len(r.growing.quarters) > 1:
        last = r.growing.quarters[-1]
        marks.append((last.peak, f"{last.name}"))
    cells = [
        [_name(r, p.option, ""), str(p.replicas), str(p.gpus), rate(p.serves),
         month(p.usd_per_month)] for p in r.curves.cost
    ]  # fmt: skip
    spec = charts.cost(rows, unit=unit_of(r.load), money=money, loads=marks)
    return Chart(
        "Cost against load" if money else "Devices against load",
        "Each step is another replica, priced by whole machines at the cheapest offer on record.",
        spec,
        table("Steps", "option | replicas | devices | serves within the limits | $ a month",
              cells, "lrrrr"),
    )  # fmt: skip


def _growth(r: Report) -> list[Block]:
    growth, grown = r.ask.growth, r.growing
    assert growth is not None and grown is not None
    first = r.options[0].number
    cells, bars = [], []
    for q in grown.quarters:
        own = next(n for n in q.needs if n.option == first)
        others = [month(n.usd_per_month) for n in q.needs if n.option != first]
        count = "not enough devices" if own.replicas is None else f"{own.replicas:,}"
        cells.append([
            q.name, rate(q.mean), rate(q.peak), count,
            "" if own.gpus is None else f"{own.gpus:,}",
            "" if own.machines is None else f"{own.machines:,}", month(own.usd_per_month), *others,
            "" if q.cheapest is None else str(q.cheapest),
        ])  # fmt: skip
        holds = next(d.holds for d in grown.due if d.option == first)
        bars.append({"quarter": q.name, "peak": q.peak, "holds": holds,
                     "unit": f"peak load, {unit_of(r.load)}"})  # fmt: skip
    rest = "".join(f" | option {o.number}, $ a month" for o in r.drawn if o.number != first)
    heads = (
        f"quarter | mean load | peak load | replicas of option {first} | devices | machines | "
        f"$ a month{rest} | cheapest option"
    )
    numbers = table("By quarter", heads, cells, "l" + "r" * (7 + len(r.drawn)))
    due = [_due_text(r, d.option, d.what, d.quarters, d.name, d.adds) for d in grown.due]
    chart = Chart(
        f"Load, growing by {growth.per_quarter:.0%} a quarter",
        f"The line is what the devices of option {first} hold within the limits today.",
        charts.growth(bars),
        numbers,
    )
    return [chart, Bullets("When more is due", tuple(due))]


def _due_text(
    r: Report, option: int, what: str, quarters: float | None, name: str | None, adds: str
) -> str:
    assert r.growing is not None
    last = len(r.growing.quarters) - 1
    if quarters is not None and quarters < AT_ONCE:
        return f"Option {option}: {what} will not do for any growth: {adds}."
    if quarters is None:
        return f"Option {option}: the load does not grow past {what}."
    if quarters > last:
        return f"Option {option}: {what} will do beyond the {last} quarters shown."
    return f"Option {option}: {what} will do {quarters:.1f} quarters, into {name}; then {adds}."


def length_section(r: Report) -> Section:
    """Return requests at once over their length."""
    points = r.curves.lengths
    if not points:
        return Section("length", "Length of requests", ())
    rows = [
        {"option": _name(r, p.option, ""), "tokens": p.context_tokens, "requests": p.requests}
        for p in points
    ]
    cells = [
        [_name(r, p.option, ""), tokens_text(p.context_tokens), rate(p.requests)] for p in points
    ]
    chart = Chart(
        "Requests at once against their length",
        "What the KV cache and the engine's limit hold if every request is that long; longer ones "
        "wait.",
        charts.lengths(rows, asked=r.load.context_tokens),
        table("Requests at once", "option | tokens of a request | requests at once", cells, "lrr"),
    )
    return Section("length", "Length of requests", (chart,))


def sensitivity_section(r: Report) -> Section:
    """Return what changes make of the recommended option."""
    cells = []
    for e in r.effects:
        over = "" if e.over_plan is None else f"{e.over_plan:+.0%}".replace("+0%", "same")
        used = "" if e.utilization is None else f"{e.utilization:.0%}"
        cells.append([
            e.change, "yes" if e.meets else "no",
            "" if e.replicas is None else str(e.replicas), "" if e.gpus is None else str(e.gpus),
            used, month(e.usd_per_month) if e.meets else "", over,
            "none" if e.best_option is None else str(e.best_option), e.why,
        ])  # fmt: skip
    heads = (
        "what if | still meets | replicas | devices | used | $ a month | against the plan | "
        "best option then | note"
    )
    first = r.options[0].number
    blocks: list[Block] = [
        Text(f"Option {first} sized anew, one change at a time, and which of the options drawn "
             "would then cost least."),
        table("What if", heads, cells, "llrrrrrll"),
        *_own_or_rent(r),
    ]  # fmt: skip
    return Section("sensitivity", "What if it turns out otherwise", tuple(blocks))


def _own_or_rent(r: Report) -> list[Block]:
    o = r.own_or_rent
    if o is None:
        return []
    line = (
        f"Against a hosted API at ${o.input_usd_per_million:g} in and "
        f"${o.output_usd_per_million:g} out per million tokens: {month(o.plan_usd_per_month)} "
        f"a month here, {month(o.api_usd_per_month)} there at {rate(o.mean_requests_per_s)} "
        "requests/s."
    )
    cross = o.cross_at_requests_per_s
    line += " The API costs less at every load." if cross is None else (
        f" They cross at {rate(cross)} requests/s."
    )  # fmt: skip
    return [Text(line)]


def _name(r: Report, option: int, gpu: str) -> str:
    found = next(o for o in r.options if o.number == option)
    for part in found.parts:
        if part.planned.setup.gpu == gpu:
            return part_label(part, found, r)
    return label(found, r)


def _band(value: float, low: float, high: float) -> str:
    return f"{value * 1e3:,.3g} ({low * 1e3:,.3g}-{high * 1e3:,.3g})"
