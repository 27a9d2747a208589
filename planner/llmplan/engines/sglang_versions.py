"""SGLang's default share of memory by version, and what else its releases changed.

Each row was read from the wheel of that name on PyPI (2026-11-21): server_args.py, later
arg_groups/memory_hook.py. A version between two rows takes the earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llmplan.engines.paged import policy_of
from llmplan.specs.hardware import GIB
from llmplan.specs.model import Stack

MIB = 1 << 20


class Ask(NamedTuple):
    """What the default share depends on.

    Memory in bytes; `tp` and `pp` ranks, `attention_dp` groups of attention within tp;
    `chunk` tokens of a prefill chunk and `batch` sequences of the largest CUDA graph.
    """

    device_bytes: float
    tp: int
    pp: int
    attention_dp: int
    chunk: int
    batch: int
    eager: bool
    latent: bool
    vision: Stack | None


class Tier(NamedTuple):
    """Defaults of devices with less than `below` GiB: chunk [tokens], graph batch by tp."""

    below: float
    chunk: int
    batch: int
    batch_tp4: int


class Policy(NamedTuple):
    """What one release does: since when, its default share, its tiers, its pools."""

    since: str
    share: Callable[[Ask], float]
    tiers: tuple[Tier, ...]
    window_pools: bool = False
    state_slots: int = 3
    vision_share: float = 1.0
    attention_dp_flag: str = "--enable-dp-attention"
    counts_drafts: bool = False


def _by_tp(table: dict[int, float]) -> Callable[[Ask], float]:
    def share(ask: Ask) -> float:
        return table[max(n for n in table if n <= max(1, ask.tp * ask.pp))]

    return share


SHARES_0_4_6 = {1: 0.88, 2: 0.87, 4: 0.85, 8: 0.81, 16: 0.79}


def _share_0_4_6(ask: Ask) -> float:
    """Return the share of 0.4.6: by ranks up to 80 GiB, more above 96 GiB."""
    memory = ask.device_bytes / MIB
    share = _by_tp(SHARES_0_4_6)(ask) if memory <= 81920 else 0.88
    if memory <= 96 * 1024:
        return share
    return min(share + 48 * 1024 * (1 - share) / memory, (memory - 18 * 1024) / memory)


def _share_0_4_10(ask: Ask) -> float:
    """Return the share of 0.4.10: a reserve by memory and ranks."""
    memory, ranks = ask.device_bytes / MIB, ask.tp * ask.pp
    if memory < 35 * 1024:
        reserve = 2.8 + ranks / 10
    elif memory < 160 * 1024:
        reserve = (9.5 if memory < 90 * 1024 else 12) + ranks / 2
    else:
        reserve = 32.0
    if ask.attention_dp > 1:
        reserve += 4
    return _with_vision(round((memory - reserve * 1024) / memory, 3), ask.vision)


def _activations_mib(ask: Ask) -> float:
    """Return the reserve for one prefill chunk and larger groups [MiB]."""
    return 512 + max(ask.chunk, 2048) * 1.5 + ask.tp * ask.pp / 8 * 1024


def _attention_dp_mib(ask: Ask) -> float:
    """Return the reserve for padding between attention groups [MiB]."""
    if ask.attention_dp == 1:
        return 0.0
    return ask.batch * ask.attention_dp * (4.5 if ask.batch > 300 else 3.0)


def _share_0_5_3(ask: Ask) -> float:
    """Return the share of 0.5.3: a chunk, decode graphs, ranks; at least 10 GiB above 60."""
    reserve = _activations_mib(ask) + ask.batch * 2 + _attention_dp_mib(ask)
    return _with_vision(_rest_of(ask, reserve), ask.vision)


def _share_0_5_23(ask: Ask) -> float:
    """Return the share of 0.5.23: as 0.5.3, with prefill graphs, none of both when eager."""
    reserve = _activations_mib(ask) + _attention_dp_mib(ask)
    if not ask.eager:
        reserve += ask.batch * 2
        if ask.latent and ask.vision is None:
            reserve += 1.5 * 1024
        elif ask.vision is None and ask.pp == 1:
            reserve += len(prefill_graph_sizes(ask.chunk)) * 8
    return _with_vision(_rest_of(ask, reserve), ask.vision)


def _rest_of(ask: Ask, reserve_mib: float) -> float:
    memory = ask.device_bytes / MIB
    if memory > 60 * 1024:
        reserve_mib = max(reserve_mib, 10 * 1024)
    return round((memory - reserve_mib) / memory, 3)


def prefill_graph_sizes(largest: int) -> list[int]:
    """Return the token counts that prefill graphs are captured for, up to `largest` [tokens].

    Source: SGLang 0.5.23 arg_groups/cuda_graph_hook.py.

    >>> len(prefill_graph_sizes(2048))
    42
    """
    sizes = [*range(4, 33, 4), *range(48, 257, 16), *range(288, 513, 32)]
    sizes += [*range(576, 1025, 64), *range(1280, 4097, 256), *range(4608, largest + 1, 512)]
    return [n for n in sizes if n <= largest]


VIT_LARGE = (24, 1024)
"""Layers and width of ViT-L/14, the tower that the factor below is measured in."""


def _with_vision(share: float, tower: Stack | None) -> float:
    """Return the share left beside a vision tower: 0.95 of it, less for larger towers."""
    if tower is None:
        return share
    size = len(tower.layers) * tower.hidden_size**2 / (VIT_LARGE[0] * VIT_LARGE[1] ** 2)
    return share * 0.95 * max(0.8, min(1.05, 1 - 0.1 * (size - 1)))


_TIERS_0_4 = (Tier(24.4, 2048, 8, 80), Tier(float("inf"), 8192, 160, 160))
_TIERS_0_5_3 = (
    Tier(20, 2048, 8, 8), Tier(35, 2048, 16, 80), Tier(60, 4096, 32, 160),
    Tier(160, 8192, 256, 512), Tier(float("inf"), 16384, 512, 512),
)  # fmt: skip

POLICIES = (
    Policy("0.1.17", _by_tp({1: 0.90, 2: 0.85, 4: 0.82, 8: 0.80}), _TIERS_0_4),
    Policy("0.2.0", _by_tp({1: 0.89, 2: 0.88, 4: 0.86, 8: 0.84, 16: 0.80}), _TIERS_0_4),
    Policy("0.3.0", _by_tp({1: 0.88, 2: 0.87, 4: 0.85, 8: 0.83, 16: 0.79}), _TIERS_0_4,
           vision_share=0.95),
    Policy("0.4.3", _by_tp(SHARES_0_4_6), _TIERS_0_4, vision_share=0.95),
    Policy("0.4.6", _share_0_4_6, _TIERS_0_4, vision_share=0.90),
    Policy("0.4.10", _share_0_4_10, _TIERS_0_4),
    Policy("0.5.3", _share_0_5_3, _TIERS_0_5_3),
    Policy(
        "0.5.23", _share_0_5_23,
        (Tier(20, 2048, 8, 8), Tier(35, 4096, 48, 160), *_TIERS_0_5_3[2:]),
        window_pools=True, state_slots=5, attention_dp_flag="--attn-dp-size", counts_drafts=True,
    ),
)  # fmt: skip
"""Wheels read: 0.1.17, 0.2.0, 0.3.0, 0.3.4.post1, 0.4.3.post4, 0.4.6.post5, 0.4.10.post2,
0.5.3.post3, 0.5.23. `vision_share`: factor on any share, given ones too, of a multimodal model.
`state_slots`: states held for one running request, 3 with the radix cache and 2 more that
overlap tracking keeps since its extra buffer. `counts_drafts`: weights that draft are loaded before
the pool is sized, whose cells count their layers (pool_configurator.py); before, they came out of
a reserve."""

DRAFTS_SINCE = next(row.since for row in POLICIES if row.counts_drafts)


def policy(version: str) -> Policy:
    """Return the policy of a version."""
    return policy_of(POLICIES, version)


def tier_of(rules: Policy, device_bytes: float) -> Tier:
    """Return the defaults of a device by its memory [bytes]."""
    return next(t for t in rules.tiers if device_bytes < t.below * GIB)
