"""How vLLM pages the KV cache: blocks, hybrid groups with one page size, state pages.

Source: vLLM 0.33.0 v1/core/kv_cache_utils.py and v1/kv_cache_interface.py, read 2026-11-21;
what other versions do differently: vllm_versions.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from llmplan.engines.vllm_versions import Policy
from llmplan.memory.kv_cache import (
    CachedLayers,
    cached_layers,
    layer_state_bytes,
    layer_token_bytes,
)
from llmplan.memory.mixers import Cache
from llmplan.specs.formats import KvFormat
from llmplan.specs.model import Model

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

LATENT_ALIGNMENT_BYTES = 256
"""MLA entries were padded to it by vLLM 0.7.2 and 0.7.3 (worker/cache_engine.py)."""


class Kind(NamedTuple):
    """Layers of one cache kind on a device: how many, and the bytes of one layer's page."""

    cache: Cache
    layers: int
    page_bytes: float
    block_tokens: int
    state_pages: int = STATE_PAGES


def layers_under(
    model: Model, kv: KvFormat, policy: Policy, drafted: Iterable[CachedLayers] = ()
) -> list[CachedLayers]:
    """Return what the layers keep in a version: windows it does not free are whole sequences.

    `drafted` layers, numbered after the model's own, share the pool with them.
    """
    groups = [*cached_layers(model, latent=policy.latent != "expanded"), *drafted]
    mixed = any(g.cache.limit for g in groups) and any(
        g.cache.heads and not g.cache.limit for g in groups
    )
    found: dict[Cache, tuple[int, ...]] = {}
    for cache, layers in groups:
        if cache.chunked and not policy.chunked_apart:
            cache = cache._replace(limit=0, chunked=False)
        if policy.windows == "full" or (policy.windows == "alone" and mixed):
            cache = cache._replace(limit=0, chunked=False)
        if cache.latent and policy.latent == "aligned":
            step = LATENT_ALIGNMENT_BYTES * 8 // int(kv.key_bits)
            cache = cache._replace(key_dim=ceil(cache.key_dim / step) * step)
        found[cache] = tuple(sorted((*found.get(cache, ()), *layers)))
    return [CachedLayers(cache, layers) for cache, layers in found.items()]


def kinds_on_device(
    groups: list[CachedLayers],
    kv: KvFormat,
    *,
    tp: int,
    block_tokens: int,
    layers: range,
    state_bytes: int = STATE_BYTES,
    state_pages: int = STATE_PAGES,
    speculative_tokens: int = 0,
) -> list[Kind]:
    """Return the cache kinds of a device; a state raises the block until a page holds it.

    Each drafted token has a state page of its own (mamba/abstract.py num_speculative_blocks).
    """
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
    pages = (state_pages if slopes else 1) + speculative_tokens
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


def group_layers(kinds: list[Kind], padding_ratio: float = GROUP_PADDING_RATIO) -> int:
    """Return the layers of a group: all groups have as many, the last of a kind is padded.

    Layers that all keep the whole sequence are one group whatever their sizes, nothing is padded
    (UniformTypeKVCacheSpecs): latents beside their indexers' keys.
    """
    if all(k.cache.heads and not k.cache.limit and not k.cache.cross for k in kinds):
        return 1
    counts = [k.layers for k in kinds]
    fewest, most = min(counts), max(counts)
    return most if most < fewest * padding_ratio else fewest


def request_page_bytes(
    kinds: list[Kind],
    *,
    tokens: int,
    in_flight: int,
    encoder_tokens: int = 0,
    padding_ratio: float = GROUP_PADDING_RATIO,
) -> float:
    """Return the bytes of pool that one request takes, group padding included."""
    if not kinds:
        return 0.0
    group = group_layers(kinds, padding_ratio)
    total = 0.0
    for kind in kinds:
        pages = pages_of(kind, tokens=tokens, in_flight=in_flight, encoder_tokens=encoder_tokens)
        total += ceil(kind.layers / group) * group * pages * kind.page_bytes
    return total


def pool_unit_bytes(kinds: list[Kind], padding_ratio: float = GROUP_PADDING_RATIO) -> float:
    """Return the bytes of a block: one page of each layer of a group; 0 where pages differ.

    Kinds with pages of different sizes lie in pools of their own, and no block is common.
    """
    sizes = {k.page_bytes for k in kinds}
    if len(kinds) == 1:
        return sizes.pop() * kinds[0].layers
    return sizes.pop() * group_layers(kinds, padding_ratio) if len(sizes) == 1 else 0.0


def block_groups(kinds: list[Kind], padding_ratio: float = GROUP_PADDING_RATIO) -> int:
    """Return the groups of layers that share the blocks of the pool."""
    if len(kinds) == 1:
        return 1
    group = group_layers(kinds, padding_ratio)
    return sum(ceil(k.layers / group) for k in kinds)
