"""Counts of the families with experts and states against transformers, for made-up configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from peers.test_transformers import common, sizes, sparse

from llmplan.catalog.user_files import model_from_config
from llmplan.memory.parameters import parameter_count

pytestmark = pytest.mark.peer


def mla(s: dict[str, Any]) -> dict[str, Any]:
    return {
        "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
        "v_head_dim": 16, "num_key_value_heads": s["heads"],
    }  # fmt: skip


def routed(s: dict[str, Any]) -> dict[str, Any]:
    """A first dense layer, and shared experts in the others."""
    return {
        "n_routed_experts": s["experts"], "n_shared_experts": 2, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 1, **sparse(s),
    }  # fmt: skip


def four(s: dict[str, Any], *kinds: str) -> dict[str, Any]:
    return {"num_hidden_layers": 4, "layer_types": list(kinds) * (4 // len(kinds))}


DELTA = {"linear_attn_config": {"head_dim": 16, "num_heads": 4, "short_conv_kernel_size": 3}}

EXTRA = {
    "minimax_m2": lambda s: {"num_local_experts": s["experts"], "num_experts_per_tok": 2},
    "olmoe": lambda s: {"num_experts": s["experts"], "num_experts_per_tok": 2},
    "phimoe": lambda s: {
        "num_local_experts": s["experts"], "num_experts_per_tok": 2, "attention_bias": s["tied"],
        "lm_head_bias": not s["tied"], "tie_word_embeddings": False,
    },
    "granitemoe": lambda s: {"num_local_experts": s["experts"], "num_experts_per_tok": 2},
    "granitemoeshared": lambda s: {
        "num_local_experts": s["experts"], "num_experts_per_tok": 2,
        "shared_intermediate_size": 40,
    },
    "granitemoehybrid": lambda s: {
        "num_local_experts": s["experts"] * s["tied"], "num_experts_per_tok": 2 * s["tied"],
        "shared_intermediate_size": 40, "mamba_n_heads": 4, "mamba_d_head": "auto",
        "mamba_d_state": 8, "mamba_expand": 2, **four(s, "mamba", "attention"),
    },
    "hunyuan_v1_moe": lambda s: {"num_experts": s["experts"], "moe_topk": 2},
    "dots1": routed,
    "solar_open": lambda s: {"n_routed_experts": s["experts"], "n_shared_experts": 1, **sparse(s)},
    "exaone_moe": lambda s: {
        "num_experts": s["experts"], "num_shared_experts": 2, "sliding_window": 64,
        "first_k_dense_replace": 1, **sparse(s),
    },
    "ernie4_5_moe": lambda s: {
        "moe_num_experts": s["experts"], "moe_k": 2, "moe_num_shared_experts": 1,
        "moe_intermediate_size": 24, "moe_layer_start_index": 1, "use_bias": s["tied"],
        "head_dim": s["head_dim"],
    },
    "afmoe": lambda s: {
        "num_experts": s["experts"], "num_shared_experts": 1, "num_dense_layers": 1,
        "sliding_window": 64, **sparse(s),
    },
    "laguna": lambda s: {
        "num_experts": s["experts"], "shared_expert_intermediate_size": 40,
        "gating": True if s["tied"] else "per-element", **sparse(s),
        "num_attention_heads_per_layer": [s["heads"] * (1 + i % 2) for i in range(s["layers"])],
        "layer_types": ["full_attention", "sliding_attention"] * 2 + ["full_attention"],
        "num_hidden_layers": s["layers"],
    },
    "mimo_v2_flash": lambda s: {
        "n_routed_experts": s["experts"], "n_group": 1, "topk_group": 1, "v_head_dim": 24,
        **four(s, "full_attention", "sliding_attention"), "moe_layer_freq": [0, 1, 1, 1],
        "sliding_window": 64, "add_swa_attention_sink_bias": True,
        "num_key_value_heads": s["heads"] // 2, "swa_num_key_value_heads": s["heads"],
        "swa_num_attention_heads": s["heads"],
        "swa_head_dim": s["head_dim"], "swa_v_head_dim": 24, **sparse(s),
    },
    "glm4_moe_lite": lambda s: mla(s) | routed(s) | {"head_dim": None},
    "glm_moe_dsa": lambda s: mla(s) | routed(s) | {
        "index_n_heads": 2, "index_head_dim": 16, "num_hidden_layers": 4,
        "indexer_types": ["full", "shared", "full", "shared"],
    },
    "deepseek_v4": lambda s: {
        "n_routed_experts": s["experts"], "n_shared_experts": 1, "q_lora_rank": 24,
        "qk_rope_head_dim": 8, "o_groups": 2, "o_lora_rank": 12, "index_n_heads": 3,
        "index_head_dim": 16, "hc_mult": 2, "sliding_window": 16, "num_key_value_heads": 1,
        "compress_ratios": [0, 4, 128, 4], "num_hidden_layers": 4, "num_hash_layers": 1,
        "tie_word_embeddings": False, "intermediate_size": None, **sparse(s),
    },
    "lfm2_moe": lambda s: {
        "num_experts": s["experts"], "num_dense_layers": 1, **sparse(s),
        **four(s, "conv", "full_attention"), "tie_embedding": s["tied"], "conv_bias": s["tied"],
    },
    "nemotron_h": lambda s: {
        "n_routed_experts": s["experts"], "n_shared_experts": 1, "mamba_num_heads": 4,
        "mamba_head_dim": 16, "ssm_state_size": 8, "n_groups": 2, "conv_kernel": 4, "expand": 2,
        "moe_shared_expert_intermediate_size": 40, "hybrid_override_pattern": "M-E*ME",
        "moe_latent_size": 12 if s["tied"] else None, "n_group": 1, "topk_group": 1,
        "num_hidden_layers": 6, "tie_word_embeddings": False, **sparse(s),
    },
    "kimi_linear": lambda s: mla(s) | {
        "num_experts": s["experts"], "num_experts_per_token": 2, "num_shared_experts": 1,
        "moe_intermediate_size": 24, "first_k_dense_replace": 1, "num_hidden_layers": 4,
        "q_lora_rank": None, "tie_word_embeddings": False,
        "linear_attn_config": DELTA["linear_attn_config"] | {
            "full_attn_layers": [2, 4], "kda_layers": [1, 3]},
    },
    "bailing_hybrid": lambda s: mla(s) | {
        "num_experts": s["experts"], "num_experts_per_tok": 2, "num_shared_experts": 1,
        "moe_intermediate_size": 24, "first_k_dense_replace": 1, "layer_group_size": 2,
        "short_conv_kernel_size": 3, "q_lora_rank": None, "num_hidden_layers": 4,
        "tie_word_embeddings": False, "n_group": 1, "topk_group": 1,
    },
    "glm5_next": lambda s: {
        "text_config": {
            **common(s), **mla(s), **routed(s), **DELTA, "index_n_heads": 2,
            "index_head_dim": 16, "qk_rope_head_dim": 0, "hc_mult": 2, "index_kpool": 4,
            "index_topk": 8, "first_k_dense_replace": 3, "num_hidden_layers": 5,
            "tie_word_embeddings": False, "model_type": "glm5_next_text",
        },
        "vision_config": {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4,
                          "patch_size": 4, "out_hidden_size": 40,
                          "projection_intermediate_size": 56},
        "tie_word_embeddings": False,
    },
    "qwen4_exp_text": lambda s: {
        "num_experts": s["experts"], "shared_expert_intermediate_size": 40, **sparse(s),
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
        "linear_value_head_dim": 8, "hc_count": 3, "hc_lowrank": 10, "ple_layer_ids": [1, 3],
        "ple_embed_dim": 32, "heads_per_ngram": 2, "ngram_vocab_size_base": 100, "eos_token_id": 1,
        "indexer_n_heads": 3, "indexer_kv_heads": 1, "indexer_head_dim": 40, "indexer_budget": 8,
        "indexer_compress_ratio": 4, "num_hidden_layers": 4, "tie_word_embeddings": False,
    },
    "step3p7": lambda s: {
        "text_config": {
            **common(s), "n_routed_experts": s["experts"], "share_expert_dim": 40, **sparse(s),
            "num_hidden_layers": 4, "sliding_window": 16, "tie_word_embeddings": False,
            "layer_types": ["full_attention", "sliding_attention"] * 2, "model_type": "step3p5",
            "attention_other_setting": {"num_attention_heads": 2 * s["heads"]},
        },
        "vision_config": {"width": 32, "layers": 2, "heads": 4, "mlp_ratio": 1.5,
                          "image_size": 16, "patch_size": 4},
        "tie_word_embeddings": False,
    },
    "minimax_m3_vl": lambda s: {
        "text_config": {
            **common(s), "num_local_experts": s["experts"], "num_experts_per_tok": 2,
            "dense_intermediate_size": 56, "shared_intermediate_size": 40,
            "num_hidden_layers": 3, "moe_layer_freq": [0, 1, 1], "model_type": "minimax_m3_vl_text",
            "sparse_attention_config": {"sparse_attention_freq": [0, 1, 1],
                                        "sparse_num_index_heads": 2, "sparse_index_dim": 24},
            "tie_word_embeddings": False,
        },
        "vision_config": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                          "num_attention_heads": 4, "patch_size": 4},
        "projector_hidden_size": 44, "tie_word_embeddings": False,
    },
}  # fmt: skip

NESTED = ("glm5_next", "step3p7", "minimax_m3_vl")
"""Families whose language model is described in text_config alone."""


def transformers_count(config: dict[str, Any]) -> int:
    """Return the parameters of the model that transformers builds, tied ones once."""
    import torch
    import transformers

    built = transformers.AutoConfig.for_model(**config)
    nested = config["model_type"] in NESTED
    auto = "AutoModelForImageTextToText" if nested else "AutoModelForCausalLM"
    with torch.device("meta"):
        model = getattr(transformers, auto).from_config(built)
    model.tie_weights()
    return sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())


@pytest.mark.parametrize("model_type", EXTRA)
@settings(max_examples=6, deadline=None)
@given(s=sizes)
def test_counts_equal_transformers(model_type: str, s: dict[str, Any]) -> None:
    pytest.importorskip("transformers", reason="run tests/peers/setup.sh first")
    usual = {} if model_type in NESTED else common(s)
    config = {"model_type": model_type, **usual, **EXTRA[model_type](s)}
    config = {k: v for k, v in config.items() if v is not None or k == "q_lora_rank"}
    if model_type == "laguna":
        config["layer_types"] = config["layer_types"][: s["layers"]]
    ours = parameter_count(model_from_config(config, Path("config.json")))
    assert ours == transformers_count(config)
