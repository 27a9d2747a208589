"""Softmax attention with per-head keys and values: MHA, GQA, MQA; full, sliding, chunked, cross."""

from __future__ import annotations

from llmplan.memory.mixers import Cache, Divisor, register
from llmplan.memory.tensor import COLUMNS, ROWS, Tensor, bias, linear, vector
from llmplan.specs.mixers import Attention


def tensors(a: Attention, hidden: int) -> list[Tensor]:
    """Return Q, K, V, output projections, biases, QK norms, gates and sinks of one layer."""
    q_rows, k_rows = a.heads * a.head_dim, a.kv_heads * a.head_dim
    v_rows, o_columns = a.kv_heads * a.value_dim, a.heads * a.value_dim
    if a.output_gate == "elementwise":
        q_rows += o_columns
    g = "attention"
    result = [linear("attn_q", q_rows, hidden, g, ROWS, a.heads)]
    if a.q_bias:
        result.append(bias("attn_q", q_rows, g, ROWS, a.heads))
    if not a.shares_kv:
        result.append(linear("attn_k", k_rows, hidden, g, ROWS, a.kv_heads))
        if a.value_projection:
            result.append(linear("attn_v", v_rows, hidden, g, ROWS, a.kv_heads))
        if a.k_bias:
            result.append(bias("attn_k", k_rows, g, ROWS, a.kv_heads))
        if a.v_bias:
            result.append(bias("attn_v", v_rows, g, ROWS, a.kv_heads))
    result.append(linear("attn_output", hidden, o_columns, g, COLUMNS, a.heads))
    if a.o_bias:
        result.append(bias("attn_output", hidden, g))
    if a.output_gate == "per_head":
        result.append(linear("attn_gate", a.heads, hidden, g, ROWS, a.heads))
    if a.sinks:
        result.append(vector("attn_sinks", a.heads, g, ROWS, a.heads))
    return result + _qk_norms(a) + _indexer(a, hidden)


def _indexer(a: Attention, hidden: int) -> list[Tensor]:
    """Return the queries, the one key and the norms that score tokens: whole on every rank."""
    if not a.indexer_heads:
        return []
    d = a.indexer_head_dim
    return [
        linear("indexer.attn_q", a.indexer_heads * d, hidden, "attention"),
        linear("indexer.attn_k", d, hidden, "attention"),
        vector("indexer.q_norm", d, "norm"),
        vector("indexer.k_norm", d, "norm"),
    ]


def _qk_norms(a: Attention) -> list[Tensor]:
    if a.qk_norm == "none":
        return []
    if a.qk_norm == "per_head":
        widths = [("attn_q_norm", a.head_dim, 0)]
        widths += [] if a.shares_kv else [("attn_k_norm", a.head_dim, 0)]
    else:
        widths = [
            ("attn_q_norm", a.heads * a.head_dim, a.heads),
            ("attn_k_norm", a.kv_heads * a.head_dim, a.kv_heads),
        ]
    result = []
    for name, width, units in widths:
        shard = ROWS if units else "none"
        result.append(vector(name, width, "norm", shard, units))
        if a.qk_norm_bias:
            result.append(vector(f"{name}.bias", width, "norm", shard, units))
    return result


INDEXER_KEY_BYTES = 2
"""Bytes of an indexer key's element: 16 bits whatever the KV format.
Source: vLLM 0.33.0 models/minimax_m3/common/indexer.py and models/qwen4_exp/common/qsa_cache.py."""


def cache(a: Attention, hidden: int) -> Cache | list[Cache] | None:
    """Return the KV cache of one layer, and its indexer's keys, one copy a rank.

    Encoders and layers that share a cache keep none.
    """
    if a.shares_kv or not (a.causal or a.cross):
        return None
    kept = Cache(
        heads=a.kv_heads,
        key_dim=a.head_dim,
        value_dim=a.value_dim,
        limit=a.window or a.chunk or 0,
        chunked=a.chunk is not None,
        cross=a.cross,
    )
    if not a.indexer_heads:
        return kept
    row = INDEXER_KEY_BYTES * a.indexer_head_dim
    keys = Cache(heads=1, row_bytes=row, stride=a.indexer_pool, sharded=False)
    open_group = Cache(heads=1, row_bytes=row, limit=a.indexer_pool, sharded=False)
    return [kept, keys, open_group] if a.indexer_pool > 1 else [kept, keys]


def label(a: Attention) -> str:
    """Return MHA, GQA-8, MQA ... with what limits its reach."""
    if a.kv_heads == 1 and a.heads > 1:
        name = "MQA"
    else:
        name = "MHA" if a.kv_heads == a.heads else f"GQA {a.heads}/{a.kv_heads}"
    if a.cross:
        return f"cross-attention {name}"
    if not a.causal:
        return f"bidirectional {name}"
    if a.window:
        return f"sliding window {a.window} {name}"
    return f"chunked {a.chunk} {name}" if a.chunk else name


def divisors(a: Attention, hidden: int) -> list[Divisor]:
    """Return heads, and KV heads, which are replicated past their number."""
    return [("attention heads", a.heads, False), ("KV heads", a.kv_heads, True)]


register("attention", tensors=tensors, cache=cache, label=label, divisors=divisors)
