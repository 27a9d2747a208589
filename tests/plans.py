"""Small spaces to plan in, and a brute force over them that shares no code with the search."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, NamedTuple

import llmplan
from llmplan.catalog.speed_table import open_speed_table
from llmplan.engines import get_engine
from llmplan.memory.formats import weight_format
from llmplan.planning.plan import plan_answer
from llmplan.planning.wanted import make_wanted
from llmplan.specs.plan import Offer, PlanAnswer, Stock
from llmplan.specs.setup import Parallelism, Setup

FULL = 0.97


def stock(gpu: str, *prices: tuple[int, float], limit: int | None = None) -> Stock:
    """Return a device with offers of machines: (devices, dollars an hour)."""
    offers = tuple(Offer(n, usd, "someone", f"{gpu}-x{n}", "here", "2026-11-01")
                   for n, usd in prices)  # fmt: skip
    return Stock(gpu, llmplan.load_gpu(gpu), offers, limit, max((n for n, _ in prices), default=2))


def planned(model: str, stocks: list[Stock], **options: Any) -> PlanAnswer:
    """Return the plan of a model on these stocks."""
    return plan_answer(
        llmplan.load_model(model), stocks, make_wanted(**options), open_speed_table()
    )


class Brute(NamedTuple):
    """One plan found by trying everything."""

    usd: float | None
    gpus: int
    e2e_s: float
    lacks: bool
    setup: Setup
    replicas: int


def splits(engine: str, n: int) -> Iterator[Parallelism]:
    """Yield every way to use just n devices, legal or not."""
    for tp in range(1, n + 1):
        if n % tp == 0:
            yield Parallelism(tp=tp, pp=n // tp)


def rent(s: Stock, gpus: int, tp: int, replicas: int) -> float | None:
    """Return the least cost an hour of whole machines, counted one replica at a time."""
    costs = []
    for o in s.offers:
        if gpus > o.devices:
            continue
        machines, free = 0, 0
        for _ in range(replicas):
            if free < gpus:
                machines, free = machines + 1, o.devices
            free -= gpus
        costs.append(machines * o.usd_per_hour)
    return min(costs, default=None)


def brute_force(
    model: str, stocks: list[Stock], *, sizes: tuple[int, ...], formats: tuple[str, ...],
    kvs: tuple[str, ...], engine: str = "vllm", most: int = 12, **asked: Any,
) -> list[Brute]:  # fmt: skip
    """Return every plan that meets the load, one replica more at a time."""
    found = []
    m, e = llmplan.load_model(model), get_engine(engine)
    for s in stocks:
        for g in sizes:
            for f in formats:
                for p in splits(engine, g):
                    if e.illegal(m, weight_format(f), p) is not None:
                        continue
                    for kv in kvs:
                        one = _fewest(m, s, p, f, kv, engine, most, asked)
                        found += [one] if one else []
    return found


def _fewest(
    model: Any, s: Stock, p: Parallelism, fmt: str, kv: str, engine: str, most: int,
    asked: dict[str, Any],
) -> Brute | None:  # fmt: skip
    peak = asked.get("rate_per_s", 0) * asked.get("headroom", 1.0) or asked["concurrency"]
    limit = min(most, (s.limit or 10**6) // p.gpus, (asked.get("max_gpus") or 10**6) // p.gpus)
    for n in range(1, limit + 1):
        load = {"concurrency": ceil(peak / n - 1e-9)}
        if "rate_per_s" in asked:
            load = {"rate_per_s": peak / n}
        setup = llmplan.estimate(
            model, s.gpu, engine=engine, weight_format=fmt, kv_format=kv, gpus=p.gpus, tp=p.tp,
            pp=p.pp, context_tokens=asked["context_tokens"], input_tokens=asked["input_tokens"],
            output_tokens=asked["output_tokens"], **load,
        )  # fmt: skip
        perf = setup.performance
        if not (setup.fits and setup.supported) or perf.ttft_s is None or perf.tpot_s is None:
            return None
        if "rate_per_s" in asked:
            served = abs(perf.requests_per_s.value - peak / n) <= 1e-6 * peak  # type: ignore[union-attr]
        else:
            pool = (
                setup.kv_cache.max_concurrency * setup.kv_cache.max_concurrency_measured_at_tokens
            )
            mean = asked["input_tokens"] + asked["output_tokens"] / 2
            served = load["concurrency"] <= min(pool / mean, setup.max_num_seqs)
        if not served or perf.ttft_s.value > asked.get("ttft_s", 1e9):
            continue
        if perf.tpot_s.value > asked.get("tpot_s", 1e9):
            continue
        usd = rent(s, p.gpus, p.tp, n)
        if s.offers and usd is None:
            return None
        lacks = (
            perf.tpot_s.basis == "assumed"
            or s.gpu.confidence == "low"
            or any(w.code == "no_published_artifact" for w in setup.warnings)
        )
        assert perf.e2e_s is not None
        return Brute(usd, n * p.gpus, perf.e2e_s.value, lacks, setup, n)
    return None
