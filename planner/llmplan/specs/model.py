"""What a model is: stacks of blocks, and the facts that go with them.

A model is one or more stacks (decoder, encoder, towers, draft layers) beside its
embeddings and head. A stack is a list of layers, each one of a few named blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llmplan.specs.mixers import MIXER_TYPES, Attention, Mixer
from llmplan.specs.record import Record, record

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

    `shared_experts_size` is the summed width of the experts that always run.
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
    kind: Literal["moe"] = "moe"

    def __post_init__(self) -> None:
        if self.intermediate_size < 1 or self.experts < 1:
            raise ValueError("intermediate_size and experts must be at least 1")
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
class Source(Record):
    """Where facts come from: what it supports, the reference, and its date."""

    facts: tuple[str, ...]
    ref: str
    date: str | None = None


@record
class Artifact(Record):
    """A published checkpoint of the model in another weight format.

    A `gguf` repository holds several presets: `presets` names those known to be there.
    """

    format: str
    hub_id: str
    ref: str
    date: str
    presets: tuple[str, ...] = ()


@record
class PublishedCount(Record):
    """A parameter count published by the maker or read from the files' headers.

    `difference` is what it counts above (or below) the served parameters, and `why`.
    """

    parameters: int
    counted: str
    confidence: str
    difference: int = 0
    why: str | None = None

    def __post_init__(self) -> None:
        if self.confidence not in ("exact", "rounded"):
            raise ValueError(f"confidence is exact or rounded, not {self.confidence!r}")
        if self.difference and not self.why:
            raise ValueError("a difference to the served parameters needs its reason in why")


@record
class Model(Record):
    """A model as llmplan plans it. Parameters and KV bytes are computed, never stored.

    `context_tokens` null means no limit of its own (recurrent models, relative positions).
    `rope_scaling` names the stretching that the checkpoint itself ships with. `path` is the
    folder of a model read from its own files.
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
    published: PublishedCount | None = None
    artifacts: tuple[Artifact, ...] = ()
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


_MIXERS = {t.__dataclass_fields__["kind"].default: t for t in MIXER_TYPES}  # type: ignore[attr-defined]


def block_from_dict(data: Mapping[str, Any]) -> Block:
    """Build a Block from trusted plain data (the compiled index)."""
    mlp = data.get("mlp")
    return Block(
        mixers=tuple(_MIXERS[m["kind"]](**m) for m in data.get("mixers", ())),
        mlp=None if mlp is None else (MoE if mlp["kind"] == "moe" else Mlp)(**mlp),
        norms=data.get("norms", 2),
        tensors=_tensors(data),
    )


def stack_from_dict(data: Mapping[str, Any] | None) -> Stack | None:
    """Build a Stack from trusted plain data; `layers` holds `name` or `name*count` runs."""
    if data is None:
        return None
    rest = {k: v for k, v in data.items() if k not in ("blocks", "layers", "tensors")}
    return Stack(
        blocks={name: block_from_dict(b) for name, b in data["blocks"].items()},
        layers=expand_layers(data["layers"]),
        tensors=_tensors(data),
        **rest,
    )


def expand_layers(runs: Any) -> tuple[str, ...]:
    """Expand `[a*2, {repeat: 3, layers: [b, a]}]` to one block name a layer.

    >>> expand_layers(["dense*2", {"repeat": 2, "layers": ["local*2", "global"]}])
    ('dense', 'dense', 'local', 'local', 'global', 'local', 'local', 'global')
    """
    names: list[str] = []
    for run in runs:
        if isinstance(run, Mapping):
            names += list(expand_layers(run["layers"])) * int(run["repeat"])
        else:
            name, _, count = run.partition("*")
            names += [name] * (int(count) if count else 1)
    return tuple(names)


def model_from_dict(data: Mapping[str, Any]) -> Model:
    """Build a Model from trusted plain data (the compiled index)."""
    rest = dict(data)
    for key in ("decoder", "encoder", "vision", "draft"):
        rest[key] = stack_from_dict(rest.get(key))
    rest["tensors"] = _tensors(data)
    rest["sources"] = tuple(
        Source(tuple(s["facts"]), s["ref"], s.get("date")) for s in data["sources"]
    )
    rest["artifacts"] = tuple(
        Artifact(**{**a, "presets": tuple(a.get("presets", ()))}) for a in data.get("artifacts", ())
    )
    if rest.get("published") is not None:
        rest["published"] = PublishedCount(**rest["published"])
    for key in ("aliases", "usual_for", "notes", "unverified"):
        rest[key] = tuple(rest.get(key, ()))
    return Model(**rest)


def _tensors(data: Mapping[str, Any]) -> tuple[TensorShape, ...]:
    return tuple(
        TensorShape(t["name"], tuple(t["shape"]), t.get("linear", False))
        for t in data.get("tensors", ())
    )
