"""Hybrids of Kimi delta attention and MLA: Kimi Linear, Kimi K3, Ling 3, GLM-5.3-Flash.

Shapes and defaults: transformers 5.23 (kimi_linear, bailing_hybrid, glm5_next), and vLLM 0.33.0
models/kimi_k3 for what Kimi K3 adds. Read 2026-11-21.
"""

from __future__ import annotations

from typing import Any

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    known,
    record,
    stack,
    text_config,
)
from llmplan.sources.families.mixture import (
    indexer_layers,
    latent_attention,
    layered,
    mlp_layers,
    mtp_stack,
    routed_experts,
    without_indexer,
)
from llmplan.sources.families.sparse import hyper_connections
from llmplan.sources.layers import Plain

STATE_BITS = 32
"""Engines keep the state in float32 (vLLM 0.33.0 MambaStateDtypeCalculator.kda_state_dtype)."""


def _delta(heads: int, head_dim: int, kernel: int, **ranks: Any) -> Plain:
    return {
        "kind": "kimi_delta_attention",
        "heads": heads,
        "head_dim": head_dim,
        "conv_kernel": kernel,
        "state_bits": STATE_BITS,
        **{k: v for k, v in ranks.items() if v},
    }


def _kimi_layers(c: Config) -> list[bool]:
    """Return for each layer whether it is full attention: the config counts layers from one."""
    said, count = c.get("linear_attn_config") or {}, c["num_hidden_layers"]
    if c.get("layer_types"):
        return [t == "full_attention" for t in c["layer_types"]]
    if said.get("full_attn_layers"):
        return [i + 1 in said["full_attn_layers"] for i in range(count)]
    return [i > 0 and i % 4 == 0 for i in range(count)]


def _kimi_text(c: Config) -> tuple[list[Plain], Plain]:
    """Return the layers of Kimi Linear and its experts."""
    c = known(c, first_k_dense_replace=1, num_shared_experts=c.get("n_shared_experts", 1))
    said = c.get("linear_attn_config") or {}
    dim = said.get("head_dim") or c.get("linear_head_dim", 128)
    delta = _delta(
        said.get("num_heads") or c.get("linear_num_heads", 32),
        dim,
        said.get("short_conv_kernel_size") or c.get("linear_conv_kernel_dim", 4),
        decay_rank=dim,
        gate_rank=None if said.get("use_full_rank_gate") else dim,
    )
    full = latent_attention(c)
    if c.get("mla_use_output_gate"):
        full["output_gate"] = "elementwise"
    experts = routed_experts(
        c, latent_size=c.get("routed_expert_hidden_size"), latent_norm=c.get("latent_moe_use_norm")
    )
    mixers = [full if attends else delta for attends in _kimi_layers(c)]
    return layered(mixers, mlp_layers(c, experts)), experts


@family("kimi_linear")
def kimi_linear(c: Config) -> Plain:
    """Kimi Linear and the text of Kimi K3: three layers of delta attention to one of MLA."""
    layers, _ = _kimi_text(c)
    h, last = c["hidden_size"], []
    if c.get("attn_res_block_size"):
        part = [{"name": f"{n}_res_proj", "shape": [h]} for n in ("attn", "ffn")]
        layers = [layer | {"norms": 4, "tensors": part} for layer in layers]
        last = [{"name": f"output_res_{n}", "shape": [h]} for n in ("norm", "proj")]
    return record(c, stack(h, layers, **({"tensors": last} if last else {})))


