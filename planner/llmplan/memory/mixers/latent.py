"""Multi-head latent attention (MLA), with the token indexer of its sparse form."""

from __future__ import annotations

from llmplan.memory.mixers import Cache, Divisor, register
from llmplan.memory.tensor import COLUMNS, COPIES, ROWS, Tensor, bias, linear, vector
from llmplan.specs.mixers import LatentAttention


def tensors(a: LatentAttention, hidden: int) -> list[Tensor]:
    """Return the low-rank projections; the latent ones are held whole by every rank.

    `kv_b` stands as its two halves (`attn_k_b`, `attn_v_b`, one matrix a head), as
    llama.cpp stores them: the elements and 128-blocks are those of the fused matrix.
    """
    g, h = "attention", a.heads
    qk = a.qk_nope_head_dim + a.qk_rope_head_dim
    result = []
    if a.q_lora_rank:
        result += [
            linear("attn_q_a", a.q_lora_rank, hidden, g),
            vector("attn_q_a_norm", a.q_lora_rank, "norm"),
            linear("attn_q_b", h * qk, a.q_lora_rank, g, ROWS, h),
        ]
    else:
        result.append(linear("attn_q", h * qk, hidden, g, ROWS, h))
    latent = a.kv_lora_rank + a.qk_rope_head_dim
    result += [
        linear("attn_kv_a_mqa", latent, hidden, g),
        vector("attn_kv_a_norm", a.kv_lora_rank, "norm"),
        _per_head("attn_k_b", a.kv_lora_rank, a.qk_nope_head_dim, a),
        _per_head("attn_v_b", a.v_head_dim, a.kv_lora_rank, a),
        linear("attn_output", hidden, h * a.v_head_dim, g, COLUMNS, h),
    ]
    if a.bias:
        result += [bias("attn_kv_a_mqa", latent, g), bias("attn_output", hidden, g)]
        result += [bias("attn_q_a", a.q_lora_rank, g)] if a.q_lora_rank else []
    if a.output_gate != "none":
        rows = h if a.output_gate == "per_head" else h * a.v_head_dim
        result.append(linear("attn_gate", rows, hidden, g, ROWS, h))
    return result + _indexer(a, hidden)


def _per_head(name: str, rows: int, columns: int, a: LatentAttention) -> Tensor:
    matrix = linear(name, rows, columns, "attention", COPIES, a.heads)
    return matrix._replace(copies=a.heads, active=a.heads)


def _indexer(a: LatentAttention, hidden: int) -> list[Tensor]:
    if not a.indexer_heads:
        return []
    d = a.indexer_head_dim
    pooling = [
        Tensor("indexer_compressor_ape", "attention", a.indexer_pool, d),
        Tensor("indexer_compressor_gate", "attention", d, hidden),
    ]
    return [
        *(pooling if a.indexer_pool > 1 else []),
        linear("indexer.attn_q_b", a.indexer_heads * d, a.q_lora_rank or hidden, "attention"),
        linear("indexer.attn_k", d, hidden, "attention"),
        vector("indexer.k_norm", d, "norm"),
        vector("indexer.k_norm.bias", d, "norm"),
        linear("indexer.proj", a.indexer_heads, hidden, "attention"),
    ]


def cache(a: LatentAttention, hidden: int) -> list[Cache]:
    """Return the latent and rope key of one token (and the indexer's key): one copy a rank.

    Pooled indexer keys are a cache of their own, beside the 16-bit keys and gates of the pool
    that is not full (vLLM 0.33.0 models/glm5next/common/attention.py, Glm5NextTailCache).
    """
    latent = Cache(
        heads=1,
        key_dim=a.kv_lora_rank + a.qk_rope_head_dim,
        extra_dim=a.indexer_head_dim,
        sharded=False,
        latent=True,
    )
    if a.indexer_pool == 1 or not a.indexer_heads:
        return [latent]
    keys = Cache(heads=1, extra_dim=a.indexer_head_dim, stride=a.indexer_pool, sharded=False)
    tail = Cache(heads=1, row_bytes=4 * a.indexer_head_dim, limit=a.indexer_pool, sharded=False)
    return [latent._replace(extra_dim=0), keys, tail]


def label(a: LatentAttention) -> str:
    """Return MLA with its latent width."""
    name = f"MLA {a.kv_lora_rank}+{a.qk_rope_head_dim}"
    return f"sparse {name}" if a.indexer_heads else name


def divisors(a: LatentAttention, hidden: int) -> list[Divisor]:
    """Return heads: the latent is whole on every rank."""
    return [("attention heads", a.heads, False)]


register("mla", tensors=tensors, cache=cache, label=label, divisors=divisors)
