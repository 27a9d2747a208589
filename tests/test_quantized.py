"""Quantized checkpoints: their format, what they leave out, hostile patterns, adapters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.engines.vllm_launch import LORA_RANKS
from llmplan.errors import InputError
from llmplan.memory.adapters import slot_adapter
from llmplan.memory.faults import model_faults
from llmplan.memory.formats import weight_format
from llmplan.memory.parameters import parameter_count
from llmplan.memory.weights import weight_bytes
from llmplan.sources.config_json import architecture_from_config
from llmplan.sources.layers import layer_runs
from llmplan.sources.quantized import quantized_format
from llmplan.sources.quantized_parts import excluded, regex_globs, wildcard
from llmplan.sources.quantized_parts import layer_runs as runs
from llmplan.specs.facts import Adapter
from llmplan.specs.loading import expand_layers, layer_numbers

GROUP = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": 128}
LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32000,
    "num_hidden_layers": 4, "num_attention_heads": 32, "num_key_value_heads": 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq-int4"),
        ({"quant_method": "awq", "w_bit": 4, "group_size": 64}, "awq-int4-g64"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq-int4"),
        ({"quant_method": "gptq", "bits": 3, "group_size": -1}, "gptq-int3-channel"),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 32}, "gptq-int4-g32"),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128,
          "packing_format": "auto_round:auto_awq"}, "awq-int4"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block"),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8-channel"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-int8"),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {
            "nbits": 4, "group_size": 64}}}, "hqq-int4"),
        ({"quant_method": "eetq"}, "int8-w8a16"),
        ({"quant_method": "quanto", "weights": "int4"}, "quanto-int4"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "torchao-int4"),
        ({"quant_method": "bitnet"}, "bitnet-1.58"),
        ({"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 16,
          "in_group_size": 8}, "aqlm:2bpw"),
        ({"quant_method": "higgs", "bits": 4}, "higgs:4bpw"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_algo": "FP8", "exclude_modules": ["lm_head"]}, "fp8"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {
            "dtype": "fp8_e4m3", "qscheme": "per_channel"}}}, "fp8-channel"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": GROUP}}},
         "compressed-tensors-w4a16"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {
            "weights": {"type": "int", "num_bits": 8, "strategy": "channel"},
            "input_activations": {"num_bits": 8}}}}, "int8-w8a8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {
            "weights": {"type": "float", "num_bits": 4, "strategy": "tensor_group"}}}}, "nvfp4"),
    ],
)  # fmt: skip
def test_every_tool_writes_a_known_format(quant: dict[str, Any], expected: str) -> None:
    assert quantized_format(quant) == expected
    fmt = weight_format(expected)
    assert 1 <= fmt.bits <= 8
    record = architecture_from_config({**LLAMA, "quantization_config": quant})
    assert record["native_format"] == expected


@pytest.mark.parametrize(
    "quant",
    [
        {"quant_method": "spqr"},
        {"quant_method": "made-up"},
        {"quant_method": "awq", "bits": 4, "group_size": 100},
        {"quant_method": "gptq", "bits": True},
        {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int3"}}},
        {"quant_method": "compressed-tensors", "config_groups": {}},
    ],
)
def test_unknown_settings_are_refused_not_guessed(quant: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"--quant|not read"):
        quantized_format(quant)


@pytest.mark.parametrize("format", ["aqlm:2bpw", "higgs:4bpw", "exl3:4.25bpw"])
def test_formats_of_an_average_are_planned(format: str) -> None:
    quant = {"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 16}
    model = replace(_model({**LLAMA, "quantization_config": quant}), native_format=format)
    assert llmplan.fit(model, "l4").requested.weight_format == format


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("attentoin", "no tensor or class"),
        ("attention@0-3000000000", "not written as"),
        ("attention@0-99", "beyond the 4"),
    ],
)
def test_parts_that_name_nothing_are_faults(part: str, expected: str) -> None:
    model = replace(_model(LLAMA), native_parts={part: "fp8"})
    assert any(expected in problem for _, problem in model_faults(model))


@pytest.mark.parametrize(
    ("hub", "expected"),
    [
        # what the shipped files list, read by eye: attention and shared experts stay, and layer 0
        ("nvidia--Kimi-K2.6-NVFP4", {"*@0": "bf16", "shared_experts": "bf16",
                                     "attention@1-60": "bf16"}),
        # every MLA projection but the output one
        ("nvidia--DeepSeek-V3.1-NVFP4", dict.fromkeys(
            ("attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_k_b", "attn_v_b"), "bf16")),
        # all of attention and of the gated delta nets, and the shared expert; not its MTP layer 0
        ("nvidia--Qwen3.5-122B-A10B-NVFP4", dict.fromkeys(
            ("attention", "recurrent", "shared_experts"), "bf16")),
        # a mixed checkpoint: FP8 but for its MLPs
        ("nvidia--Qwen3.6-27B-NVFP4", {"mlp": "nvfp4"}),
        ("Qwen--Qwen3-235B-A22B-FP8", {}),
    ],
)  # fmt: skip
def test_shipped_exclude_lists(shared: Path, hub: str, expected: dict[str, str]) -> None:
    folder = shared / "data/models/configs_quantized"
    config = json.loads((folder / f"{hub}_config.json").read_text())
    beside = folder / f"{hub}_hf_quant_config.json"
    if "quantization_config" not in config:
        config["quantization_config"] = json.loads(beside.read_text())["quantization"]
    assert architecture_from_config(config).get("native_parts", {}) == expected


def test_left_out_parts_stay_at_sixteen_bits() -> None:
    """By hand: of four Llama layers, layer 3 and all attention are left out of FP8."""
    quant = {"quant_method": "fp8", "modules_to_not_convert": [
        "lm_head", "model.layers.3", "re:.*self_attn.*"]}  # fmt: skip
    model = _model({**LLAMA, "quantization_config": quant})
    mlp, attention = 3 * 4096 * 11008, 4 * 4096 * 4096
    size = weight_bytes(model, weight_format("fp8"))
    assert size.layers[3] == 2 * (mlp + attention + 2 * 4096)
    assert size.layers[0] == mlp + 3 * 4 + 2 * attention + 2 * 2 * 4096
    whole = weight_bytes(replace(model, native_parts={}), weight_format("fp8"))
    assert whole.layers[0] == mlp + attention + 7 * 4 + 2 * 2 * 4096


def test_an_artifact_has_its_own_parts() -> None:
    """The shipped NVFP4 files of DeepSeek-V3.1 keep MLA at 16 bits; 2 x their elements."""
    model = llmplan.load_model("deepseek-ai/DeepSeek-V3.1")
    parts = next(a.parts for a in model.artifacts if a.format == "nvfp4")
    with_parts = weight_bytes(model, weight_format("nvfp4")).classes["attention"]
    bare = replace(model, artifacts=())
    without = weight_bytes(bare, weight_format("nvfp4")).classes["attention"]
    kept = 61 * (7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 128 * 512 * (128 + 128))
    assert set(parts.values()) == {"bf16"}
    assert with_parts - without == pytest.approx(kept * (16 - 4.5) / 8, rel=1e-4)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_wildcards_end_and_agree_with_fnmatch(pattern: str, text: str) -> None:
    from fnmatch import fnmatchcase

    if not set(pattern) & set("?[]"):
        assert wildcard(pattern, text) == fnmatchcase(text, pattern)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abq_.*\\|()[]+{}^$0-9:re", max_size=80))
def test_any_pattern_is_read_or_refused(pattern: str) -> None:
    try:
        found = excluded([f"re:{pattern}", pattern], 3)
    except InputError as e:
        assert "\n" not in e.one_line()
    else:
        assert all(where <= {0, 1, 2} for where in found.values())


@pytest.mark.parametrize(
    "bomb",
    ["(a+)+$", "(.*)*x", "a{1,99999}", "(" * 500, "(a|b)" * 40, "(a|b)" * 12 + "x" * 4000],
)
def test_explosive_patterns_are_refused(bomb: str) -> None:
    with pytest.raises(InputError):
        regex_globs(bomb)


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=60))
def test_runs_of_layers_come_back(order: list[str]) -> None:
    assert expand_layers(layer_runs(order)) == tuple(order)


@given(st.sets(st.integers(0, 99), min_size=1))
def test_layer_lists_come_back(layers: set[int]) -> None:
    assert layer_numbers(runs(layers)) == layers


def test_alpaca_lora_is_its_base_and_its_adapter() -> None:
    """README of tloen/alpaca-lora: r = 8 on Q and V of LLaMA-7B trains 4,194,304 parameters."""
    base = llmplan.load_model("huggyllama/llama-7b")
    adapted = replace(base, adapter=Adapter(8, ("attn_q", "attn_v")))
    assert parameter_count(adapted) - parameter_count(base) == 4_194_304
    grown = weight_bytes(adapted, weight_format("fp16")).total
    assert grown - weight_bytes(base, weight_format("fp16")).total == 2 * 4_194_304


def test_slots_are_those_of_a_real_vllm() -> None:
    """vLLM 0.32.0 (CPU) held 733,184 B in lora_a_stacked and lora_b_stacked of this Llama.

    Seen on 2026-11-28 with enable_lora, max_loras 1, max_lora_rank 16, bf16.
    """
    config = {
        "model_type": "llama", "hidden_size": 384, "num_hidden_layers": 3, "vocab_size": 2048,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64,
        "intermediate_size": 768, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    base = _model(config)
    slotted = replace(base, adapter=slot_adapter(Adapter(12, ("attn_q",)), LORA_RANKS))
    grown = weight_bytes(slotted, weight_format("bf16")).total
    assert grown - weight_bytes(base, weight_format("bf16")).total == 733_184


def _model(config: dict[str, Any]) -> Any:
    from llmplan.catalog.user_files import model_from_config

    return model_from_config(config, Path("config.json"))
