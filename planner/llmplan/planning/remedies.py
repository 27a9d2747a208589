"""What would make a setup fit: each remedy is computed and checked, none is a guess."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace

from llmplan.engines import engine_names, get_engine
from llmplan.engines.base import Engine, Plan, Request
from llmplan.memory.formats import kv_format, weight_format
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism
from llmplan.specs.units import gib, tokens_text

MAX_DEVICES_TRIED = 64
MOST_FORMATS = 4
"""Weight formats that a remedy names for an engine, best quality first."""


def remedies_for(
    engine: Engine, request: Request, accelerators: Iterable[Accelerator]
) -> tuple[str, ...]:
    """Return the nearest changes that make this request fit, the smallest first."""
    plan = engine.plan(request)
    found = [
        *_shorter_context(engine, request, plan),
        *_higher_utilization(engine, request),
        *_fewer_sequences(engine, request, plan),
        *_smaller_kv(engine, request, plan),
        *_offload(engine, request),
        *_own_choice(engine, request),
        *_more_devices(engine, request),
        *_other_formats(engine, request),
        *_bigger_device(engine, request, accelerators),
    ]
    if not _is_known(request.model):
        found = [f"{line}, by memory alone" for line in found]
    return tuple(found)


def _fits(engine: Engine, request: Request) -> Plan | None:
    """Return the plan of a request that can be started; memory alone for unknown architectures."""
    if engine.illegal(request.model, request.weights, request.parallel):
        return None
    if _is_known(request.model) and engine.unsupported(request):
        return None
    plan = engine.plan(request)
    return plan if plan.fits else None


def _is_known(model: Model) -> bool:
    return any(get_engine(name).knows(model) for name in engine_names())


def _shorter_context(engine: Engine, request: Request, plan: Plan) -> list[str]:
    longest = plan.max_context_tokens
    if not 0 < longest < request.context_tokens:
        return []
    shorter = replace(request.workload, context_tokens=longest)
    if _fits(engine, replace(request, workload=shorter)) is None:
        return []
    return [f"a context of {tokens_text(longest)} tokens at most"]


def _higher_utilization(engine: Engine, request: Request) -> list[str]:
    """Return the lowest share of memory, in hundredths, with which it fits."""
    highest, limits = engine.highest_utilization(request), request.limits
    if highest is None or limits.kv_cache_memory_bytes is not None:
        return []

    def fits(hundredths: int) -> bool:
        other = limits._replace(gpu_memory_utilization=hundredths / 100)
        return _fits(engine, replace(request, limits=other)) is not None

    most = round(highest * 100)
    if not fits(most):
        return []
    lowest = 1 + bisect_left(range(1, most), True, key=fits)
    return [f"{lowest} % of the device (--gpu-memory-utilization {lowest / 100:.2f})"]


def _fewer_sequences(engine: Engine, request: Request, plan: Plan) -> list[str]:
    """Return the most sequences at once whose profile run leaves room for a request."""

    def misfits(sequences: int) -> bool:
        other = request.limits._replace(max_num_seqs=sequences)
        return _fits(engine, replace(request, limits=other)) is None

    if plan.max_num_seqs == 1 or misfits(1):
        return []
    most = bisect_left(range(1, plan.max_num_seqs), True, key=misfits)
    return [f"at most {most:,} requests at once (--max-num-seqs {most})"]


def _smaller_kv(engine: Engine, request: Request, plan: Plan) -> list[str]:
    name = engine.smaller_kv
    if plan.max_context_tokens == 0 or request.kv.name == name:
        return []
    if _fits(engine, replace(request, kv=kv_format(name))) is None:
        return []
    return [f"a KV cache in {name}"]


def _offload(engine: Engine, request: Request) -> list[str]:
    line = engine.offload_remedy(request)
    return [line] if line else []


def _own_choice(engine: Engine, request: Request) -> list[str]:
    line = engine.own_choice(request)
    return [line] if line else []


def _more_devices(engine: Engine, request: Request) -> list[str]:
    """Return the fewest devices that hold it, and the fewest without pipeline stages."""
    lines: list[str] = []
    for gpus in range(request.parallel.gpus + 1, MAX_DEVICES_TRIED + 1):
        for p in engine.splits(request.model, request.weights, gpus):
            if p.gpus != gpus or p.dp > 1 or (lines and p.pp > 1):
                continue
            plan = _fits(engine, replace(request, parallel=p))
            if plan:
                weights = gib(plan.memory.weights_bytes)
                lines.append(f"{gpus} x {request.gpu.id} ({_split(p)}, {weights} of weights each)")
                if p.pp == 1 or not engine.has_tensor_parallel:
                    return lines
                break
    return lines


def _other_formats(asked: Engine, request: Request) -> list[str]:
    lines = []
    for name in engine_names():
        engine, fitting = get_engine(name), []
        formats = dict.fromkeys(engine.candidate_formats(request.model, request.gpu))
        if engine.name == asked.name:
            formats.pop(request.weights.name, None)
        else:
            formats = {request.weights.name: None, **formats}
        for fmt in formats:
            weights = weight_format(fmt)
            splits = engine.splits(request.model, weights, request.parallel.gpus)
            parallel = next((p for p in splits if p.dp == 1), Parallelism())
            kv = (
                request.kv
                if engine.name == asked.name
                else kv_format(engine.default_kv(request.model, weights))
            )
            version = request.version if engine.name == asked.name else engine.default_version
            other = replace(request, weights=weights, kv=kv, parallel=parallel, version=version)
            plan = _fits(engine, other)
            if plan:
                fitting.append(f"{fmt} ({gib(plan.memory.weights_bytes)})")
            if len(fitting) == MOST_FORMATS:
                break
        if fitting:
            where = "" if request.parallel.gpus == 1 else f" on {request.parallel.gpus} devices"
            lines.append(f"weights in {', '.join(fitting)} with {name}{where}")
    return lines


def _bigger_device(
    engine: Engine, request: Request, accelerators: Iterable[Accelerator]
) -> list[str]:
    """Return the first devices that hold the request; they come the nearest first."""
    names: list[str] = []
    for gpu in accelerators:
        if _fits(engine, replace(request, gpu=gpu)):
            names.append(f"{gpu.id} ({gib(gpu.usable_memory_bytes or 0)})")
            if len(names) == 3:
                break
    count = request.parallel.gpus
    return [f"{count} x {' or '.join(names)}"] if names else []


def _split(p: Parallelism) -> str:
    parts = [f"{name} {size}" for name, size in (("tp", p.tp), ("pp", p.pp)) if size > 1]
    return " x ".join(parts)
