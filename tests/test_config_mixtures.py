"""Every family with experts or states: counts, and what it keeps, against independent ones.

`shared` holds published configs with two counts each: transformers' own on the meta device
(`_params_oracle`) and the total of the checkpoint's files (`_params_published`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from llmplan.catalog.user_files import model_from_config
from llmplan.errors import InputError
from llmplan.memory.formats import kv_format
from llmplan.memory.kv_cache import cached_layers, layer_token_bytes, request_bytes
from llmplan.memory.parameters import (
    active_parameter_count,
    draft_parameter_count,
    parameter_count,
)
from llmplan.specs.model import Model

TYPES = """
afmoe bailing_hybrid bailing_moe_v2 dbrx deepseek deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v4
dots1 ernie4_5_moe exaone_moe falcon_mamba glm4_moe glm4_moe_lite glm5_next glm_moe_dsa granitemoe
granitemoehybrid hunyuan_v1_moe jamba kimi_k3 laguna lfm2 lfm2_moe mamba mimo_v2_flash minimax
minimax_m2 minimax_m3 mixtral nemotron_h olmoe phimoe qwen2_moe qwen3_moe qwen3_next solar_open
step3p7
""".split()

COMPLETIONS = yaml.safe_load((ROOT / "tests/tools/catalogue/completions.yaml").read_text())

INCOMPLETE = ("partial", "incomplete-config")

# Configs whose count differs from both figures: by how much from the oracle (or, without one,
# from the published count), and why.
DIFFERENCES = {
    "zai-org/GLM-4.7-Flash": (
        -31_090_688, "the config states head_dim 102, which transformers takes for the RoPE width",
    ),
    "stepfun-ai/Step-3.7-Flash": (2 * 81 * 4096, "the oracle's vocabulary is its class's default"),
    "moonshotai/Kimi-K3": (
        -(92 * 896 + 2_208), "correction biases of 92 routers are stored; 2,208 are not explained",
    ),
    "MiniMaxAI/MiniMax-M3": (-865_574_528, "its config here has no tower, which the files hold"),
}  # fmt: skip


def read(config: dict[str, Any]) -> Model:
    plain = {k: v for k, v in config.items() if not k.startswith("_")}
    plain.pop("quantization_config", None)
    if isinstance(plain.get("text_config"), dict):
        plain["text_config"] = {
            k: v for k, v in plain["text_config"].items() if k != "quantization_config"
        }
    return model_from_config(plain, Path("config.json"))


def published(shared: Path, name: str, **facts: Any) -> tuple[Model, dict[str, Any]]:
    """Return a published config, with facts of the model that its copy lacks, and its figures."""
    path = shared / f"data/models/configs/{name.replace('/', '__')}.json"
    config = json.loads(path.read_text()) | facts
    return read(config), config


@pytest.mark.parametrize("model_type", TYPES)
def test_counts_equal_the_oracle_or_the_published_total(shared: Path, model_type: str) -> None:
    checked = 0
    for path in sorted((shared / "data/models/configs").glob("*.json")):
        config = json.loads(path.read_text())
        if config.get("model_type") != model_type or config["_confidence"] in INCOMPLETE:
            continue
        try:
            model = read(config)
        except InputError as e:
            assert config["_confidence"] == "shapes-only", (path.name, e)
            assert "lacks" in str(e)
            continue
        count = parameter_count(model)
        figures = [x for x in (config["_params_oracle"], config["_params_published"]) if x]
        difference, _ = DIFFERENCES.get(config["_id"], (0, ""))
        if difference:
            assert count == figures[0] + difference, path.name
        else:
            assert count in figures, path.name
        checked += 1
    assert checked


# What a checkpoint's files hold beside the served model and its MTP layers: the correction bias
# of each router (experts a layer), tables that route by token, embedding and head repeated.
@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", 0),
        ("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", 0),
        ("zai-org/GLM-5.1", 76 * 256),
        ("zai-org/GLM-5.2", 76 * 256),
        ("zai-org/GLM-4.6", 90 * 160),
        ("zai-org/GLM-4.7-Flash", 47 * 64 + 2 * 154_880 * 2048),
        ("deepseek-ai/DeepSeek-V4-Flash", 3 * 129_280 * 6 + 41 * 256),
        ("deepseek-ai/DeepSeek-V4-Pro", 3 * 129_280 * 6 + 59 * 384),
        ("MiniMaxAI/MiniMax-M2", 62 * 256),
        ("inclusionAI/Ling-1T", 76 * 256),
        ("rednote-hilab/dots.llm1.inst", 61 * 128),
        ("LGAI-EXAONE/K-EXAONE-236B-A23B", 47 * 128),
        ("stepfun-ai/Step-3.7-Flash", 42 * 288 + 3 * 128_896 * 4096),
        ("ai21labs/AI21-Jamba2-3B", 0),
        ("ai21labs/AI21-Jamba-Reasoning-3B", 65_536 * 2560),
        ("inclusionAI/Ling-lite-1.5", 0),
        ("Snowflake/snowflake-arctic-instruct", 0),
        ("LiquidAI/LFM2-2.6B", 0),
        ("LiquidAI/LFM2-24B-A2B", 38 * 64),
        ("poolside/Laguna-XS.2", 0),
        ("poolside/Laguna-S-2.1", 0),
        ("poolside/Laguna-M.1", 0),
    ],
)
def test_the_files_hold_model_draft_and_what_is_named(shared: Path, name: str, stored: int) -> None:
    """To the unit: safetensors totals on the Hub (2026-11)."""
    model, config = published(shared, name, **COMPLETIONS.get(name, {}).get("set", {}))
    assert (
        parameter_count(model) + draft_parameter_count(model) + stored
        == config["_params_published"]
    )


def test_minimax_m3_with_its_tower(shared: Path) -> None:
    """The tower of transformers' defaults and 57 x 128 correction biases make the total exact."""
    path = shared / "data/models/configs/MiniMaxAI__MiniMax-M3.json"
    text = json.loads(path.read_text())
    model = read({"model_type": "minimax_m3_vl", "text_config": text, "vision_config": {}})
    assert parameter_count(model) + 57 * 128 == text["_params_published"]


