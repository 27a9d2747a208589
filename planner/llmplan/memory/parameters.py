"""Parameter counts, exact, per tensor class."""

from __future__ import annotations

from collections.abc import Iterable

from llmplan.memory.tensors import Layered, model_tensors
from llmplan.specs.model import Model


def parameters_by_class(tensors: Iterable[Layered]) -> dict[str, int]:
    """Sum elements by tensor class: embedding, attention, mlp, experts, router, norm, head ..."""
    totals: dict[str, int] = {}
    for tensor, _, layers in tensors:
        totals[tensor.group] = totals.get(tensor.group, 0) + tensor.elements * len(layers)
    return totals


def parameter_count(model: Model) -> int:
    """Parameters served: towers in, draft layers and untrained buffers out, tied ones once."""
    return sum(t.elements * len(layers) for t, _, layers in model_tensors(model))


def active_parameter_count(model: Model) -> int:
    """Parameters that one token passes through, embeddings and head included."""
    return sum(t.active_elements * len(layers) for t, _, layers in model_tensors(model))


def draft_parameter_count(model: Model) -> int:
    """Parameters of the draft or MTP layers, which are loaded only for speculative decoding."""
    return sum(t.elements * len(layers) for t, _, layers in model_tensors(model, draft=True))
