"""KV cache and recurrent state, exact: per token, per layer kind, per request of a given length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from llmplan.memory.memo import remembered
from llmplan.memory.mixers import Cache, mixer_caches
from llmplan.memory.tensor import rank_units
from llmplan.specs.formats import KvFormat
from llmplan.specs.mixers import LatentAttention
from llmplan.specs.model import Block, Model, Stack
from llmplan.specs.number import Number, smaller

INDEXER_SCALE_BYTES = 4
"""Bytes of scale beside each 8-bit indexer key of sparse MLA.
Source: vLLM 0.33.0 DeepseekV32IndexerCache (head_dim + head_dim / 128 * 4), read 2026-11."""


def kv_cache_bytes_per_token(
    *,
    layers: Number,
    kv_heads: Number,
    key_dim: Number,
    value_dim: Number,
    key_bits: Number,
    value_bits: Number,
) -> Number:
    """Bytes of keys and values that one token adds to the cache.

    Equation: ``layers * kv_heads * (key_dim * key_bits + value_dim * value_bits) / 8``.

    Parameters
    ----------
    layers : number or array
        Layers that keep keys and values [layers]
    kv_heads : number or array
        Key-value heads held by the device [heads]
    key_dim : number or array
        Width of one key [elements]
    value_dim : number or array
        Width of one value [elements]
    key_bits : number or array
        Bits of one cached key element [bits]
    value_bits : number or array
        Bits of one cached value element [bits]

    Returns
    -------
    bytes_per_token : number or array
        Bytes for one token [bytes/token]

    Source: vLLM logs of Llama-3.1-8B at tp 1 (131,072 B a token), research of 2026-11

    Examples
    --------
    Llama-3.1-8B, 16-bit: 131,072 B; DeepSeek-V3's latent (keys only, 512 + 64): 70,272 B.

    >>> kv_cache_bytes_per_token(
    ...     layers=32, kv_heads=8, key_dim=128, value_dim=128, key_bits=16, value_bits=16)
    131072.0
    >>> kv_cache_bytes_per_token(
    ...     layers=61, kv_heads=1, key_dim=576, value_dim=0, key_bits=16, value_bits=16)
    70272.0

    """
    return layers * kv_heads * (key_dim * key_bits + value_dim * value_bits) / 8


def cached_tokens(*, tokens: Number, limit: Number) -> Number:
    """Tokens that a layer with a window or chunk keeps of a sequence.

    Equation: ``min(tokens, limit)``.

    Parameters
    ----------
    tokens : number or array
        Length of the sequence [tokens]
    limit : number or array
        Window or chunk of the layer [tokens]

    Returns
    -------
    kept : number or array
        Tokens kept [tokens]

    Source: definition of sliding-window attention, Mistral 7B, arXiv:2310.06825

    Examples
    --------
    >>> cached_tokens(tokens=32768, limit=4096)
    4096

    """
    return smaller(tokens, limit)


class CachedLayers(NamedTuple):
    """Layers (positions in the main stack) that keep the same cache."""

    cache: Cache
    layers: tuple[int, ...]


@remembered
def cached_layers(model: Model, *, latent: bool = True) -> list[CachedLayers]:
    """Return what the layers of the decoder keep, equal ones together.

    `latent=False` is an engine without MLA: it stores the expanded keys and values.
    """
    return [] if model.decoder is None else stack_caches(model.decoder, latent=latent)


def stack_caches(stack: Stack, *, latent: bool = True) -> list[CachedLayers]:
    """Return what the layers of one stack keep, equal ones together: a decoder, MTP layers."""
    kept = {name: _block_caches(block, stack, latent) for name, block in stack.blocks.items()}
    found: dict[Cache, list[int]] = {}
    for i, name in enumerate(stack.layers):
        for cache in kept[name]:
            found.setdefault(cache, []).append(i)
    return [CachedLayers(cache, tuple(layers)) for cache, layers in found.items()]


def _block_caches(block: Block, stack: Stack, latent: bool) -> list[Cache]:
    caches = []
    for mixer in block.mixers:
        if isinstance(mixer, LatentAttention) and not latent:
            expanded = Cache(
                heads=mixer.heads,
                key_dim=mixer.qk_nope_head_dim + mixer.qk_rope_head_dim,
                value_dim=mixer.v_head_dim,
            )
            caches.append(expanded)
        else:
            caches += mixer_caches(mixer, stack.hidden_size)
    return caches


def layer_token_bytes(cache: Cache, kv: KvFormat, *, tp: int = 1) -> float:
    """Return the bytes that one token adds to one layer on the fullest rank [bytes/token]."""
    if not cache.heads:
        return 0.0
    if cache.latent and kv.latent_bytes:
        size = float(cache.packed_bytes or kv.latent_bytes)
    else:
        heads = rank_units(units=cache.heads, tp=tp) if cache.sharded else cache.heads
        bits = 1.0 * kv.head_bits * (2 if cache.value_dim else 1)
        size = heads * (cache.key_dim * kv.key_bits + cache.value_dim * kv.value_bits + bits) / 8
    size += cache.extra_dim + INDEXER_SCALE_BYTES if cache.extra_dim else 0
    return (size + cache.row_bytes) / cache.stride


def layer_state_bytes(
    cache: Cache, *, tp: int = 1, state_bytes: int = 2, conv_bytes: int = 2
) -> float:
    """Return the bytes of recurrent and convolution state of one layer and request [bytes]."""
    if not cache.state_units:
        return 0.0
    state_bytes = cache.state_bits // 8 or state_bytes
    share = rank_units(units=cache.state_units, tp=tp) / cache.state_units
    return share * (cache.state_elements * state_bytes + cache.conv_elements * conv_bytes)


def request_bytes(
    groups: list[CachedLayers],
    kv: KvFormat,
    *,
    tokens: int,
    kept: Callable[[Cache, int], float] | None = None,
    encoder_tokens: int = 0,
    tp: int = 1,
    state_bytes: int = 2,
    conv_bytes: int = 2,
    layers: range | None = None,
) -> float:
    """Return the bytes that one request of `tokens` keeps on one device, all layer kinds summed.

    Parameters
    ----------
    groups : list of CachedLayers
        What the layers keep, from `cached_layers`
    kv : KvFormat
        KV-cache format
    tokens : int
        Length of the request, prompt and output [tokens]
    kept : callable
        Tokens that an engine keeps in a layer: its paging, default exactly those needed
    encoder_tokens : int
        Tokens of the encoder's input, for cross-attention [tokens]
    tp : int
        Tensor-parallel ranks [ranks]
    state_bytes, conv_bytes : int
        Bytes of one element of recurrent and of convolution state [bytes]
    layers : range
        Layers on this device, default all

    """
    kept = kept or _needed
    total = 0.0
    for cache, positions in groups:
        count = len(positions) if layers is None else _inside(positions, layers)
        length = encoder_tokens if cache.cross else tokens
        one = layer_token_bytes(cache, kv, tp=tp) * kept(cache, length)
        one += layer_state_bytes(cache, tp=tp, state_bytes=state_bytes, conv_bytes=conv_bytes)
        total += count * one
    return total


def _inside(positions: tuple[int, ...], layers: range) -> int:
    return bisect_left(positions, layers.stop) - bisect_left(positions, layers.start)


def _needed(cache: Cache, tokens: int) -> float:
    if not cache.limit:
        return float(tokens)
    return float(cached_tokens(tokens=tokens, limit=cache.limit))
