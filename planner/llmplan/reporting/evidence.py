"""What every number of a report rests on: basis, error or band, source; what was assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from llmplan.measured.bands import held_out, own_scores
from llmplan.measured.memory import EXACT, FITTED, Score
from llmplan.measured.summary import Summary, summaries
from llmplan.planning.own_or_rent import HOURS_PER_MONTH
from llmplan.reporting.ask import Ask, Option, Part
from llmplan.specs.record import as_dict
from llmplan.specs.setup import Band, Term
from llmplan.specs.speed import SpeedTable


class Figure(NamedTuple):
    """One number of the recommended option: value, basis, how sure, what it was checked against."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    basis: str
    error: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return as_dict(self)


TESTS = {
    "vllm": ("weights", "kv_bytes_per_token", "kv_pool"),
    "llama.cpp": ("gguf_model_size", "gguf_kv_buffer", "gguf_compute_buffer"),
    "ik_llama.cpp": ("gguf_model_size", "gguf_kv_buffer", "gguf_compute_buffer"),
}
"""Tests of `validate` that stand for weights, cache of a token, and the rest, by engine."""

PARTS = (("weights_bytes", 0, "weights"), ("kv_cache_bytes", 2, "KV pool"),
         ("activation_peak_bytes", 2, "activations"), ("cuda_graph_bytes", 2, "CUDA graphs"),
         ("runtime_bytes", 2, "runtime"))  # fmt: skip
"""Parts of a device's memory, with the place in TESTS of the one that they show in."""

SPEEDS = (("ttft_s", "TTFT, mean", "s"), ("tpot_s", "TPOT, mean", "s"),
          ("e2e_s", "time of a request, mean", "s"),
          ("output_tokens_per_s", "output tokens, all replicas", "tokens/s"))  # fmt: skip


def figures_of(option: Option, terms: Iterable[Any], table: SpeedTable) -> list[Figure]:
    """Return the numbers of the first part of an option with what they rest on."""
    part = option.first
    return [
        *_memory(part, [t for t in terms if isinstance(t, Term)], _scores()),
        *_speed(part, table),
        *_money(option),
    ]


@cache
def _scores() -> tuple[Score, ...]:
    """Return the scores of the project's own logs, predicted once a process."""
    return tuple(own_scores())


def _memory(part: Part, terms: list[Term], scores: tuple[Score, ...]) -> Iterator[Figure]:
    engine = part.planned.setup.engine
    of_test = {s.group: s for s in summaries(held_out(scores)) if s.rows}
    tests = TESTS.get(engine, ("", "", ""))
    sized = {t.name: t for t in terms}
    for field, place, name in PARTS:
        value = getattr(part.planned.setup.memory_per_gpu, field)
        if value:
            error = _error(of_test.get((engine, tests[place])))
            term = sized.get("weights" if field == "weights_bytes" else name)
            basis = "calibrated" if engine in FITTED else "assumed"
            basis = "exact" if tests[place] in EXACT else term.basis if term else basis
            source = term.source if term else "docs/memory.md"
            yield Figure(f"{name} of a device", float(value), None, None, "bytes", basis, error,
                         source)  # fmt: skip
    cache = sized.get("KV cache")
    if cache is not None:
        error = _error(of_test.get((engine, tests[1])))
        yield Figure("KV cache of the longest request, a device", cache.value_bytes, None, None,
                     "bytes", cache.basis, error, cache.source)  # fmt: skip


def _error(found: Summary | None) -> str:
    if found is None or found.median is None or found.p90 is None:
        return "no public log"
    what = found.group[1].replace("_", " ").replace("kv", "KV")
    return (
        f"{what} in {found.rows} public logs: {found.median:.2%} off in the median, "
        f"{found.p90:.1%} at the 90th percentile"
    )


def _speed(part: Part, table: SpeedTable) -> Iterator[Figure]:
    p, engine = part.planned, part.planned.setup.engine
    for field, name, unit in SPEEDS:
        band: Band = getattr(p, field)
        rows = _rows(table, field, engine, band.basis)
        error = f"{band.confidence:.0%} band"
        error += (
            f" of {rows:,} left-out results"
            if rows
            else ", widened: no results of this engine on such devices"
        )
        yield Figure(name, band.value, band.low, band.high, unit, band.basis, error,
                     "hardware/speed, docs/speed.md")  # fmt: skip


def _rows(table: SpeedTable, field: str, engine: str, basis: str) -> int:
    if table.bands is None or basis == "assumed":
        return 0
    rows = table.bands.rows.get(field, {})
    for label in (f"{engine}|{basis}", f"few|{basis}", basis):
        if rows.get(label):
            return int(rows[label])
    return 0


def _money(option: Option) -> Iterator[Figure]:
    for part in option.parts:
        rent = part.planned.rent
        if rent is not None:
            o = rent.offer
            yield Figure(
                f"{rent.machines} x {o.instance_type}", part.planned.usd_per_hour, None, None,
                "USD/hour", "price list", f"as of {o.price_date}, on demand",
                f"hardware/prices, {o.provider}{f' {o.region}' if o.region else ''}",
            )  # fmt: skip
    gpu = option.first.stock.gpu
    if option.power_w is not None:
        yield Figure("power at the limit", option.power_w, None, None, "W", "exact",
                     "board power (TDP), without hosts; real load draws less",
                     gpu.sources[0] if gpu.sources else gpu.id)  # fmt: skip


def assumptions_of(ask: Ask, option: Option | None) -> list[str]:
    """Return what the report takes for granted, one sentence each."""
    lines = []
    if option is not None:
        d = option.first.demand
        lines.append(f"Peak over mean load: {d.headroom:.3g} ({d.headroom_source}).")
        lines.append(
            f"Every request has {d.input_tokens:,} tokens in and {d.output_tokens:,} out (means); "
            f"the longest has {d.context_tokens:,}."
        )
        if d.percentile == "mean":
            lines.append("Limits hold for mean latencies, not for percentiles.")
        else:
            lines.append(f"{d.percentile} latencies are derived from means (assumed).")
        hits = d.prefix_hit_rate
        lines.append(f"{hits:.0%} of each prompt is in the prefix cache." if hits else
                     "Nothing of a prompt is in the prefix cache.")  # fmt: skip
    lines.append(
        f"A month has {HOURS_PER_MONTH:.0f} hours, and rented machines run day and night, "
        "on demand, without discounts, storage or traffic."
    )
    lines.append("Replicas share the load evenly. No spare machine for failures is counted.")
    if ask.growth is not None:
        lines.append("The load grows by the same share each quarter; prices and devices stay.")
    notes = [w.message for w in ask.said]
    if option is not None:
        notes += [w.message for p in option.parts for w in p.planned.setup.warnings]
    return list(dict.fromkeys([*lines, *notes]))


def sources_of(ask: Ask, option: Option | None) -> list[tuple[str, str]]:
    """Return what was read for the recommended option, and where it is published."""
    rows: list[tuple[str, str]] = []
    if option is None:
        return rows
    for part in option.parts:
        rows += [(part.model.name, s.ref) for s in part.model.sources]
        rows += [(part.stock.gpu.name, s) for s in part.stock.gpu.sources]
        quality = part.planned.setup.quality
        if quality is not None and quality.source:
            rows.append((f"quality of {part.planned.setup.weight_format}", quality.source))
    traffic = option.first.demand.traffic
    if traffic is not None:
        rows.append((f"traffic {traffic.name}", f"{traffic.source}, {traffic.date or 'no date'}"))
    return list(dict.fromkeys(rows))
