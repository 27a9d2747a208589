"""The screen of `llmplan plan`, as text or Markdown, and its rows for CSV."""

from __future__ import annotations

from typing import Any

from llmplan.planning.plan import ORDER
from llmplan.render.fit_table import split_text, term_line
from llmplan.render.speed import duration, rate
from llmplan.render.tables import table
from llmplan.specs.plan import Demand, Disaggregated, PlanAnswer, Planned, Point
from llmplan.specs.setup import Band, Setup
from llmplan.specs.units import count_text, tokens_text

MONEY_FROM_WHOLE = 100
FRONT_SHOWN = 12


def plan_screen(a: PlanAnswer, *, markdown: bool = False, quiet: bool = False) -> str:
    """Return the answer as one screen: load, plans, commands, front, what binds, notes."""
    sections = [
        [] if quiet else _head(a),
        _verdict(a),
        _plans(a.setups, f"Plans, best first by {ORDER[a.prefer]}:", markdown),
        _plans(a.unpriced, "Without a price on record, by devices:", markdown),
        _plans(a.mixed, "Together they meet the load, each device with replicas of its own:",
               markdown),
        _disaggregated(a, markdown),
        [] if quiet else _legend(a),
        _front(a, markdown),
        _own_or_rent(a),
        _commands(a, markdown),
        [] if quiet else _explanation(a),
        [] if quiet else _notes(a),
    ]  # fmt: skip
    return "\n\n".join("\n".join(s) for s in sections if s)


def _head(a: PlanAnswer) -> list[str]:
    m, d = a.model, a.load
    model = [m["name"], f"{count_text(m['parameters'])} parameters", m["attention"], m["license"]]
    return [" | ".join(x for x in model if x), f"Load: {load_text(d)}.", f"Limits: {_limits(a)}."]


def load_text(d: Demand) -> str:
    """Return the load in a sentence: mean, peak, lengths, longest request."""
    if d.kind == "rate":
        what = f"{d.rate_per_s:.4g} requests/s"
        if d.users is not None:
            what += f" ({d.users:,} users x {d.requests_per_user_per_hour:g} an hour)"
        what += f", planned for {d.peak:.4g} at the peak (x {d.headroom:.3g}: {d.headroom_source})"
    else:
        what = f"{d.concurrency:,} requests in flight"
        if d.headroom > 1:
            what += f", planned for {d.peak:,.0f} (x {d.headroom:.3g}: {d.headroom_source})"
    name = f" of {d.traffic.name} ({d.traffic.source})" if d.traffic else ""
    return (
        f"{what}; {d.input_tokens:,} tokens in and {d.output_tokens:,} out{name}; "
        f"longest request {tokens_text(d.context_tokens)}"
    )


def _limits(a: PlanAnswer) -> str:
    b = a.limits
    which = "mean" if a.load.percentile == "mean" else f"{a.load.percentile} (assumed from means)"
    parts = [
        f"{which} TTFT {duration(b.ttft_s)}" if b.ttft_s else "",
        f"{which} TPOT {duration(b.tpot_s)}" if b.tpot_s else "",
        f"${b.usd_per_hour:,.2f} an hour" if b.usd_per_hour else "",
        f"{b.gpus:,} devices" if b.gpus else "",
    ]
    return ", ".join(p for p in parts if p) or "none"


def _verdict(a: PlanAnswer) -> list[str]:
    if not a.binding:
        return []
    lines = ["No plan meets load and limits."]
    if a.met:
        lines = ["No plan of servers that both read and decode meets load and limits."]
    for r in a.binding:
        lines.append(f"  - {r.message}{_buys(r.buys)}")
    return lines


def _buys(p: Point | None) -> str:
    if p is None:
        return ""
    cost = f", {money(p.usd_per_hour)} an hour" if p.usd_per_hour is not None else ""
    what = f"{_what(p.replicas, p.gpus // p.replicas, p.gpu)} with {p.engine} {p.weight_format}"
    return f" That buys {what}{cost}: TTFT {duration(p.ttft_s)}, TPOT {duration(p.tpot_s)}."


HEADERS = ["", "devices", "engine", "weights", "KV", "split", "TTFT", "TPOT", "tok/s", "used",
           "$/h", "$/M out", "power", "quality", "lacks"]  # fmt: skip
ALIGN = ("right", "left", "left", "left", "left", "left", *["right"] * 7, "left", "left")


def _plans(plans: tuple[Planned, ...], title: str, markdown: bool) -> list[str]:
    if not plans:
        return []
    rows = [_row(i, p) for i, p in enumerate(plans, 1)]
    text = table(HEADERS, rows, markdown=markdown, align=ALIGN)
    return [title, *([""] if markdown else []), text]


def _row(number: int, p: Planned) -> list[str]:
    s = p.setup
    return [
        str(number),
        _what(p.replicas, s.gpus, s.gpu),
        s.engine,
        s.weight_format,
        s.kv_format,
        split_text(s) or "1 device",
        short_band(p.ttft_s),
        short_band(p.tpot_s),
        rate(p.output_tokens_per_s.value),
        f"{p.utilization:.0%}",
        "-" if p.usd_per_hour is None else money(p.usd_per_hour),
        "-" if p.usd_per_million_output_tokens is None else money(p.usd_per_million_output_tokens),
        "-" if p.power_w is None else f"{p.power_w / 1e3:.3g} kW",
        s.quality.note if s.quality else "",
        ", ".join(p.evidence),
    ]


