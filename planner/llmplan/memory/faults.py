"""Faults of a model's entry that only the tables and the arithmetic can find."""

from __future__ import annotations

from collections.abc import Iterator

from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.gguf_types import PRESETS
from llmplan.memory.parameters import parameter_count
from llmplan.specs.model import Model

GGUF = "gguf"
"""Format of an artifact that is a repository of several presets."""


def model_faults(model: Model) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (place in the entry, problem) of unknown formats and of counts that do not add up."""
    if model.native_format not in WEIGHT_FORMATS:
        yield ("native_format",), f"{model.native_format!r} is no weight format that llmplan knows"
    for i, artifact in enumerate(model.artifacts):
        if artifact.format != GGUF and artifact.format not in WEIGHT_FORMATS:
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
