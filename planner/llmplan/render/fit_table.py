"""The screen of `llmplan fit`, as text or Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from llmplan.planning.fit import ORDER, best_splits
from llmplan.render.bar import LEGEND, memory_bar
from llmplan.render.speed import duration, load_text, rate, rate_band, speed_line, step_line
from llmplan.render.tables import table
from llmplan.specs.setup import Answer, Setup, StepTerm, Term
from llmplan.specs.units import GIB, count_text, gib, tokens_text

SHOWN = 6
"""Setups on the screen; the rest is in CSV and JSON."""

PER_SETUP = ("no_published_artifact", "weight_only", "several_nodes")
"""Warnings that belong to one setup of the list; the others are said once, for the request."""


def fit_screen(answer: Answer, *, markdown: bool = False, quiet: bool = False) -> str:
    """Return the answer as one screen: model, device, verdict, setups, commands, warnings."""
    sections = [[] if quiet else _head(answer), _verdict(answer), _setups(answer, markdown)]
    if answer.setups:
        sections.append(_commands(answer, markdown))
    if not quiet:
        sections += [_explanation(answer), _warnings(answer)]
    return "\n\n".join("\n".join(s) for s in sections if s)


def _head(answer: Answer) -> list[str]:
    m, h = answer.model, answer.hardware
    parameters = f"{count_text(m['parameters'])} parameters"
    if m["active_parameters"] != m["parameters"]:
        parameters += f", {count_text(m['active_parameters'])} active"
    context = f"context {tokens_text(m['context_tokens'])}" if m["context_tokens"] else ""
    model = [m["name"], parameters, m["attention"], context, m["license"]]
    mark = "" if h["usable_memory_basis"] == "measured" else " (assumed)"
    rate = h["memory_bandwidth_bytes_per_s"]
    device = [
        f"{h['gpus']} x {h['name']}",
        f"{gib(h['usable_memory_bytes'])} usable{mark} of {(h['memory_bytes'] or 0) / GIB:g} GiB",
        f"{rate / 1e9:,.0f} GB/s" if rate else "",
        _price(answer.requested),
    ]
    return [" | ".join(x for x in model if x), " | ".join(x for x in device if x)]


def _price(setup: Setup) -> str:
    c = setup.cost
    if c is None:
        return ""
    return f"${c.usd_per_hour:,.2f}/h ({c.provider} {c.instance_type}, {c.price_date})"


def _verdict(answer: Answer) -> list[str]:
    r = answer.requested
    what = f"{r.weight_format} with {r.engine} {r.engine_version} on {r.gpus} x {r.gpu}"
    what += split_text(r, " (", ")")
    if not r.fits:
        lines = [f"{what} does not fit: {r.reason}"]
        if r.remedies:
            lines += ["What would fit:", *(f"  - {remedy}" for remedy in r.remedies)]
        else:
            lines.append("Nothing near it both fits and starts: no other count, format or device.")
        return lines
    k = r.kv_cache
    line = (
        f"{what} fits: {gib(r.memory_per_gpu.weights_bytes)} of weights, "
        f"{r.requests_at_once:.1f} requests of "
        f"{tokens_text(k.max_concurrency_measured_at_tokens)} tokens at once, "
        f"longest context {tokens_text(r.max_context_tokens)}."
    )
    if not r.supported:
        return [line, f"It cannot be started: {r.reason}"]
    return [x for x in (line, speed_line(r, answer.workload)) if x]


def split_text(s: Setup, before: str = "", after: str = "") -> str:
    """Return the split of a setup (`tp 2 x pp 2`), empty on one device."""
    parts = [f"{n} {getattr(s, n)}" for n in ("tp", "pp", "dp", "ep") if getattr(s, n) > 1]
    return f"{before}{' x '.join(parts)}{after}" if parts else ""


def _setups(answer: Answer, markdown: bool) -> list[str]:
    gpus = f"{answer.hardware['gpus']} x {answer.hardware['gpu']}"
    if not answer.setups:
        return [f"No supported setup fits on {gpus}."]
    length = answer.setups[0].kv_cache.max_concurrency_measured_at_tokens
    title = f"Setups that fit on {gpus}, room for requests of {tokens_text(length)} tokens;"
    load = f"speed for {load_text(answer.workload)}:"
    headers = ["", "engine", "weights", "split", "at once", "longest", "TTFT", "tok/s a user",
               "tok/s", "memory of one device"]  # fmt: skip
    shown = shown_setups(answer)
    rows = [_row(i, s) for i, s in enumerate(shown, 1)]
    align = ("right", "left", "left", "left", *["right"] * 5, "left")
    text = table(headers, rows, markdown=markdown, align=align)
    lines = [title, load, *([""] if markdown else []), text, "", f"{LEGEND}."]
    lines += [f"Order: {ORDER[0]},", f"{ORDER[1]}."]
    hidden = len(answer.setups) - len(shown)
    if hidden:
        lines.append(f"{hidden} more (formats, splits) with --format csv or --json.")
    return lines


def shown_setups(answer: Answer) -> list[Setup]:
    """Return the setups of the screen: the best split of each engine and format, in order."""
    return best_splits(answer.setups)[:SHOWN]


def _row(number: int, s: Setup) -> list[str]:
    p = s.performance
    return [
        str(number),
        s.engine,
        s.weight_format,
        split_text(s) or "1 device",
        f"{s.requests_at_once:.1f}",
        tokens_text(s.max_context_tokens),
        duration(p.ttft_s.value) if p.ttft_s else "",
        rate_band(p.output_tokens_per_s_per_user),
        rate(p.output_tokens_per_s.value) if p.output_tokens_per_s else "",
        memory_bar(s.memory_per_gpu),
    ]


def _commands(answer: Answer, markdown: bool) -> list[str]:
    rows = [(i, s.launch) for i, s in enumerate(shown_setups(answer), 1) if s.launch is not None]
    if markdown:
        return [f"{i}. `{launch.command}`" for i, launch in rows]
    return ["Start with:", *(f" {i:>2}  {launch.command}" for i, launch in rows)]


def _explanation(answer: Answer) -> list[str]:
    lines: list[str] = []
    shown: list[object] = []
    for setup in (answer.requested, *answer.setups[:1]):
        if setup.explanation and setup.explanation not in shown:
            shown.append(setup.explanation)
            lines.append(f"{setup.engine} {setup.weight_format}, memory and steps by term:")
            lines += map(term_line, setup.explanation)
    return lines


def term_line(t: Term | StepTerm) -> str:
    """Return one term of an explanation."""
    if isinstance(t, StepTerm):
        return step_line(t)
    return f"  {t.name}: {gib(t.value_bytes)} = {t.formula} [{t.basis}; {t.source}]"


def _warnings(answer: Answer) -> list[str]:
    seen: dict[str, None] = {}
    setups: Sequence[Setup] = (answer.requested, *shown_setups(answer))
    for number, setup in enumerate(setups):
        for w in setup.warnings:
            if number and w.code not in PER_SETUP:
                continue
            prefix = f"{number}: " if number else ""
            seen[f"Note: {prefix}{w.message}"] = None
    return list(seen)