def _disaggregated(a: PlanAnswer, markdown: bool) -> list[str]:
    """Return the pair of setups in a sentence, and what starts it where it costs least."""
    first = next(iter((*a.setups, *a.unpriced, *a.mixed)), None)
    lines = []
    for d in a.disaggregated:
        p, m = d.prefill, d.decode
        cost = f"{d.gpus:,} devices"
        cost += f", {money(d.usd_per_hour)} an hour" if d.usd_per_hour is not None else ""
        less = first is None or _spent(d) < _spent(first) * (1 - 1e-9)
        verdict = "" if first is None else ", less than plan 1" if less else ", no less than plan 1"
        lines.append(
            f"Disaggregated: {_what(d.prefill_replicas, p.gpus, p.gpu)} read prompts, "
            f"{_what(d.decode_replicas, m.gpus, m.gpu)} decode, {m.engine} {m.weight_format}: "
            f"{cost}{verdict}; TTFT {short_band(d.ttft_s)}, TPOT {short_band(d.tpot_s)}, "
            "assumed: no result of a pair is among the measurements."
        )
        lines += [f"- `{c}`" if markdown else f"     {c}" for c in d.deploy if less]
    return lines


def _spent(p: Planned | Disaggregated) -> float:
    return float(p.gpus) if p.usd_per_hour is None else p.usd_per_hour


def _what(replicas: int, each: int, gpu: str) -> str:
    """Return replicas and their devices: `3 x a30`, `2 x (4 x h100-sxm)`."""
    return f"{replicas} x {gpu}" if each == 1 else f"{replicas} x ({each} x {gpu})"


def short_band(band: Band) -> str:
    """Return a time with its interval in short.

    >>> short_band(Band(0.2, 0.15, 0.31))
    '200 ms (150-310)'
    """
    unit = 1.0 if band.value >= 1 else 1e3
    name = "s" if unit == 1.0 else "ms"
    value, low, high = (_digits(x * unit) for x in (band.value, band.low, band.high))
    return f"{value} {name} ({low}-{high})"


def _digits(x: float) -> str:
    return f"{x:,.0f}" if x >= MONEY_FROM_WHOLE else f"{x:.3g}"


def money(usd: float) -> str:
    """Return dollars.

    >>> money(0.1737), money(1234.5)
    ('$0.174', '$1,234')
    """
    return f"${usd:,.0f}" if usd >= MONEY_FROM_WHOLE else f"${usd:.3g}"


def _legend(a: PlanAnswer) -> list[str]:
    if not a.met:
        return []
    return [
        "Latencies: means at the peak, 80 % intervals; used: share of what a plan serves within",
        "the limits; $/M out: cost at the mean load; power: boards at their limit, without hosts.",
        "What lacks evidence (last column) stands behind what has it; quality stands for itself.",
    ]