@family("kimi_k3")
def kimi_k3(c: Config) -> Plain:
    """Kimi K3: Kimi Linear's text of 93 layers with latent experts, and a MoonViT tower."""
    text = {"tie_word_embeddings": c.get("tie_word_embeddings", False), **c["text_config"]}
    v = c["vision_config"]
    h, width = v["vt_hidden_size"], v["qkv_hidden_size"]
    heads, merged = v["vt_num_attention_heads"], h * v["merge_kernel_size"][0] ** 2
    if v.get("mm_projector_type") != "patchmergerv2":
        raise KeyError("a reading of this mm_projector_type")
    mixer = attention(
        {"num_attention_heads": heads, "hidden_size": h, "head_dim": width // heads},
        qkv_bias=bool(v.get("attn_bias")), o_bias=bool(v.get("attn_bias")), fused_qkv=True,
    )  # fmt: skip
    mlp = dense(v["vt_intermediate_size"], gated=False)
    layer = {"mixers": [mixer | {"causal": False}], "mlp": mlp}
    rows = v["init_pos_emb_height"] * v["init_pos_emb_width"]
    tensors = [
        {"name": "patch_embd", "shape": [h, 3 * v["patch_size"] ** 2]},
        {"name": "position_embd", "shape": [rows, h]},
        {"name": "mm.1", "shape": [merged, merged], "linear": True},
        {"name": "mm.2", "shape": [text["hidden_size"], merged], "linear": True},
        {"name": "mm.post_norm", "shape": [text["hidden_size"]]},
    ]
    tower = stack(h, [layer] * v["vt_num_hidden_layers"], tensors=tensors)
    return {**kimi_linear(text), "vision": tower}


@family("bailing_hybrid")
def bailing_hybrid(c: Config) -> Plain:
    """Ling 3: five layers of delta attention to one of MLA, both gated, MTP apart."""
    c = known(
        c, intermediate_size=6144, kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128,
        v_head_dim=128, first_k_dense_replace=2, short_conv_kernel_size=4, layer_group_size=6,
        num_shared_experts=c.get("n_shared_experts", 1), head_dim=128,
    )  # fmt: skip
    delta = _delta(
        c.get("linear_num_heads") or c["num_attention_heads"],
        c.get("linear_head_dim") or c["head_dim"],
        c["short_conv_kernel_size"],
    )
    full = latent_attention(c) | {"output_gate": "per_head"}
    count, group = c["num_hidden_layers"], c["layer_group_size"]
    types = c.get("layer_types") or [
        "linear_attention" if (i + 1) % group else "full_attention" for i in range(count)
    ]
    experts = routed_experts(c)
    mixers = [delta if t == "linear_attention" else full for t in types]
    result = record(c, stack(c["hidden_size"], layered(mixers, mlp_layers(c, experts))))
    if c.get("num_nextn_predict_layers"):
        result["draft"] = mtp_stack(c, {"mixers": [full], "mlp": experts})
    return result


@family("glm5_next")
def glm5_next(c: Config) -> Plain:
    """GLM-5.3-Flash: three layers of delta attention to one of sparse MLA, residual streams."""
    t = known(
        text_config(c), intermediate_size=12288, kv_lora_rank=512, q_lora_rank=1536,
        qk_rope_head_dim=0, qk_nope_head_dim=256, v_head_dim=256, n_shared_experts=1,
        index_head_dim=128, index_n_heads=32, index_kpool=16, hc_mult=4, first_k_dense_replace=3,
    )  # fmt: skip
    said, h = t.get("linear_attn_config") or {}, t["hidden_size"]
    dim = said.get("head_dim") or t.get("linear_head_dim", 128)
    delta = _delta(
        said.get("num_heads") or t.get("linear_num_heads", 64),
        dim,
        said.get("short_conv_kernel_size") or t.get("linear_conv_kernel_dim", 4),
        decay_rank=dim,
        gate_rank=dim,
    )
    full = latent_attention(t) | {"indexer_pool": t["index_kpool"]}
    types = t.get("layer_types") or [
        "indexed_attention" if i % 4 == 3 else "linear_attention"
        for i in range(t["num_hidden_layers"])
    ]
    selects = [full if own else without_indexer(full) for own in indexer_layers(t)]
    mixers = [delta if k == "linear_attention" else m for k, m in zip(types, selects, strict=True)]
    streams = hyper_connections(h, t["hc_mult"])
    layers = layered(mixers, mlp_layers(t, routed_experts(t)), tensors=streams)
    result = record({**t, "tie_word_embeddings": False}, stack(h, layers))
    result["vision"] = _glm_tower(c.get("vision_config") or {})
    return result


def _glm_tower(v: Config) -> Plain:
    """Return the RMS-norm tower with gated MLP and QK norms, its 2x2 downsampling and merger."""
    v = known(
        v, depth=24, hidden_size=1024, num_heads=16, intermediate_size=4096, patch_size=14,
        out_hidden_size=1536, projection_intermediate_size=10240, temporal_patch_size=2,
        spatial_merge_size=2,
    )  # fmt: skip
    h, out, wide = v["hidden_size"], v["out_hidden_size"], v["projection_intermediate_size"]
    shape = {"num_attention_heads": v["num_heads"], "hidden_size": h}
    mixer = attention(shape, qkv_bias=True, o_bias=True, qk_norm="per_head") | {"causal": False}
    layer = {"mixers": [mixer], "mlp": dense(v["intermediate_size"], bias=True)}
    tensors = [
        {"name": "patch_embd", "shape": [h, 3 * v["temporal_patch_size"] * v["patch_size"] ** 2]},
        {"name": "patch_embd.bias", "shape": [h]},
        {"name": "downsample", "shape": [out, h * v["spatial_merge_size"] ** 2]},
        *({"name": n, "shape": [out]} for n in ("downsample.bias", "mm.norm", "mm.norm.bias")),
        {"name": "mm.proj", "shape": [out, out], "linear": True},
        {"name": "mm.gate", "shape": [wide, out], "linear": True},
        {"name": "mm.up", "shape": [wide, out], "linear": True},
        {"name": "mm.down", "shape": [out, wide], "linear": True},
    ]
    return stack(h, [layer] * v["depth"], tensors=tensors)
