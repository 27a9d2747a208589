"""GGUF file sizes, exact: every tensor of a model in the type that llama-quantize gives it.

Sizes are those of the tensors of the main file; the header with the tokenizer adds a few
megabytes that no device holds, and a vision tower is a file of its own (mmproj).
"""

from __future__ import annotations

from llmplan.memory.gguf_types import (
    BLOCKS,
    NEEDS_IMATRIX,
    Facts,
    Position,
    block_bytes,
    tensor_kind,
    tensor_type,
)
from llmplan.memory.memo import remembered
from llmplan.memory.tensor import Tensor
from llmplan.memory.tensors import Layered, model_tensors
from llmplan.specs.model import Block, Model, MoE

_KEPT_F32 = (
    "ffn_gate_inp", "position_embd", "token_types", "ssm_conv1d", "shortconv.conv", "attn_rel_b",
    "ssm_a", "ffn_gate_inp_shexp",
)  # fmt: skip
"""Tensors that stay at 32 bits in every file (tensor_allows_quantization and the converters)."""

_VALUE_KINDS = (
    "attention", "gated_delta_net", "kimi_delta_attention", "lightning_attention",
)  # fmt: skip


def _heads_per_kv_head(model: Model) -> int:
    """Return n_gqa of the first layer: 0 where its cache is a state counted layer by layer.

    Gated delta net hybrids are converted with one head_count_kv for all layers.
    """
    mixers = [m for name in model.main.layers for m in model.main.blocks[name].mixers[:1]]
    if mixers and mixers[0].kind == "gated_delta_net":
        mixers = [m for m in mixers if m.kind == "attention"]
    if not mixers:
        return 0
    first = mixers[0]
    if first.kind == "attention":
        return first.heads // first.kv_heads
    return first.heads if first.kind == "mla" else 0


def facts_of(model: Model, preset: str, *, imatrix: bool = False) -> Facts:
    """Return what the rules need to know of a model."""
    stack = model.main
    blocks = [stack.blocks[name] for name in stack.layers]
    gqa = _heads_per_kv_head(model)
    experts = max((b.mlp.experts for b in blocks if isinstance(b.mlp, MoE)), default=0)
    eighty = len(blocks) == 80 and model.model_type in ("llama", "qwen2", "nemotron-nas", "olmo")
    return Facts(
        preset=preset,
        imatrix=imatrix or preset in NEEDS_IMATRIX,
        layers=len(blocks) + (len(model.draft.layers) if model.draft else 0),
        gqa=gqa,
        experts=experts,
        falcon=model.model_type == "falcon",
        is_70b=eighty and (gqa > 1 or model.model_type != "llama"),
        tied=model.tied_embeddings,
        v_tensors=sum(m.kind in _VALUE_KINDS for b in blocks for m in b.mixers),
    )


def stored_tensors(model: Model, tensors: list[Layered]) -> list[Layered]:
    """Return the tensors as llama.cpp stores them: QKV and gate-up fused where it fuses them."""
    fused_qkv = any(getattr(m, "fused_qkv", False) for b in model.main.blocks.values()
                    for m in b.mixers)  # fmt: skip
    fused_up = any(getattr(b.mlp, "fused_gate_up", False) for b in model.main.blocks.values())
    result = []
    for layered in tensors:
        t = layered.tensor
        if fused_qkv and t.linear and t.name in ("attn_k", "attn_v"):
            continue
        if fused_up and t.name == "ffn_gate":
            continue
        if fused_qkv and t.linear and t.name == "attn_q":
            rows = sum(o.tensor.rows for o in tensors if o.layers == layered.layers
                       and o.tensor.name in ("attn_q", "attn_k", "attn_v"))  # fmt: skip
            layered = layered._replace(tensor=t._replace(name="attn_qkv", rows=rows))
        elif fused_up and t.name == "ffn_up":
            layered = layered._replace(tensor=t._replace(rows=2 * t.rows))
        result.append(layered)
    return result


def tensor_bytes(layered: Layered, f: Facts, positions: list[Position]) -> list[int]:
    """Return the bytes of a tensor in each of its layers, whose positions are given.

    Vectors, norms, routers, position tables and convolutions stay at 32 bits.
    """
    t = layered.tensor
    if not t.columns or t.name in _KEPT_F32:
        return [4 * t.elements] * len(layered.layers)
    if layered.stack == "vision" or not (t.linear or t.name == "token_embd"):
        return [2 * t.elements] * len(layered.layers)
    if tensor_kind(t.name) in _SAME_IN_ALL_LAYERS:
        return [_stored_bytes(t, f, Position(0, 0))] * len(layered.layers)
    if layered.stack == "encoder" and len(positions) <= layered.layers[-1]:
        positions = [Position(i, i, i) for i in range(layered.layers[-1] + 1)]
    second = t.name.endswith("_shexp")
    return [
        _stored_bytes(t, f, at._replace(down_index=at.down_index + second))
        for at in (positions[i] for i in layered.layers)
    ]


_SAME_IN_ALL_LAYERS = ("k", "q", "out", "other")


def _stored_bytes(t: Tensor, f: Facts, at: Position) -> int:
    weights, length = BLOCKS[tensor_type(t.name, t.columns, t.copies, f, at)]
    return block_bytes(
        rows=t.rows * t.copies, columns=t.columns, block_weights=weights, block_size_bytes=length
    )


def layer_positions(model: Model) -> list[Position]:
    """Return the position of each layer of the main stack, with what came before it."""
    blocks = model.main.blocks
    values = {n: any(m.kind in _VALUE_KINDS for m in b.mixers) for n, b in blocks.items()}
    downs = {n: _down_tensors(b) for n, b in blocks.items()}
    result, v_index, down_index = [], 0, 0
    for layer, name in enumerate(model.main.layers):
        result.append(Position(layer, v_index, down_index))
        v_index += values[name]
        down_index += downs[name]
    return result


def _down_tensors(block: Block) -> int:
    if block.mlp is None:
        return 0
    return 2 if isinstance(block.mlp, MoE) and block.mlp.shared_experts_size else 1


@remembered
def expert_matrices(model: Model, preset: str) -> list[tuple[int, ...]]:
    """Return the bytes of each matrix of routed experts, layer by layer of the main stack.

    They are what `--n-cpu-moe` keeps on the host [bytes].
    """
    facts, positions = facts_of(model, preset), layer_positions(model)
    main = "decoder" if model.decoder is not None else "encoder"
    found: list[list[int]] = [[] for _ in model.main.layers]
    for layered in stored_tensors(model, model_tensors(model)):
        t = layered.tensor
        if layered.stack != main or not (t.experts and t.linear):
            continue
        for layer, size in zip(
            layered.layers, tensor_bytes(layered, facts, positions), strict=True
        ):
            found[layer].append(size)
    return [tuple(sizes) for sizes in found]
