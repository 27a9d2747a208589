"""Decoders with a mixture of experts."""

from __future__ import annotations

from typing import Any

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    known,
    moe,
    record,
    stack,
)
from llmplan.sources.families.llama_like import layer_windows
from llmplan.sources.layers import Plain


def latent_attention(c: Config) -> Plain:
    """Return the MLA mixer of the DeepSeek line."""
    mixer: Plain = {
        "kind": "mla",
        "heads": c["num_attention_heads"],
        "kv_lora_rank": c["kv_lora_rank"],
        "qk_nope_head_dim": c["qk_nope_head_dim"],
        "qk_rope_head_dim": c["qk_rope_head_dim"],
        "v_head_dim": c["v_head_dim"],
    }
    if c.get("q_lora_rank"):
        mixer["q_lora_rank"] = c["q_lora_rank"]
    if c.get("attention_bias"):
        mixer["bias"] = True
    if c.get("index_n_heads"):
        mixer |= {"indexer_heads": c["index_n_heads"], "indexer_head_dim": c["index_head_dim"]}
    return mixer


@family("mixtral")
def mixtral(c: Config) -> Plain:
    """Mixtral: eight experts, two per token."""
    experts = moe(c["intermediate_size"], c["num_local_experts"], c["num_experts_per_tok"])
    layers = [{"mixers": [attention(c, window=w)], "mlp": experts} for w in layer_windows(c)]
    return record(c, stack(c["hidden_size"], layers))


def gated_shared_experts(c: Config) -> Plain:
    """Return the experts of Qwen2-MoE and Qwen3-Next: a shared one behind a gate of its own."""
    return moe(
        c["moe_intermediate_size"],
        c["num_experts"],
        c["num_experts_per_tok"],
        shared_experts_size=c["shared_expert_intermediate_size"],
        shared_expert_gate=True,
    )


@family("qwen2_moe")
def qwen2_moe(c: Config) -> Plain:
    """Qwen1.5-MoE and Qwen2-MoE: shared expert with its own gate, QKV bias."""
    layer = {"mixers": [attention(c, qkv_bias=True)], "mlp": gated_shared_experts(c)}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("qwen3_moe")
def qwen3_moe(c: Config) -> Plain:
    """Qwen3-MoE: many small experts, no shared one, per-head QK norms."""
    experts = moe(c["moe_intermediate_size"], c["num_experts"], c["num_experts_per_tok"])
    layer = {"mixers": [attention(c, qk_norm="per_head")], "mlp": experts}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("gpt_oss")
def gpt_oss(c: Config) -> Plain:
    """gpt-oss: sliding and full layers in turn, attention sinks, biases everywhere."""
    experts = moe(
        c["intermediate_size"],
        c["num_local_experts"],
        c["num_experts_per_tok"],
        bias=True,
        router_bias=True,
    )
    layers = [
        {
            "mixers": [attention(c, window=w, qkv_bias=True, o_bias=True, sinks=True)],
            "mlp": experts,
        }
        for w in layer_windows(c)
    ]
    return record(c, stack(c["hidden_size"], layers))


def first_of(c: Config, *names: str) -> Any:
    """Return the value of the first of these keys that is set; the last one is the one missed."""
    for name in names:
        if c.get(name) is not None:
            return c[name]
    return c[names[-1]]


def routed_experts(c: Config, **traits: Any) -> Plain:
    """Return the experts of a config in any of the usual spellings, with the shared ones."""
    size = c["moe_intermediate_size"]
    shared = first_of({**c, "": 0}, "n_shared_experts", "num_shared_experts", "")
    known = {"shared_experts_size": shared * size} | traits
    count = first_of(c, "n_routed_experts", "num_experts", "num_local_experts", "n_routed_experts")
    return moe(size, count, first_of(c, "num_experts_per_token", "num_experts_per_tok"), **known)


def sparse_layers(c: Config) -> list[bool]:
    """Return for each layer whether it routes: a list, a first layer, a frequency, or all."""
    types, often = c.get("mlp_layer_types"), c.get("moe_layer_freq")
    if isinstance(types, list):
        return [t == "sparse" for t in types]
    if isinstance(often, list):
        return [bool(f) for f in often]
    first = c.get("first_k_dense_replace") or 0
    return [i >= first and i % (often or 1) == 0 for i in range(c["num_hidden_layers"])]


def mlp_layers(c: Config, experts: Plain) -> list[Plain]:
    """Return the feed-forward part of each layer: experts where it routes, else dense."""
    return [experts if routes else dense(c["intermediate_size"]) for routes in sparse_layers(c)]


