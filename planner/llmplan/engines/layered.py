"""What Transformers, MLX-LM and ExLlamaV3 share: whole layers on each device, 16-bit activations.

Each loads a checkpoint in one process; where there are several devices, a device holds whole
layers and the others wait for it.
"""

from __future__ import annotations

from collections.abc import Callable

from llmplan.engines.base import Engine, Fitted, Request, Stage, extension_error
from llmplan.engines.paged import (
    Checkpoint,
    PagedEngine,
    checkpoint_error,
    checkpoint_of,
    forward_bytes,
)
from llmplan.engines.starting import NO_ARTIFACT
from llmplan.memory.kv_cache import cached_layers, request_bytes
from llmplan.memory.mixers import Cache
from llmplan.memory.weights import stage_bytes, stage_layers, weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model, MoE
from llmplan.specs.setup import Parallelism, Warning_

ACTIVATION_BYTES = 2
"""Bytes of a 16-bit activation or of an unpacked weight."""


class LayeredEngine(PagedEngine):
    """An engine that loads Hugging Face checkpoints and gives each device whole layers."""

    batches_continuously = False
    smaller_kv = "q8_0"
    has_tensor_parallel = False
    max_devices: int | None = None

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what a split by layers cannot do."""
        if parallel.tp > 1 or parallel.ep > 1:
            return f"llmplan plans {self.name} by whole layers: use pp {parallel.tp}, tp 1, ep 1"
        if parallel.dp > 1:
            return f"{self.name} has no data parallelism: start one server a device"
        limit = self.max_devices or len(model.main.layers)
        if not 1 <= parallel.pp <= limit:
            what = "" if self.max_devices else " layers"
            return f"pp must be between 1 and {limit}{what} for {self.name}"
        return None

    def splits(self, model: Model, weights: WeightFormat, gpus: int) -> list[Parallelism]:
        """Return the layer split over all devices that the engine can use."""
        limit = self.max_devices or len(model.main.layers)
        return [Parallelism(pp=min(gpus, limit))]


def common_error(engine: Engine, request: Request, settings: tuple[str, ...]) -> str | None:
    """Return why none of these engines starts the request, or None.

    `settings` names the limits that the engine does have.
    """
    if request.model.decoder is None:
        return f"llmplan plans {engine.name} for text generation only."
    given = request.limits._asdict().items()
    unknown = [name for name, value in given if value is not None and name not in settings]
    if unknown:
        return f"{engine.name} has no setting like {', '.join(unknown)}."
    if request.extension_factor > 1:
        return extension_error(request) or (
            f"{request.context_tokens:,} tokens is beyond the {request.model.context_tokens:,} "
            f"of {request.model.id}, and {engine.name}'s server has no flag to stretch RoPE."
        )
    return checkpoint_error(engine, request)


def layer_stages(
    request: Request,
    *,
    kept: Callable[[Cache, int], float] | None = None,
    latent: bool = True,
) -> list[Stage]:
    """Return the devices' weights and the KV cache of a request on each.

    Parameters
    ----------
    request : Request
        The setup
    kept : callable
        Tokens that the engine keeps in a layer, default exactly those needed
    latent : bool
        Whether latent attention caches its latent, or the keys and values made of it

    """
    model, pp = request.model, request.parallel.pp
    sizes = stage_bytes(weight_bytes(model, request.weights), pp)
    groups = cached_layers(model, latent=latent)
    prompt = request.workload.input_tokens
    stages, start = [], 0
    for size, count in zip(sizes, stage_layers(len(model.main.layers), pp), strict=True):
        layers = range(start, start + count)

        def one(tokens: int, layers: range = layers) -> float:
            return request_bytes(
                groups, request.kv, tokens=tokens, kept=kept, encoder_tokens=prompt or tokens,
                layers=layers,
            )  # fmt: skip

        stages.append(Stage(size, one))
        start += count
    return stages


HIDDEN_STATES_FITTED_ON = Fitted(
    "hidden states of prefill_bytes",
    ("total_used",),
    tuple(f"mem-t-qwen-{n:04}" for n in range(231, 247)),
)
"""Qwen2.5-3B's rows, which the count below was read off."""


def prefill_bytes(model: Model, tokens: int) -> float:
    """Return the peak of one layer's forward pass over `tokens` tokens, 16 bits [bytes].

    Three widths of the feed-forward layer (gate, up, their product) and four hidden states: the
    residual, its norm, the layer's input that the caller holds, and the embedding's output.

    Source: slopes between prompts of 6,144 and 30,720 tokens on Transformers 4.46.0 (Qwen2.5
    speed benchmark, 2024-11). The count of hidden states is read off Qwen2.5-3B (3.8 in bf16, 4.1
    to 4.2 quantized). Held out, the slopes of the 14B and 32B are met within 0.5 % in bf16, AWQ
    and 4-bit GPTQ, within 4 % in 8-bit GPTQ.
    """
    return forward_bytes(model, tokens=tokens, tp=1) + (
        tokens * model.main.hidden_size * ACTIVATION_BYTES
    )


def unpacked_matrix_bytes(model: Model) -> float:
    """Return the largest matrix of a layer in 16 bits: what kernels unpack weights into [bytes]."""
    widths = [1]
    for block in model.main.blocks.values():
        widths.append(getattr(block.mlp, "intermediate_size", 1))
        if isinstance(block.mlp, MoE):
            widths.append(block.mlp.shared_experts_size)
    return float(max(widths) * model.main.hidden_size * ACTIVATION_BYTES)


def padded(tokens: int, step: int) -> int:
    """Return tokens rounded up to whole steps of the cache.

    >>> padded(1000, 256)
    1024
    """
    return -(-tokens // step) * step


def made_with(request: Request, convertible: tuple[str, ...], tool: str) -> Checkpoint:
    """Return the checkpoint in the asked format; where none is published, what makes it."""
    model, name = request.model, request.weights.name
    if model.path and name == model.native_format:
        return Checkpoint(model.path)
    found = checkpoint_of(request, convertible)
    if not found.warnings:
        return found
    target = f"./{model.id}-{name}".replace(":", "-")  # Windows has no colons in names
    message = f"No published {name} checkpoint on record: make one in {target} ({tool})."
    return Checkpoint(target, (), (Warning_(NO_ARTIFACT, message),))
