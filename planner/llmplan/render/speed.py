"""Speed as text: values with their 80 % intervals, in the field's units."""

from __future__ import annotations

from llmplan.specs.setup import Band, Setup, StepTerm, Workload


def duration(seconds: float) -> str:
    """Return a time with three digits at most.

    >>> [duration(x) for x in (0.000042, 0.0123, 0.456, 7.89, 1234.5)]
    ['42 us', '12.3 ms', '456 ms', '7.89 s', '1,234 s']
    """
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.09995:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def rate(per_second: float) -> str:
    """Return a rate with three digits at most, whole above 100.

    >>> [rate(x) for x in (0.42, 8.137, 45.2, 12345.6)]
    ['0.42', '8.14', '45.2', '12,346']
    """
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def latency_band(band: Band | None) -> str:
    """Return a time with its interval, empty where it is not predicted.

    >>> latency_band(Band(0.2, 0.15, 0.31))
    '200 ms (150 ms-310 ms)'
    """
    if band is None:
        return ""
    return f"{duration(band.value)} ({duration(band.low)}-{duration(band.high)})"


def rate_band(band: Band | None) -> str:
    """Return a rate with its interval, empty where it is not predicted.

    >>> rate_band(Band(45, 38, 54))
    '45 (38-54)'
    """
    return "" if band is None else f"{rate(band.value)} ({rate(band.low)}-{rate(band.high)})"


def load_text(w: Workload) -> str:
    """Return the load that speed is stated for."""
    if w.rate_per_s:
        what = f"{w.rate_per_s:g} requests a second"
    else:
        n = w.concurrency or 1
        what = "one request at a time" if n == 1 else f"{n} requests in flight"
    lengths = f"{w.input_tokens or 0:,} tokens in and {w.output_tokens or 0:,} out"
    shared = f", {w.prefix_hit_rate:.0%} of them cached" if w.prefix_hit_rate else ""
    return f"{what}, {lengths}{shared}"


def speed_line(s: Setup, w: Workload) -> str:
    """Return one line on the speed of a setup: latencies, rate, limit, basis."""
    p = s.performance
    if p.tpot_s is None or p.output_tokens_per_s is None:
        return ""
    used = "" if p.utilization is None else f", {p.utilization:.0%} of capacity"
    return (
        f"Speed for {load_text(w)}{used}: TTFT {latency_band(p.ttft_s)}, "
        f"TPOT {latency_band(p.tpot_s)}, {rate_band(p.output_tokens_per_s)} output tokens/s; "
        f"limited by {p.limited_by}; {p.tpot_s.basis}, {p.tpot_s.confidence:.0%} bands."
    )


def step_line(t: StepTerm) -> str:
    """Return one term of a step for `--explain`."""
    return (
        f"  {t.name}: {duration(t.value_s)} ({t.share:.0%}, {t.limited_by}) = {t.formula} "
        f"[{t.basis}; {t.source}]"
    )
