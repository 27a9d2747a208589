"""What a model is: stacks of blocks, and the facts that go with them.

A model is one or more stacks (decoder, encoder, towers, draft layers) beside its
embeddings and head. A stack is a list of layers, each one of a few named blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from llmplan.specs.facts import Adapter, Artifact, PublishedCount, Source, Variant
from llmplan.specs.mixers import Attention, Mixer
from llmplan.specs.record import Record, record
from llmplan.specs.stored import StoredWeights

STRICT = {"extra": "forbid"}
"""pydantic's configuration for every record: a misspelt key is an error, not a default."""


@record
class Mlp(Record):
    """A dense feed-forward layer: `gated` has gate, up and down, else up and down."""

    intermediate_size: int
    gated: bool = True
    bias: bool = False
    fused_gate_up: bool = False
    kind: Literal["dense"] = "dense"

    def __post_init__(self) -> None:
        if self.intermediate_size < 1:
            raise ValueError("intermediate_size must be at least 1")


@record
class MoE(Record):
    """A mixture of experts: `experts_per_token` of `experts` run for each token.

    `shared_experts_size` is the summed width of the experts that always run. `latent_size` is
    the width in which the routed experts work, null where it is the model's own (Nemotron 3
    Super); `latent_norm` has a norm of it before the way back.
    `router_bias` counts a trained bias of the router's own linear layer; a correction
    bias that is not trained by gradients is a buffer and not a parameter.
    """

    intermediate_size: int
    experts: int
    experts_per_token: int
    gated: bool = True
    bias: bool = False
    shared_experts_size: int = 0
    shared_gated: bool = True
    shared_expert_gate: bool = False
    router_bias: bool = False
    latent_size: int | None = None
    latent_norm: bool = False
    kind: Literal["moe"] = "moe"

    def __post_init__(self) -> None:
        if self.intermediate_size < 1 or self.experts < 1:
            raise ValueError("intermediate_size and experts must be at least 1")
        if self.latent_size is not None and self.latent_size < 1:
            raise ValueError("latent_size must be at least 1, or null")
        if not 1 <= self.experts_per_token <= self.experts:
            raise ValueError(
                f"experts_per_token must be between 1 and experts ({self.experts}), "
                f"not {self.experts_per_token}"
            )


@record
class TensorShape(Record):
    """A tensor that the architecture has besides its blocks, by name and shape.

    `shape` is [elements] or [rows, columns]; `linear` says that weight formats may
    quantize it. `name` follows llama.cpp's tensor names where it has one.
    """

    name: str
    shape: tuple[int, ...]
    linear: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 2 or any(n < 1 for n in self.shape):
            raise ValueError(f"shape of {self.name} must be one or two sizes of at least 1")


@record
class Block(Record):
    """One kind of layer: its mixers (most have one), its feed-forward part, its norms.

    `norms` counts the normalisation layers of the stack's hidden width in the block.
    """

    mixers: tuple[Mixer, ...] = ()
    mlp: Mlp | MoE | None = None
    norms: int = 2
    tensors: tuple[TensorShape, ...] = ()


@record
class Stack(Record):
    """Layers of one width: `layers` names the block of each layer, in order."""

    hidden_size: int
    blocks: Mapping[str, Block]
    layers: tuple[str, ...]
    norm: Literal["rms", "layer", "layer_without_bias", "none"] = "rms"
    final_norm: bool = True
    tensors: tuple[TensorShape, ...] = ()

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ValueError("hidden_size must be at least 1")
        if not self.layers:
            raise ValueError("layers must name at least one block")
        unknown = sorted(set(self.layers) - set(self.blocks))
        if unknown:
            raise ValueError(f"layers name blocks that are not described: {', '.join(unknown)}")
        unused = sorted(set(self.blocks) - set(self.layers))
        if unused:
            raise ValueError(f"blocks that no layer uses: {', '.join(unused)}")

    def runs(self) -> list[tuple[Block, int]]:
        """Return each block with the number of layers that use it."""
        counts: dict[str, int] = {}
        for name in self.layers:
            counts[name] = counts.get(name, 0) + 1
        return [(self.blocks[name], count) for name, count in counts.items()]


@record
class Model(Record):
    """A model as llmplan plans it. Parameters and KV bytes are computed, never stored.

    `context_tokens` null means no limit of its own (recurrent models, relative positions).
    `rope_scaling` names the stretching that the checkpoint itself ships with. `native_parts`
    gives the format of what a quantized checkpoint stores otherwise: by tensor class or name,
    `@` and layers behind it where not all are meant (`attention@0-2`, `*@60`).
    `path` is the folder of a model read from its own files. `guessed`: shapes read by the
    usual keys of an architecture that is not known. `adapter` is served beside the weights.
    """

    id: str
    name: str
    family: str
    hub_id: str | None
    model_type: str
    architecture: str
    license: str | None
    released: str | None
    context_tokens: int | None
    native_format: str
    vocab_size: int
    tied_embeddings: bool
    sources: tuple[Source, ...]
    decoder: Stack | None = None
    encoder: Stack | None = None
    vision: Stack | None = None
    draft: Stack | None = None
    head: bool = True
    head_bias: bool = False
    embedding_size: int | None = None
    tensors: tuple[TensorShape, ...] = ()
    aliases: tuple[str, ...] = ()
    usual_for: tuple[str, ...] = ()
    rope_theta: float | None = None
    rope_scaling: str | None = None
    trust_remote_code: bool = False
    path: str | None = None
    stored: StoredWeights | None = None
    published: PublishedCount | None = None
    native_parts: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    variants: tuple[Variant, ...] = ()
    adapter: Adapter | None = None
    guessed: bool = False
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.decoder is None and self.encoder is None:
            raise ValueError("a model needs a decoder or an encoder")
        if self.vocab_size < 1:
            raise ValueError("vocab_size must be at least 1")
        if self.context_tokens is not None and self.context_tokens < 1:
            raise ValueError("context_tokens must be at least 1, or null")
        if self.rope_theta is not None and self.rope_theta <= 0:
            raise ValueError("rope_theta must be above 0, or null")
        if not self.sources:
            raise ValueError("sources must name at least one reference")
        if self.stored is not None and len(self.stored.layers) != len(self.main.layers):
            raise ValueError("stored.layers must have one entry a layer")

    @property
    def main(self) -> Stack:
        """The stack that reads the text: the decoder, or the encoder of an encoder-only model."""
        stack = self.decoder or self.encoder
        assert stack is not None  # __post_init__ refuses a model without either
        return stack

    @property
    def learned_positions(self) -> bool:
        """Whether positions are a trained table, which ends at the trained context."""
        return any(t.name == "position_embd" for t in self.tensors)

    def parts_of(self, format: str) -> Mapping[str, str]:
        """Return what a checkpoint of this format stores otherwise; empty where all is alike."""
        if format == self.native_format:
            return self.native_parts
        published = (a.parts for a in self.artifacts if a.format == format)
        return next(published, {})

    @property
    def is_moe(self) -> bool:
        """Whether any served layer routes tokens to experts."""
        return any(isinstance(b.mlp, MoE) for s in self.stacks() for b in s.blocks.values())

    def stacks(self) -> list[Stack]:
        """Return the served stacks: encoder, decoder and vision tower, not the draft layers."""
        return [s for s in (self.encoder, self.decoder, self.vision) if s is not None]

    def attention_layers(self) -> list[Attention]:
        """Return one entry per softmax attention mixer of the main stack, in layer order."""
        return [
            m
            for name in self.main.layers
            for m in self.main.blocks[name].mixers
            if isinstance(m, Attention)
        ]
