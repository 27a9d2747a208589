"""What tensor and expert parallelism can divide: heads, neurons, experts, quantization groups."""

from __future__ import annotations

from llmplan.specs.formats import WeightFormat
from llmplan.specs.mixers import (
    Attention,
    GatedDeltaNet,
    LatentAttention,
    LightningAttention,
    Mamba2,
)
from llmplan.specs.model import Mlp, Model, MoE
from llmplan.specs.setup import Parallelism

MAX_TP = 64
"""Widest tensor parallelism tried. GB200/GB300 racks join 72 devices; heads limit it earlier."""


def tensor_parallel_error(
    model: Model, fmt: WeightFormat, tp: int, dp: int = 1, ep: int = 1
) -> str | None:
    """Return why tp ranks cannot share the layers of this model, or None."""
    for what, count in sorted(_divided(model)):
        if count % tp:
            return f"tp {tp} does not divide the {count} {what}"
    for kv in sorted(_kv_heads(model)):
        if kv % tp and tp % kv:
            return f"tp {tp} neither divides nor is a multiple of the {kv} KV heads"
    return _expert_width_error(model, tp * dp, ep) or _group_error(model, fmt, tp, dp, ep)


def _expert_width_error(model: Model, ranks: int, ep: int) -> str | None:
    for block in model.main.blocks.values():
        if isinstance(block.mlp, MoE) and ep == 1 and block.mlp.intermediate_size % ranks:
            width = block.mlp.intermediate_size
            return f"tp x dp {ranks} does not divide the {width} columns of an expert"
    return None


def _group_error(model: Model, fmt: WeightFormat, tp: int, dp: int, ep: int) -> str | None:
    group = fmt.tile or fmt.group_size
    for width, routed in sorted(_quantized_widths(model, fmt)):
        ranks = (1 if ep > 1 else tp * dp) if routed else tp
        if group and ranks > 1 and (width // ranks) % group:
            return (
                f"{ranks} ranks leave {width}/{ranks} = {width / ranks:g} columns, "
                f"not a multiple of the group of {group} of {fmt.name}"
            )
    return None


def format_error(model: Model, fmt: WeightFormat) -> str | None:
    """Return why the model's own widths do not take this format's groups, or None."""
    group = fmt.group_size
    widths = {w for w, _ in _quantized_widths(model, fmt)}
    if "attention" in fmt.covers:
        widths.add(model.main.hidden_size)
    odd = sorted(w for w in widths if group and w % group)
    if not odd:
        return None
    return f"Groups of {group} of {fmt.name} do not divide the {odd[0]} columns of {model.id}."


def parallel_error(model: Model, fmt: WeightFormat, p: Parallelism) -> str | None:
    """Return why this tp x pp x dp x ep cannot be started by an engine that shards tensors."""
    for name in ("tp", "pp", "dp", "ep"):
        if getattr(p, name) < 1:
            return f"{name} must be at least 1"
    if p.pp > len(model.main.layers):
        return f"pp {p.pp} is more than the {len(model.main.layers)} layers"
    if p.pp > 1 and model.encoder is not None and model.decoder is not None:
        return "pp cannot split an encoder-decoder model"
    if p.ep > 1:
        error = _expert_error(model, p)
        if error:
            return error
    return tensor_parallel_error(model, fmt, p.tp, p.dp, p.ep)


def _expert_error(model: Model, p: Parallelism) -> str | None:
    experts = [b.mlp.experts for b in model.main.blocks.values() if isinstance(b.mlp, MoE)]
    if not experts:
        return "ep needs a mixture of experts, and this model has none"
    if p.ep != p.tp * p.dp:
        return f"ep {p.ep} must equal tp x dp = {p.tp * p.dp} (or be 1)"
    if any(n % p.ep for n in experts):
        return f"ep {p.ep} does not divide the {max(experts)} experts"
    return None


def legal_tp(model: Model, fmt: WeightFormat, limit: int) -> list[int]:
    """Return the tensor-parallel sizes up to `limit` that divide the model, widest first."""
    top = min(limit, MAX_TP)
    return [n for n in range(top, 0, -1) if tensor_parallel_error(model, fmt, n) is None]


def legal_splits(model: Model, fmt: WeightFormat, gpus: int) -> list[Parallelism]:
    """Return legal tp x pp x dp over at most `gpus` devices: most devices, then widest tp first.

    Data parallelism is whole replicas; pipeline stages are tried where replicas are too big.
    """
    found = set()
    for tp in legal_tp(model, fmt, gpus):
        rest = gpus // tp
        for pp in range(1, min(rest, len(model.main.layers), 16) + 1):
            candidate = Parallelism(tp=tp, pp=pp, dp=rest // pp)
            if parallel_error(model, fmt, candidate) is None:
                found.add(candidate)
    return sorted(found, key=lambda p: (-p.gpus, p.dp, p.pp, -p.tp))


def _divided(model: Model) -> set[tuple[str, int]]:
    counts: set[tuple[str, int]] = set()
    for stack in (model.encoder, model.decoder):
        for block in stack.blocks.values() if stack else ():
            for m in block.mixers:
                if isinstance(m, (Attention, LatentAttention)):
                    counts.add(("attention heads", m.heads))
                elif isinstance(m, (Mamba2, LightningAttention)):
                    counts.add(("state heads", m.heads))
                elif isinstance(m, GatedDeltaNet):
                    counts.add(("linear-attention key heads", m.key_heads))
            if isinstance(block.mlp, Mlp):
                counts.add(("feed-forward columns", block.mlp.intermediate_size))
    return counts


def _kv_heads(model: Model) -> set[int]:
    stacks = [s for s in (model.encoder, model.decoder) if s]
    mixers = [m for s in stacks for b in s.blocks.values() for m in b.mixers]
    return {m.kv_heads for m in mixers if isinstance(m, Attention)}


def _quantized_widths(model: Model, fmt: WeightFormat) -> set[tuple[int, bool]]:
    """Return the feed-forward widths that the format quantizes, and whether experts have them."""
    widths: set[tuple[int, bool]] = set()
    for block in model.main.blocks.values():
        if isinstance(block.mlp, MoE) and "experts" in fmt.covers:
            widths.add((block.mlp.intermediate_size, True))
        elif isinstance(block.mlp, Mlp) and "mlp" in fmt.covers:
            widths.add((block.mlp.intermediate_size, False))
    return widths
