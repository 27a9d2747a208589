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
}  # fmt: skip


# Keys that these configurations compute themselves and would refuse or misread.
UNKNOWN = {
    "falcon": ["head_dim"],
    "mamba": ["intermediate_size"],
    "t5": ["hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads"],
}


def transformers_count(config: dict[str, Any]) -> int:
    """Return the parameters of the model that transformers builds, tied ones once."""
    import torch
    import transformers

    built = transformers.AutoConfig.for_model(**config)
    if config["model_type"] == "bert":
        auto = transformers.AutoModel
    elif config["model_type"] == "t5":
        auto = transformers.AutoModelForSeq2SeqLM
    else:
        auto = transformers.AutoModelForCausalLM
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