def _front(a: PlanAnswer, markdown: bool) -> list[str]:
    if len(a.pareto) < 2:
        return []
    shown = a.pareto[:FRONT_SHOWN]
    rows = [
        [_what(p.replicas, p.gpus // p.replicas, p.gpu), p.engine, p.weight_format,
         "-" if p.usd_per_hour is None else money(p.usd_per_hour),
         duration(p.ttft_s), duration(p.tpot_s), duration(p.e2e_s),
         "-" if p.capacity is None else rate(p.capacity)]
        for p in shown
    ]  # fmt: skip
    headers = ["devices", "engine", "weights", "$/h", "TTFT", "TPOT", "request", "serves"]
    text = table(headers, rows, markdown=markdown, align=("left", "left", "left", *["right"] * 5))
    unit = "requests/s" if a.load.kind == "rate" else "in flight"
    title = f"Cost against the time of a request (serves: {unit} within the limits):"
    more = len(a.pareto) - len(shown)
    rest = [f"{more} more, dearer and faster, with --json."] if more else []
    return [title, *([""] if markdown else []), text, *rest]


def _own_or_rent(a: PlanAnswer) -> list[str]:
    o = a.own_or_rent
    if o is None:
        return []
    plan = "no price" if o.plan_usd_per_month is None else money(o.plan_usd_per_month)
    line = (
        f"Own or rent: plan 1 costs {plan} a month, the API at ${o.input_usd_per_million:g} in and "
        f"${o.output_usd_per_million:g} out {money(o.api_usd_per_month)} "
        f"({o.mean_requests_per_s:.3g} requests/s, {o.hours_per_month:g} h)."
    )
    if o.cross_at_requests_per_s is None:
        return [line, "The API costs less at every load: a full replica costs more than its work."]
    cross = f"They cross at {o.cross_at_requests_per_s:.3g} requests/s"
    always = o.always_from_requests_per_s
    if always is None:
        return [line, f"{cross}; steps of replicas let the API win again beyond."]
    if always > o.cross_at_requests_per_s:
        cross += f"; with steps of replicas the plan always wins from {always:.3g}"
    return [line, f"{cross}."]


def _commands(a: PlanAnswer, markdown: bool) -> list[str]:
    plans = [*a.setups, *a.unpriced, *a.mixed] if not a.setups else list(a.setups)
    if not plans:
        return []
    lines = []
    for i, p in enumerate(plans, 1):
        rent = f"  # {rent_text(p)}" if p.rent else ""
        lines.append(f"{i}. `{p.deploy}`{rent}" if markdown else f" {i:>2}  {p.deploy}{rent}")
    return ["Files that start one replica:", *lines]


def rent_text(p: Planned) -> str:
    """Return what is rented: machines, instance type, provider, how old the price is."""
    if p.rent is None:
        return ""
    o = p.rent.offer
    where = f" {o.region}" if o.region else ""
    return f"{p.rent.machines} x {o.provider} {o.instance_type}{where}, {o.price_date}"


def _explanation(a: PlanAnswer) -> list[str]:
    first = next(iter((*a.setups, *a.unpriced, *a.mixed)), None)
    if first is None or first.setup.explanation is None:
        return []
    s = a.searched
    lines = [
        f"Searched {s['setups']:,} setups on {s['devices']} devices "
        f"({s['devices_with_offers']} with offers); the memory of {s['planned']:,} was planned, "
        "the others cannot win."
    ]
    lines += [f"  left out: {line}" for line in s["skipped"]]
    lines.append(f"{first.setup.engine} {first.setup.weight_format}, memory and steps by term:")
    return lines + [term_line(t) for t in first.setup.explanation]


def _notes(a: PlanAnswer) -> list[str]:
    notes = [w.message for w in a.warnings]
    if a.prefer == "cheapest" and a.setups and not a.unpriced and a.searched["devices"] > 1:
        rest = a.searched["devices"] - a.searched["devices_with_offers"]
        notes += [f"{rest} devices have no price on record."] if rest else []
    for number, p in enumerate(a.setups or a.unpriced, 1):
        notes += [f"{number}: {w.message}" for w in p.setup.warnings if w.code in PER_PLAN]
    return [f"Note: {n}" for n in dict.fromkeys(notes)]


PER_PLAN = ("no_published_artifact", "several_nodes", "context_beyond_model")


def plan_rows(a: PlanAnswer) -> tuple[list[str], list[list[Any]]]:
    """Return headers and a row a plan for CSV, in base units."""
    plans = [
        *(("setups", p) for p in a.setups),
        *(("unpriced", p) for p in a.unpriced),
        *(("mixed", p) for p in a.mixed),
    ]
    rows = [_csv(kind, p) for kind, p in plans]
    rows += [_csv_role(d, role) for d in a.disaggregated for role in ("prefill", "decode")]
    return CSV_HEADERS, [[row[h] for h in CSV_HEADERS] for row in rows]


CSV_HEADERS = [
    "list", "role", "gpu", "gpus", "replicas", "engine", "engine_version", "weight_format",
    "kv_format", "tp", "pp", "dp", "ep", "ttft_s", "ttft_s_low", "ttft_s_high", "tpot_s",
    "tpot_s_low", "tpot_s_high", "e2e_s", "output_tokens_per_s", "requests_per_s", "capacity",
    "batch_limit",
    "utilization", "usd_per_hour", "usd_per_million_output_tokens", "provider", "instance_type",
    "price_date", "power_w", "quality", "quality_tier", "basis", "evidence", "deploy",
]  # fmt: skip


def _csv(kind: str, p: Planned) -> dict[str, Any]:
    row = {h: getattr(p, h, getattr(p.setup, h, None)) for h in CSV_HEADERS}
    return row | _csv_shared(kind, p, p.setup)


def _csv_role(d: Disaggregated, role: str) -> dict[str, Any]:
    """Return the row of one kind of servers; latencies, rates and cost are those of the pair."""
    setup: Setup = getattr(d, role)
    row = {h: getattr(d, h, getattr(setup, h, None)) for h in CSV_HEADERS}
    row |= {"role": role, "replicas": getattr(d, f"{role}_replicas"),
            "deploy": d.deploy[role == "decode"]}  # fmt: skip
    return row | _csv_shared("disaggregated", d, setup)


def _csv_shared(kind: str, p: Planned | Disaggregated, s: Setup) -> dict[str, Any]:
    offer = p.rent.offer if p.rent else None
    row: dict[str, Any] = {"list": kind, "quality": s.quality.note if s.quality else None}
    for name in ("ttft_s", "tpot_s"):
        band = getattr(p, name)
        row |= {name: band.value, f"{name}_low": band.low, f"{name}_high": band.high}
    for name in ("e2e_s", "output_tokens_per_s", "requests_per_s"):
        row[name] = getattr(p, name).value
    for name in ("provider", "instance_type", "price_date"):
        row[name] = getattr(offer, name, None)
    return row | {"basis": p.tpot_s.basis, "evidence": "; ".join(p.evidence)}
