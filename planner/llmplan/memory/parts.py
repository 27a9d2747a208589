"""Checkpoints stored in several formats: which parts of a model keep another one.

A part is named by tensor class or tensor name, with `@` and its layers where not all are
meant: `attention`, `attn_q@0-2,60`, `*@77`. The first part that names a tensor decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.memo import remembered
from llmplan.memory.tensor import Tensor
from llmplan.specs.formats import WeightFormat
from llmplan.specs.loading import layer_numbers
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


def parse_part(name: str, format: str) -> Part:
    """Return one part of a model's or artifact's mapping; ValueError names what is wrong."""
    tensor, at, layers = name.partition("@")
    if format not in WEIGHT_FORMATS:
        raise ValueError(f"{format!r} is no weight format that llmplan knows")
    try:
        return Part(tensor, layer_numbers(layers) if at else None, WEIGHT_FORMATS[format])
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


def part_problem(name: str, format: str, names: frozenset[str], layers: int) -> str | None:
    """Return what is wrong with one part of a model of these names and layers, or None."""
    try:
        part = parse_part(name, format)
    except ValueError as e:
        return str(e)
    if part.name != EVERY and part.name not in names:
        return f"{part.name!r} is no tensor or class of this model"
    if part.layers and max(part.layers) >= layers:
        return f"{name!r} names a layer beyond the {layers} there are"
    return None
