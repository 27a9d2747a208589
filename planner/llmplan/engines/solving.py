"""From stages and overheads to a plan: the arithmetic that all engines share."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from llmplan.engines.base import UNLIMITED_CONTEXT_TOKENS, Overheads, Plan, Request, Stage
from llmplan.specs.setup import KvCache, MemoryPerGpu, Term, Warning_


def solve(
    request: Request,
    stages: list[Stage],
    overheads: Overheads,
    *,
    budget: float,
    pool_of: Callable[[float], float],
    terms: Callable[[], tuple[Term, ...]] = tuple,
    warnings: tuple[Warning_, ...] = (),
    slots: int | None = None,
    sequences: int = 1,
) -> Plan:
    """Turn stages and overheads into a plan: the stage that holds the fewest requests decides.

    `pool_of` gives the pool from what is left for it. `slots` bounds the pool to so many
    requests, for engines that reserve by slot and not by fraction. A model that caches
    nothing runs `sequences` requests at once and has no pool. Concurrency and capacity are
    those of the pool of one replica.
    """
    context = request.context_tokens
    budget = round(budget)  # whole bytes from here on: the parts never sum to more than it
    stages = [s._replace(weights_bytes=round(s.weights_bytes)) for s in stages]
    overheads = Overheads(*(round(part) for part in overheads))
    weights, one, pool = _fullest(stages, overheads, budget, context, pool_of)
    fits = all(
        s.request_bytes(context) <= pool_of(left) <= left and left >= 0
        for s in stages
        for left in [budget - s.weights_bytes - overheads.total]
    )
    idle = float(sequences) if pool > 0 else 0.0
    concurrency = max(0.0, pool / one) if one else idle
    held = max(0.0, pool) if one else 0.0
    if slots is not None and one:
        concurrency = min(float(slots), float(int(concurrency)))
        held = concurrency * one
    kv = KvCache(
        bytes_per_token_per_gpu=one / context,
        capacity_tokens=int(concurrency * context) if one else 0,
        max_concurrency=round(concurrency, 4),
        max_concurrency_measured_at_tokens=context,
    )
    memory = _memory(request, budget, weights, overheads, held)
    running = sequences if slots is None else max(1, int(concurrency))
    return Plan(
        memory, kv, lambda: _longest(request, stages, overheads, budget, pool_of), fits, one,
        overheads, running, lambda: explained(request, weights, one, terms()), warnings,
    )  # fmt: skip


def _memory(
    request: Request, budget: float, weights: float, overheads: Overheads, held: float
) -> MemoryPerGpu:
    parts = (weights, overheads.activation_peak, overheads.cuda_graph, overheads.runtime, held)
    weights_bytes, activations, graphs, runtime, held_bytes = (round(x) for x in parts)
    total = request.device_bytes
    return MemoryPerGpu(
        device_total_bytes=total,
        budget_bytes=round(budget),
        weights_bytes=weights_bytes,
        activation_peak_bytes=activations,
        cuda_graph_bytes=graphs,
        runtime_bytes=runtime,
        kv_cache_bytes=held_bytes,
        free_bytes=total - weights_bytes - activations - graphs - runtime - held_bytes,
    )


def explained(
    request: Request, weights: float, one: float, terms: tuple[Term, ...]
) -> tuple[Term, ...]:
    """Return the terms of the explanation, weights and one request's KV cache in front."""
    fmt, kv, p = request.weights, request.kv, request.parallel
    basis = "assumed" if request.model.guessed else "exact"
    split = f"tp {p.tp}, pp {p.pp}, dp {p.dp}, ep {p.ep}"
    context = f"one request of {request.context_tokens:,} tokens in {kv.name}"
    stored = request.model.stored
    read = stored is not None and stored.format == fmt.name
    return (
        Term("weights", weights, f"tensor by tensor in {fmt.name}, fullest device of {split}",
             basis, f"headers of {request.model.path}" if read else fmt.source),
        Term("KV cache", one, f"{context}, as the engine pages it", basis, kv.source),
        *terms,
    )  # fmt: skip


def _fullest(
    stages: list[Stage],
    overheads: Overheads,
    budget: float,
    context: int,
    pool_of: Callable[[float], float],
) -> tuple[float, float, float]:
    rows = []
    for s in stages:
        left = budget - s.weights_bytes - overheads.total
        one, pool = s.request_bytes(context), pool_of(left)
        share = pool / one if one and pool > 0 else (float("inf") if pool > 0 else left)
        rows.append((share, -s.weights_bytes, one, pool))
    _, weights, one, pool = min(rows)  # of equals the fullest
    return -weights, one, pool


def _longest(
    request: Request,
    stages: list[Stage],
    overheads: Overheads,
    budget: float,
    pool_of: Callable[[float], float],
) -> int:
    lefts = [budget - s.weights_bytes - overheads.total for s in stages]
    pools = [pool_of(left) if pool_of(left) <= left else 0.0 for left in lefts]

    def fits(tokens: int) -> bool:
        pairs = zip(stages, pools, strict=True)
        return all(p > 0 and s.request_bytes(tokens) <= p for s, p in pairs)

    return longest_context(request, fits)


def longest_context(request: Request, fits: Callable[[int], bool]) -> int:
    """Return the most tokens of a request that `fits` allows, to the trained or asked context.

    [tokens]; 0 where none fits. What fits at a length fits at any below.
    """
    trained = request.model.context_tokens or UNLIMITED_CONTEXT_TOKENS
    lengths = range(1, max(trained, request.context_tokens) + 1)
    return bisect_left(lengths, True, key=lambda tokens: not fits(tokens))
