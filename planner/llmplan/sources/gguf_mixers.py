"""The token mixers of a GGUF layer: attention by kind, and layers with a state of fixed size.

Each claims the tensors that its description counts. Tensor names and shapes: llama.cpp
src/models/*.cpp at 0c1e57098 (2026-10-01, in PyPI llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from llmplan.errors import InputError
from llmplan.sources.gguf_facts import Facts, Parts
from llmplan.sources.layers import Plain


def attention_of(facts: Facts, parts: Parts, layer: int, layers: int) -> Plain | None:
    """Return the attention of a layer as plain catalogue data, or None where it has none."""
    if parts.has("attn_kv_a_mqa"):
        return _latent(facts, parts, layer)
    if parts.has("attn_q") or parts.has("attn_qkv"):
        return _attention(facts, parts, layer, layers)
    return None


def _head_dims(facts: Facts, layer: int) -> tuple[int, int]:
    """Return key and value width of a head; layers that slide may have their own."""
    usual = facts.whole("embedding_length") // max(1, facts.at("attention.head_count", 0))
    ending = "_swa" if facts.window(layer) and facts.has("attention.key_length_swa") else ""
    key = facts.whole(f"attention.key_length{ending}", usual)
    return key, facts.whole(f"attention.value_length{ending}", usual)


def _attention(facts: Facts, p: Parts, layer: int, layers: int) -> Plain:
    heads = facts.at("attention.head_count", layer)
    kv_heads = facts.at("attention.head_count_kv", layer, heads)
    if not 1 <= kv_heads <= heads:
        raise facts.fault(f"layer {layer} has {heads} heads and {kv_heads} KV heads")
    key, value = _head_dims(facts, layer)
    mixer: Plain = {"kind": "attention", "heads": heads, "kv_heads": kv_heads, "head_dim": key}
    if value != key:
        mixer["v_head_dim"] = value
    limit = facts.window(layer)
    if limit:
        mixer[limit[0]] = limit[1]
    if facts.metadata.get(f"{facts.architecture}.attention.causal") is False:
        mixer["causal"] = False
    q, k, v = heads * key, kv_heads * key, kv_heads * value
    if p.has("attn_qkv"):
        p.need("attn_qkv", (q + k + v) * p.hidden)
        biased = p.claim("attn_qkv.bias", q + k + v)
        mixer |= {"fused_qkv": True}
        mixer |= {f"{x}_bias": True for x in "qkv" if biased}
    else:
        _projections(p, mixer, shares=facts.shares_cache(layer, layers, p.has("attn_k")))
    p.need("attn_output", p.hidden * heads * value)
    mixer |= {"o_bias": True} if p.claim("attn_output.bias", p.hidden) else {}
    mixer |= {"sinks": True} if p.claim("attn_sinks", heads) else {}
    if p.size("attn_gate") == heads * p.hidden:
        p.claim("attn_gate", heads * p.hidden)
        mixer["output_gate"] = "per_head"
    return mixer | _qk_norms(p, mixer)


def _projections(p: Parts, mixer: Plain, *, shares: bool) -> None:
    """Describe separate Q, K and V: gated queries, shared caches, values that are the keys."""
    heads, kv_heads, key = mixer["heads"], mixer["kv_heads"], mixer["head_dim"]
    value = mixer.get("v_head_dim", key)
    rows = heads * key
    if p.size("attn_q") == (rows + heads * value) * p.hidden:
        mixer["output_gate"] = "elementwise"
        rows += heads * value
    p.need("attn_q", rows * p.hidden)
    mixer |= {"q_bias": True} if p.claim("attn_q.bias", rows) else {}
    if shares:
        mixer["shares_kv"] = True
        return
    p.need("attn_k", kv_heads * key * p.hidden)
    mixer |= {"k_bias": True} if p.claim("attn_k.bias", kv_heads * key) else {}
    if not p.claim("attn_v", kv_heads * value * p.hidden):
        mixer["value_projection"] = False
    mixer |= {"v_bias": True} if p.claim("attn_v.bias", kv_heads * value) else {}


def _qk_norms(p: Parts, mixer: Plain) -> Plain:
    """Return how queries and keys are normed: a head's width at a time, or all of it."""
    heads, kv_heads, key = mixer["heads"], mixer["kv_heads"], mixer["head_dim"]
    q, k = p.size("attn_q_norm"), p.size("attn_k_norm")
    if (q, k) == (key, 0 if mixer.get("shares_kv") else key):
        kind = "per_head"
    elif (q, k) == (heads * key, kv_heads * key):
        kind = "full"
    else:
        return {}
    biased = (p.size("attn_q_norm.bias"), p.size("attn_k_norm.bias")) == (q, k)
    for name, size in (("attn_q_norm", q), ("attn_k_norm", k)):
        p.claim(name, size)
        if biased:
            p.claim(f"{name}.bias", size)
    return {"qk_norm": kind} | ({"qk_norm_bias": True} if biased else {})


