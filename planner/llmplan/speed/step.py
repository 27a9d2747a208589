"""One engine step: decoding a token for each of a batch, or reading prompts, by its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llmplan.specs.number import Number, ceiling, chosen, larger, smaller, some
from llmplan.speed.exchange import all_reduce_s
from llmplan.speed.roofline import soft_roofline_s, touched_share
from llmplan.speed.work import Setting

DECODE_ATTENTION_SHARE = 0.25
"""Share of the 16-bit rate that decode attention reaches where it computes (MLA, many heads a KV
head). Source: aiconfigurator's decode tables of 2026-08: 0.16 to 0.9 over devices, lowest quarter
0.40; halved for short batches (assumed)."""


class Parts(NamedTuple):
    """Time of a step by what takes it [s]."""

    dense_s: Number
    experts_s: Number
    attention_s: Number
    exchange_s: Number
    overhead_s: Number

    @property
    def total_s(self) -> Number:
        """Time of the whole step [s]."""
        return self.dense_s + self.experts_s + self.attention_s + self.exchange_s + self.overhead_s


def matrices_s(
    setting: Setting, *, tokens: Number, sequences: Number, reads: Number
) -> tuple[Number, Number]:
    """Return the time of dense and expert matrices for `tokens`, read `reads` times [s].

    The head runs for one token of each sequence.
    """
    w, r, _, c = setting
    bandwidth = r.bandwidth * c.memory
    rate = r.flops * c.compute
    # what is of the setting alone first: it is small where tokens are a large array
    read = reads * ((w.dense_bytes + w.head_bytes) / bandwidth)
    dense = soft_roofline_s(
        memory_s=read + tokens * (w.activation_bytes / bandwidth),
        compute_s=tokens * (2 * w.dense_weights / rate) + sequences * (2 * w.head_weights / rate),
        sharpness=c.sharpness,
    )
    if not some(w.expert_bytes > 0):
        return dense, 0.0
    share = touched_share(
        tokens=tokens * w.replicas / reads,
        experts=w.experts,
        experts_per_token=w.experts_per_token,
        skew=c.skew,
    )
    experts = soft_roofline_s(
        memory_s=share * (reads * (w.expert_bytes / (bandwidth * c.expert_memory))),
        compute_s=tokens * (2 * w.expert_weights / (rate * c.expert_compute)),
        sharpness=c.sharpness,
    )
    return dense, experts


def overhead_s(setting: Setting) -> Number:
    """Return what a step takes beside its kernels' bytes and operations [s]."""
    w, _, h, c = setting
    return (
        c.step_s
        + w.layers * c.layer_s
        + w.moe_layers * (c.moe_layer_s + h.loops * w.experts * c.expert_s)
        + w.recurrent_layers * c.recurrent_layer_s
        + w.latent_layers * c.latent_layer_s
    )


def exchanges_s(setting: Setting, *, tokens: Number) -> Number:
    """Return the time of a step's all-reduces for `tokens` [s]."""
    w, r, _, c = setting
    one = all_reduce_s(
        ranks=w.ranks,
        message_bytes=tokens * w.exchange_bytes,
        bandwidth_bytes_per_s=r.link_bandwidth * c.link,
        latency_s=c.exchange_s,
        host_latency_s=r.through_host * c.host_exchange_s,
    )
    return w.exchanges * one


def decode_attention_s(setting: Setting, *, sequences: Number, context: Number) -> Number:
    """Return the time to attend to `context` tokens of each sequence, states included [s]."""
    w, r, _, c = setting
    seen, near = smaller(context, w.selected), smaller(context, w.window)
    cached = sequences * (w.token_bytes * seen + w.window_bytes * near)
    moved = cached / c.cache + 2 * sequences * w.state_bytes / c.state
    computed = sequences * (seen * w.decode_pair_flops + near * w.window_pair_flops)
    return soft_roofline_s(
        memory_s=moved / r.bandwidth,
        compute_s=computed / (r.attention_flops * DECODE_ATTENTION_SHARE),
        sharpness=c.sharpness,
    )


def drafting_s(setting: Setting) -> Number:
    """Return the time to draft the tokens that a step verifies, one after the other [s]."""
    w, r, h, c = setting
    return h.drafted * (w.draft_bytes / (r.bandwidth * c.memory) + w.draft_layers * c.layer_s)


def host_s(setting: Setting, *, tokens: Number) -> Number:
    """Return the time of the weights on the host where tokens are made: it computes itself [s]."""
    w, r, _, c = setting
    if not some(w.host_bytes + w.host_expert_bytes > 0):
        return 0.0 * tokens
    share = touched_share(
        tokens=tokens, experts=w.experts, experts_per_token=w.experts_per_token, skew=c.skew
    )
    return (w.host_bytes + share * w.host_expert_bytes) / (r.host_bandwidth * HOST_SHARE)


