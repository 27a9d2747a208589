"""How vLLM pages the KV cache: blocks, hybrid groups with one page size, state pages.

Source: vLLM 0.33.0 v1/core/kv_cache_utils.py and v1/kv_cache_interface.py, read 2026-11-21.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from llmplan.memory.kv_cache import CachedLayers, layer_state_bytes, layer_token_bytes
from llmplan.memory.mixers import Cache
from llmplan.specs.formats import KvFormat

BLOCK_TOKENS = 16
"""Tokens of a KV block by default (CacheConfig.DEFAULT_BLOCK_SIZE)."""

STATE_PAGES = 2
"""State pages of one request and layer in a hybrid: the running one and the last aligned one that
prefix caching keeps (mamba_cache_mode "align", MambaSpec.max_memory_usage_bytes). A model without
any attention has no prefix caching, so one (config/model.py is_prefix_caching_supported)."""

STATE_BYTES = 2
"""Bytes of a state element that the model does not fix: `auto` is the model's own 16-bit type
(config/cache.py mamba_cache_dtype, mamba_ssm_cache_dtype; mamba_utils.py _mamba_state_dtype)."""

CONCURRENT_BATCHES = 2
"""Steps in flight with asynchronous scheduling, the default, on one pipeline stage: windows keep
so many batches, and one more a further stage (config/vllm.py max_concurrent_batches)."""

GROUP_PADDING_RATIO = 1.5
"""Layer counts of two kinds within this ratio are padded to the larger one."""


class Kind(NamedTuple):
    """Layers of one cache kind on a device: how many, and the bytes of one layer's page."""

    cache: Cache
    layers: int
    page_bytes: float
    block_tokens: int
    state_pages: int = STATE_PAGES


def kinds_on_device(
    groups: list[CachedLayers],
    kv: KvFormat,
    *,
    tp: int,
    block_tokens: int,
    layers: range,
    state_bytes: int = STATE_BYTES,
) -> list[Kind]:
    """Return the cache kinds of a device; a state raises the block until a page holds it."""
    present = [(g.cache, sum(p in layers for p in g.layers)) for g in groups]
    present = [(c, n) for c, n in present if n]
    states = [layer_state_bytes(c, tp=tp, state_bytes=state_bytes) for c, _ in present]
    tokens = [layer_token_bytes(c, kv, tp=tp) for c, _ in present]
    block = block_tokens
    slopes = [t for t in tokens if t]
    if any(states) and slopes:
        needed = max(states) / max(slopes)
        block = max(block, ceil(needed / block_tokens) * block_tokens)
    page = max([*(t * block for t in tokens), *states], default=0.0)
    pages = STATE_PAGES if slopes else 1
    return [
        Kind(c, n, page if any(states) else t * block, block, pages)
        for (c, n), t in zip(present, tokens, strict=True)
    ]


def pages_of(kind: Kind, *, tokens: int, in_flight: int, encoder_tokens: int = 0) -> int:
    """Return the pages of one layer that a request of `tokens` holds at most."""
    cache, block = kind.cache, kind.block_tokens
    if not cache.heads:
        return kind.state_pages
    length = encoder_tokens if cache.cross else tokens
    if not cache.limit:
        return ceil(length / block)
    if cache.chunked:
        return ceil(min(cache.limit + in_flight, length) / block)
    return ceil(min(cache.limit - 1 + in_flight, length) / block) + 1


def request_page_bytes(
    kinds: list[Kind], *, tokens: int, in_flight: int, encoder_tokens: int = 0
) -> float:
    """Return the bytes of pool that one request takes, group padding included."""
    counts = [k.layers for k in kinds]
    if not counts:
        return 0.0
    group = min(counts)
    if max(counts) < group * GROUP_PADDING_RATIO:
        group = max(counts)
    total = 0.0
    for kind in kinds:
        pages = pages_of(kind, tokens=tokens, in_flight=in_flight, encoder_tokens=encoder_tokens)
        total += ceil(kind.layers / group) * group * pages * kind.page_bytes
    return total
