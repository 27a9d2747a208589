"""The facts beside a model's shapes: sources, published counts, checkpoints of the same shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from llmplan.specs.record import Record, record


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
    `parts` gives the format of what is stored otherwise, as `Model.native_parts` does.
    """

    format: str
    hub_id: str
    ref: str
    date: str
    presets: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)


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
class Adapter(Record):
    """Low-rank adapters (LoRA) beside the weights of `targets`, by their tensor names."""

    rank: int
    targets: tuple[str, ...]
    name: str | None = None
    hub_id: str | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.targets:
            raise ValueError("rank must be at least 1 and targets must name a tensor")


@record
class Variant(Record):
    """Another checkpoint of the same shapes: a base, a fine-tune, a repack, an adapter.

    `note` says in a few words what it is. `vocab_size` and `context_tokens` stand where its own
    differ.
    """

    name: str
    hub_id: str | None = None
    license: str | None = None
    note: str | None = None
    aliases: tuple[str, ...] = ()
    vocab_size: int | None = None
    context_tokens: int | None = None
    adapter: Adapter | None = None
    artifacts: tuple[Artifact, ...] = ()
    ref: str | None = None


TOPIC_KINDS = (
    "closed", "service", "image model", "research", "engine", "tool", "hardware", "concept",
)  # fmt: skip


@record
class Topic(Record):
    """A name that people ask for and that no plan can be made of: why, and what comes nearest."""

    id: str
    name: str
    kind: str
    why: str
    sources: tuple[str, ...]
    checked: str
    see: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in TOPIC_KINDS:
            raise ValueError(f"kind is one of {', '.join(TOPIC_KINDS)}, not {self.kind!r}")
        if not self.sources:
            raise ValueError("sources must name at least one reference")
