"""Token mixers: what a layer uses to look at other tokens.

Each record holds published architecture facts only; what they cost (tensors, cache)
is worked out in `llmplan.memory.mixers`, one module a kind. `state_bits` is the width of the
recurrent state where the checkpoint asks for one; null leaves it to the engine.
"""

from __future__ import annotations

from typing import Literal

from llmplan.specs.record import Record, record


@record
class Attention(Record):
    """Softmax attention with per-head keys and values: MHA, GQA, MQA, sliding, chunked, cross.

    `window` keeps only the last `window` tokens, `chunk` only the current chunk;
    both null means full attention. `cross` reads keys and values from an encoder.
    `shares_kv` reuses the cache of an earlier layer and has no K/V projections of its own.
    `indexer_heads` score tokens to attend to by keys of `indexer_head_dim` that are cached too,
    one for each `indexer_pool` tokens (MiniMax M3, Qwen4).
    """

    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int | None = None
    window: int | None = None
    chunk: int | None = None
    q_bias: bool = False
    k_bias: bool = False
    v_bias: bool = False
    o_bias: bool = False
    qk_norm: Literal["none", "per_head", "full"] = "none"
    qk_norm_bias: bool = False
    output_gate: Literal["none", "elementwise", "per_head"] = "none"
    sinks: bool = False
    value_projection: bool = True
    shares_kv: bool = False
    cross: bool = False
    causal: bool = True
    fused_qkv: bool = False
    indexer_heads: int = 0
    indexer_head_dim: int = 0
    indexer_pool: int = 1
    kind: Literal["attention"] = "attention"

    def __post_init__(self) -> None:
        _positive(self, "heads", "kv_heads", "head_dim", "indexer_pool")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"kv_heads must divide heads: {self.heads} heads, {self.kv_heads} kv_heads"
            )
        if self.window is not None and self.chunk is not None:
            raise ValueError("window and chunk exclude each other: set one, leave the other null")
        for name in ("window", "chunk", "v_head_dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, or null")

    @property
    def value_dim(self) -> int:
        """Width of one value head [elements]."""
        return self.v_head_dim or self.head_dim


