"""Kimi delta attention: a state of head_dim x head_dim a head, and short convolutions.

Shapes: transformers 5.23 models/kimi_linear, glm5_next and bailing_hybrid. State: vLLM 0.33.0
mamba_utils.py kda_state_shape and kda_state_dtype. Both read 2026-11-21.
"""

from __future__ import annotations

from llmplan.memory.mixers import Cache, Divisor, register
from llmplan.memory.tensor import COLUMNS, ROWS, Tensor, bias, linear, vector
from llmplan.specs.mixers import KimiDeltaAttention

GROUP = "recurrent"


def tensors(a: KimiDeltaAttention, hidden: int) -> list[Tensor]:
    """Return Q, K, V with their convolution, decay, beta, output gate, norm and output."""
    width, h = a.heads * a.head_dim, a.heads
    result = [linear(f"attn_{n}", width, hidden, GROUP, ROWS, h) for n in "qkv"]
    result += [
        Tensor("ssm_conv1d", GROUP, 3 * width, a.conv_kernel, shard=ROWS, units=h),
        bias("ssm_dt", width, GROUP, ROWS, h),
        vector("ssm_a", h, GROUP, ROWS, h),
        linear("ssm_beta", h, hidden, GROUP, ROWS, h),
    ]
    result += _gate("ssm_f", a.decay_rank, a, hidden) + _gate("ssm_g", a.gate_rank, a, hidden)
    return [
        *result,
        vector("ssm_norm", a.head_dim, "norm"),
        linear("attn_output", hidden, width, GROUP, COLUMNS, h),
    ]


def _gate(name: str, rank: int | None, a: KimiDeltaAttention, hidden: int) -> list[Tensor]:
    width = a.heads * a.head_dim
    if rank is None:
        return [linear(name, width, hidden, GROUP, ROWS, a.heads)]
    return [
        linear(f"{name}_a", rank, hidden, GROUP),
        linear(f"{name}_b", width, rank, GROUP, ROWS, a.heads),
    ]


def cache(a: KimiDeltaAttention, hidden: int) -> Cache:
    """Return heads x head_dim x head_dim, and the convolution's 3 x width x (kernel - 1)."""
    width = a.heads * a.head_dim
    return Cache(
        state_elements=width * a.head_dim,
        conv_elements=3 * width * (a.conv_kernel - 1),
        state_units=a.heads,
        state_bits=a.state_bits or 0,
    )


def divisors(a: KimiDeltaAttention, hidden: int) -> list[Divisor]:
    """Return heads."""
    return [("linear-attention heads", a.heads, False)]


register(
    "kimi_delta_attention",
    tensors=tensors,
    cache=cache,
    label=lambda a: "Kimi delta attention",
    divisors=divisors,
)
