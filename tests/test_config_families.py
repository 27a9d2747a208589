"""Every family of dense decoders, encoders and vision models: counts against independent ones.

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
from model_entry import merged

from llmplan.catalog.user_files import model_from_config
from llmplan.errors import InputError
from llmplan.memory.parameters import draft_parameter_count, parameter_count
from llmplan.sources.config_json import context_tokens
from llmplan.specs.mixers import Attention
from llmplan.specs.model import Model

TYPES = """
apertus aquila arcee baichuan bert chatglm codegen cohere cohere2 ernie4_5 exaone4 falcon falcon_h1
gemma3 gemma4 glm glm4v gpt2 gpt_bigcode gptj hunyuan_v1_dense internlm internlm2 internlm3 kimi_k25
llama4 llava mimo minicpm minicpm3 mistral3 mllama modernbert mpnet mpt muse_glimmer nemotron
nemotron-nas nomic_bert olmo olmo3 opt orion phi phi3small qwen qwen2_5_vl qwen2_vl qwen3_5
qwen3_5_moe qwen3_5_moe_text qwen3_vl qwen3_vl_moe seed_oss smollm3 stablelm starcoder2 t5
xlm-roberta
""".split()

INCOMPLETE = ("shapes-only", "partial", "incomplete-config")

# Configs whose count differs from both figures, by how much from the oracle (or, without one,
# from the published count), and why.
UNTIED_T5 = "the head of T5 1.1 is its own; keras-hub's T0 counts agree, the oracle lacks it"
DIFFERENCES = {
    "OrionStarAI/Orion-14B-Base": (81 * 5120, "layer norms have biases; the oracle is Llama's"),
    "microsoft/Phi-3-small-8k-instruct": (-2048, "the 128k checkpoint stores 2,048 fewer"),
    "THUDM/chatglm-6b": (6_173_286_400 - 6_200_000_000, "the published figure is rounded"),
    "ClueAI/ChatYuan-large-v2": (32_128 * 1024, UNTIED_T5),
    "ClueAI/PromptCLUE-base": (32_128 * 768, UNTIED_T5),
    "bigscience/T0_3B": (32_128 * 2048, UNTIED_T5),
    "bigscience/T0pp": (32_128 * 4096, UNTIED_T5),
    "google/flan-t5-xxl": (32_128 * 4096, UNTIED_T5),
    "google/t5-v1_1-xl": (32_128 * 2048, UNTIED_T5),
}

COMPLETIONS = yaml.safe_load((ROOT / "tests/tools/catalogue/completions.yaml").read_text())
"""Copies that lack facts: what the published config.json says besides, how many elements the
files hold beyond the served parameters, and why."""


def config_of(shared: Path, hub_id: str, **extra: Any) -> dict[str, Any]:
    name = f"{hub_id.replace('/', '__')}.json"
    path = shared / "data/models/configs" / name
    path = path if path.exists() else ROOT / "tests/tools/catalogue/configs" / name
    config: dict[str, Any] = json.loads(path.read_text())
    return merged(config, extra)


def read(config: dict[str, Any]) -> Model:
    return model_from_config(config, Path("config.json"))


def test_counts_equal_the_oracle_or_the_published_total(shared: Path) -> None:
    compared = 0
    for path in sorted((shared / "data/models/configs").glob("*.json")):
        config = json.loads(path.read_text())
        hub_id, confidence = config["_id"], config["_confidence"]
        if config.get("model_type") not in TYPES or confidence in INCOMPLETE:
            continue
        if hub_id in COMPLETIONS:
            continue
        count = parameter_count(read(config))
        oracle, published = config["_params_oracle"], config["_params_published"]
        if hub_id in DIFFERENCES:
            assert count == (oracle or published) + DIFFERENCES[hub_id][0], hub_id
        else:
            assert count in {oracle, published} - {None}, hub_id
        compared += 1
    assert compared >= 170


@pytest.mark.parametrize("hub_id", COMPLETIONS)
def test_completed_configs_equal_the_published_total(shared: Path, hub_id: str) -> None:
    said = COMPLETIONS[hub_id]
    stored = said.get("stored_more", 0)
    config = config_of(shared, hub_id)
    if "wrap" in said:
        config |= {"model_type": said["wrap"], "text_config": dict(config)}
    model = read(merged(config, said["set"]))
    total = parameter_count(model) + stored
    assert config["_params_published"] in (total, total + draft_parameter_count(model))


@pytest.mark.parametrize(
    ("hub_id", "fact"),
    [
        ("openai/whisper-large-v3", "d_model"),
        ("nvidia/Llama-3_1-Nemotron-Ultra-253B-v1", "block_configs"),
        ("OpenGVLab/InternVL3-8B", "hidden_size"),
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "text_config"),
        ("moonshotai/Kimi-VL-A3B-Instruct", "hidden_size"),
    ],
)
def test_a_missing_fact_is_named(shared: Path, hub_id: str, fact: str) -> None:
    with pytest.raises(InputError, match=fact):
        read(config_of(shared, hub_id))


@pytest.mark.parametrize(
    "hub_id",
    ["XiaomiMiMo/MiMo-7B-Base", "Qwen/Qwen3.5-35B-A3B", "Qwen/Qwen3.5-397B-A17B",
     "Qwen/Qwen3.5-122B-A10B"],
)  # fmt: skip
def test_served_and_draft_make_the_stored_total(shared: Path, hub_id: str) -> None:
    config = config_of(shared, hub_id)
    model = read(config)
    stored = parameter_count(model) + draft_parameter_count(model)
    assert stored == config["_params_published"]


WHISPER = {
    "model_type": "whisper", "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32,
    "encoder_attention_heads": 20, "decoder_attention_heads": 20, "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120, "num_mel_bins": 128, "vocab_size": 51866,
    "max_source_positions": 1500, "max_target_positions": 448,
}  # fmt: skip
SHARED_KV = 2 * 512 * 2048 + 256  # K, V and the K norm that Gemma 3n's files hold for each
GEMMA_3N_E2B = {"num_hidden_layers": 30, "intermediate_size": 8192, "num_kv_shared_layers": 10}
OPT_350M = {
    "model_type": "opt", "hidden_size": 1024, "word_embed_proj_dim": 512, "ffn_dim": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "vocab_size": 50272,
    "max_position_embeddings": 2048, "do_layer_norm_before": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "published"),
    [
        (WHISPER, 1_543_490_560),  # its safetensors total on the Hub
        (OPT_350M, 331_196_416),  # facebook/opt-350m, transformers
        ({"model_type": "gemma3n"}, 7_849_978_192 - 15 * SHARED_KV),  # E4B is the class default
        ({"model_type": "gemma3n", "text_config": GEMMA_3N_E2B}, 5_439_438_272 - 10 * SHARED_KV),
    ],
    ids=["whisper-large-v3", "opt-350m", "gemma-3n-e4b", "gemma-3n-e2b"],
)
def test_published_counts_of_other_configs(config: dict[str, Any], published: int) -> None:
    assert parameter_count(read(config)) == published


GPT2 = {"model_type": "gpt2", "vocab_size": 50257}


@pytest.mark.parametrize(
    "spelling",
    [
        {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024},
        {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_inner": None},
        {"hidden_dim": 768, "num_layers": 12, "n_head": 12, "max_seq_len": 1024,
         "ffn_embed_dim": 3072},
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "max_position_embeddings": 1024, "intermediate_size": 3072},
        {"d_model": 768, "n_layers": 12, "n_heads": 12, "n_positions": 1024, "ffn_dim": 3072},
    ],
)  # fmt: skip
def test_old_spellings_mean_the_same(spelling: dict[str, Any]) -> None:
    """GPT-2's 124,439,808 parameters (transformers), however its config is spelt."""
    assert parameter_count(read(GPT2 | spelling)) == 124_439_808


