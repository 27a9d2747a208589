"""A found plan as it is shown: full setup, bands, cost, power, the line that makes its files."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from shlex import quote

import numpy as np

from llmplan.engines import get_engine
from llmplan.planning.estimate import setup_of
from llmplan.planning.search import Found
from llmplan.planning.serving import EXACT, Crowd, limited
from llmplan.specs.plan import Bounds, Demand, Planned, Point, Stock
from llmplan.specs.setup import Band, Setup
from llmplan.specs.speed import SpeedTable

SECONDS_PER_HOUR = 3600
MILLION = 1e6
POWER_BASIS = "board power of the devices at their limit (TDP), without hosts"


def planned_of(
    found: list[Found], stocks: list[Stock], demand: Demand, limits: Bounds, table: SpeedTable,
    *, name: str, explain: bool = False,
) -> list[Planned]:  # fmt: skip
    """Return the records of found plans, each under its own share of the load.

    `stocks` are those of the plans, `name` is what the user called the model.
    """
    if not found:
        return []
    shares = np.array([share_of(demand, f.replicas) for f in found])
    replicas, batch = limited([f.replica for f in found], shares, demand, limits)
    crowd = Crowd(replicas, demand, limits)
    at, most = crowd.latency(shares), crowd.most()[0]
    return [
        _planned(
            f._replace(
                replica=replicas[i],
                ttft_limit_s=float(at.ttft_s[i]),
                tpot_limit_s=float(at.tpot_s[i]),
            ),
            stocks[i], demand, table, name, explain, float(most[i]), int(batch[i]),
        )
        for i, f in enumerate(found)
    ]  # fmt: skip


def _planned(
    f: Found, stock: Stock, demand: Demand, table: SpeedTable, name: str, explain: bool,
    most: float, batch: int,
) -> Planned:  # fmt: skip
    setup = loaded_setup(f, demand, table, explain=explain)
    p = setup.performance
    assert p.ttft_s and p.tpot_s and p.e2e_s and p.output_tokens_per_s and p.requests_per_s
    each, shown = demand.peak / f.replicas, share_of(demand, f.replicas)
    times = f.replicas * each / shown
    tokens = _scaled(p.output_tokens_per_s, times)
    mean = tokens.value
    if demand.rate_per_s is not None:
        mean = demand.rate_per_s * demand.output_tokens
    usd, watts = f.usd_per_hour, stock.gpu.tdp_w
    taken = f.replica.request.limits.max_num_seqs
    return Planned(
        replicas=f.replicas,
        gpus=f.gpus,
        setup=setup,
        ttft_s=p.ttft_s,
        tpot_s=p.tpot_s,
        e2e_s=p.e2e_s,
        ttft_limit_s=f.ttft_limit_s,
        tpot_limit_s=f.tpot_limit_s,
        output_tokens_per_s=tokens,
        requests_per_s=_scaled(p.requests_per_s, times),
        capacity=most * f.replicas,
        batch_limit=batch,
        max_num_seqs=taken,
        utilization=min(1.0, each / most) if most else 1.0,
        rent=f.rent,
        usd_per_hour=usd,
        usd_per_million_output_tokens=(
            None if usd is None else usd / (mean * SECONDS_PER_HOUR) * MILLION
        ),
        power_w=None if watts is None else watts * f.gpus,
        power_basis=POWER_BASIS if watts is not None else "power of the device not on record",
        quality_tier=f.tier,
        evidence=f.replica.evidence,
        deploy=deploy_line(setup, stock, demand, shown, name, most=taken),
    )


def loaded_setup(f: Found, demand: Demand, table: SpeedTable, *, explain: bool = False) -> Setup:
    """Return the full record of one replica under its share of the load."""
    request = f.replica.request
    each = share_of(demand, f.replicas)
    workload = replace(
        request.workload,
        rate_per_s=each if demand.kind == "rate" else None,
        concurrency=int(each) if demand.kind == "concurrency" else None,
    )
    loaded = replace(request, workload=workload)
    return setup_of(get_engine(f.replica.request_engine), loaded, explain=explain, speed=table)


def share_of(demand: Demand, replicas: int) -> float:
    """Return the load of the busiest of so many replicas: a rate, or whole requests in flight."""
    each = demand.peak / replicas
    return each if demand.kind == "rate" else ceil(each - EXACT)


def deploy_line(
    setup: Setup, stock: Stock, demand: Demand, each: float, name: str, *, most: int | None = None
) -> str:
    """Return the `llmplan deploy` command that writes the files of one replica.

    `each` is its load, `most` the sequences that the engine is told to run at once.
    """
    gpu = stock.name if setup.gpus == 1 else f"{stock.name}*{setup.gpus}"
    words = ["llmplan", "deploy", name, "--gpu", gpu, "--engine", setup.engine,
             "--quant", setup.weight_format, "--kv-dtype", setup.kv_format]  # fmt: skip
    for flag in ("tp", "pp", "dp", "ep"):
        size = getattr(setup, flag)
        words += [f"--{flag}", str(size)] if size > 1 or flag == "tp" else []
    words += ["--context", str(demand.context_tokens), "--input", str(demand.input_tokens),
              "--output", str(demand.output_tokens)]  # fmt: skip
    if demand.prefix_hit_rate:
        words += ["--prefix-hit-rate", f"{demand.prefix_hit_rate:g}"]
    words += ["--max-num-seqs", str(most)] if most is not None else []
    words += ["--rate", f"{each:.6g}"] if demand.kind == "rate" else ["--concurrency", str(each)]
    return " ".join(quote(w) for w in words)


def point_of(f: Found, capacity: float | None = None) -> Point:
    """Return a found plan as one point of the front."""
    r = f.replica.request
    p = r.parallel
    return Point(
        r.gpu.id, f.gpus, f.replicas, f.replica.request_engine, r.weights.name, r.kv.name,
        p.tp, p.pp, p.dp, p.ep, f.usd_per_hour, f.ttft_s, f.tpot_s, f.e2e_s, capacity,
        f.replica.evidence,
    )  # fmt: skip


def _scaled(band: Band, factor: float) -> Band:
    return band._replace(value=band.value * factor, low=band.low * factor, high=band.high * factor)
