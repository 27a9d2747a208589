"""What a server holds at once, and the load that a request asks of it."""

from __future__ import annotations

from llmplan.engines.base import Engine, Plan, Request
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
    output = w.output_tokens or min(DEFAULT_OUTPUT_TOKENS, max(1, context // 4))
    prompt = w.input_tokens or min(DEFAULT_INPUT_TOKENS, max(1, context - output))
    return prompt, output


def held_requests(
    engine: Engine, request: Request, plan: Plan, *, mean_tokens: float, whole_tokens: float
) -> float:
    """Return how many requests one replica runs at once: by the pool, or the engine's limit.

    The pool holds requests at their mean length, or at their whole one where the engine reserves
    it. A pool that does not hold one request is taken to run one: the figures then say what
    it would do if it fitted.
    """
    reserved = whole_tokens if engine.name in RESERVING else max(mean_tokens, 1)
    by_memory = plan.kv_cache.max_concurrency * request.context_tokens / reserved
    if not plan.request_bytes:
        by_memory = MANY
    return float(max(1.0, min(by_memory, plan.max_num_seqs)))


def load_of(engine: Engine, request: Request, plan: Plan) -> Load:
    """Return the load that a request asks of all replicas: one at a time where it says nothing."""
    w = request.workload
    prompt, output = lengths_of(w)
    cached = prompt * (w.prefix_hit_rate or 0.0)
    held = held_requests(
        engine, request, plan, mean_tokens=prompt + output / 2, whole_tokens=prompt + output
    )
    rate = w.rate_per_s or 0.0
    return Load(
        input_tokens=prompt - cached,
        output_tokens=float(output),
        past_tokens=cached,
        in_flight=MANY if rate else float(w.concurrency or 1),
        rate_per_s=rate,
        held=held,
        batch_ends=0.0,
    )
