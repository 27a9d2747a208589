"""Mixers with a state of fixed size: Mamba, Mamba-2, gated delta net, lightning, short convolution.

Convolution states keep the last `kernel - 1` inputs of each channel.
Shapes: the transformers modelling files of each architecture (5.23), checked by exact counts.
"""

from __future__ import annotations

from llmplan.memory.mixers import Cache, register
from llmplan.memory.tensor import COLUMNS, ROWS, Tensor, bias, linear, vector
from llmplan.specs.mixers import (
    GatedDeltaNet,
    LightningAttention,
    Mamba,
    Mamba2,
    ShortConvolution,
)

GROUP = "recurrent"


def _conv(rows: int, kernel: int, has_bias: bool, units: int) -> list[Tensor]:
    result = [Tensor("ssm_conv1d", GROUP, rows, kernel, shard=ROWS, units=units)]
    return result + ([bias("ssm_conv1d", rows, GROUP, ROWS, units)] if has_bias else [])


def mamba_tensors(m: Mamba, hidden: int) -> list[Tensor]:
    """Return in, conv, x, dt, A, D and out of one Mamba layer."""
    i, s, r = m.inner_size, m.state_size, m.dt_rank
    result = [linear("ssm_in", 2 * i, hidden, GROUP, ROWS, i)]
    result += _conv(i, m.conv_kernel, m.conv_bias, i)
    result += [
        linear("ssm_x", r + 2 * s, i, GROUP, COLUMNS, i),
        linear("ssm_dt", i, r, GROUP, ROWS, i),
        bias("ssm_dt", i, GROUP, ROWS, i),
        Tensor("ssm_a", GROUP, i, s, shard=ROWS, units=i),
        vector("ssm_d", i, GROUP, ROWS, i),
        linear("ssm_out", hidden, i, GROUP, COLUMNS, i),
    ]
    if m.projection_bias:
        result += [bias("ssm_in", 2 * i, GROUP, ROWS, i), bias("ssm_out", hidden, GROUP)]
    if m.inner_norms:
        result += [vector("ssm_dt_norm", r, "norm")]
        result += [vector("ssm_b_norm", s, "norm"), vector("ssm_c_norm", s, "norm")]
    return result


def mamba_cache(m: Mamba, hidden: int) -> Cache:
    """Return inner x state, and inner x (kernel - 1) of convolution."""
    return Cache(
        state_elements=m.inner_size * m.state_size,
        conv_elements=m.inner_size * (m.conv_kernel - 1),
        state_units=m.inner_size,
        state_bits=m.state_bits or 0,
    )


def mamba2_tensors(m: Mamba2, hidden: int) -> list[Tensor]:
    """Return in, conv, dt, A, D, gated norm and out of one Mamba-2 layer."""
    inner = m.heads * m.head_dim
    channels = inner + 2 * m.groups * m.state_size
    rows = inner + channels + m.heads
    result = [linear("ssm_in", rows, hidden, GROUP, ROWS, m.heads)]
    result += _conv(channels, m.conv_kernel, m.conv_bias, m.heads)
    result += [vector(n, m.heads, GROUP, ROWS, m.heads) for n in ("ssm_dt", "ssm_a", "ssm_d")]
    if m.gated_norm:
        result.append(vector("ssm_norm", inner, "norm", ROWS, m.heads))
    result.append(linear("ssm_out", hidden, inner, GROUP, COLUMNS, m.heads))
    if m.projection_bias:
        result += [bias("ssm_in", rows, GROUP, ROWS, m.heads), bias("ssm_out", hidden, GROUP)]
    return result


def mamba2_cache(m: Mamba2, hidden: int) -> Cache:
    """Return heads x head_dim x state, and the convolution's channels x (kernel - 1)."""
    channels = m.heads * m.head_dim + 2 * m.groups * m.state_size
    return Cache(
        state_elements=m.heads * m.head_dim * m.state_size,
        conv_elements=channels * (m.conv_kernel - 1),
        state_units=m.heads,
        state_bits=m.state_bits or 0,
    )


