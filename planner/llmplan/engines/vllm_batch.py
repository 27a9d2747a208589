"""How many tokens and sequences one step of vLLM takes, by version and device."""

from __future__ import annotations

from llmplan.engines.base import Request
from llmplan.engines.vllm_versions import V0_BATCH_FLOOR, V0_LONG_CONTEXT, V0_SEQUENCES, policy_of


def batch_limits(request: Request) -> tuple[int, int]:
    """Return max_num_batched_tokens and max_num_seqs of one replica: the user's or the defaults."""
    tokens, seqs = default_batch(request)
    limits = request.limits
    seqs = limits.max_num_seqs or seqs
    return limits.max_num_batched_tokens or max(tokens, seqs), seqs


def default_batch(request: Request) -> tuple[int, int]:
    """Return both as the version has them on the device, nothing asked."""
    policy, gpu = policy_of(request.version), request.gpu
    if not policy.tiers:
        tokens = max(request.context_tokens, V0_BATCH_FLOOR)
        if policy.chunk_tokens and request.context_tokens > V0_LONG_CONTEXT:
            tokens = policy.chunk_tokens
        return tokens, V0_SEQUENCES
    name = gpu.name.lower()
    small = any(part in name or part == gpu.compute_capability for part in policy.spared)
    fitting = (
        tier
        for tier in policy.tiers
        if tier.memory_bytes == 0 or (request.device_bytes >= tier.memory_bytes and not small)
        if not tier.names or any(part in name for part in tier.names)
    )
    tier = next(fitting)
    if request.limits.offline_batch:
        return tier.offline_batched_tokens, tier.max_num_seqs
    return tier.max_num_batched_tokens, tier.max_num_seqs
