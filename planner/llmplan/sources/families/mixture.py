"""Decoders with a mixture of experts."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, moe, record, stack
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


def dense_then_experts(c: Config, mixer: Plain) -> Plain:
    """Return a decoder whose first layers are dense and the rest routed, with its MTP apart."""
    experts = moe(
        c["moe_intermediate_size"],
        c["n_routed_experts"],
        c["num_experts_per_tok"],
        shared_experts_size=(c.get("n_shared_experts") or 0) * c["moe_intermediate_size"],
    )
    first = c.get("first_k_dense_replace", 0)
    layers = [
        {"mixers": [mixer], "mlp": dense(c["intermediate_size"]) if i < first else experts}
        for i in range(c["num_hidden_layers"])
    ]
    result = record(c, stack(c["hidden_size"], layers))
    if c.get("num_nextn_predict_layers"):
        result["draft"] = mtp_stack(c, {"mixers": [mixer], "mlp": experts})
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


@family("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm_moe_dsa")
def deepseek(c: Config) -> Plain:
    """DeepSeek V2, V3, V3.2, Kimi K2, GLM-5: MLA, first layers dense, shared experts, MTP apart."""
    return dense_then_experts(c, latent_attention(c))


@family("glm4_moe")
def glm4_moe(c: Config) -> Plain:
    """GLM-4.5 to 4.7: GQA with QKV bias, first layers dense, one shared expert, MTP apart."""
    norm = "per_head" if c.get("use_qk_norm") else "none"
    mixer = attention(c, qkv_bias=bool(c.get("attention_bias")), qk_norm=norm)
    return dense_then_experts(c, mixer)