def test_falcon_before_its_renaming() -> None:
    """Falcon-40B and 7B as first published: RefinedWeb with n_layer, n_head, n_head_kv."""
    big = {"model_type": "RefinedWeb", "hidden_size": 8192, "n_layer": 60, "n_head": 128,
           "n_head_kv": 8, "vocab_size": 65024, "bias": False}  # fmt: skip
    small = {"model_type": "RefinedWebModel", "hidden_size": 4544, "n_layer": 32, "n_head": 71,
             "multi_query": True, "parallel_attn": True, "vocab_size": 65024}  # fmt: skip
    assert parameter_count(read(big)) == 41_303_293_952
    assert parameter_count(read(small)) == 6_921_720_704


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"n_positions": 1024, "n_ctx": 1024}, 1024),
        ({"max_seq_len": 2048}, 2048),
        ({"seq_length": 8192, "max_position_embeddings": 32768}, 8192),  # Qwen-7B-Chat
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),  # Command R
        ({"max_sequence_length": 2048}, 2048),  # ChatGLM-6B
        ({"max_target_positions": 448}, 448),  # Whisper
        ({"text_config": {"max_position_embeddings": 131072}}, 131072),
        ({"llm_config": {"max_position_embeddings": 32768}}, 32768),  # InternVL
        ({"model_type": "xlm-roberta", "max_position_embeddings": 8194, "pad_token_id": 1}, 8192),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"max_position_embeddings": "4096"}, None),
        ({"max_position_embeddings": True}, None),
        ({"max_position_embeddings": -1}, None),
        ({}, None),
    ],
)
def test_context_in_any_spelling(config: dict[str, Any], tokens: int | None) -> None:
    assert context_tokens(config) == tokens


