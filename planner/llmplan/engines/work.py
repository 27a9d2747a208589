"""A setup as the plain numbers that the speed formulas take."""

from __future__ import annotations

from llmplan.memory.kv_cache import cached_layers, layer_state_bytes, layer_token_bytes
from llmplan.memory.memo import remembered
from llmplan.memory.tensor import rank_tensor, rank_units
from llmplan.memory.tensors import model_tensors
from llmplan.memory.weights import weight_bytes
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.mixers import Attention, CompressedAttention, LatentAttention
from llmplan.specs.model import Model, MoE, Stack
from llmplan.specs.setup import Parallelism
from llmplan.speed.work import Work

ACTIVATION_PASSES = 20
"""Reads and writes of the hidden state by the elementwise kernels of a layer, in widths of it.
Source: speed prototype of 2026-11 (norms, residual, rotary, activation of gate and up)."""

ACTIVATION_BYTES = 2
PASSES_BYTES = ACTIVATION_PASSES * ACTIVATION_BYTES
STATE_BYTES = 2
EVERY = float(1 << 40)
"""Tokens beyond any context: a query attends to all of them."""

Pair = tuple[float, float]


@remembered
def work_of(
    model: Model,
    weights: WeightFormat,
    kv: KvFormat,
    parallel: Parallelism,
    latent: bool = True,
) -> Work:
    """Return the work of a setup on its busiest rank; `latent=False` expands MLA's cache."""
    tp, dp, ep = parallel.tp, parallel.dp, parallel.ep
    sizes = weight_bytes(model, weights, tp=tp, dp=dp, ep=ep, pad_vocab=False)
    counts = _weight_counts(model, tp)
    experts = sizes.classes.get("experts", 0.0)
    head = sizes.tied_head if model.tied_embeddings else sizes.head
    stack = model.main
    full, window, window_tokens, state = _cache(model, kv, tp, latent)
    pairs = _pair_flops(stack, tp)
    moe, kinds = _layers(stack)
    none = dict.fromkeys(("host_bytes", "host_expert_bytes", "draft_bytes", "draft_layers"), 0.0)
    return Work(
        dense_bytes=sum(sizes.layers) - experts,
        head_bytes=head,
        expert_bytes=experts,
        dense_weights=counts[0],
        head_weights=counts[1],
        expert_weights=counts[2],
        activation_bytes=PASSES_BYTES * stack.hidden_size * len(stack.layers),
        token_bytes=full,
        window_bytes=window,
        window=window_tokens,
        state_bytes=state,
        pair_flops=pairs[0],
        window_pair_flops=pairs[1],
        decode_pair_flops=pairs[2],
        selected=EVERY,
        experts=max((m.experts for m in moe), default=1),
        experts_per_token=max((m.experts_per_token for m in moe), default=1),
        layers=len(stack.layers),
        moe_layers=len(moe),
        recurrent_layers=sum(k in RECURRENT for k in kinds),
        latent_layers=sum(k == "mla" for k in kinds),
        exchanges=2 * len(stack.layers) if tp > 1 else 0,
        exchange_bytes=ACTIVATION_BYTES * stack.hidden_size,
        ranks=tp,
        replicas=dp,
        stages=parallel.pp,
        **none,
    )  # fmt: skip


def mixer_kinds(model: Model) -> set[str]:
    """Return the kinds of the mixers of a model's layers."""
    return {m.kind for b, _ in model.main.runs() for m in b.mixers}


RECURRENT = ("mamba", "mamba2", "gated_delta_net", "kimi_delta_attention", "lightning_attention")


@remembered
def _layers(stack: Stack) -> tuple[list[MoE], list[str]]:
    """Return the expert layers of a stack, and the kind of every mixer."""
    moe = [b.mlp for b, n in stack.runs() for _ in range(n) if isinstance(b.mlp, MoE)]
    return moe, [m.kind for b, n in stack.runs() for _ in range(n) for m in b.mixers]


@remembered
def _weight_counts(model: Model, tp: int) -> tuple[float, float, float]:
    """Return weights that a token is multiplied with on a rank: dense, head, experts."""
    dense = head = experts = 0.0
    for layered in model_tensors(model):
        if layered.stack not in ("decoder", "output") and layered.stack != _main(model):
            continue
        t = layered.tensor
        if not t.columns:
            continue
        held = rank_tensor(t, tp=tp)
        count = held.active_elements * len(layered.layers)
        if t.experts:
            experts += t.active_elements * len(layered.layers) / tp
        elif layered.stack == "output":
            head += count
        else:
            dense += count
    if model.tied_embeddings and model.head:
        head = model.vocab_size * model.main.hidden_size / tp
    return dense, head, experts


def _main(model: Model) -> str:
    return "decoder" if model.decoder is not None else "encoder"


@remembered
def _cache(model: Model, kv: KvFormat, tp: int, latent: bool) -> tuple[float, float, float, float]:
    full = window = state = 0.0
    tokens = 1.0
    for cache, layers in cached_layers(model, latent=latent):
        size = layer_token_bytes(cache, kv, tp=tp) * len(layers)
        state += layer_state_bytes(cache, tp=tp, state_bytes=STATE_BYTES) * len(layers)
        if not cache.limit:
            full += size
        elif size:
            # several window sizes count as one that holds as many bytes
            tokens = (window * tokens + size * cache.limit) / (window + size)
            window += size
    return full, window, tokens, state


@remembered
def _pair_flops(stack: Stack, tp: int) -> tuple[float, float, float]:
    full = window = decode = 0.0
    for block, count in stack.runs():
        for m in block.mixers:
            if isinstance(m, Attention):
                flops = 2.0 * rank_units(units=m.heads, tp=tp) * (m.head_dim + m.value_dim) * count
                if m.window or m.chunk:
                    window += flops
                else:
                    full += flops
                    decode += flops
            elif isinstance(m, LatentAttention):
                heads = rank_units(units=m.heads, tp=tp) * count
                full += 2.0 * heads * (m.qk_nope_head_dim + m.qk_rope_head_dim + m.v_head_dim)
                decode += 2.0 * heads * (2 * m.kv_lora_rank + m.qk_rope_head_dim)
            elif isinstance(m, CompressedAttention):
                heads = rank_units(units=m.heads, tp=tp) * count
                window += 4.0 * heads * m.head_dim
                full += 4.0 * heads * m.head_dim / m.compress_ratio if m.compress_ratio > 1 else 0
    return full, window, decode