HOST_SHARE = 0.7
"""Share of the host's memory bandwidth that matrix-vector products reach.
Source: 0.6-0.8 of peak, performance notes of 2026-11, section 5 (assumed)."""


def decode_parts(setting: Setting, *, sequences: Number, context: Number) -> Parts:
    """Return a step of decoding for each sequence, at a mean context [tokens].

    Pipeline stages share the sequences where batches overlap in them: a token passes all stages.
    Drafted tokens are verified with the one that follows; the cache is read once for all.
    """
    return decoding(setting, context=context)(sequences)


def decoding(setting: Setting, *, context: Number) -> Callable[[Number], Parts]:
    """Return `decode_parts` as a function of the sequences.

    What does not depend on them is computed once: attention and exchanges are lines in them.
    """
    w, _, h, c = setting
    shared = 1 + (w.stages - 1) * larger(1 - h.sequential, 0)
    attention_s = decode_attention_s(setting, sequences=1.0, context=context)
    fixed_s = overhead_s(setting) + drafting_s(setting)
    start_s = exchanges_s(setting, tokens=0.0)
    exchange_s = exchanges_s(setting, tokens=1.0) - start_s
    drafts, adapts = some(h.drafted > 0), some(h.adapter > 0)
    hosts = some(w.host_bytes + w.host_expert_bytes > 0)

    def parts(sequences: Number) -> Parts:
        batch = larger(sequences / shared, 1)
        tokens = batch * (1 + h.drafted) if drafts else batch
        dense, experts = matrices_s(setting, tokens=tokens, sequences=tokens, reads=1)
        attention = batch * attention_s
        overhead = fixed_s + batch * c.sequence_s
        if adapts:
            overhead = overhead + h.adapter * (dense + experts + attention + overhead)
        if hosts:
            overhead = overhead + host_s(setting, tokens=tokens)
        return Parts(dense, experts, attention, start_s + tokens * exchange_s, overhead)

    return parts


LIMITS = ("memory bandwidth", "compute", "interconnect", "launch overhead")


def limit_of(setting: Setting, parts: Parts, *, sequences: Number, context: Number) -> str:
    """Return what takes most of a decode step: one of LIMITS. For single settings."""
    shares = limit_shares(setting, parts, sequences=sequences, context=context)
    return max(zip(LIMITS, shares, strict=True), key=lambda share: float(share[1]))[0]


def limit_shares(
    setting: Setting, parts: Parts, *, sequences: Number, context: Number
) -> tuple[Number, ...]:
    """Return what each of LIMITS takes of a decode step [s]."""
    r, h = setting.rates, setting.habits
    tokens = sequences * (1 + h.drafted)
    read = decode_parts(
        setting._replace(rates=r._replace(bandwidth=2 * r.bandwidth)),
        sequences=sequences,
        context=context,
    )
    saved_memory = 2 * (parts.total_s - read.total_s)
    kernels = parts.dense_s + parts.experts_s + parts.attention_s
    host = host_s(setting, tokens=tokens)
    memory, launch = saved_memory + host, parts.overhead_s - host
    return memory, kernels - saved_memory, parts.exchange_s, launch


def prefill_parts(setting: Setting, *, prompts: Number, tokens: Number, past: Number) -> Parts:
    """Return the reading of `prompts` of `tokens` each, behind `past` cached ones [tokens].

    Weights are read once a chunk of the engine's; those on the host are copied over for it.
    """
    w, r, h, c = setting
    total = prompts * tokens
    chunks = larger(ceiling(total / h.chunk_tokens), 1)
    dense, experts = matrices_s(setting, tokens=total, sequences=prompts, reads=chunks)
    reach = past + tokens / 2
    computed = total * (reach * w.pair_flops + smaller(reach, w.window) * w.window_pair_flops)
    reread = chunks * prompts * past * w.token_bytes
    streamed = (w.host_bytes + w.host_expert_bytes) / r.host_link
    return Parts(
        dense,
        experts,
        computed / (r.attention_flops * c.attention) + reread / (r.bandwidth * c.cache),
        exchanges_s(setting, tokens=total / chunks) * chunks,
        chunks * (overhead_s(setting) + streamed) + prompts * c.sequence_s,
    )


def prefill_s(setting: Setting, *, prompts: Number, tokens: Number, past: Number) -> Number:
    """Return the time until `prompts` are read: stages overlap by chunks, as far as they do [s]."""
    w, _, h, c = setting
    time = prefill_parts(setting, prompts=prompts, tokens=tokens, past=past).total_s
    chunks = larger(ceiling(prompts * tokens / h.chunk_tokens), 1)
    ideal = chunks * w.stages / (chunks + w.stages - 1)
    gained = (ideal - 1) * smaller(c.pipelining, 1)
    return time / (1 + chosen(h.sequential > 1, 0 * gained, gained))
