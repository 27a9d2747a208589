"""One tensor in lowered form, and how it splits over tensor-parallel ranks."""

from __future__ import annotations

from typing import NamedTuple

NONE, ROWS, COLUMNS, COPIES, VOCAB = "none", "rows", "columns", "copies", "vocab"


class Tensor(NamedTuple):
    """A matrix [rows x columns] or, with columns 0, a vector of `rows` elements.

    `copies` equal ones exist, `active` of them run for one token. `shard` says which
    side tensor parallelism splits, in `units` that cannot be cut (heads, neurons).
    """

    name: str
    group: str
    rows: int
    columns: int = 0
    copies: int = 1
    active: int = 1
    shard: str = NONE
    units: int = 0
    linear: bool = False
    experts: bool = False

    @property
    def elements(self) -> int:
        """Number of elements in all copies [elements]."""
        return self.rows * (self.columns or 1) * self.copies

    @property
    def active_elements(self) -> int:
        """Number of elements one token passes through [elements]."""
        return self.rows * (self.columns or 1) * self.active


def linear(
    name: str,
    rows: int,
    columns: int,
    group: str,
    shard: str = NONE,
    units: int = 0,
) -> Tensor:
    """Return a weight matrix [out_features x in_features] that formats may quantize."""
    return Tensor(name, group, rows, columns, shard=shard, units=units, linear=True)


def bias(name: str, rows: int, group: str, shard: str = NONE, units: int = 0) -> Tensor:
    """Return the bias of a linear layer."""
    return Tensor(f"{name}.bias", group, rows, shard=shard, units=units)


def vector(name: str, rows: int, group: str, shard: str = NONE, units: int = 0) -> Tensor:
    """Return a vector: a norm's weight, a per-head constant."""
    return Tensor(name, group, rows, shard=shard, units=units)


def rank_units(*, units: int, tp: int) -> int:
    """Units on the fullest of `tp` ranks: a head that cannot be cut is replicated.

    Equation: ``ceil(units / tp)``, at least 1.

    Parameters
    ----------
    units : int
        Heads (or other indivisible parts) of the whole layer [units]
    tp : int
        Tensor-parallel ranks [ranks]

    Returns
    -------
    rank_units : int
        Units held by the fullest rank [units]

    Source: vLLM 0.33.0, ``ModelConfig.get_num_kv_heads``: max(1, kv_heads // tp)

    Examples
    --------
    Eight KV heads on 16 ranks: one each, every head held twice.

    >>> rank_units(units=8, tp=16)
    1
    >>> rank_units(units=8, tp=4)
    2

    """
    return -(-units // tp)


VOCAB_PADDING = 64
"""Rows to which vLLM pads the vocabulary before splitting it.
Source: vLLM 0.33.0, vocab_parallel_embedding.DEFAULT_VOCAB_PADDING_SIZE, read 2026-11."""


def padded_vocab_rows(*, vocab_size: int, tp: int) -> int:
    """Vocabulary rows on one rank after padding to a multiple of 64.

    Equation: ``ceil(vocab_size / 64) * 64 / tp``, rounded up.

    Parameters
    ----------
    vocab_size : int
        Vocabulary of the checkpoint [tokens]
    tp : int
        Tensor-parallel ranks [ranks]

    Returns
    -------
    rows : int
        Embedding rows held by one rank [tokens]

    Source: vLLM 0.33.0, model_executor/layers/vocab_parallel_embedding.py

    Examples
    --------
    >>> padded_vocab_rows(vocab_size=32000, tp=1), padded_vocab_rows(vocab_size=50257, tp=2)
    (32000, 25152)

    """
    padded = -(-vocab_size // VOCAB_PADDING) * VOCAB_PADDING
    return -(-padded // tp)


def rank_tensor(tensor: Tensor, *, tp: int, dp: int = 1, ep: int = 1) -> Tensor:
    """Return the part of a tensor that the fullest rank holds under tp, dp and ep.

    Experts go whole to `ep` ranks when expert parallelism is on, else each is split over all
    tp x dp ranks. Source: vLLM 0.33.0, FusedMoEParallelConfig.make.
    """
    if tensor.experts and ep > 1:
        return tensor._replace(copies=rank_units(units=tensor.copies, tp=ep))
    if tensor.experts:
        tp *= dp
    if tp == 1 and tensor.shard != VOCAB:
        return tensor
    if tensor.shard == VOCAB:
        return tensor._replace(rows=padded_vocab_rows(vocab_size=tensor.rows, tp=tp))
    if tensor.shard == NONE or not tensor.units:
        return tensor
    kept = rank_units(units=tensor.units, tp=tp)
    if tensor.shard == COPIES:
        return tensor._replace(copies=kept)
    if tensor.shard == ROWS:
        return tensor._replace(rows=tensor.rows * kept // tensor.units)
    return tensor._replace(columns=tensor.columns * kept // tensor.units)
