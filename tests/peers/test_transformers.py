"""Parameter counts against transformers' own models on the meta device, for made-up configs.

Opt-in: `bash tests/peers/setup.sh && pytest -m peer`. Sizes are drawn at random, so that a
formula cannot be right for one published shape alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.catalog.user_files import model_from_config
from llmplan.memory.parameters import parameter_count

pytestmark = pytest.mark.peer

sizes = st.fixed_dictionaries(
    {
        "heads": st.sampled_from([2, 4, 8]),
        "groups": st.sampled_from([1, 2]),
        "head_dim": st.sampled_from([16, 32]),
        "layers": st.integers(1, 5),
        "ffn": st.sampled_from([48, 96, 130]),
        "experts": st.integers(4, 6),
        "vocab": st.integers(100, 300),
        "tied": st.booleans(),
    }
)


def common(s: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": s["heads"] * s["head_dim"],
        "num_attention_heads": s["heads"],
        "num_key_value_heads": s["heads"] // s["groups"],
        "head_dim": s["head_dim"],
        "num_hidden_layers": s["layers"],
        "intermediate_size": s["ffn"],
        "vocab_size": s["vocab"],
        "tie_word_embeddings": s["tied"],
        "max_position_embeddings": 256,
        "pad_token_id": 0,
    }


def sparse(s: dict[str, Any]) -> dict[str, Any]:
    return {"num_experts_per_tok": 2, "moe_intermediate_size": s["ffn"] // 2}


EXTRA = {
    "llama": lambda s: {"attention_bias": s["tied"], "mlp_bias": s["tied"]},
    "mistral": lambda s: {},
    "mixtral": lambda s: {"num_local_experts": s["experts"], "num_experts_per_tok": 2},
    "qwen2": lambda s: {},
    "qwen3": lambda s: {},
    "qwen3_moe": lambda s: {"num_experts": s["experts"], **sparse(s)},
    "qwen2_moe": lambda s: {
        "num_experts": s["experts"], "shared_expert_intermediate_size": 40, **sparse(s),
    },
    "gemma": lambda s: {},
    "gemma2": lambda s: {"sliding_window": 64},
    "gemma3_text": lambda s: {"sliding_window": 64},
    "phi3": lambda s: {},
    "olmo2": lambda s: {},
    "granite": lambda s: {},
    "glm4": lambda s: {},
    "gpt_neox": lambda s: {},
    "falcon": lambda s: {"multi_query": s["groups"] == 1, "ffn_hidden_size": s["ffn"]},
    "opt": lambda s: {"ffn_dim": s["ffn"], "word_embed_proj_dim": s["heads"] * s["head_dim"]},
    "gpt_oss": lambda s: {
        "num_local_experts": s["experts"], "num_experts_per_tok": 2, "sliding_window": 64,
        "layer_types": ["sliding_attention", "full_attention"] * s["layers"],
        "num_hidden_layers": 2 * s["layers"],
    },
    "jamba": lambda s: {
        "num_experts": s["experts"], "num_experts_per_tok": 2, "attn_layer_period": 2,
        "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 0,
        "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 6,
        "use_mamba_kernels": False, "num_hidden_layers": 2 * s["layers"],
    },
    "mamba": lambda s: {"state_size": 8, "time_step_rank": 5},
    "deepseek_v3": lambda s: {
        "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
        "v_head_dim": 16, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1,
        "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": s["heads"],
        **sparse(s),
    },
    "qwen3_next": lambda s: {
        "num_experts": s["experts"], "shared_expert_intermediate_size": 40,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
        "linear_value_head_dim": 8, "full_attention_interval": 2, "num_hidden_layers": 4,
        "layer_types": ["linear_attention", "full_attention"] * 2, **sparse(s),
    },
    "lfm2": lambda s: {
        "layer_types": ["conv", "full_attention"] * s["layers"],
        "num_hidden_layers": 2 * s["layers"], "block_multiple_of": 16,
        "block_auto_adjust_ff_dim": True,
    },
    "bloom": lambda s: {"n_layer": s["layers"], "n_head": s["heads"], "tie_word_embeddings": True},
    "t5": lambda s: {
        "d_model": 64, "d_kv": s["head_dim"], "d_ff": s["ffn"], "num_layers": s["layers"],
        "num_decoder_layers": s["layers"] + 1, "num_heads": s["heads"],
        "feed_forward_proj": "gated-gelu", "tie_word_embeddings": True,
    },
    "bert": lambda s: {},
    **dict.fromkeys(["cohere", "exaone4", "phi", "apertus", "glm", "smollm3", "olmo", "arcee",
                     "internlm3", "roberta", "mpnet", "ernie4_5", "hunyuan_v1_dense"],
                    lambda s: {}),
    "cohere2": lambda s: {"sliding_window": 64},
    "olmo3": lambda s: {"sliding_window": 64},
    "seed_oss": lambda s: {"attention_bias": s["tied"], "attention_out_bias": s["tied"]},
    "nemotron": lambda s: {"attention_bias": s["tied"], "mlp_bias": s["tied"]},
    "starcoder2": lambda s: {"use_bias": not s["tied"]},
    "stablelm": lambda s: {
        "qk_layernorm": s["tied"], "use_parallel_residual": s["tied"],
        "use_qkv_bias": not s["tied"],
    },
    "persimmon": lambda s: {},
    "minicpm3": lambda s: {
        "q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
        "v_head_dim": 16, "num_key_value_heads": s["heads"],
    },
    "gpt2": lambda s: {**gpt(s), "tie_word_embeddings": True},
    "gpt_bigcode": lambda s: {
        **gpt(s), "multi_query": s["groups"] == 1, "tie_word_embeddings": True,
    },
    "codegen": lambda s: {**gpt(s), "rotary_dim": 8, "tie_word_embeddings": False},
    "nomic_bert": lambda s: {},
    "modernbert": lambda s: {"num_hidden_layers": s["layers"] + 1},
    "gemma4_text": lambda s: {
        "global_head_dim": 2 * s["head_dim"], "attention_k_eq_v": s["tied"],
        "num_global_key_value_heads": 1, "sliding_window": 64, "tie_word_embeddings": True,
        "hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": s["vocab"],
        "num_hidden_layers": 14, "num_kv_shared_layers": 2, "use_double_wide_mlp": s["tied"],
    },
    "gemma3n_text": lambda s: {
        "sliding_window": 64, "hidden_size_per_layer_input": 16, "num_hidden_layers": 10,
        "vocab_size_per_layer_input": s["vocab"], "laurel_rank": 4, "num_kv_shared_layers": 3,
        "tie_word_embeddings": True,
    },
    "whisper": lambda s: {
        "d_model": 32, "encoder_layers": s["layers"], "decoder_layers": 2, "num_mel_bins": 20,
        "encoder_attention_heads": 2, "decoder_attention_heads": 4, "encoder_ffn_dim": s["ffn"],
        "decoder_ffn_dim": 56, "max_source_positions": 30, "max_target_positions": 20,
        "tie_word_embeddings": True,
    },
    "llava": lambda s: {"text_config": llama(s), "vision_config": eye("clip_vision_model")},
    "mistral3": lambda s: {
        "text_config": llama(s) | {"model_type": "mistral"}, "spatial_merge_size": 2,
        "vision_config": eye("pixtral") | {"head_dim": 8},
        "multimodal_projector_bias": s["tied"],
    },
    "idefics3": lambda s: {"text_config": llama(s), "vision_config": eye("idefics3_vision")},
    "qwen2_vl": lambda s: {
        "text_config": llama(s) | {"model_type": "qwen2_vl_text"},
        "vision_config": {"depth": 2, "embed_dim": 32, "num_heads": 4, "patch_size": 4,
                          "hidden_size": s["heads"] * s["head_dim"]},
    },
    "qwen3_vl": lambda s: {
        "text_config": llama(s) | {"model_type": "qwen3_vl_text"},
        "vision_config": {"depth": 4, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4,
                          "out_hidden_size": s["heads"] * s["head_dim"], "patch_size": 4,
                          "num_position_embeddings": 16, "deepstack_visual_indexes": [1, 2]},
    },
    "glm4v": lambda s: {
        "text_config": llama(s) | {"model_type": "glm4v_text", "tie_word_embeddings": False},
        "vision_config": {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4,
                          "out_hidden_size": s["heads"] * s["head_dim"], "image_size": 16,
                          "patch_size": 4},
        "tie_word_embeddings": False,
    },
    "mllama": lambda s: {
        "text_config": llama(s) | {
            "model_type": "mllama_text_model", "cross_attention_layers": [1],
            "num_hidden_layers": 3, "head_dim": None, "tie_word_embeddings": False},
        "vision_config": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                          "num_global_layers": 1, "attention_heads": 4, "image_size": 16,
                          "patch_size": 4, "max_num_tiles": 2, "vision_output_dim": 64,
                          "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
                          "intermediate_layers_indices": [0]},
    },
}  # fmt: skip


def gpt(s: dict[str, Any]) -> dict[str, Any]:
    return {
        "n_embd": s["heads"] * s["head_dim"], "n_layer": s["layers"], "n_head": s["heads"],
        "n_inner": s["ffn"], "n_positions": 64,
    }  # fmt: skip


def llama(s: dict[str, Any]) -> dict[str, Any]:
    return common(s) | {"model_type": "llama"}


def eye(model_type: str) -> dict[str, Any]:
    return {
        "model_type": model_type, "hidden_size": 32, "intermediate_size": 48, "image_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 4,
    }  # fmt: skip


# Keys that these configurations compute themselves and would refuse or misread.
UNKNOWN = {
    "falcon": ["head_dim"],
    "mamba": ["intermediate_size"],
    "t5": ["hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads"],
    **dict.fromkeys(
        ["gpt2", "gpt_bigcode", "codegen", "whisper"],
        ("hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
         "head_dim", "intermediate_size", "max_position_embeddings")),
    "minicpm3": ["head_dim"],
    **dict.fromkeys(
        ["llava", "mistral3", "idefics3", "qwen2_vl", "qwen3_vl", "glm4v", "mllama"],
        ("hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
         "head_dim", "intermediate_size", "max_position_embeddings", "vocab_size",
         "pad_token_id")),
}  # fmt: skip

# The class that holds no head, or a head of another task, where it is not the causal one.
AUTO = {
    **dict.fromkeys(["bert", "roberta", "mpnet", "nomic_bert", "modernbert"], "AutoModel"),
    "t5": "AutoModelForSeq2SeqLM",
    "whisper": "AutoModelForSpeechSeq2Seq",
    **dict.fromkeys(
        ["llava", "mistral3", "idefics3", "qwen2_vl", "qwen3_vl", "glm4v", "mllama"],
        "AutoModelForImageTextToText"),
}  # fmt: skip


def transformers_count(config: dict[str, Any]) -> int:
    """Return the parameters of the model that transformers builds, tied ones once."""
    import torch
    import transformers

    built = transformers.AutoConfig.for_model(**config)
    auto = getattr(transformers, AUTO.get(config["model_type"], "AutoModelForCausalLM"))
    with torch.device("meta"):
        model = auto.from_config(built)
    model.tie_weights()
    return sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())


@pytest.mark.parametrize("model_type", EXTRA)
@settings(max_examples=8, deadline=None)
@given(s=sizes)
def test_counts_equal_transformers(model_type: str, s: dict[str, Any]) -> None:
    pytest.importorskip("transformers", reason="run tests/peers/setup.sh first")
    config = {"model_type": model_type, **common(s), **EXTRA[model_type](s)}
    for key in UNKNOWN.get(model_type, ()):
        config.pop(key)
    ours = parameter_count(model_from_config(config, Path("config.json")))
    assert ours == transformers_count(config)