ACTIVE = {  # billions, from the makers' model cards; embedding and head counted or not
    "MiniMaxAI/MiniMax-M2": 10, "Qwen/Qwen3-235B-A22B": 22, "zai-org/GLM-4.5": 32,
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": 12, "tencent/Hunyuan-A13B-Instruct": 13,
    "deepseek-ai/DeepSeek-V4-Flash": 13, "deepseek-ai/DeepSeek-V4-Pro": 49,
    "moonshotai/Kimi-K2-Instruct": 32, "inclusionAI/Ling-mini-2.0": 1.4,
}  # fmt: skip


@pytest.mark.parametrize(("name", "billions"), ACTIVE.items())
def test_active_parameters_are_those_on_the_card(shared: Path, name: str, billions: float) -> None:
    model, _ = published(shared, name)
    embedding = model.vocab_size * model.main.hidden_size
    active = active_parameter_count(model)
    assert active - 2 * embedding <= billions * 1.06e9
    assert active >= billions * 0.94e9


V4_FLASH_ROWS = {0: (2, 0), 4: (21, 128), 128: (20, 0)}
"""Layers of DeepSeek-V4-Flash by compression, and the width of their indexer's keys."""


def test_cache_of_compressed_attention(shared: Path) -> None:
    """vLLM 0.33.0: rows of 512 elements (584 B packed) a window token or compressed entry."""
    model, _ = published(shared, "deepseek-ai/DeepSeek-V4-Flash")
    groups = cached_layers(model)
    for name, row in (("bf16", 1024), ("fp8_ds_mla", 584)):
        kv = kv_format(name)
        slope = sum(
            layer_token_bytes(g.cache, kv) * len(g.layers) for g in groups if not g.cache.limit
        )
        entries = sum(
            n * (row + (keys + 4 if keys else 0)) / ratio
            for ratio, (n, keys) in V4_FLASH_ROWS.items()
            if ratio
        )
        assert slope == pytest.approx(entries)
    windows = [g for g in groups if g.cache.limit == 128 and g.cache.key_dim]
    assert sum(len(g.layers) for g in windows) == 43
    # float32 states of the tokens behind the next entry: 2 x 2 x (512 + 128) for 8 tokens at 4:1,
    # 2 x 512 for 128 tokens at 128:1 (models/deepseek_v4/compressor.py, CompressorStateCache)
    states = sum(
        layer_token_bytes(g.cache, kv_format("bf16")) * g.cache.limit * len(g.layers)
        for g in groups
        if g.cache.row_bytes
    )
    assert states == 21 * 2560 * 4 * 8 + 20 * 1024 * 4 * 128


