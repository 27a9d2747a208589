"""The replicas of an option in lowered form, as planned or under another load."""

from __future__ import annotations

from dataclasses import replace

from llmplan.engines import get_engine
from llmplan.engines.base import Engine, Request
from llmplan.errors import InputError
from llmplan.memory.formats import kv_format, weight_format
from llmplan.planning.performance import NoSpeed, speed_setting
from llmplan.planning.serving import Replica
from llmplan.reporting.ask import Part
from llmplan.specs.plan import Demand
from llmplan.specs.setup import Limits, Parallelism, Workload
from llmplan.specs.speed import SpeedTable


def request_of(part: Part, demand: Demand) -> tuple[Engine, Request]:
    """Return the engine of a part and the request of one replica as planned, without its load."""
    s = part.planned.setup
    engine = get_engine(s.engine)
    workload = Workload(
        demand.context_tokens, demand.input_tokens, demand.output_tokens,
        prefix_hit_rate=demand.prefix_hit_rate,
    )  # fmt: skip
    return engine, Request(
        part.model, part.stock.gpu, weight_format(s.weight_format), kv_format(s.kv_format),
        Parallelism(s.tp, s.pp, s.dp, s.ep), workload,
        Limits(max_num_seqs=part.planned.max_num_seqs), s.engine_version,
    )  # fmt: skip


def replica_of(part: Part, demand: Demand, table: SpeedTable) -> Replica | None:
    """Return one replica of a part under a demand; None where the demand does not fit in it."""
    engine, request = request_of(part, demand)
    plan = engine.plan(request)
    if not plan.fits or engine.unsupported(request) is not None:
        return None
    try:
        setting, load = speed_setting(engine, request, plan, table)
    except (NoSpeed, InputError):
        return None
    return Replica(0, request, engine.name, plan, setting, load, ())


def held_at(part: Part, tokens: int) -> float:
    """Return the requests of a length that all replicas of a part run at once [requests]."""
    engine, request = request_of(part, part.demand)
    longer = replace(request, workload=Workload(tokens))
    plan = engine.plan(longer)
    if not plan.fits or engine.unsupported(longer) is not None:
        return 0.0
    p = part.planned
    each = min(plan.kv_cache.max_concurrency, plan.max_num_seqs) * p.setup.dp
    return each * p.replicas