def _latent(facts: Facts, p: Parts, layer: int) -> Plain:
    """Return multi-head latent attention, as llama.cpp caches it from mid-2025 on."""
    if not p.has("attn_k_b", "attn_v_b") or not facts.has("attention.key_length_mla"):
        raise InputError(
            f"{facts.where}: its latent attention is stored so that llama.cpp caches every head, "
            "which is not planned.",
            "Take a file that was converted after April 2025.",
        )
    heads, rank = facts.at("attention.head_count", layer), facts.whole("attention.kv_lora_rank")
    rope, value = facts.whole("rope.dimension_count"), facts.whole("attention.value_length_mla")
    nope = facts.whole("attention.key_length_mla") - rope
    mixer: Plain = {
        "kind": "mla", "heads": heads, "kv_lora_rank": rank, "qk_nope_head_dim": nope,
        "qk_rope_head_dim": rope, "v_head_dim": value,
    }  # fmt: skip
    if p.has("attn_q_a"):
        lora = mixer["q_lora_rank"] = p.rows("attn_q_a")
        p.need("attn_q_a", lora * p.hidden)
        p.need("attn_q_a_norm", lora)
        p.need("attn_q_b", heads * (nope + rope) * lora)
    else:
        p.need("attn_q", heads * (nope + rope) * p.hidden)
    p.need("attn_kv_a_mqa", (rank + rope) * p.hidden)
    p.need("attn_kv_a_norm", rank)
    p.need("attn_k_b", heads * rank * nope)
    p.need("attn_v_b", heads * rank * value)
    p.need("attn_output", p.hidden * heads * value)
    if p.has("indexer.attn_k"):
        mixer |= _indexer(facts, p, mixer.get("q_lora_rank", p.hidden))
    return mixer


def _indexer(facts: Facts, p: Parts, queries: int) -> Plain:
    heads = facts.whole("attention.indexer.head_count")
    width = facts.whole("attention.indexer.key_length")
    p.need("indexer.attn_q_b", heads * width * queries)
    p.need("indexer.attn_k", width * p.hidden)
    p.need("indexer.k_norm", width)
    p.need("indexer.k_norm.bias", width)
    p.need("indexer.proj", heads * p.hidden)
    return {"indexer_heads": heads, "indexer_head_dim": width}


def recurrent_of(facts: Facts, p: Parts) -> Plain | None:
    """Return the mixer of a layer that keeps a state of fixed size, or None."""
    if p.has("shortconv.conv"):
        return _short_convolution(facts, p)
    if p.has("ssm_x"):
        return _mamba(facts, p)
    if p.has("ssm_out") and (p.has("ssm_ba") or p.has("ssm_beta", "ssm_alpha")):
        return _delta_net(facts, p)
    if p.has("ssm_in", "ssm_out"):
        return _mamba2(facts, p)
    if facts.architecture == "minimax-01" and p.has("attn_qkv", "attn_gate"):
        return _lightning(facts, p)
    return None


def _short_convolution(facts: Facts, p: Parts) -> Plain:
    kernel, h = facts.whole("shortconv.l_cache"), p.hidden
    p.need("shortconv.conv", h * kernel)
    p.need("shortconv.in_proj", 3 * h * h)
    p.need("shortconv.out_proj", h * h)
    return {"kind": "short_convolution", "kernel": kernel}


