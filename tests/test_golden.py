"""Published numbers, each with its source. None was read off llmplan's own output."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import llmplan
from llmplan.catalog.resolve import store
from llmplan.memory.formats import kv_format, weight_format
from llmplan.memory.kv_cache import cached_layers, layer_token_bytes, request_bytes
from llmplan.memory.parameters import (
    active_parameter_count,
    draft_parameter_count,
    parameter_count,
    parameters_by_class,
)
from llmplan.memory.tensors import model_tensors
from llmplan.memory.weights import weight_bytes

GIB = 1 << 30

# Totals of the safetensors files on the Hub (2026-11) unless another source is named.
PARAMETERS = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_630_071_296,
    "deepseek-v3": 671_026_404_352,  # main model, transformers 5.23 on the meta device
    "gpt-oss-20b": 20_914_757_184,  # arXiv:2508.10925 table 1: 20.91B
    "gpt-oss-120b": 116_829_156_672,  # arXiv:2508.10925 table 1: 116.83B
    "gemma-3-27b": 27_432_406_640,
    "qwen3-coder-next": 79_674_391_296,
    "jamba-v0.1": 51_570_323_328,
    "falcon-180b": 179_522_565_120,
    "t0pp": 11_135_332_352,  # T5 v1.1 XXL: keras-hub preset t5_1.1_xxl
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "llama-4-scout": 108_641_793_536,  # vision tower included
    "bloom-176b": 176_247_271_424,
    "mamba-2.8b": 2_768_345_600,
    "lfm2-1.2b": 1_170_340_608,
    "minimax-m1": 456_089_655_296,
    "nemotron-3-nano-30b-a3b": 31_577_937_344,
    "qwen2.5-vl-7b": 8_292_166_656,
}

# Bytes of KV cache one token takes in 16 bits on one device, all layers at full length:
# printed by vLLM (engine memory rules of 2026-11) or worked out in the model's paper.
KV_PER_TOKEN = {
    "llama-3.1-8b": 131_072,
    "llama-3-70b": 327_680,
    "deepseek-v3": 70_272,
    "kimi-k2": 70_272,
    "llama-2-7b": 524_288,
    "qwen2.5-7b": 57_344,
    "qwen3-14b": 163_840,
    "mixtral-8x7b": 131_072,
}


@pytest.mark.parametrize(("name", "published"), PARAMETERS.items())
def test_parameters(name: str, published: int) -> None:
    assert parameter_count(llmplan.load_model(name)) == published


@pytest.mark.parametrize(("name", "published"), KV_PER_TOKEN.items())
def test_kv_bytes_per_token(name: str, published: int) -> None:
    groups = cached_layers(llmplan.load_model(name))
    assert request_bytes(groups, kv_format("bf16"), tokens=1) == published


def test_kv_of_tensor_parallel_ranks() -> None:
    """vLLM logs: Gemma-3-27B at tp 8 63,488 B, Qwen3-30B-A3B at tp 4 24,576 B a token."""
    for name, tp, logged in (("gemma-3-27b", 8, 63_488), ("qwen3-30b-a3b", 4, 24_576)):
        groups = cached_layers(llmplan.load_model(name))
        size = sum(layer_token_bytes(g.cache, kv_format("bf16"), tp=tp) * len(g.layers)
                   for g in groups)  # fmt: skip
        assert size == logged


def test_latent_is_held_whole_by_every_rank() -> None:
    """DeepSeek-V3 logs 70,272 B a token on every tensor-parallel rank."""
    groups = cached_layers(llmplan.load_model("deepseek-v3"))
    for tp in (1, 2, 8):
        assert request_bytes(groups, kv_format("bf16"), tokens=1, tp=tp) == 70_272


def test_engine_without_latent_attention_stores_expanded_heads() -> None:
    """llama.cpp before MLA: K 24,576 + V 16,384 elements a layer, 19,520 MiB at 4,096 tokens."""
    groups = cached_layers(llmplan.load_model("deepseek-v3"), latent=False)
    assert request_bytes(groups, kv_format("fp16"), tokens=4096) == 19_520 * 2**20


@pytest.mark.parametrize(
    ("name", "gib"), [("llama-2-7b", 128), ("mixtral-8x7b", 32), ("jamba-v0.1", 4)]
)
def test_kv_at_256k_as_the_jamba_paper_prints_it(name: str, gib: int) -> None:
    """arXiv:2403.19887 table 1: KV cache of 256K tokens at 16 bits, attention alone."""
    groups = [g for g in cached_layers(llmplan.load_model(name)) if g.cache.heads]
    assert request_bytes(groups, kv_format("bf16"), tokens=262_144) == gib * GIB


def test_sliding_window_stops_growing() -> None:
    """Mistral 7B v0.1 keeps 4,096 tokens (arXiv:2310.06825): 8x less at 32K (section 2)."""
    groups = cached_layers(llmplan.load_model("mistral-7b-v0.1"))
    kv = kv_format("bf16")
    full = request_bytes(cached_layers(llmplan.load_model("mistral-7b-v0.3")), kv, tokens=32_768)
    assert full / request_bytes(groups, kv, tokens=32_768) == 8


def test_active_parameters_of_gpt_oss() -> None:
    """arXiv:2508.10925 table 1: 3.61B and 5.13B active, embedding left out, head counted."""
    for name, published in (("gpt-oss-20b", 3.61), ("gpt-oss-120b", 5.13)):
        model = llmplan.load_model(name)
        embedding = parameters_by_class(model_tensors(model))["embedding"]
        assert round((active_parameter_count(model) - embedding) / 1e9, 2) == published


def test_active_parameters_of_mixtral() -> None:
    """arXiv:2401.04088: 47B parameters, 13B active."""
    assert round(active_parameter_count(llmplan.load_model("mixtral-8x7b")) / 1e9) == 13


def test_checkpoint_size_of_gpt_oss() -> None:
    """arXiv:2508.10925 table 1: checkpoints of 12.8 GiB and 60.8 GiB, experts in MXFP4."""
    for name, published in (("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)):
        size = weight_bytes(llmplan.load_model(name), weight_format("mxfp4")).total
        assert round(size / GIB, 1) == published


def test_draft_layers_are_apart_and_exact() -> None:
    """Qwen3.5-27B: 27,781,427,952 stored parameters are the served ones and the MTP layer.

    GLM-4.5-Air stores 110,468,824,832: its MTP layer repeats embedding and head (2 x 151,552 x
    4,096), and 46 routers have 128 correction biases each.
    """
    qwen, air = llmplan.load_model("qwen3.5-27b"), llmplan.load_model("glm-4.5-air")
    assert parameter_count(qwen) + draft_parameter_count(qwen) == 27_781_427_952
    repeated = 2 * 151_552 * 4_096 + 46 * 128
    assert parameter_count(air) + draft_parameter_count(air) + repeated == 110_468_824_832


def test_size_of_shipped_files(shared: Path) -> None:
    """The bytes of Qwen3.5-27B's index (bf16, MTP included) within 0.001 %."""
    rows = csv.DictReader((shared / "data/models/weights_bytes.csv").read_text().splitlines())
    stored = {r["model_id"]: int(r["weights_bytes"]) for r in rows}
    model = llmplan.load_model("qwen3.5-27b")
    computed = weight_bytes(model, weight_format("bf16")).total + 2 * draft_parameter_count(model)
    assert computed == pytest.approx(stored["Qwen/Qwen3.5-27B"], rel=1e-5)


