"""Which option is recommended, and why: the reasons in the numbers of the report."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.reporting.ask import Ask, Option, Part, Rejected
from llmplan.reporting.growth import Growing
from llmplan.specs.record import as_dict
from llmplan.specs.setup import Band
from llmplan.specs.units import gib


class Recommendation(NamedTuple):
    """The option that is recommended, null where none meets load and limits, and why."""

    option: int | None
    headline: str
    reasons: tuple[str, ...]
    risks: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the record as plain data."""
        return as_dict(self)


def recommendation(
    ask: Ask, options: list[Option], rejected: list[Rejected], grown: Growing | None
) -> Recommendation:
    """Return what to do, or that nothing does, with what would help."""
    if not options:
        why = tuple(f"{r.model} on {r.device}: {r.why}" for r in rejected[:MOST_REASONS])
        return Recommendation(None, "No candidate meets the load within the limits", why, ())
    first = options[0]
    reasons = [_rank(ask, options), _load(first), *_latencies(ask, first), _memory(first)]
    due = next((d for d in grown.due if d.option == first.number), None) if grown else None
    if due is not None and due.quarters is not None and grown is not None:
        when = f"for {due.quarters:.1f} quarters of growth, into {due.name}"
        if due.quarters > len(grown.quarters) - 1:
            when = f"beyond the {len(grown.quarters) - 1} quarters that were looked at"
        line = f"{due.what} will do {when}; then {due.adds}."
        if due.quarters < AT_ONCE:
            line = f"{due.what} will not do for any growth: {due.adds}, with the first of it."
        reasons.append(line)
    return Recommendation(first.number, headline(first), tuple(reasons), tuple(_risks(ask, first)))


MOST_REASONS = 5
AT_ONCE = 0.05
"""Quarters of growth that are called none."""


def headline(option: Option) -> str:
    """Return an option in one line: model, format, engine, devices."""
    parts = [what(p) for p in option.parts]
    model = option.first.model.name
    return f"{model} on {' and '.join(parts)}"


def what(part: Part) -> str:
    """Return a part in a few words: replicas, devices, engine, format."""
    s = part.planned.setup
    return f"{devices(part)} with {s.engine} in {s.weight_format}"


def devices(part: Part) -> str:
    """Return replicas and their devices: `3 x a30`, `2 x (4 x h100-sxm)`."""
    s, count = part.planned.setup, part.planned.replicas
    if s.gpus == 1:
        return f"{count} x {s.gpu}"
    return f"{count} x ({s.gpus} x {s.gpu})" if count > 1 else f"{s.gpus} x {s.gpu}"


BY = {
    "cheapest": "cost, where a price is on record",
    "fastest": "the time of a request",
    "fewest": "the number of devices",
    "quality": "the quality of its weights, then cost",
}
"""What each preference orders by, in words."""


def _rank(ask: Ask, options: list[Option]) -> str:
    first = options[0]
    if len(options) == 1:
        return "It is the only option of this plan that meets load and limits."
    line = f"Best of {len(options)} options that meet load and limits, by {BY[ask.wanted.prefer]}"
    second = options[1]
    if first.usd_per_month is not None and second.usd_per_month:
        less = 1 - first.usd_per_month / second.usd_per_month
        if less > 0.0005:
            line += f": {less:.0%} less than option 2"
        elif less >= -0.0005:
            line += ": option 2 costs the same"
            if first.first.planned.e2e_s.value < second.first.planned.e2e_s.value:
                line += " and is slower"
    return f"{line}."


def _load(option: Option) -> str:
    d = option.first.demand
    unit = "requests/s" if d.kind == "rate" else "requests in flight"
    peak = sum(p.demand.peak for p in option.parts)
    return (
        f"It serves up to {option.capacity:.3g} {unit} within the limits; the peak of "
        f"{peak:.3g} takes {peak / option.capacity:.0%} of that."
    )


def _latencies(ask: Ask, option: Option) -> list[str]:
    lines = []
    limits = ask.wanted.bounds
    for name, limit in (("ttft_s", limits.ttft_s), ("tpot_s", limits.tpot_s)):
        if limit is not None:
            worst = max(getattr(p.planned, f"{name[:4]}_limit_s") for p in option.parts)
            lines.append(f"{name[:4].upper()} of {ms(worst)} is within {ms(limit)}.")
    return lines


def ms(seconds: float) -> str:
    """Return a time in milliseconds or seconds.

    >>> ms(0.0307), ms(0.23), ms(2.5)
    ('30.7 ms', '230 ms', '2.5 s')
    """
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _memory(option: Option) -> str:
    m = option.first.planned.setup.memory_per_gpu
    return (
        f"Each {option.first.planned.setup.gpu} holds {gib(m.weights_bytes)} of weights and "
        f"{gib(m.kv_cache_bytes)} of KV cache; {gib(max(0, m.free_bytes))} of "
        f"{gib(m.device_total_bytes)} stay free."
    )


def _risks(ask: Ask, option: Option) -> list[str]:
    """Return what speaks against the option, evidence first."""
    risks = [f"Evidence: {e}." for e in option.evidence]
    for name, limit in (("ttft_s", ask.wanted.ttft_s), ("tpot_s", ask.wanted.tpot_s)):
        bands: list[Band] = [getattr(p.planned, name) for p in option.parts]
        high = max(b.high for b in bands)
        if limit is not None and high > limit:
            risks.append(
                f"The 80 % band of {name[:4].upper()} ends at {ms(high)}, above the limit of "
                f"{ms(limit)}: measure before you sign."
            )
    basis = {p.planned.tpot_s.basis for p in option.parts} - {"calibrated"}
    risks += [f"Speed is {b}: {BASES[b]}." for b in sorted(basis)]
    if option.replicas == 1:
        risks.append("One replica: no other takes over when it fails or restarts.")
    quality = option.first.planned.setup.quality
    if quality is not None and option.first.planned.quality_tier:
        risks.append(f"Quality of {option.first.planned.setup.weight_format}: {quality.note}.")
    return risks


BASES = {
    "transferred": "no results of this engine on this device, only on its class",
    "assumed": "no results of this engine on such devices",
    "exact": "exact",
    "measured": "measured",
}
