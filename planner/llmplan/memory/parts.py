"""Checkpoints stored in several formats: which parts of a model keep another one.

A part is named by tensor class or tensor name, with `@` and its layers where not all are
meant: `attention`, `attn_q@0-2,60`, `*@77`. The first part that names a tensor decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.memo import remembered
from llmplan.memory.tensor import Tensor
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model

EVERY = "*"
ASIDE = ("vision", "draft", "embedding", "head", "adapter")
"""Classes beside the layers of the language model: meant by their own names only."""


class Part(NamedTuple):
    """Tensors by class or name, in `layers` of their stack (None: all), and their format."""

    name: str
    layers: frozenset[int] | None
    format: WeightFormat

    def holds(self, tensor: Tensor, layer: int) -> bool:
        """Return whether a tensor of a layer belongs to the part."""
        if self.layers is not None and layer not in self.layers:
            return False
        named = tensor.name == self.name or (self.name == EVERY and tensor.linear)
        return tensor.group == self.name or (named and tensor.group not in ASIDE)


def parse_layers(text: str) -> frozenset[int]:
    """Return the layers of `0-2,60`; ValueError when it is not written so.

    >>> sorted(parse_layers("0-2,60"))
    [0, 1, 2, 60]
    """
    found: set[int] = set()
    for run in text.split(","):
        first, _, last = run.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def parse_part(name: str, format: str) -> Part:
    """Return one part of a model's or artifact's mapping; ValueError names what is wrong."""
    tensor, at, layers = name.partition("@")
    if format not in WEIGHT_FORMATS:
        raise ValueError(f"{format!r} is no weight format that llmplan knows")
    try:
        return Part(tensor, parse_layers(layers) if at else None, WEIGHT_FORMATS[format])
    except ValueError:
        raise ValueError(f"{name!r} is not written as CLASS or CLASS@0-2,60") from None


@remembered
def parts_of(model: Model, format: str) -> tuple[Part, ...]:
    """Return the parts that a checkpoint of this format stores otherwise."""
    return tuple(parse_part(n, f) for n, f in model.parts_of(format).items())


def layer_formats(
    parts: tuple[Part, ...], tensor: Tensor, layers: tuple[int, ...], fmt: WeightFormat
) -> list[WeightFormat]:
    """Return the format of a tensor in each of its layers; a part covers what it names."""
    found = [next((p.format for p in parts if p.holds(tensor, i)), None) for i in layers]
    return [fmt if f is None else replace(f, covers=(tensor.group,)) for f in found]


def unknown_parts(parts: Mapping[str, str], names: frozenset[str]) -> list[str]:
    """Return the parts that name no tensor or class of a model."""
    return [n for n in parts if n.partition("@")[0] not in names | {EVERY}]
