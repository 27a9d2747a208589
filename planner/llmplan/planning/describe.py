"""What a model and a device are, in the words of the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmplan.memory.mixers import mixer_label
from llmplan.memory.parameters import (
    active_parameter_count,
    draft_parameter_count,
    parameter_count,
)
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model


def attention_text(model: Model) -> str:
    """Return the mixers of the main stack with their layer counts, most frequent first.

    One kind stands alone (`GQA 32/8`); several are counted (`52 sliding ... + 10 GQA 32/16`).
    """
    counts: dict[str, int] = {}
    for name in model.main.layers:
        mixers = model.main.blocks[name].mixers
        if mixers:
            label = " with ".join(mixer_label(m) for m in mixers)
            counts[label] = counts.get(label, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return " + ".join(f"{n} {label}" for label, n in ranked)


def model_facts(model: Model) -> dict[str, Any]:
    """Return the `model` object of the answer."""
    return {
        "id": model.id,
        "name": model.name,
        "parameters": parameter_count(model),
        "active_parameters": active_parameter_count(model),
        "context_tokens": model.context_tokens,
        "attention": attention_text(model),
        "license": model.license,
        "sources": [s.ref for s in model.sources],
        "hub_id": model.hub_id,
        "native_format": model.native_format,
        "draft_parameters": draft_parameter_count(model),
        "unverified": list(model.unverified),
    }


def guess_range(model: Model) -> tuple[int, int]:
    """Return the parameters that the same sizes could mean: ungated and tied, or gated and not."""
    counts = [parameter_count(_with(model, gated=g, tied=not g)) for g in (False, True)]
    return counts[0], counts[1]


def _with(model: Model, *, gated: bool, tied: bool) -> Model:
    stack = model.main
    blocks = {
        name: b if b.mlp is None else replace(b, mlp=replace(b.mlp, gated=gated))
        for name, b in stack.blocks.items()
    }
    return replace(model, tied_embeddings=tied, decoder=replace(stack, blocks=blocks))


def hardware_facts(gpu: Accelerator, gpus: int) -> dict[str, Any]:
    """Return the `hardware` object of the answer."""
    return {
        "gpu": gpu.id,
        "name": gpu.name,
        "gpus": gpus,
        "memory_bytes": gpu.memory_bytes,
        "usable_memory_bytes": gpu.usable_memory_bytes,
        "memory_bandwidth_bytes_per_s": gpu.memory_bandwidth_bytes_per_s,
        "sources": list(gpu.sources),
        "usable_memory_basis": "measured" if gpu.usable_memory_observed else "assumed",
        "compute_capability": gpu.compute_capability,
    }
