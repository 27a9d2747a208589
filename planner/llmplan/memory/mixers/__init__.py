"""Token mixers, one module a kind: their tensors, and what they keep per token or per request.

A kind registers itself with `@register`; nothing else needs an edit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llmplan.memory.tensor import Tensor
from llmplan.specs.mixers import Mixer


class Cache(NamedTuple):
    """What one layer keeps for each running request.

    Per token: `heads` x (`key_dim` + `value_dim`) elements, `extra_dim` more unsharded ones,
    for the last `limit` tokens (0: all of them). Per request, whatever its length:
    `state_elements` of `state_bits` (0: the engine decides), split over `state_units`,
    and `conv_elements` likewise.
    `cross` counts the encoder's tokens in place of the decoder's. An entry stands for
    `stride` tokens; `row_bytes` of it are the same in every KV format and on every rank.
    `packed_bytes` is an entry in the packed 8-bit layout, where that is not the format's own.
    """

    heads: int = 0
    key_dim: int = 0
    value_dim: int = 0
    extra_dim: int = 0
    limit: int = 0
    sharded: bool = True
    latent: bool = False
    chunked: bool = False
    cross: bool = False
    state_elements: int = 0
    conv_elements: int = 0
    state_units: int = 0
    state_bits: int = 0
    stride: int = 1
    row_bytes: int = 0
    packed_bytes: int = 0


Divisor = tuple[str, int, bool]
"""What tensor parallelism must divide: name, count, whether more ranks than that replicate it."""


class MixerRules(NamedTuple):
    """All that the rest of llmplan asks of a mixer kind."""

    tensors: Callable[[Any, int], list[Tensor]]
    cache: Callable[[Any, int], Cache | list[Cache] | None]
    label: Callable[[Any], str]
    divisors: Callable[[Any, int], list[Divisor]]


_RULES: dict[str, MixerRules] = {}


def register(
    kind: str,
    *,
    tensors: Callable[[Any, int], list[Tensor]],
    cache: Callable[[Any, int], Cache | list[Cache] | None],
    label: Callable[[Any], str],
    divisors: Callable[[Any, int], list[Divisor]],
) -> None:
    """Make a mixer kind known; a kind registered twice is a mistake."""
    if kind in _RULES:
        raise ValueError(f"mixer kind {kind} is registered twice")
    _RULES[kind] = MixerRules(tensors, cache, label, divisors)


def kinds() -> list[str]:
    """Return the registered kinds."""
    return sorted(_RULES)


def mixer_tensors(mixer: Mixer, hidden: int) -> list[Tensor]:
    """Return the tensors of one mixer in a layer of width `hidden`."""
    return _RULES[mixer.kind].tensors(mixer, hidden)


def mixer_caches(mixer: Mixer, hidden: int) -> list[Cache]:
    """Return what one mixer keeps per request: nothing, one cache or several kinds."""
    kept = _RULES[mixer.kind].cache(mixer, hidden)
    if kept is None:
        return []
    return kept if isinstance(kept, list) else [kept]


def mixer_divisors(mixer: Mixer, hidden: int) -> list[Divisor]:
    """Return what tensor parallelism must divide in this mixer."""
    return _RULES[mixer.kind].divisors(mixer, hidden)


def mixer_label(mixer: Mixer) -> str:
    """Return the field's name for this mixer: GQA, MLA, sliding window 4096 ..."""
    return _RULES[mixer.kind].label(mixer)


from llmplan.memory.mixers import (  # noqa: E402  (they register)
    attention,  # noqa: F401
    compressed,  # noqa: F401
    kda,  # noqa: F401
    latent,  # noqa: F401
    recurrent,  # noqa: F401
)