@record
class LatentAttention(Record):
    """Multi-head latent attention (MLA): one compressed latent per token serves all heads.

    `indexer_heads` and `indexer_head_dim` describe the top-k token selector of sparse MLA
    (DeepSeek-V3.2, GLM-5): its keys are cached besides the latent, one for each
    `indexer_pool` tokens where it pools them (GLM-5.3-Flash).
    """

    heads: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    q_lora_rank: int | None = None
    bias: bool = False
    indexer_heads: int = 0
    indexer_head_dim: int = 0
    indexer_pool: int = 1
    output_gate: Literal["none", "elementwise", "per_head"] = "none"
    kind: Literal["mla"] = "mla"

    def __post_init__(self) -> None:
        _positive(self, "heads", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "indexer_pool")
        for name in ("qk_rope_head_dim", "indexer_heads", "indexer_head_dim"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0")


@record
class CompressedAttention(Record):
    """Window attention over one shared key-value head, and compressed entries of what lies before.

    `compress_ratio` tokens make one entry (DeepSeek-V4: 4 or 128; 1 means window alone). With an
    indexer, queries select entries and the entries overlap. Output goes through `output_groups`
    groups of heads of rank `output_lora_rank`.
    """

    heads: int
    head_dim: int
    rope_head_dim: int
    q_lora_rank: int
    output_groups: int
    output_lora_rank: int
    window: int
    compress_ratio: int = 1
    indexer_heads: int = 0
    indexer_head_dim: int = 0
    kind: Literal["compressed_attention"] = "compressed_attention"

    def __post_init__(self) -> None:
        _positive(self, "heads", "head_dim", "rope_head_dim", "q_lora_rank", "output_groups")
        _positive(self, "output_lora_rank", "window", "compress_ratio")
        if self.heads % self.output_groups:
            raise ValueError(
                f"output_groups must divide heads: {self.heads} heads, {self.output_groups} groups"
            )


@record
class Mamba(Record):
    """Selective state space layer, first generation (Mamba, Jamba, Falcon-Mamba)."""

    inner_size: int
    state_size: int
    conv_kernel: int
    dt_rank: int
    conv_bias: bool = True
    projection_bias: bool = False
    inner_norms: bool = False
    state_bits: int | None = None
    kind: Literal["mamba"] = "mamba"

    def __post_init__(self) -> None:
        _positive(self, "inner_size", "state_size", "conv_kernel", "dt_rank")


@record
class Mamba2(Record):
    """State space layer with scalar decay per head (Mamba-2, Nemotron-H, Granite-H, Falcon-H1)."""

    heads: int
    head_dim: int
    state_size: int
    groups: int
    conv_kernel: int
    conv_bias: bool = True
    projection_bias: bool = False
    gated_norm: bool = True
    state_bits: int | None = None
    kind: Literal["mamba2"] = "mamba2"

    def __post_init__(self) -> None:
        _positive(self, "heads", "head_dim", "state_size", "groups", "conv_kernel")
        if self.heads % self.groups:
            raise ValueError(f"groups must divide heads: {self.heads} heads, {self.groups} groups")


@record
class GatedDeltaNet(Record):
    """Gated delta rule linear attention (Qwen3-Next, Qwen3.5)."""

    key_heads: int
    value_heads: int
    key_head_dim: int
    value_head_dim: int
    conv_kernel: int
    state_bits: int | None = None
    kind: Literal["gated_delta_net"] = "gated_delta_net"

    def __post_init__(self) -> None:
        _positive(self, "key_heads", "value_heads", "key_head_dim", "value_head_dim")
        if self.value_heads % self.key_heads:
            raise ValueError(
                f"key_heads must divide value_heads: {self.value_heads} value heads, "
                f"{self.key_heads} key heads"
            )


@record
class KimiDeltaAttention(Record):
    """Delta rule linear attention with a decay per channel (Kimi Linear, GLM-5.3-Flash, Ling 3).

    `decay_rank` and `gate_rank` are the widths between the two matrices of the decay and of the
    output gate; null is one matrix of full rank.
    """

    heads: int
    head_dim: int
    conv_kernel: int
    decay_rank: int | None = None
    gate_rank: int | None = None
    state_bits: int | None = None
    kind: Literal["kimi_delta_attention"] = "kimi_delta_attention"

    def __post_init__(self) -> None:
        _positive(self, "heads", "head_dim", "conv_kernel")


@record
class LightningAttention(Record):
    """Linear attention with a fixed decay per head (MiniMax-Text-01, MiniMax-M1)."""

    heads: int
    head_dim: int
    kind: Literal["lightning_attention"] = "lightning_attention"

    def __post_init__(self) -> None:
        _positive(self, "heads", "head_dim")


@record
class ShortConvolution(Record):
    """Gated short convolution (LFM2): looks back `kernel - 1` tokens only."""

    kernel: int
    bias: bool = False
    kind: Literal["short_convolution"] = "short_convolution"

    def __post_init__(self) -> None:
        _positive(self, "kernel")


Mixer = (
    Attention
    | LatentAttention
    | CompressedAttention
    | Mamba
    | Mamba2
    | GatedDeltaNet
    | KimiDeltaAttention
    | LightningAttention
    | ShortConvolution
)
MIXER_TYPES: tuple[type, ...] = (
    Attention,
    LatentAttention,
    CompressedAttention,
    Mamba,
    Mamba2,
    GatedDeltaNet,
    KimiDeltaAttention,
    LightningAttention,
    ShortConvolution,
)


def _positive(record: object, *names: str) -> None:
    for name in names:
        if getattr(record, name) < 1:
            raise ValueError(f"{name} must be at least 1")