def layered(mixers: list[Plain], mlps: list[Plain], **rest: Any) -> list[Plain]:
    """Return one layer for each mixer and its feed-forward part."""
    return [{"mixers": [m], "mlp": f, **rest} for m, f in zip(mixers, mlps, strict=True)]


def dense_then_experts(c: Config, mixer: Plain) -> Plain:
    """Return a decoder whose first layers are dense and the rest routed, with its MTP apart."""
    return mixed_decoder(c, [mixer] * c["num_hidden_layers"], mixer)


def mixed_decoder(c: Config, mixers: list[Plain], draft_mixer: Plain) -> Plain:
    """Return a decoder of these mixers, dense and routed layers in turn, with its MTP apart."""
    experts = routed_experts(c)
    result = record(c, stack(c["hidden_size"], layered(mixers, mlp_layers(c, experts))))
    if c.get("num_nextn_predict_layers"):
        result["draft"] = mtp_stack(c, {"mixers": [draft_mixer], "mlp": experts})
    return result


def mtp_stack(c: Config, layer: Plain) -> Plain:
    """Return the multi-token-prediction layers: a block each, two input norms and a projection."""
    h, n = c["hidden_size"], c["num_nextn_predict_layers"]
    block = layer | {
        "tensors": [
            {"name": "nextn.eh_proj", "shape": [h, 2 * h], "linear": True},
            {"name": "nextn.enorm", "shape": [h]},
            {"name": "nextn.hnorm", "shape": [h]},
            {"name": "nextn.shared_head_norm", "shape": [h]},
        ]
    }
    return stack(h, [block] * n, final_norm=False)


@family("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2")
def deepseek(c: Config) -> Plain:
    """DeepSeek V2, V3, V3.2, Kimi K2: MLA, first layers dense, shared experts, MTP apart."""
    return dense_then_experts(c, latent_attention(c))


def indexer_layers(c: Config) -> list[bool]:
    """Return for each layer whether it selects tokens itself or takes the selection before it.

    Source: transformers 5.23 GlmMoeDsaConfig (indexer_types, index_topk_pattern and _freq).
    """
    types, pattern = c.get("indexer_types"), c.get("index_topk_pattern")
    if isinstance(types, list):
        return [t == "full" for t in types]
    if pattern:
        return [mark in ("F", "full") for mark in pattern]
    often, offset = max(c.get("index_topk_freq") or 1, 1), c.get("index_skip_topk_offset", 2)
    return [max(i - offset + 1, 0) % often == 0 for i in range(c["num_hidden_layers"])]


def without_indexer(mixer: Plain) -> Plain:
    """Return the mixer of a layer that takes its selection of tokens from a layer before it."""
    return {k: v for k, v in mixer.items() if not k.startswith("indexer")}


@family("glm_moe_dsa")
def glm_moe_dsa(c: Config) -> Plain:
    """GLM-5 to 5.3: sparse MLA; from 5.2 on, three layers of four share an indexer's selection."""
    mixer = latent_attention(c)
    mixers = [mixer if own else without_indexer(mixer) for own in indexer_layers(c)]
    return mixed_decoder(c, mixers, mixer)


@family("glm4_moe")
def glm4_moe(c: Config) -> Plain:
    """GLM-4.5 to 4.7: GQA with QKV bias, first layers dense, one shared expert, MTP apart."""
    norm = "per_head" if c.get("use_qk_norm") else "none"
    mixer = attention(c, qkv_bias=bool(c.get("attention_bias")), qk_norm=norm)
    return dense_then_experts(c, mixer)


@family("glm4_moe_lite")
def glm4_moe_lite(c: Config) -> Plain:
    """GLM-4.7-Flash: MLA in the shape of DeepSeek V3. Defaults: transformers 5.23."""
    c = known(
        c, q_lora_rank=768, kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=192,
        v_head_dim=256, n_shared_experts=1, intermediate_size=10240, first_k_dense_replace=1,
    )  # fmt: skip
    return dense_then_experts(c, latent_attention(c))


@family("deepseek")
def deepseek_moe(c: Config) -> Plain:
    """DeepSeek-MoE 16B: MHA, first layer dense, two shared experts."""
    return dense_then_experts(c, attention(c))


@family("dots1")
def dots1(c: Config) -> Plain:
    """dots.llm1: per-head QK norms, first layer dense, shared experts."""
    return dense_then_experts(c, attention(c, qk_norm="per_head"))


@family("solar_open")
def solar_open(c: Config) -> Plain:
    """Solar Open: GQA and a shared expert in every layer. Defaults: transformers 5.23."""
    c = known(c, n_shared_experts=1)
    b = bool(c.get("attention_bias"))
    return dense_then_experts(c, attention(c, qkv_bias=b, o_bias=b))