def test_bare_models_have_no_head(shared: Path) -> None:
    """gte-Qwen2-7B's 7,069,121,024 parameters are Qwen2-7B's without the head."""
    config = config_of(shared, "Alibaba-NLP/gte-Qwen2-7B-instruct")
    bare = read(config | {"architectures": ["Qwen2Model"]})
    whole = read(config | {"architectures": ["Qwen2ForCausalLM"]})
    assert parameter_count(bare) == config["_params_oracle"]
    assert parameter_count(whole) - parameter_count(bare) == 151_646 * 3584
    assert read(GPT2 | {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 4,
                        "architectures": ["GPT2LMHeadModel"]}).head  # fmt: skip


# Layers without a window, and the layers: read off the model cards.
FULL_LAYERS = {
    "CohereLabs/c4ai-command-a-03-2025": (16, 64),  # three sliding to one
    "LGAI-EXAONE/EXAONE-4.0-32B": (16, 64),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": (30, 30),
    "allenai/Olmo-3-7B-Instruct": (8, 32),
    "google/gemma-4-31B-it": (10, 60),  # five sliding to one
    "meta-models/Muse-Glimmer-30B": (13, 52),
    "bigcode/starcoder2-15b": (0, 40),
}


@pytest.mark.parametrize("hub_id", FULL_LAYERS)
def test_windows_follow_the_published_pattern(shared: Path, hub_id: str) -> None:
    layers = read(config_of(shared, hub_id)).attention_layers()
    assert (sum(a.window is None for a in layers), len(layers)) == FULL_LAYERS[hub_id]


def test_caches_that_layers_share(shared: Path) -> None:
    """Gemma 4 E2B: num_kv_shared_layers says that the last 20 of 35 read an earlier cache."""
    layers = read(config_of(shared, "google/gemma-4-E2B-it")).attention_layers()
    assert [a.shares_kv for a in layers] == [False] * 15 + [True] * 20


def test_cross_attention_stands_where_the_config_says(shared: Path) -> None:
    config = config_of(shared, "meta-llama/Llama-3.2-11B-Vision-Instruct")
    layers = read(config).attention_layers()
    crossing = [i for i, a in enumerate(layers) if isinstance(a, Attention) and a.cross]
    assert crossing == config["text_config"]["cross_attention_layers"]


def test_layers_of_a_searched_architecture(shared: Path) -> None:
    """Nemotron Super 49B drops attention in some layers: no cache there (`no_op`)."""
    config = config_of(shared, "nvidia/Llama-3_3-Nemotron-Super-49B-v1")
    kept = sum(not b["attention"]["no_op"] for b in config["block_configs"])
    model = read(config)
    assert len(model.attention_layers()) == kept
    assert len(model.main.layers) == 80
