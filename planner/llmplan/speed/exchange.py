"""Collectives: what tensor-parallel ranks exchange."""

from __future__ import annotations

from llmplan.specs.number import Number, larger

RANK_LATENCY = 0.15
"""Growth of an all-reduce's latency with each rank beyond two.
Source: aiconfigurator's tables, vLLM with CUDA graphs: 4.3, 4.7 and 5.4 us at 2, 4 and 8 H100."""


def all_reduce_s(
    *,
    ranks: Number,
    message_bytes: Number,
    bandwidth_bytes_per_s: Number,
    latency_s: Number,
    host_latency_s: Number,
) -> Number:
    """Time of one all-reduce over the ranks.

    Equation: ``latency_s (1 + 0.15 (ranks - 2)) + host_latency_s ranks
    + 2 (ranks - 1) / ranks message_bytes / bandwidth``.

    Parameters
    ----------
    ranks : number or array
        Devices that exchange [ranks]
    message_bytes : number or array
        Bytes that each rank contributes [bytes]
    bandwidth_bytes_per_s : number or array
        Effective bus bandwidth, one way [bytes/s]
    latency_s : number or array
        Latency over a link of the devices' own [s]
    host_latency_s : number or array
        Further latency of each rank where messages cross PCIe, else 0 [s]

    Returns
    -------
    time_s : number or array
        Time of the exchange [s]

    Source: alpha-beta model of ring all-reduce; kernel efficiency notes of 2026-11

    Examples
    --------
    64 MiB over 8 H100 at the measured 469 GB/s and 5.4 us.

    >>> t = all_reduce_s(ranks=8, message_bytes=2**26, bandwidth_bytes_per_s=469e9,
    ...     latency_s=5.4e-6 / 1.9, host_latency_s=0)
    >>> round(1e6 * t)
    256

    """
    alpha = latency_s * (1 + RANK_LATENCY * larger(ranks - 2, 0)) + host_latency_s * ranks
    return alpha + 2 * (ranks - 1) / ranks * message_bytes / bandwidth_bytes_per_s