def test_compressed_cache_is_whole_on_every_rank(shared: Path) -> None:
    model, _ = published(shared, "deepseek-ai/DeepSeek-V4-Pro")
    groups, kv = cached_layers(model), kv_format("bf16")
    alone = request_bytes(groups, kv, tokens=100_000)
    assert request_bytes(groups, kv, tokens=100_000, tp=8) == alone


@pytest.mark.parametrize(
    ("name", "gib", "pooled"),
    [
        ("deepseek-ai/DeepSeek-V4-Pro", 9.62, 30 / 4),
        ("deepseek-ai/DeepSeek-V4-Flash", 6.72, 21 / 4),
    ],
)
def test_compressed_cache_of_a_million_tokens(
    shared: Path, name: str, gib: float, pooled: float
) -> None:
    """GiB a sequence of 2^20 tokens (vllm.ai/blog/deepseek-v4, and a reader's count for Flash).

    Their indexer keys have 16 bits; the engine's own take 128 + 4 bytes.
    """
    model, _ = published(shared, name)
    groups, kv = cached_layers(model), kv_format("bf16")
    entries = [g for g in groups if not g.cache.limit]
    size = sum(layer_token_bytes(g.cache, kv) * len(g.layers) for g in entries)
    assert round((size + pooled * (2 * 128 - 132)) * 2**20 / 2**30, 2) == gib


def test_deepseek_v4_cache_against_v32(shared: Path) -> None:
    """The makers' report (2026-04): at 1M tokens V4-Pro keeps 10 % of V3.2's cache, Flash 7 %."""
    kv, tokens = kv_format("fp8_ds_mla"), 1_000_000
    whole, _ = published(shared, "deepseek-ai/DeepSeek-V3.2")
    of_v32 = request_bytes(cached_layers(whole), kv, tokens=tokens)
    for name, percent in (("Pro", 10), ("Flash", 7)):
        model, _ = published(shared, f"deepseek-ai/DeepSeek-V4-{name}")
        share = request_bytes(cached_layers(model), kv, tokens=tokens) / of_v32
        assert 100 * share == pytest.approx(percent, abs=2)


def test_state_of_kimi_delta_attention() -> None:
    """vLLM 0.33.0 kda_state_shape: heads x 128 x 128 in float32, 3 x width x 3 of convolution."""
    model = read(KIMI_LINEAR)
    groups = cached_layers(model)
    states = [g for g in groups if g.cache.state_units]
    assert [(g.cache.state_elements, g.cache.conv_elements, len(g.layers)) for g in states] == [
        (32 * 128 * 128, 3 * 4096 * 3, 20)
    ]
    assert states[0].cache.state_bits == 32
    latent = [g for g in groups if g.cache.latent]
    assert (latent[0].cache.key_dim, len(latent[0].layers)) == (512 + 64, 7)


KIMI_LINEAR = {
    "model_type": "kimi_linear", "architectures": ["KimiLinearForCausalLM"],
    "vocab_size": 163_840, "hidden_size": 2304, "intermediate_size": 9216,
    "moe_intermediate_size": 1024, "num_hidden_layers": 27, "num_attention_heads": 32,
    "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1,
    "first_k_dense_replace": 1, "tie_word_embeddings": False,
    "linear_attn_config": {
        "full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32,
        "short_conv_kernel_size": 4,
    },
}  # fmt: skip
"""Kimi-Linear-48B-A3B-Instruct: config.json of 2025-10, which counts layers from one."""


def test_kimi_linear_is_48_billion_with_3_active() -> None:
    model = read(KIMI_LINEAR)
    assert round(parameter_count(model) / 1e9) in (48, 49)
    assert round(active_parameter_count(model) / 1e9) == 3


def test_pooled_indexer_keys(shared: Path) -> None:
    """GLM-5.3-Flash keeps one indexer key of 128 + 4 B for 16 tokens in 11 layers."""
    model, _ = published(shared, "zai-org/GLM-5.3-Flash")
    groups, kv = cached_layers(model), kv_format("bf16")
    slope = sum(layer_token_bytes(g.cache, kv) * len(g.layers) for g in groups if not g.cache.limit)
    assert slope == 11 * (512 * 2 + (128 + 4) / 16)


