"""Records from trusted plain data: the compiled index, and what the readers of files return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.specs.facts import Adapter, Artifact, PublishedCount, Source, Topic, Variant
from llmplan.specs.mixers import MIXER_TYPES
from llmplan.specs.model import Block, Mlp, Model, MoE, Stack, TensorShape

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


MAX_LAYER = 4096


def layer_numbers(text: str) -> frozenset[int]:
    """Return the layers of `0-2,60`; ValueError when it is not written so.

    >>> sorted(layer_numbers("0-2,60"))
    [0, 1, 2, 60]
    """
    found: set[int] = set()
    for run in text.split(","):
        first, _, last = run.partition("-")
        end = int(last or first)
        if not 0 <= int(first) <= end < MAX_LAYER:
            raise ValueError(f"{text[:40]!r} is no list of layers")
        found |= set(range(int(first), end + 1))
    return frozenset(found)


def model_from_dict(data: Mapping[str, Any]) -> Model:
    """Build a Model from trusted plain data (the compiled index)."""
    rest = dict(data)
    for key in ("decoder", "encoder", "vision", "draft"):
        rest[key] = stack_from_dict(rest.get(key))
    rest["tensors"] = _tensors(data)
    rest["sources"] = tuple(
        Source(tuple(s["facts"]), s["ref"], s.get("date")) for s in data["sources"]
    )
    rest["artifacts"] = _artifacts(data)
    rest["variants"] = tuple(variant_from_dict(v) for v in data.get("variants", ()))
    if rest.get("published") is not None:
        rest["published"] = PublishedCount(**rest["published"])
    for key in ("aliases", "usual_for", "notes", "unverified"):
        rest[key] = tuple(rest.get(key, ()))
    return Model(**rest)


def variant_from_dict(data: Mapping[str, Any]) -> Variant:
    """Build a Variant from trusted plain data (the compiled index)."""
    adapter = data.get("adapter")
    made = None if adapter is None else Adapter(adapter["rank"], tuple(adapter["targets"]))
    lists = {"aliases": tuple(data.get("aliases", ())), "artifacts": _artifacts(data)}
    return Variant(**{**data, **lists, "adapter": made})


def topic_from_dict(data: Mapping[str, Any]) -> Topic:
    """Build a Topic from trusted plain data (the compiled index)."""
    lists = {k: tuple(data.get(k, ())) for k in ("sources", "see", "aliases")}
    return Topic(**{**data, **lists})


def _artifacts(data: Mapping[str, Any]) -> tuple[Artifact, ...]:
    return tuple(
        Artifact(**{**a, "presets": tuple(a.get("presets", ()))}) for a in data.get("artifacts", ())
    )


def _tensors(data: Mapping[str, Any]) -> tuple[TensorShape, ...]:
    return tuple(
        TensorShape(t["name"], tuple(t["shape"]), t.get("linear", False))
        for t in data.get("tensors", ())
    )
