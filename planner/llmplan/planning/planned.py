"""A found plan as it is shown: full setup, bands, cost, power, the line that makes its files."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from shlex import quote

import numpy as np

from llmplan.engines import get_engine
from llmplan.planning.disaggregated import Kind, Pair, most_load
from llmplan.planning.estimate import setup_of
from llmplan.planning.intervals import interval
from llmplan.planning.performance import CONFIDENCE
from llmplan.planning.search import Found
from llmplan.planning.serving import EXACT, Crowd, limited
from llmplan.specs.plan import Bounds, Demand, Disaggregated, Planned, Point, Stock
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
        usd_per_hour=f.usd_per_hour,
        usd_per_million_output_tokens=_per_million(f.usd_per_hour, tokens, demand),
        power_w=_power_w(stock, f.gpus),
        power_basis=_power_basis(stock),
        quality_tier=f.tier,
        evidence=f.replica.evidence,
        deploy=deploy_line(setup, stock, demand, shown, name, most=taken),
    )


def _per_million(usd: float | None, tokens: Band, demand: Demand) -> float | None:
    """Return the cost of a million output tokens at the mean load [USD]."""
    mean = tokens.value
    if demand.rate_per_s is not None:
        mean = demand.rate_per_s * demand.output_tokens
    return None if usd is None else usd / (mean * SECONDS_PER_HOUR) * MILLION


def _power_w(stock: Stock, gpus: int) -> float | None:
    watts = stock.gpu.tdp_w
    return None if watts is None else watts * gpus


def _power_basis(stock: Stock) -> str:
    known = stock.gpu.tdp_w is not None
    return POWER_BASIS if known else "power of the device not on record"


def planned_pair(
    p: Pair, stock: Stock, demand: Demand, limits: Bounds, table: SpeedTable, *, name: str
) -> Disaggregated:
    """Return the record of a pair of setups, under the whole load."""
    kinds = {"prefill": p.prefill, "decode": p.decode}
    setups = {role: _role_setup(kind, role, table) for role, kind in kinds.items()}
    regime = "stream" if demand.kind == "concurrency" and demand.peak <= 1 else "load"

    def band(quantity: str) -> Band:
        engine = p.decode.replica.request_engine
        low, high = interval(table, quantity, engine, "assumed", regime)
        value = float(getattr(p.figures, quantity))
        return Band(value, value * low, value * high, CONFIDENCE, "assumed")

    most, tokens = most_load(p, demand, limits), band("output_tokens_per_s")
    usd = None if p.rent is None else p.rent.usd_per_hour
    return Disaggregated(
        prefill_replicas=p.prefill.replicas,
        decode_replicas=p.decode.replicas,
        gpus=p.gpus,
        **setups,
        ttft_s=band("ttft_s"),
        tpot_s=band("tpot_s"),
        e2e_s=band("e2e_s"),
        ttft_limit_s=p.ttft_limit_s,
        tpot_limit_s=p.tpot_limit_s,
        output_tokens_per_s=tokens,
        requests_per_s=band("requests_per_s"),
        capacity=most,
        utilization=min(1.0, demand.peak / most),
        rent=p.rent,
        usd_per_hour=usd,
        usd_per_million_output_tokens=_per_million(usd, tokens, demand),
        power_w=_power_w(stock, p.gpus),
        power_basis=_power_basis(stock),
        quality_tier=p.tier,
        evidence=p.evidence,
        deploy=(
            deploy_line(setups["prefill"], stock, demand, None, name, role="prefill"),
            deploy_line(setups["decode"], stock, demand, None, name, role="decode"),
        ),
    )


def _role_setup(kind: Kind, role: str, table: SpeedTable) -> Setup:
    request = kind.replica.request
    limited = replace(request, limits=request.limits._replace(role=role))
    return setup_of(get_engine(kind.replica.request_engine), limited, speed=table)


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
    setup: Setup, stock: Stock, demand: Demand, each: float | None, name: str, *,
    most: int | None = None, role: str | None = None,
) -> str:  # fmt: skip
    """Return the `llmplan deploy` command that writes the files of one replica.

    `each` is its load, `most` the sequences that the engine is told to run at once, `role` its
    part of a disaggregated pair.
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
    words += ["--role", role] if role is not None else []
    if each is not None:
        rate = demand.kind == "rate"
        words += ["--rate", f"{each:.6g}"] if rate else ["--concurrency", str(each)]
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