def test_weights_of_glm_130b() -> None:
    """Its repository: fp16 weights take 260 GB, a rounded figure."""
    size = weight_bytes(llmplan.load_model("glm-130b"), weight_format("fp16")).total
    assert size == pytest.approx(260e9, rel=0.02)


BETTER_THAN_THE_LIST = {
    "cpm-bee-10b": "the published figure is rounded",
    "chatglm-6b": "the published figure is rounded",
    "k-exaone-236b-a23b": "dense width 18,432; with its MTP layer equals the published total",
    "glm-4.5v": "the oracle is of class defaults; published total less 45 x 128 router biases",
    "glm-4.7-flash": "the oracle takes head_dim 102 for the RoPE width; equals the published total",
    "step-3.7-flash": "the oracle's vocabulary is its class default; equals the published total",
    "phi-3-small-8k": "the 8k files store 2,048 elements more than the 128k ones of its shape",
    "laguna-m.1": "dense layers and gate found by meeting the published total; the list lacks them",
    "laguna-s-2.1": "as laguna-m.1",
    "laguna-xs.2": "as laguna-m.1",
    "llama-4-maverick": "as llama-4-scout",
    "llama-4-scout": "the list's config has no vision tower",
}
"""Entries whose count differs from the list's figures, each proven in test_config_*.py."""


def config_of(shared: Path, hub_id: str) -> dict[str, Any]:
    """Return the config that an entry was made from, or an empty one of further configs."""
    path = shared / f"data/models/configs/{hub_id.replace('/', '__')}.json"
    return json.loads(path.read_text()) if path.exists() else {"_confidence": ""}


def test_every_catalogue_model_equals_the_published_count(shared: Path) -> None:
    """Counts equal transformers on the meta device or the published totals, to the unit."""
    compared = 0
    for id in store().ids("models"):
        model = llmplan.load_model(id)
        count = parameter_count(model)
        if model.published:
            assert count + model.published.difference == model.published.parameters, id
        assert model.hub_id is not None
        config = config_of(shared, model.hub_id)
        exact = config["_confidence"].startswith(("exact", "within0", "main"))
        if exact and id not in BETTER_THAN_THE_LIST:
            expected = {config["_params_oracle"], config["_params_published"]} - {None}
            assert count in expected, id
            compared += 1
    assert compared >= 290


def test_what_nothing_confirms_says_so(shared: Path) -> None:
    """`assembled`, `computed` and partial facts stay marked, unless a published count met them."""
    marked = 0
    for id in store().ids("models"):
        model = llmplan.load_model(id)
        confidence = config_of(shared, model.hub_id or "")["_confidence"]
        doubtful = confidence.startswith(("assembled", "computed", "sibling", "partial"))
        met = model.published is not None and model.published.confidence == "exact"
        if doubtful and not met:
            assert "architecture" in model.unverified, id
            marked += 1
    assert marked >= 40


def test_every_confirmed_checkpoint_of_the_list_is_known(shared: Path) -> None:
    rows = csv.DictReader((shared / "data/models/models.csv").read_text().splitlines())
    for row in rows:
        if row["confidence"].startswith(("exact", "within")):
            assert llmplan.load_model(row["id"]).hub_id == row["id"]


def test_active_counts_equal_the_oracle(shared: Path) -> None:
    """Active parameters of the MoE models equal the list's, computed by transformers."""
    rows = csv.DictReader((shared / "data/models/models.csv").read_text().splitlines())
    listed = {r["id"]: int(r["params_active"]) for r in rows if r["params_active"]}
    checked = 0
    for id in store().ids("models"):
        model = llmplan.load_model(id)
        if model.is_moe and model.hub_id in listed and id not in BETTER_THAN_THE_LIST:
            assert active_parameter_count(model) == listed[model.hub_id], id
            checked += 1
    assert checked >= 60
