"""What changes a setup's work: layers and experts on the host, tokens that are drafted."""

from __future__ import annotations

from llmplan.engines.base import Request
from llmplan.engines.drafting import drafter_of
from llmplan.errors import InputError
from llmplan.specs.model import Model
from llmplan.speed.roofline import mean_accepted_tokens
from llmplan.speed.work import Habits, Rates, Work

ADAPTER_SHARES = ((8, 0.02), (16, 0.035), (32, 0.06))
"""Share that a LoRA adapter adds to a step, up to its rank; larger ranks in proportion.
Source: inference-sim/inference-sim@f90a1e3 (BLIS), 2026-08-22."""


def adapter_share(model: Model) -> float:
    """Return the share that a model's adapter adds to a step."""
    if model.adapter is None:
        return 0.0
    rank = model.adapter.rank
    most, share = ADAPTER_SHARES[-1]
    return next((s for r, s in ADAPTER_SHARES if rank <= r), share * rank / most)


def offloaded(work: Work, rates: Rates, request: Request) -> tuple[Work, Rates]:
    """Return work and rates with the weights that `n_gpu_layers` and `n_cpu_moe` keep on the host.

    Layers count as equal; the cache is read at the device's bandwidth wherever it is. InputError
    where the host's bandwidth is needed and not given.
    """
    limits, layers = request.limits, len(request.model.main.layers)
    if request.gpu.vendor == "cpu":
        return work, rates
    kept = layers if limits.n_gpu_layers is None else min(limits.n_gpu_layers, layers)
    away = 1 - kept / layers
    experts_away = max(away, min(limits.n_cpu_moe or 0, layers) / layers)
    moved = work.dense_bytes * away
    moved_experts = work.expert_bytes * experts_away
    if not moved and not moved_experts:
        return work, rates
    if limits.host_bandwidth is None:
        raise InputError(
            "Weights on the host are read at its memory bandwidth, which is not known.",
            "Give --host-bandwidth 80GB/s.",
        )
    work = work._replace(
        dense_bytes=work.dense_bytes - moved,
        expert_bytes=work.expert_bytes - moved_experts,
        dense_weights=work.dense_weights * (1 - away),
        expert_weights=work.expert_weights * (1 - experts_away),
        host_bytes=moved,
        host_expert_bytes=moved_experts,
    )
    return work, rates._replace(host_bandwidth=limits.host_bandwidth)


def drafting(work: Work, habits: Habits, request: Request) -> tuple[Work, Habits]:
    """Return work and habits of a step that verifies drafted tokens.

    InputError where the share of accepted ones is not given: it depends on the text.
    """
    drafted = request.limits.speculative_tokens
    drafter = drafter_of(request) if drafted else None
    if drafted is None or drafter is None:
        return work, habits
    accepted = request.workload.acceptance_rate
    if accepted is None:
        raise InputError(
            "How many drafted tokens are accepted depends on the text.",
            "Give --acceptance-rate 0.7 to see the speed.",
        )
    work = work._replace(
        draft_bytes=drafter.weights_bytes, draft_layers=float(len(drafter.stack.layers))
    )
    yielded = mean_accepted_tokens(acceptance=accepted, drafted=drafted)
    return work, habits._replace(drafted=float(drafted), yielded=yielded)
