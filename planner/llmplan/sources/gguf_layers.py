"""One layer of a GGUF file as a block of the catalogue: its facts and tensors accounted for.

Each part claims the tensors that its description counts; what nobody claims is listed by
name and shape, so that the count stays exact. Tensor names: llama.cpp src/llama-arch.cpp and
src/models/*.cpp at 0c1e57098 (2026-10-01, in PyPI llama-cpp-python 0.3.36).
"""

from __future__ import annotations

import re

from llmplan.errors import InputError
from llmplan.sources.binary import StoredTensor
from llmplan.sources.gguf_facts import Facts, Parts
from llmplan.sources.gguf_mixers import attention_of, recurrent_of
from llmplan.sources.layers import Plain

UNREAD = ("plamo2",)
"""Architectures whose state space layers have tensors of their own making."""

_NORM = re.compile(r"norm(?:_\d)?$")
_UNKNOWN = re.compile(
    r"(?:time_mix|channel_mix|ssm_|shortconv|indexer|attn_compressor|attn_conv|ple_)"
    r"|attn_(?:q|k|v|qkv|kv|kv_b|q_a|q_b|kv_a_mqa)$"
)
_STATEFUL = re.compile(r"time_mix|channel_mix|ssm_conv1d_[qkv]|attn_compressor|attn_kv$")
"""Tensors, and leftovers, of mixers that nothing here describes: their cache would be a guess."""


def block_of(
    facts: Facts, layer: int, layers: int, tensors: dict[str, StoredTensor], norm: str
) -> Plain:
    """Return the block of one layer as plain catalogue data."""
    parts = Parts(facts, layer, tensors)
    stateful = next((n for n in parts.left if _STATEFUL.match(n)), None)
    if stateful is not None or facts.architecture in UNREAD:
        raise unknown_mixer(facts, f"blk.{layer}.{stateful or '*'}")
    recurrent = recurrent_of(facts, parts)
    attention = attention_of(facts, parts, layer, layers)
    mixers = [m for m in (attention, recurrent) if m is not None]
    mlp = _feed_forward(facts, parts, layer)
    norms = _claim_norms(parts, norm)
    strange = next((n for n in parts.left if _UNKNOWN.match(n)), None)
    if strange is not None and not (attention and attention.get("shares_kv")):
        raise unknown_mixer(facts, f"blk.{layer}.{strange}")
    block: Plain = {"mixers": mixers, "norms": norms}
    if mlp is not None:
        block["mlp"] = mlp
    if parts.left:
        block["tensors"] = [listed(name, t) for name, t in sorted(parts.left.items())]
    return block


def unknown_mixer(facts: Facts, what: str) -> InputError:
    """Return the error of layers that keep a state llmplan has no formula for."""
    return InputError(
        f"{facts.where}: layers of the architecture {facts.architecture!r} are not read yet "
        f"({what}).",
        "Describe the model in a YAML of your own: llmplan check FILE.",
    )


def listed(name: str, tensor: StoredTensor) -> Plain:
    """Return a tensor by name and shape: [elements] or [rows, columns], copies in the rows."""
    shape = [n for n in tensor.shape if n != 1] or [1]
    if len(shape) > 2:
        shape = [tensor.elements // shape[-1], shape[-1]]
    return {"name": name, "shape": shape, "linear": len(shape) > 1 and tensor.dtype != "F32"}


def _claim_norms(parts: Parts, norm: str) -> int:
    """Take the norms of the hidden width, with their biases where the stack's norms have them."""
    count = 0
    for name in [n for n in parts.left if _NORM.search(n)]:
        if parts.size(name) != parts.hidden:
            continue
        if norm == "layer":
            if parts.size(f"{name}.bias") != parts.hidden:
                continue
            parts.claim(f"{name}.bias", parts.hidden)
        parts.claim(name, parts.hidden)
        count += 1
    return count


def _feed_forward(facts: Facts, p: Parts, layer: int) -> Plain | None:
    if p.has("ffn_gate_inp") and (p.has("ffn_down_exps") or p.has("ffn_down.0")):
        return _experts(facts, p, layer)
    if not p.has("ffn_up", "ffn_down"):
        return None
    rows, size = p.rows("ffn_up"), p.size("ffn_down") // p.hidden
    fused = rows == 2 * size
    p.need("ffn_up", rows * p.hidden)
    p.need("ffn_down", size * p.hidden)
    gated = p.claim("ffn_gate", size * p.hidden)
    mlp: Plain = {"kind": "dense", "intermediate_size": size, "gated": gated or fused}
    if fused:
        mlp["fused_gate_up"] = True
    widths = {"ffn_up.bias": rows, "ffn_down.bias": p.hidden}
    return mlp | _biases(p, widths | ({"ffn_gate.bias": size} if gated else {}))


def _biases(p: Parts, widths: dict[str, int]) -> Plain:
    """Take the biases of a feed-forward layer where every matrix of it has one."""
    if any(p.size(name) != width for name, width in widths.items()):
        return {}
    for name, width in widths.items():
        p.claim(name, width)
    return {"bias": True}


def _experts(facts: Facts, p: Parts, layer: int) -> Plain:
    experts, h = facts.at("expert_count", layer), p.hidden
    moe: Plain = {
        "kind": "moe", "experts": experts,
        "experts_per_token": facts.at("expert_used_count", layer),
    }  # fmt: skip
    p.need("ffn_gate_inp", experts * h)
    moe |= {"router_bias": True} if p.claim("ffn_gate_inp.bias", experts) else {}
    if p.has("ffn_down.0"):
        size = moe["intermediate_size"] = p.size("ffn_down.0") // h
        for i in range(min(experts, len(p.left))):
            for part in ("gate", "up", "down"):
                p.need(f"ffn_{part}.{i}", size * h)
        return moe
    size = moe["intermediate_size"] = p.columns("ffn_down_exps")
    p.need("ffn_down_exps", experts * size * h)
    gated = p.claim("ffn_gate_up_exps", 2 * experts * size * h)
    if not gated:
        p.need("ffn_up_exps", experts * size * h)
        gated = p.claim("ffn_gate_exps", experts * size * h)
    moe |= {} if gated else {"gated": False}
    widths = {"ffn_up_exps.bias": experts * size, "ffn_down_exps.bias": experts * h}
    moe |= _biases(p, widths | ({"ffn_gate_exps.bias": experts * size} if gated else {}))
    return moe | _shared(p)


def _shared(p: Parts) -> Plain:
    """Return the experts that always run, as one of their summed width."""
    if not p.has("ffn_up_shexp", "ffn_down_shexp"):
        return {}
    size = p.rows("ffn_up_shexp")
    p.need("ffn_up_shexp", size * p.hidden)
    p.need("ffn_down_shexp", size * p.hidden)
    gated = p.claim("ffn_gate_shexp", size * p.hidden)
    chosen = p.claim("ffn_gate_inp_shexp", p.hidden)
    shared: Plain = {"shared_experts_size": size}
    shared |= {} if gated else {"shared_gated": False}
    return shared | ({"shared_expert_gate": True} if chosen else {})
