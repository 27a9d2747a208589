"""What a server holds at once, and the load that a request asks of it."""

from __future__ import annotations

from typing import Any

from llmplan.engines.base import Engine, Plan, Request
from llmplan.specs.number import Number, chosen, larger, smaller
from llmplan.specs.setup import Workload
from llmplan.speed.figures import Load

DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS = 1024, 256
"""Prompt and output that speed is stated for where none are asked: a chat turn of the Azure trace
of 2023 has a median prompt of about 1,000 tokens (trace notes of 2026-11)."""

RESERVING = ("tensorrt-llm",)
"""Engines that admit a request only with room for all its tokens. Source: TensorRT-LLM
docs, capacity scheduler GUARANTEED_NO_EVICT (the default)."""

MANY = 1e6
"""Requests of a load that never lacks them."""


def lengths_of(w: Workload) -> tuple[int, int]:
    """Return prompt and output [tokens]: those asked, else the defaults within the context."""
    context = w.context_tokens or DEFAULT_INPUT_TOKENS + DEFAULT_OUTPUT_TOKENS
    prompt, output = lengths_at(context, w.input_tokens, w.output_tokens)
    return prompt, output


def lengths_at(context: int, prompt: Number | None, output: Number | None) -> tuple[Number, Number]:
    """Return prompt and output [tokens], numbers or arrays; null ones by the context."""
    if output is None:
        output = min(DEFAULT_OUTPUT_TOKENS, max(1, context // 4))
    if prompt is None:
        prompt = smaller(DEFAULT_INPUT_TOKENS, larger(1, context - output))
    return prompt, output


def held_requests(
    engine: Engine, request: Request, plan: Plan, *, mean_tokens: float, whole_tokens: float
) -> float:
    """Return how many requests one replica runs at once: by the pool, or the engine's limit."""
    held: float = held_at(
        max_concurrency=plan.kv_cache.max_concurrency,
        context_tokens=request.context_tokens,
        max_num_seqs=plan.max_num_seqs,
        caches=bool(plan.request_bytes),
        reserves=engine.name in RESERVING,
        mean_tokens=mean_tokens,
        whole_tokens=whole_tokens,
    )
    return held


def held_at(
    *,
    max_concurrency: Number,
    context_tokens: Number,
    max_num_seqs: Number,
    caches: Any,
    reserves: Any,
    mean_tokens: Number,
    whole_tokens: Number,
) -> Number:
    """Return the same of numbers or arrays.

    The pool holds requests at their mean length, or at their whole one where the engine reserves
    it. A pool that does not hold one request is taken to run one: the figures then say what
    it would do if it fitted. `caches`: whether a request takes any of the pool.
    """
    reserved = chosen(reserves, whole_tokens, larger(mean_tokens, 1))
    by_memory = chosen(caches, max_concurrency * context_tokens / reserved, MANY)
    return larger(1.0, smaller(by_memory, max_num_seqs))


def load_of(engine: Engine, request: Request, plan: Plan) -> Load:
    """Return the load that a request asks of all replicas: one at a time where it says nothing."""
    w = request.workload
    prompt, output = lengths_of(w)
    held = held_requests(
        engine, request, plan, mean_tokens=prompt + output / 2, whole_tokens=prompt + output
    )
    rate = w.rate_per_s or 0.0
    return load_at(
        prompt=prompt, output=output, hit_rate=w.prefix_hit_rate or 0.0, held=held,
        in_flight=MANY if rate else float(w.concurrency or 1), rate=rate,
    )  # fmt: skip


def load_at(
    *,
    prompt: Number,
    output: Number,
    hit_rate: float,
    in_flight: Number,
    rate: Number,
    held: Number,
) -> Load:
    """Return the load of prompts and outputs [tokens], numbers or arrays."""
    cached = prompt * hit_rate
    return Load(
        input_tokens=prompt - cached,
        output_tokens=output * 1.0,
        past_tokens=cached,
        in_flight=in_flight,
        rate_per_s=rate,
        held=held,
        batch_ends=0.0,
    )
