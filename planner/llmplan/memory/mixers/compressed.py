"""Compressed attention (DeepSeek-V4): a window of one shared head beside compressed entries.

Shapes: transformers 5.23 models/deepseek_v4. Cache: vLLM 0.33.0 models/deepseek_v4/attention.py
and compressor.py: the window, the entries with the indexer's keys, and the float32 states of the
tokens that the next entry is made of. Both read 2026-11-21.
"""

from __future__ import annotations

from llmplan.memory.mixers import Cache, Divisor, register
from llmplan.memory.tensor import COLUMNS, ROWS, Tensor, linear, vector
from llmplan.specs.mixers import CompressedAttention

GROUP = "attention"

FLOAT32_BYTES = 4
"""Bytes of one element of a compressor's state (CompressorStateCache asserts float32)."""

SCALE_BYTES = 8
"""Bytes of the block scales in an entry of the packed layout (448 + 128 + 8 = 584 B)."""


def tensors(a: CompressedAttention, hidden: int) -> list[Tensor]:
    """Return query, shared key-value and grouped output projections, sinks and compressors."""
    width, lora = a.heads * a.head_dim, a.output_groups * a.output_lora_rank
    result = [
        vector("attn_sinks", a.heads, GROUP, ROWS, a.heads),
        linear("attn_q_a", a.q_lora_rank, hidden, GROUP),
        vector("attn_q_a_norm", a.q_lora_rank, "norm"),
        linear("attn_q_b", width, a.q_lora_rank, GROUP, ROWS, a.heads),
        linear("attn_kv", a.head_dim, hidden, GROUP),
        vector("attn_kv_a_norm", a.head_dim, "norm"),
        linear("attn_output_a", lora, width // a.output_groups, GROUP, ROWS, a.output_groups),
        linear("attn_output_b", hidden, lora, GROUP, COLUMNS, a.output_groups),
    ]
    if a.compress_ratio == 1:
        return result
    result += _compressor("attn_compressor", a, a.head_dim, hidden)
    if a.indexer_heads:
        queries = a.indexer_heads * a.indexer_head_dim
        result += _compressor("indexer_compressor", a, a.indexer_head_dim, hidden)
        result += [
            linear("indexer.attn_q_b", queries, a.q_lora_rank, GROUP),
            linear("indexer.proj", a.indexer_heads, hidden, GROUP),
        ]
    return result


def _overlap(a: CompressedAttention) -> int:
    """Return how many entries a token is part of: two where an indexer selects them."""
    return 2 if a.indexer_heads else 1


def _compressor(name: str, a: CompressedAttention, dim: int, hidden: int) -> list[Tensor]:
    """Return keys, gates, position biases and norm: engines keep them in 16 bits."""
    rows = _overlap(a) * dim
    return [
        Tensor(f"{name}_ape", GROUP, a.compress_ratio, rows),
        Tensor(f"{name}_kv", GROUP, rows, hidden),
        Tensor(f"{name}_gate", GROUP, rows, hidden),
        vector(f"{name}_norm", dim, "norm"),
    ]


def cache(a: CompressedAttention, hidden: int) -> list[Cache]:
    """Return the window, the compressed entries and the compressor's states, whole on each rank."""
    packed = a.head_dim - a.rope_head_dim + 2 * a.rope_head_dim + SCALE_BYTES
    entry = Cache(heads=1, key_dim=a.head_dim, sharded=False, latent=True, packed_bytes=packed)
    window = entry._replace(limit=a.window)
    if a.compress_ratio == 1:
        return [window]
    held = _overlap(a) * a.compress_ratio
    state = 2 * _overlap(a) * (a.head_dim + (a.indexer_head_dim if a.indexer_heads else 0))
    return [
        window,
        entry._replace(stride=a.compress_ratio, extra_dim=a.indexer_head_dim),
        Cache(heads=1, row_bytes=state * FLOAT32_BYTES, limit=held, sharded=False),
    ]


def label(a: CompressedAttention) -> str:
    """Return the ratio of compression beside the window."""
    if a.compress_ratio == 1:
        return f"sliding window {a.window} MQA"
    return f"compressed {a.compress_ratio}:1 MQA, window {a.window}"


def divisors(a: CompressedAttention, hidden: int) -> list[Divisor]:
    """Return heads and output groups: the key-value head is whole on every rank."""
    return [("attention heads", a.heads, False), ("output groups", a.output_groups, False)]


register("compressed_attention", tensors=tensors, cache=cache, label=label, divisors=divisors)
