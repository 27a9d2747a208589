"""What tensor and expert parallelism can divide: heads, neurons, experts, quantization groups.

The rules are read off the lowered tensors: whatever is split has its indivisible units there.
"""

from __future__ import annotations

from llmplan.memory.memo import remembered
from llmplan.memory.mixers import mixer_divisors
from llmplan.memory.tensor import COLUMNS, VOCAB_PADDING, Tensor
from llmplan.memory.tensors import block_tensors
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Mlp, Model, MoE
from llmplan.specs.setup import Parallelism

MAX_TP = 64
"""Widest tensor parallelism tried. GB200/GB300 racks join 72 devices; heads limit it earlier."""

MAX_PP = 16
"""Most pipeline stages tried when a split is searched for; more can be asked for."""


PADDED = "mxfp4"
"""Formats whose experts the engines pad to whole tiles, so that any split of columns will do.
Source: vLLM 0.10.1 layers/quantization/mxfp4.py; gpt-oss-120b, 2,880 columns, logged on 4 ranks
(mem-v-c027)."""


def parallel_error(model: Model, fmt: WeightFormat, p: Parallelism) -> str | None:
    """Return why this tp x pp x dp x ep cannot be started by an engine that shards tensors."""
    for name in ("tp", "pp", "dp", "ep"):
        if getattr(p, name) < 1:
            return f"{name} must be at least 1"
    if p.pp > len(model.main.layers):
        return f"pp {p.pp} is more than the {len(model.main.layers)} layers"
    if p.pp > 1 and model.encoder is not None and model.decoder is not None:
        return "pp cannot split an encoder-decoder model"
    return _unit_error(model, p.tp) or _expert_error(model, p) or _group_error(model, fmt, p)


def _unit_error(model: Model, tp: int) -> str | None:
    for what, count, replicated in _divisors(model):
        if count % tp and not (replicated and tp % count == 0):
            rule = "neither divides nor is a multiple of" if replicated else "does not divide"
            return f"tp {tp} {rule} the {count} {what}"
    padded = -(-model.vocab_size // VOCAB_PADDING) * VOCAB_PADDING
    if padded % tp:
        return f"tp {tp} does not divide the {padded} rows of the padded vocabulary"
    return None


@remembered
def _divisors(model: Model) -> list[tuple[str, int, bool]]:
    """Return what tp must divide: name, count, and whether more ranks may replicate it."""
    found: set[tuple[str, int, bool]] = set()
    for stack in model.stacks():
        for block in stack.blocks.values():
            for mixer in block.mixers:
                found |= set(mixer_divisors(mixer, stack.hidden_size))
            if isinstance(block.mlp, Mlp):
                found.add(("feed-forward columns", block.mlp.intermediate_size, False))
            elif isinstance(block.mlp, MoE) and block.mlp.shared_experts_size:
                found.add(("shared-expert columns", block.mlp.shared_experts_size, False))
    return sorted(found, key=lambda d: (d[0] != "attention heads", d))


def _expert_error(model: Model, p: Parallelism) -> str | None:
    routed = [b.mlp for b in model.main.blocks.values() if isinstance(b.mlp, MoE)]
    ranks = p.tp * p.dp
    if p.ep > 1:
        if not routed:
            return "ep needs a mixture of experts, and this model has none"
        if p.ep != ranks:
            return f"ep {p.ep} must equal tp x dp = {ranks} (or be 1)"
        if any(moe.experts % p.ep for moe in routed):
            return f"ep {p.ep} does not divide the {max(m.experts for m in routed)} experts"
        return None
    for moe in routed:
        if moe.intermediate_size % ranks:
            width = moe.intermediate_size
            return f"tp x dp {ranks} does not divide the {width} columns of an expert"
    return None


def _group_error(model: Model, fmt: WeightFormat, p: Parallelism) -> str | None:
    group = fmt.tile or fmt.group_size
    if not group or fmt.name.startswith(PADDED):
        return None
    for columns, routed in _row_parallel_columns(model, fmt):
        ranks = (1 if p.ep > 1 else p.tp * p.dp) if routed else p.tp
        if ranks > 1 and (columns // ranks) % group:
            return (
                f"{ranks} ranks leave {columns}/{ranks} = {columns / ranks:g} columns, "
                f"not a multiple of the group of {group} of {fmt.name}"
            )
    return None


def _row_parallel_columns(model: Model, fmt: WeightFormat) -> list[tuple[int, bool]]:
    split = (t for t in _quantized(model, fmt) if t.shard == COLUMNS)
    return sorted({(t.columns, t.experts) for t in split})


@remembered
def _quantized(model: Model, fmt: WeightFormat) -> list[Tensor]:
    """Return the matrices of the main stack that the format quantizes."""
    stack = model.main
    tensors = [t for b in stack.blocks.values() for t in block_tensors(stack, b)]
    return [t for t in tensors if t.linear and t.group in fmt.covers]


def format_error(model: Model, fmt: WeightFormat) -> str | None:
    """Return why the model's own widths do not take this format's groups, or None."""
    group = fmt.group_size
    odd = sorted({t.columns for t in _quantized(model, fmt) if group and t.columns % group})
    if not odd:
        return None
    return f"Groups of {group} of {fmt.name} do not divide the {odd[0]} columns of {model.id}."


def legal_tp(model: Model, fmt: WeightFormat, limit: int) -> list[int]:
    """Return the tensor-parallel sizes up to `limit` that divide the model, widest first."""
    sizes = range(min(limit, MAX_TP), 0, -1)
    return [n for n in sizes if parallel_error(model, fmt, Parallelism(tp=n)) is None]


def legal_splits(model: Model, fmt: WeightFormat, gpus: int) -> list[Parallelism]:
    """Return legal tp x pp x dp over at most `gpus` devices: most devices, then widest tp first.

    Data parallelism is whole replicas; pipeline stages are tried where replicas are too big.
    """
    found = set()
    for tp in legal_tp(model, fmt, gpus):
        rest = gpus // tp
        for pp in range(1, min(rest, len(model.main.layers), MAX_PP) + 1):
            for dp in {1, rest // pp}:
                candidate = Parallelism(tp=tp, pp=pp, dp=dp)
                if parallel_error(model, fmt, candidate) is None:
                    found.add(candidate)
    return sorted(found, key=lambda p: (-p.gpus, p.dp, p.pp, -p.tp))
