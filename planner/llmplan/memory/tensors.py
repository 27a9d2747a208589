"""The tensors of a model, by class and shape: what every weight and parameter count is made of.

`Tensor` is the lowered form: plain numbers that the formulas take. Names follow
llama.cpp's tensor names, so that its per-tensor rules apply to them as published.
"""

from __future__ import annotations

from typing import NamedTuple

from llmplan.memory.adapters import adapter_tensors
from llmplan.memory.mixers import mixer_tensors
from llmplan.memory.tensor import COLUMNS, ROWS, Tensor, bias, linear, vector
from llmplan.specs.model import Block, Mlp, Model, MoE, Stack, TensorShape


class Layered(NamedTuple):
    """A tensor and the layers (positions in its stack) that have one of it."""

    tensor: Tensor
    stack: str
    layers: tuple[int, ...]


def norm_tensors(name: str, *, width: int, norm: str, group: str = "norm") -> list[Tensor]:
    """Return weight and bias of one normalisation layer: RMS has no bias, `none` neither."""
    if norm == "none":
        return []
    tensors = [vector(name, width, group)]
    if norm == "layer":
        tensors.append(vector(f"{name}.bias", width, group))
    return tensors


def mlp_tensors(mlp: Mlp, hidden: int, group: str = "mlp", suffix: str = "") -> list[Tensor]:
    """Return the tensors of a dense feed-forward layer: (gate,) up [f x h] and down [h x f]."""
    f = mlp.intermediate_size
    up_parts = ["ffn_gate", "ffn_up"] if mlp.gated else ["ffn_up"]
    tensors = [linear(n + suffix, f, hidden, group, ROWS, f) for n in up_parts]
    tensors.append(linear("ffn_down" + suffix, hidden, f, group, COLUMNS, f))
    if mlp.bias:
        tensors += [bias(n + suffix, f, group, ROWS, f) for n in up_parts]
        tensors.append(bias("ffn_down" + suffix, hidden, group))
    return tensors


def moe_tensors(moe: MoE, hidden: int) -> list[Tensor]:
    """Return router, routed experts (counted with how many run per token) and shared experts."""
    tensors = [linear("ffn_gate_inp", moe.experts, hidden, "router")]
    if moe.router_bias:
        tensors.append(bias("ffn_gate_inp", moe.experts, "router"))
    dense = Mlp(moe.intermediate_size, gated=moe.gated, bias=moe.bias)
    for t in mlp_tensors(dense, moe.latent_size or hidden, "experts", "_exps"):
        tensors.append(t._replace(copies=moe.experts, active=moe.experts_per_token, experts=True))
    if moe.latent_size:
        tensors.append(linear("ffn_latent_down", moe.latent_size, hidden, "mlp"))
        tensors.append(linear("ffn_latent_up", hidden, moe.latent_size, "mlp"))
    if moe.latent_norm:
        tensors.append(vector("ffn_latent_norm", moe.latent_size or hidden, "norm"))
    if moe.shared_experts_size:
        shared = Mlp(moe.shared_experts_size, gated=moe.shared_gated)
        tensors += mlp_tensors(shared, hidden, "shared_experts", "_shexp")
    if moe.shared_expert_gate:
        tensors.append(linear("ffn_gate_inp_shexp", 1, hidden, "router"))
    return tensors


def extra_tensors(shapes: tuple[TensorShape, ...], group: str) -> list[Tensor]:
    """Return the tensors that an architecture lists by shape."""
    tensors = []
    for t in shapes:
        if len(t.shape) == 1:
            tensors.append(vector(t.name, t.shape[0], group))
        elif t.linear:
            tensors.append(linear(t.name, t.shape[0], t.shape[1], group))
        else:
            tensors.append(Tensor(t.name, group, t.shape[0], t.shape[1]))
    return tensors


def block_tensors(stack: Stack, block: Block) -> list[Tensor]:
    """Return the tensors of one layer of this block."""
    tensors = []
    for mixer in block.mixers:
        tensors += mixer_tensors(mixer, stack.hidden_size)
    if isinstance(block.mlp, MoE):
        tensors += moe_tensors(block.mlp, stack.hidden_size)
    elif block.mlp is not None:
        tensors += mlp_tensors(block.mlp, stack.hidden_size)
    for i in range(block.norms):
        tensors += norm_tensors(f"norm_{i}", width=stack.hidden_size, norm=stack.norm)
    return tensors + extra_tensors(block.tensors, "other")


def stack_tensors(stack: Stack, name: str) -> list[Layered]:
    """Return every tensor of a stack with the layers that hold it."""
    positions: dict[str, list[int]] = {}
    for i, block_name in enumerate(stack.layers):
        positions.setdefault(block_name, []).append(i)
    result = [
        Layered(_regroup(t, name), name, tuple(layers))
        for block_name, layers in positions.items()
        for t in block_tensors(stack, stack.blocks[block_name])
    ]
    last = (len(stack.layers) - 1,)
    if stack.final_norm:
        for t in norm_tensors("output_norm", width=stack.hidden_size, norm=stack.norm):
            result.append(Layered(_regroup(t, name), name, last))
    for t in extra_tensors(stack.tensors, "other"):
        result.append(Layered(_regroup(t, name), name, (0,)))
    return result


def embedding_tensors(model: Model) -> list[Layered]:
    """Return token embedding, model-level extras and the head (none of its own when tied)."""
    width = model.embedding_size or model.main.hidden_size
    v = model.vocab_size
    result = [Layered(Tensor("token_embd", "embedding", v, width, shard="vocab"), "input", (0,))]
    result += [Layered(t, "input", (0,)) for t in extra_tensors(model.tensors, "embedding")]
    if model.head and not model.tied_embeddings:
        head = linear("output", v, width, "head", "vocab")
        result.append(Layered(head, "output", (0,)))
    if model.head and model.head_bias:
        result.append(Layered(bias("output", v, "head", "vocab"), "output", (0,)))
    return result


def model_tensors(model: Model, *, draft: bool = False) -> list[Layered]:
    """Return every served tensor of a model; `draft=True` returns its draft/MTP layers instead."""
    if draft:
        return [] if model.draft is None else stack_tensors(model.draft, "draft")
    result = embedding_tensors(model)
    for name, stack in (
        ("encoder", model.encoder),
        ("decoder", model.decoder),
        ("vision", model.vision),
    ):
        if stack is not None:
            result += stack_tensors(stack, name)
    return result + _adapters(model, result)


def _adapters(model: Model, tensors: list[Layered]) -> list[Layered]:
    if model.adapter is None:
        return []
    main = "decoder" if model.decoder is not None else "encoder"
    return [
        layered._replace(tensor=thin)
        for layered in tensors
        if layered.stack in (main, "input", "output")
        for thin in adapter_tensors(model.adapter, layered.tensor)
    ]


def _regroup(tensor: Tensor, stack: str) -> Tensor:
    return tensor._replace(group=stack) if stack in ("vision", "draft") else tensor
