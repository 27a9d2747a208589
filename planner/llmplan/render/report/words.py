"""The words of a report: options, loads, money and bands in short."""

from __future__ import annotations

from llmplan.render.plan_table import money
from llmplan.render.speed import rate
from llmplan.reporting.ask import Option, Part
from llmplan.reporting.recommend import devices
from llmplan.reporting.report import Report
from llmplan.specs.plan import Demand
from llmplan.specs.setup import Band, Setup
from llmplan.specs.units import GIB

NONE = "not known"
RANKS = ("tp", "pp", "dp", "ep")


def label(option: Option, report: Report) -> str:
    """Return a short name of an option for charts: number, device, format."""
    s = option.first.planned.setup
    if len(option.parts) > 1:
        return f"{option.number}: all together"
    model = f"{option.first.model.id}, " if len(report.ask.models) > 1 else ""
    return f"{option.number}: {model}{s.gpu} {s.weight_format}"


def part_label(part: Part, option: Option, report: Report) -> str:
    """Return the name of a part: the option's, or number and device where it has several."""
    if len(option.parts) == 1:
        return label(option, report)
    return f"{option.number}: {part.planned.setup.gpu} {part.planned.setup.weight_format}"


def hardware(option: Option) -> str:
    """Return the devices of an option: `2 x (4 x h100-sxm)`, parts joined by +."""
    return " + ".join(devices(p) for p in option.parts)


def served(option: Option) -> str:
    """Return engines, weight formats and splits of an option."""
    return "; ".join(dict.fromkeys(_served(p.planned.setup) for p in option.parts))


def _served(s: Setup) -> str:
    ranks = " x ".join(f"{n} {getattr(s, n)}" for n in RANKS if getattr(s, n) > 1)
    return ", ".join(x for x in (f"{s.engine} {s.engine_version}", s.weight_format, ranks) if x)


def worst(option: Option, name: str) -> Band:
    """Return the longest latency of the parts."""
    bands: list[Band] = [getattr(p.planned, name) for p in option.parts]
    return max(bands, key=lambda b: b.value)


def total(option: Option, name: str) -> Band:
    """Return the sum of a rate over parts; the band sums as well, which is wider than it is."""
    bands: list[Band] = [getattr(p.planned, name) for p in option.parts]
    low, high = sum(b.low for b in bands), sum(b.high for b in bands)
    return bands[0]._replace(value=sum(b.value for b in bands), low=low, high=high)


def month(usd: float | None) -> str:
    """Return dollars a month."""
    return "no price" if usd is None else money(usd)


def per_million(option: Option) -> str:
    """Return the cost of a million output tokens at the mean load."""
    usd = option.first.planned.usd_per_million_output_tokens
    return "no price" if usd is None or len(option.parts) > 1 else money(usd)


def watts(power: float | None) -> str:
    """Return power in kW."""
    return NONE if power is None else f"{power / 1e3:.3g} kW"


def gib_text(size: float) -> str:
    """Return bytes as a number of GiB."""
    return f"{size / GIB:.1f}"


def unit_of(load: Demand) -> str:
    """Return the unit of a load."""
    return "requests/s" if load.kind == "rate" else "requests in flight"


def rate_text(band: Band) -> str:
    """Return a rate with its band."""
    return f"{rate(band.value)} ({rate(band.low)}-{rate(band.high)})"
