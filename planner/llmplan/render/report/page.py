"""The sections of a report: what to do, the options, and how to go on."""

from __future__ import annotations

from llmplan.render.plan_table import load_text, money, short_band
from llmplan.render.report.blocks import (
    Block,
    Bullets,
    Code,
    Page,
    Section,
    Text,
    Tiles,
    table,
)
from llmplan.render.report.sections import (
    cost_section,
    length_section,
    memory_chart,
    sensitivity_section,
    speed_section,
)
from llmplan.render.report.sure import sure_section
from llmplan.render.report.words import (
    hardware,
    month,
    per_million,
    rate_text,
    served,
    total,
    unit_of,
    watts,
    worst,
)
from llmplan.render.speed import duration, rate
from llmplan.reporting.ask import Option
from llmplan.reporting.report import Report
from llmplan.version import __version__


def page_of(r: Report) -> Page:
    """Return the page of a report."""
    sections = [_recommendation(r), _options(r)]
    if r.met:
        sections += [speed_section(r), cost_section(r), length_section(r), sensitivity_section(r)]
        sections += [_start(r)]
    sections += [sure_section(r)]
    lead = [x for x in (r.ask.note, f"Load: {load_text(r.load)}.", f"Limits: {_limits(r)}.") if x]
    date = f", {r.ask.date}" if r.ask.date else ""
    foot = f"Made by llmplan {__version__}{date}, offline, from the facts it ships."
    kept = tuple(s for s in sections if s.blocks)
    return Page(r.ask.title, tuple(lead), kept, foot)


def _limits(r: Report) -> str:
    b = r.ask.wanted.bounds
    which = r.load.percentile
    parts = [
        f"{which} TTFT {duration(b.ttft_s)}" if b.ttft_s else "",
        f"{which} TPOT {duration(b.tpot_s)}" if b.tpot_s else "",
        f"{money(b.usd_per_hour)} an hour" if b.usd_per_hour else "",
        f"{b.gpus:,} devices" if b.gpus else "",
    ]
    return ", ".join(p for p in parts if p) or "none"


def _recommendation(r: Report) -> Section:
    found = r.recommendation
    blocks: list[Block] = [Text(f"{found.headline}.", strong=True)]
    if r.met:
        blocks += [Tiles(_tiles(r.options[0], r)), Bullets("Why", found.reasons)]
        if found.risks:
            blocks.append(Bullets("What speaks against it", found.risks))
    else:
        blocks.append(Bullets("What keeps them away", found.reasons))
    return Section("recommendation", "Recommendation", tuple(blocks))


def _tiles(o: Option, r: Report) -> tuple[tuple[str, str, str], ...]:
    ttft, tpot = worst(o, "ttft_s"), worst(o, "tpot_s")
    b = r.ask.wanted.bounds
    offers = ", ".join(_rent(o)) or "hardware of your own, or no price on record"
    return (
        ("Devices", f"{o.gpus:,}", hardware(o)),
        ("Cost a month", month(o.usd_per_month), offers),
        ("A million output tokens", per_million(o), "at the mean load"),
        ("TTFT", duration(ttft.value), _against(ttft.low, ttft.high, b.ttft_s)),
        ("TPOT", duration(tpot.value), _against(tpot.low, tpot.high, b.tpot_s)),
        ("Serves up to", rate(o.capacity), f"{unit_of(r.load)} within the limits; "
         f"the peak is {rate(r.load.peak)}"),
        ("Power at the limit", watts(o.power_w), "boards, without hosts"),
    )  # fmt: skip


def _rent(o: Option) -> list[str]:
    rents = [p.planned.rent for p in o.parts]
    return [
        f"{x.machines} x {x.offer.provider} {x.offer.instance_type}, price of {x.offer.price_date}"
        for x in rents
        if x is not None
    ]


def _against(low: float, high: float, limit: float | None) -> str:
    band = f"80 % band {duration(low)} to {duration(high)}"
    return f"{band}; limit {duration(limit)}" if limit else f"{band}; no limit"


OPTION_HEADERS = (
    "option | devices | engine, weights, split | TTFT | TPOT | output tokens/s | used | "
    "$ a month | $ / M out | power | quality"
)


def _options(r: Report) -> Section:
    blocks: list[Block] = []
    if r.options:
        title = "All of them fit and meet load and limits, best first"
        blocks.append(table(title, *_option_rows(r)))
        blocks.append(Text(
            "Latencies are means at the peak with 80 % bands. Used: share of what the option "
            "serves within the limits. $ / M out: per million output tokens at the mean load. "
            "Power: boards at their limit, without hosts. Lacks: what there is no evidence for."
        ))  # fmt: skip
        blocks.append(memory_chart(r))
    if r.rejected:
        rows = [[x.model, x.device, x.why or "does not fit"] for x in r.rejected]
        blocks.append(table("Looked at and left out", "model | device | why", rows,
                            folded=len(rows) > FEW_ROWS))  # fmt: skip
    return Section("options", "Options side by side", tuple(blocks))


FEW_ROWS = 8


def _option_rows(r: Report) -> tuple[str, list[list[str]], str]:
    """Return headers, rows and alignment; what is the same for all options has no column."""
    heads, rows, align = OPTION_HEADERS, [_row(o) for o in r.options], "lllrrrrrrrl"
    if len(r.ask.models) > 1:
        heads = heads.replace("| devices", "| model | devices")
        rows = [[row[0], o.first.model.name, *row[1:]]
                for row, o in zip(rows, r.options, strict=True)]  # fmt: skip
        align = f"l{align}"
    if any(o.evidence for o in r.options):
        heads += " | lacks"
        rows = [[*row, ", ".join(o.evidence)] for row, o in zip(rows, r.options, strict=True)]
        align += "l"
    return heads, rows, align


def _row(o: Option) -> list[str]:
    p = o.first.planned
    peak = sum(part.demand.peak for part in o.parts)
    quality = p.setup.quality.note if p.setup.quality else ""
    return [
        str(o.number),
        hardware(o),
        served(o),
        short_band(worst(o, "ttft_s")),
        short_band(worst(o, "tpot_s")),
        _throughput(o),
        f"{peak / o.capacity:.0%}",
        month(o.usd_per_month),
        per_million(o),
        watts(o.power_w),
        quality,
    ]


def _throughput(o: Option) -> str:
    """Return output tokens a second: at a rate what is asked, and what could be served."""
    d, tokens = o.first.demand, total(o, "output_tokens_per_s")
    if d.kind != "rate":
        return rate_text(tokens)
    return f"{rate(tokens.value)} (at most {rate(o.capacity * d.output_tokens)})"


def _start(r: Report) -> Section:
    blocks: list[Block] = []
    for s in r.starts:
        where = f" on {s.device}" if len(r.starts) > 1 else ""
        if s.command:
            blocks.append(Code(f"One replica{where}", s.command))
        blocks.append(
            Code("Its files: compose here; also docker, systemd, k8s and others", s.files)
        )
        blocks.append(Code("The benchmark that measures one replica under its share", s.measure))
        if s.script:
            blocks.append(Code("It runs", s.script))
    first = r.options[0]
    ttft, tpot = worst(first, "ttft_s"), worst(first, "tpot_s")
    blocks.append(Bullets("The plan holds where the benchmark shows", (
        f"mean TTFT of {duration(ttft.low)} to {duration(ttft.high)};",
        f"mean TPOT of {duration(tpot.low)} to {duration(tpot.high)};",
        "no request that fails, and no preemption in the engine's log.",
    )))  # fmt: skip
    return Section("start", "Start it, then verify it", tuple(blocks))