def test_selecting_layers_keep_keys_of_their_own(shared: Path) -> None:
    """MiniMax M3: 60 layers of 4 x 2 x 128, and 128 more in the 57 that select, at 16 bits."""
    model, _ = published(shared, "MiniMaxAI/MiniMax-M3")
    groups, kv = cached_layers(model), kv_format("bf16")
    assert request_bytes(groups, kv, tokens=1) == 60 * 4 * 2 * 128 * 2 + 57 * 128 * 2


def test_shared_selection_has_no_indexer(shared: Path) -> None:
    """GLM-5.2: 21 of 78 layers select tokens and cache the indexer's keys."""
    model, _ = published(shared, "zai-org/GLM-5.2")
    keys = [g for g in cached_layers(model) if g.cache.extra_dim]
    assert [len(g.layers) for g in keys] == [21]


def test_latent_experts_work_in_their_own_width(shared: Path) -> None:
    model, _ = published(shared, "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16")
    sizes = {b.mlp.latent_size for b in model.main.blocks.values() if b.mlp and b.mlp.kind == "moe"}
    assert sizes == {1024}


@pytest.mark.parametrize(
    ("spelled", "same"),
    [
        ({"hybrid_override_pattern": "M*-M"},
         {"layers_block_type": ["mamba", "attention", "mlp", "mamba"]}),
        ({"hybrid_override_pattern": "M|*|-|M"},
         {"layers_block_type": ["linear_attention", "full_attention", "mlp", "linear_attention"]}),
    ],
)  # fmt: skip
def test_spellings_of_a_layer_pattern(spelled: dict[str, Any], same: dict[str, Any]) -> None:
    base = {
        "model_type": "nemotron_h", "vocab_size": 200, "hidden_size": 64, "intermediate_size": 96,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "mamba_num_heads": 4,
        "mamba_head_dim": 16, "ssm_state_size": 8, "n_groups": 2, "conv_kernel": 4,
    }  # fmt: skip
    one, other = read(base | spelled), read(base | same)
    assert one.main.layers == other.main.layers
    assert parameter_count(one) == parameter_count(other)


def test_attention_layers_of_lfm2_by_index() -> None:
    base = {
        "model_type": "lfm2", "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "block_ff_dim": 96,
    }  # fmt: skip
    named = read(base | {"layer_types": ["conv", "full_attention", "conv"]})
    assert read(base | {"full_attn_idxs": [1]}).main == named.main


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("LiquidAI/LFM2-2.6B", "layer_types"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-4B-BF16", "mamba_num_heads"),
        ("inclusionAI/Ling-lite-1.5", "num_shared_experts"),
        ("XiaomiMiMo/MiMo-V2.5", "v_head_dim"),
        ("Snowflake/snowflake-arctic-instruct", "moe_layer_frequency"),
        ("Qwen/Qwen3.8-Flash-Next", "indexer_n_heads"),
        ("stepfun-ai/Step-3.5-Flash", "num_key_value_heads"),
    ],
)
def test_missing_facts_are_named(shared: Path, name: str, key: str) -> None:
    with pytest.raises(InputError, match=f"lacks '{key}'"):
        published(shared, name)


def test_ngram_tables_are_bounded() -> None:
    config = {
        "model_type": "qwen4_exp_text", "vocab_size": 100, "hidden_size": 64,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_experts": 4,
        "num_experts_per_tok": 2, "indexer_n_heads": 2, "indexer_head_dim": 16,
        "indexer_compress_ratio": 4, "ple_layer_ids": [1], "ngram_vocab_size_base": 10**18,
    }  # fmt: skip
    with pytest.raises(InputError, match="ngram_vocab_size_base"):
        read(config)


def test_idle_experts_have_no_weights() -> None:
    """LongCat-Flash: transformers 5.23 counts 741,053,585,408 with 256 idle experts as real ones
    in the gate and up projection of 28 layers; the model card says 560B.
    """
    config = {
        "model_type": "longcat_flash", "vocab_size": 131_072, "hidden_size": 6144,
        "num_layers": 28, "num_attention_heads": 64, "ffn_hidden_size": 12_288,
        "expert_ffn_hidden_size": 2048, "n_routed_experts": 512, "zero_expert_num": 256,
        "moe_topk": 12, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "v_head_dim": 128,
    }  # fmt: skip
    model = read(config)
    assert parameter_count(model) == 741_053_585_408 - 28 * 256 * 2 * 2048 * 6144
    latent = cached_layers(model)
    assert [len(g.layers) for g in latent] == [56]
