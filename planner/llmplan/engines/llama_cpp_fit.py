"""What llama-server chooses where neither -c nor -ngl is given: --fit, step by step.

First the context shrinks from the trained one, down to 4,096 tokens; only then do layers, or the
experts of layers, stay on the host. Source: llama.cpp common/fit.cpp (common_params_fit_impl,
2026), read 2026-11; with `-fit` on by default since pull request 16653 (b7407).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from llmplan.engines.base import Request
from llmplan.specs.model import MoE

LEAST_CONTEXT_TOKENS = 4096
"""Context below which --fit does not shrink it (--fit-ctx). Source: common.h fit_params_min_ctx."""

CONTEXT_STEP_TOKENS = 256
"""Step that the chosen context is rounded down to. Source: common/fit.cpp."""

WASTED_LAYERS = {False: 2, True: 6}
"""Over several devices (n + 1) / this many layers are expected to be lost, by whether the model has
experts. Source: common/fit.cpp."""


class Choice(NamedTuple):
    """What --fit sets: the context, layers on the devices, layers whose experts stay behind."""

    context_tokens: int
    n_gpu_layers: int
    n_cpu_moe: int


class Measured(NamedTuple):
    """Memory that a request takes on all devices together, and what they may take [bytes]."""

    used: float
    target: float
    weights: float


def choice(
    request: Request, *, measure: Callable[[Request], Measured], fits: Callable[[Request], bool]
) -> Choice | None:
    """Return what --fit sets for one slot; None where not even that starts, or no context is known.

    Parameters
    ----------
    request : Request
        The setup; its context, layers on the devices and experts on the host are what is chosen
    measure : callable
        Memory of a request over all devices
    fits : callable
        Whether each device keeps its margin free

    """
    trained, layers = request.model.context_tokens, len(request.model.main.layers)
    if trained is None:
        return None
    whole = _with(request, trained, None, None)
    if fits(whole):
        return Choice(trained, layers + 1, 0)
    context = _shrunk(request, trained, measure)
    if fits(_with(request, context, None, None)):
        return Choice(context, layers + 1, 0)
    return _offloaded(_with(request, context, None, None), context, fits)


def _with(request: Request, context: int, layers: int | None, experts: int | None) -> Request:
    limits = request.limits._replace(
        n_gpu_layers=layers, n_cpu_moe=experts, max_num_seqs=1, host_ram=None
    )
    workload = replace(request.workload, context_tokens=context, concurrency=None)
    return replace(request, workload=workload, limits=limits)


def _shrunk(request: Request, trained: int, measure: Callable[[Request], Measured]) -> int:
    """Return the context between the least and the trained one where memory meets the target.

    Memory is taken as linear in the context, as fit.cpp interpolates it.
    """
    least = LEAST_CONTEXT_TOKENS
    if trained <= least:
        return trained
    most, low = (measure(_with(request, n, None, None)) for n in (trained, least))
    target = most.target
    if request.parallel.pp > 1:
        experts = any(isinstance(b.mlp, MoE) for b in request.model.main.blocks.values())
        layer = most.weights / len(request.model.main.layers)
        target -= (request.parallel.pp + 1) * layer / WASTED_LAYERS[experts]
    if target <= low.used or most.used <= low.used:
        return least
    tokens = least + int((trained - least) * (target - low.used) / (most.used - low.used))
    return max(least, tokens - tokens % CONTEXT_STEP_TOKENS)


def _offloaded(request: Request, context: int, fits: Callable[[Request], bool]) -> Choice | None:
    """Return how many layers, or experts of layers, stay on the host at this context."""
    layers = len(request.model.main.layers)
    if any(isinstance(b.mlp, MoE) for b in request.model.main.blocks.values()):
        kept = [_with(request, context, None, n) for n in range(1, layers + 1)]
        at = bisect_left(kept, True, key=fits)
        if at < len(kept):
            return Choice(context, layers + 1, at + 1)
    behind = layers if request.model.is_moe else None
    moved = [_with(request, context, n, behind) for n in range(layers, -1, -1)]
    at = bisect_left(moved, True, key=fits)
    return Choice(context, layers - at, behind or 0) if at < len(moved) else None