def _mamba(facts: Facts, p: Parts) -> Plain:
    inner, state = facts.whole("ssm.inner_size"), facts.whole("ssm.state_size")
    kernel, rank = facts.whole("ssm.conv_kernel"), facts.whole("ssm.time_step_rank")
    mixer: Plain = {
        "kind": "mamba", "inner_size": inner, "state_size": state, "conv_kernel": kernel,
        "dt_rank": rank,
    }  # fmt: skip
    p.need("ssm_in", 2 * inner * p.hidden)
    p.need("ssm_conv1d", inner * kernel)
    mixer["conv_bias"] = p.claim("ssm_conv1d.bias", inner)
    p.need("ssm_x", (rank + 2 * state) * inner)
    p.need("ssm_dt", inner * rank)
    p.need("ssm_dt.bias", inner)
    p.need("ssm_a", inner * state)
    p.need("ssm_d", inner)
    p.need("ssm_out", p.hidden * inner)
    if p.claim("ssm_dt_norm", rank):
        p.need("ssm_b_norm", state)
        p.need("ssm_c_norm", state)
        mixer["inner_norms"] = True
    return mixer


def _mamba2(facts: Facts, p: Parts) -> Plain:
    inner, state = facts.whole("ssm.inner_size"), facts.whole("ssm.state_size")
    kernel, heads = facts.whole("ssm.conv_kernel"), facts.whole("ssm.time_step_rank")
    groups = facts.whole("ssm.group_count")
    if not heads or inner % heads:
        raise facts.fault(f"{heads} heads do not divide the {inner} channels of its state")
    channels = inner + 2 * groups * state
    p.need("ssm_in", (inner + channels + heads) * p.hidden)
    p.need("ssm_conv1d", channels * kernel)
    biased = p.claim("ssm_conv1d.bias", channels)
    p.need("ssm_dt.bias", heads)
    p.need("ssm_a", heads)
    p.need("ssm_d", heads)
    p.need("ssm_out", p.hidden * inner)
    return {
        "kind": "mamba2", "heads": heads, "head_dim": inner // heads, "state_size": state,
        "groups": groups, "conv_kernel": kernel, "conv_bias": biased,
        "gated_norm": p.claim("ssm_norm", inner),
    }  # fmt: skip


def _delta_net(facts: Facts, p: Parts) -> Plain:
    heads, state = facts.whole("ssm.time_step_rank"), facts.whole("ssm.state_size")
    groups, kernel = facts.whole("ssm.group_count"), facts.whole("ssm.conv_kernel")
    keys, values = groups * state, heads * state
    if not p.claim("ssm_in", 2 * (keys + values) * p.hidden):
        p.need("attn_qkv", (2 * keys + values) * p.hidden)
        p.need("attn_gate", values * p.hidden)
    if not p.claim("ssm_ba", 2 * heads * p.hidden):
        p.need("ssm_beta", heads * p.hidden)
        p.need("ssm_alpha", heads * p.hidden)
    p.need("ssm_conv1d", (2 * keys + values) * kernel)
    p.need("ssm_dt.bias", heads)
    p.need("ssm_a", heads)
    p.need("ssm_norm", state)
    p.need("ssm_out", p.hidden * values)
    return {
        "kind": "gated_delta_net", "key_heads": groups, "value_heads": heads,
        "key_head_dim": state, "value_head_dim": state, "conv_kernel": kernel,
    }  # fmt: skip


def _lightning(facts: Facts, p: Parts) -> Plain:
    heads, key = facts.at("attention.head_count", p.layer), facts.whole("attention.key_length")
    width = heads * key
    p.need("attn_qkv", 3 * width * p.hidden)
    p.need("attn_gate", width * p.hidden)
    p.need("attn_norm_2", width)
    p.need("attn_output", p.hidden * width)
    return {"kind": "lightning_attention", "heads": heads, "head_dim": key}
