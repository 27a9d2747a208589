"""Faults of a model's entry that only the tables and the arithmetic can find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llmplan.errors import UnknownName
from llmplan.memory.formats import weight_format
from llmplan.memory.gguf_types import PRESETS
from llmplan.memory.parameters import parameter_count
from llmplan.memory.parts import part_problem
from llmplan.memory.tensors import model_tensors
from llmplan.specs.model import Model

GGUF = "gguf"
"""Format of an artifact that is a repository of several presets."""


def _is_format(name: str) -> bool:
    try:
        return weight_format(name).name == name
    except UnknownName:
        return False


def _part_faults(model: Model) -> Iterator[tuple[tuple[str | int, ...], str]]:
    places: list[tuple[tuple[str | int, ...], Mapping[str, str]]] = [
        (("native_parts",), model.native_parts)
    ]
    places += [(("artifacts", i, "parts"), a.parts) for i, a in enumerate(model.artifacts)]
    if not any(parts for _, parts in places):
        return
    tensors = [layered.tensor for layered in model_tensors(model)]
    names = frozenset(t.name for t in tensors) | frozenset(t.group for t in tensors)
    for at, parts in places:
        for name, form in parts.items():
            problem = part_problem(name, form, names, len(model.main.layers))
            if problem:
                yield (*at, name), problem


def model_faults(model: Model) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (place in the entry, problem) of unknown formats and of counts that do not add up."""
    if not _is_format(model.native_format):
        yield ("native_format",), f"{model.native_format!r} is no weight format that llmplan knows"
    yield from _part_faults(model)
    for i, artifact in enumerate(model.artifacts):
        if artifact.format != GGUF and not _is_format(artifact.format):
            yield ("artifacts", i, "format"), f"{artifact.format!r} is no known weight format"
        for j, preset in enumerate(artifact.presets):
            if preset not in PRESETS:
                yield ("artifacts", i, "presets", j), f"{preset!r} is no GGUF preset"
    published = model.published
    if published:
        counted = parameter_count(model) + published.difference
        if counted != published.parameters:
            message = (
                f"{published.parameters} is not what the tensors and the stated difference add up "
                f"to, {counted}: mend the architecture, or say the difference and why"
            )
            yield ("published", "parameters"), message