def delta_tensors(m: GatedDeltaNet, hidden: int) -> list[Tensor]:
    """Return qkv and gate, beta and alpha, conv, dt, A, norm and out of one gated delta net."""
    keys, values = m.key_heads * m.key_head_dim, m.value_heads * m.value_head_dim
    units = m.key_heads
    return [
        linear("attn_qkv", 2 * keys + values, hidden, GROUP, ROWS, units),
        linear("attn_gate", values, hidden, GROUP, ROWS, units),
        linear("ssm_ba", 2 * m.value_heads, hidden, GROUP, ROWS, units),
        *_conv(2 * keys + values, m.conv_kernel, False, units),
        vector("ssm_dt", m.value_heads, GROUP, ROWS, units),
        vector("ssm_a", m.value_heads, GROUP, ROWS, units),
        vector("ssm_norm", m.value_head_dim, "norm"),
        linear("ssm_out", hidden, values, GROUP, COLUMNS, units),
    ]


def delta_cache(m: GatedDeltaNet, hidden: int) -> Cache:
    """Return value heads x key dim x value dim, and the convolution's channels."""
    channels = 2 * m.key_heads * m.key_head_dim + m.value_heads * m.value_head_dim
    return Cache(
        state_elements=m.value_heads * m.key_head_dim * m.value_head_dim,
        conv_elements=channels * (m.conv_kernel - 1),
        state_units=m.key_heads,
        state_bits=m.state_bits or 0,
    )


def lightning_tensors(m: LightningAttention, hidden: int) -> list[Tensor]:
    """Return fused qkv, output gate, norm and out of one lightning attention layer."""
    width = m.heads * m.head_dim
    return [
        linear("attn_qkv", 3 * width, hidden, GROUP, ROWS, m.heads),
        linear("attn_gate", width, hidden, GROUP, ROWS, m.heads),
        vector("ssm_norm", width, "norm", ROWS, m.heads),
        linear("attn_output", hidden, width, GROUP, COLUMNS, m.heads),
    ]


def lightning_cache(m: LightningAttention, hidden: int) -> Cache:
    """Return heads x head_dim x head_dim."""
    return Cache(state_elements=m.heads * m.head_dim * m.head_dim, state_units=m.heads)


def conv_tensors(m: ShortConvolution, hidden: int) -> list[Tensor]:
    """Return in (three gates), conv and out of one short convolution."""
    result = [
        linear("shortconv.in_proj", 3 * hidden, hidden, GROUP, ROWS, hidden),
        Tensor("shortconv.conv", GROUP, hidden, m.kernel, shard=ROWS, units=hidden),
        linear("shortconv.out_proj", hidden, hidden, GROUP, COLUMNS, hidden),
    ]
    if m.bias:
        result += [
            bias("shortconv.in_proj", 3 * hidden, GROUP, ROWS, hidden),
            bias("shortconv.conv", hidden, GROUP, ROWS, hidden),
            bias("shortconv.out_proj", hidden, GROUP),
        ]
    return result


def conv_cache(m: ShortConvolution, hidden: int) -> Cache:
    """Return width x (kernel - 1)."""
    return Cache(conv_elements=hidden * (m.kernel - 1), state_units=hidden)


register(
    "mamba",
    tensors=mamba_tensors,
    cache=mamba_cache,
    label=lambda m: "Mamba",
    divisors=lambda m, hidden: [("state channels", m.inner_size, False)],
)
register(
    "mamba2",
    tensors=mamba2_tensors,
    cache=mamba2_cache,
    label=lambda m: "Mamba-2",
    divisors=lambda m, hidden: [
        ("state heads", m.heads, False),
        *([] if m.groups == 1 else [("state groups", m.groups, False)]),
    ],
)
register(
    "gated_delta_net",
    tensors=delta_tensors,
    cache=delta_cache,
    label=lambda m: "gated delta net",
    divisors=lambda m, hidden: [
        ("linear-attention key heads", m.key_heads, False),
        ("linear-attention value heads", m.value_heads, False),
    ],
)
register(
    "lightning_attention",
    tensors=lightning_tensors,
    cache=lightning_cache,
    label=lambda m: "lightning attention",
    divisors=lambda m, hidden: [("attention heads", m.heads, False)],
)
register(
    "short_convolution",
    tensors=conv_tensors,
    cache=conv_cache,
    label=lambda m: f"short convolution {m.kernel}",
    divisors=lambda m, hidden: [("convolution channels", hidden, False)],
)
