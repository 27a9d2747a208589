"""SGLang, TensorRT-LLM and LMDeploy: their rules against start-up logs and their own functions."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.resolve import find_gpu, find_model
from llmplan.engines import engine_names, get_engine
from llmplan.engines.base import Plan, Request
from llmplan.engines.paged import version_key
from llmplan.engines.sglang_architectures import ARCHITECTURES, WINDOW_POOLS
from llmplan.engines.sglang_versions import MIB, Ask, policy, tier_of
from llmplan.errors import InputError
from llmplan.memory.formats import kv_format, weight_format
from llmplan.specs.setup import Limits, Parallelism, Workload

GIB = 1 << 30
ENGINES = ("sglang", "tensorrt-llm", "lmdeploy")


def request_of(engine: str, model: str, gpu: str, **asked: Any) -> Request:
    """Return a request as the planner would make it, with limits by their names."""
    e, m, g = get_engine(engine), find_model(model, offline=True).model, find_gpu(gpu).gpu
    weights = weight_format(asked.pop("weights", e.native_format(m, g)))
    kv = kv_format(asked.pop("kv", e.default_kv(m, weights)))
    split = Parallelism(**{k: asked.pop(k) for k in ("tp", "pp", "dp", "ep") if k in asked})
    version = e.check_version(asked.pop("version", None))
    workload = Workload(asked.pop("context", 8192))
    return Request(m, g, weights, kv, split, workload, Limits(**asked), version)


def planned(engine: str, model: str, gpu: str, **asked: Any) -> tuple[Request, Plan]:
    """Return a request and its plan."""
    request = request_of(engine, model, gpu, **asked)
    return request, get_engine(engine).plan(request)


def share_of(version: str, mib: float, tp: int, **asked: Any) -> float:
    """Return SGLang's default mem_fraction_static of a device with its tier's defaults."""
    rules = policy(version)
    tier = tier_of(rules, mib * MIB)
    ask = Ask(mib * MIB, tp, 1, 1, tier.chunk, tier.batch if tp < 4 else tier.batch_tp4,
              eager=False, latent=False, vision=None)  # fmt: skip
    return rules.share(ask._replace(**asked))


@pytest.mark.parametrize(
    ("version", "mib", "tp", "share"),
    [
        # server_args of public start-up logs
        ("0.3.4.post1", 81559, 1, 0.88),
        ("0.3.0", 81559, 8, 0.83),
        ("0.4.3.post4", 40960, 2, 0.87),
        ("0.4.6.post5", 143771, 1, 0.8717961202189594),
        # what the releases' own functions return
        ("0.1.17", 24564, 4, 0.82),
        ("0.2.0", 24564, 1, 0.89),
        ("0.4.6.post5", 81559, 8, 0.81),
        ("0.4.10.post2", 15360, 1, 0.807),
        ("0.4.10.post2", 46068, 2, 0.767),
        ("0.4.10.post2", 81559, 8, 0.831),
        ("0.4.10.post2", 183359, 8, 0.821),
        ("0.5.3.post3", 24564, 4, 0.827),
        ("0.5.3.post3", 81559, 1, 0.835),
        ("0.5.3.post3", 183359, 8, 0.852),
        ("0.5.23", 15360, 1, 0.735),
        ("0.5.23", 24564, 4, 0.679),
        ("0.5.23", 46068, 2, 0.84),
        ("0.5.23", 81559, 8, 0.812),
        ("0.5.23", 143771, 1, 0.903),
    ],
)
def test_default_share_of_sglang(version: str, mib: float, tp: int, share: float) -> None:
    """mem_fraction_static where none is given, by release, device and ranks."""
    assert share_of(version, mib, tp) == pytest.approx(share, abs=1e-12)


def test_default_share_with_latent_attention_towers_and_attention_groups() -> None:
    """The 0.5.23 wheel's own function on an 80 GiB device: MLA, attention dp 4, eager."""
    assert share_of("0.5.23", 81559, 1, latent=True) == 0.816
    assert share_of("0.5.23", 81559, 8, attention_dp=4) == 0.699
    assert share_of("0.5.23", 24564, 1, eager=True) == 0.724
    tower = find_model("qwen2.5-vl-7b", offline=True).model.vision
    assert tower is not None
    large = replace(tower, hidden_size=1280, layers=(tower.layers[0],) * 32)
    large = replace(large, blocks={tower.layers[0]: tower.blocks[tower.layers[0]]})
    assert share_of("0.5.23", 81559, 1, vision=large) == pytest.approx(0.7073145833333332)
    assert share_of("0.5.3", 81559, 8, attention_dp=8) == 0.592


def logged(shared: Path) -> list[dict[str, Any]]:
    """Return the SGLang rows of the public measurements."""
    lines = (shared / "data/measurements/memory.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["engine"] == "sglang"]


def test_sglang_against_its_logs(shared: Path) -> None:
    """Weights, pool and tokens end to end from device and settings; three devices, five models."""
    errors: dict[str, list[float]] = {}
    for row in logged(shared):
        if row["gpu"] in (None, "a100-40g-pcie"):
            continue  # the device is not stated, or has no entry
        request, plan = planned(
            "sglang", row["model"], row["gpu"], weights=row["weight_format"],
            context=row["max_model_len"] or 8192, tp=row["tp"], version=row["engine_version"],
            gpu_memory_utilization=row["gpu_memory_utilization"],
        )  # fmt: skip
        figures = get_engine("sglang").printed(request, plan)
        for test, observed in row["expected"].items():
            errors.setdefault(test, []).append(abs(figures[test] / observed - 1))
    assert len(errors["weights"]) == 5
    assert max(errors["weights"]) < 0.025
    assert max(errors["kv_bytes_per_token"]) < 0.001
    assert sorted(errors["kv_tokens"])[2] < 0.01
    assert max(errors["kv_pool"] + errors["kv_tokens"]) < 0.06


def test_tokens_follow_from_the_logged_free_memory(shared: Path) -> None:
    """Pool = free after weights - free before x (1 - share), with the log's own figures.

    They are those of the first rank; the one with the least free memory decides.
    """
    for row in logged(shared):
        free, share = row["extra"] or {}, row["gpu_memory_utilization"]
        if "kv_tokens" not in row["expected"] or not free or row["engine_version"] is None:
            continue
        if row["weight_format"] == "gptq-int4":
            continue  # its checkpoint has wider layers than the model it is named by
        pool = (free["avail_after_weights_gb"] - free["avail_before_gb"] * (1 - share)) * GIB
        request, plan = planned(
            "sglang", row["model"], row["gpu"], tp=row["tp"], version=row["engine_version"],
            context=row["max_model_len"], kv_cache_memory_bytes=round(pool),
        )  # fmt: skip
        tokens = get_engine("sglang").printed(request, plan)["kv_tokens"]
        assert tokens == pytest.approx(row["expected"]["kv_tokens"], rel=4e-3)


def test_latent_cache_as_logged() -> None:
    """DeepSeek-R1: 70,265 B a token on every rank in SGLang's log."""
    request, plan = planned("sglang", "deepseek-r1", "h200", tp=8)
    token = get_engine("sglang").printed(request, plan)["kv_bytes_per_token"]
    assert token == pytest.approx(70265, rel=2e-4)


def test_window_pools_of_gemma_4() -> None:
    """A log of Gemma-4-E4B: 997,846 tokens for full layers and 798,276 for those with windows.

    Both pools together are what the budget holds, so a token of the full pool pays 0.8 of the
    windows' layers; 0.5.3 had no such pools and paid for every layer.
    """
    engine = get_engine("sglang")
    assert "Gemma4ForConditionalGeneration" in WINDOW_POOLS <= ARCHITECTURES
    new = engine.printed(*planned("sglang", "gemma-4-e4b", "h100-sxm"))
    old = engine.printed(*planned("sglang", "gemma-4-e4b", "h100-sxm", version="0.5.3"))
    kv = kv_format("bf16")
    from llmplan.memory.kv_cache import cached_layers, layer_token_bytes

    full = windowed = 0.0
    for cache, layers in cached_layers(find_model("gemma-4-e4b", offline=True).model):
        size = len(layers) * layer_token_bytes(cache, kv)
        full, windowed = (full, windowed + size) if cache.limit else (full + size, windowed)
    assert new["kv_bytes_per_token"] == pytest.approx(full + windowed * 798276 / 997846, rel=1e-5)
    assert old["kv_bytes_per_token"] == full + windowed


def test_states_and_keys_share_what_is_left() -> None:
    """Mamba hybrids: states have 0.9 of each byte of keys and values; few long requests fit."""
    request, plan = planned("sglang", "qwen3-next-80b-a3b", "h200", tp=2, context=262144)
    figures = get_engine("sglang").printed(request, plan)
    assert figures["kv_pool"] * 1.9 == pytest.approx(plan.memory.kv_cache_bytes, rel=1e-4)
    assert plan.kv_cache.max_concurrency == pytest.approx(figures["max_concurrency"], rel=1e-3)
    pool = round(figures["kv_pool"])
    again = planned(
        "sglang", "qwen3-next-80b-a3b", "h200", tp=2, context=262144, kv_cache_memory_bytes=pool
    )[1]
    assert again.kv_cache.max_concurrency == pytest.approx(figures["max_concurrency"], rel=1e-3)
    short = planned("sglang", "qwen3-next-80b-a3b", "h200", tp=2, context=128)
    assert short[1].kv_cache.max_concurrency < short[1].memory.kv_cache_bytes / (
        128 * figures["kv_bytes_per_token"]
    )


def test_tensorrt_llm_takes_a_share_of_what_is_free() -> None:
    """A log: 1.42 GiB free after the load of a 22.18 GiB device gave 1.28 GiB of cache."""
    request, plan = planned("tensorrt-llm", "llama-3.1-8b", "h100-sxm")
    parts = plan.memory.weights_bytes + plan.overheads.total
    free = request.device_bytes - parts
    assert plan.memory.kv_cache_bytes / free == pytest.approx(1.28 / 1.42, abs=0.003)
    tokens = get_engine("tensorrt-llm").printed(request, plan)["kv_tokens"]
    assert tokens % 32 == 0
    assert tokens * 131072 == pytest.approx(plan.memory.kv_cache_bytes, rel=1e-3)


def test_lmdeploy_by_backend_and_version() -> None:
    """0.8 of free memory, 0.5 of all in 0.2.1; the PyTorch back end reserves logits first."""
    request, plan = planned("lmdeploy", "llama-3.1-8b", "a100-80g-sxm")
    free = request.device_bytes - plan.memory.weights_bytes - plan.overheads.total
    assert plan.memory.kv_cache_bytes == pytest.approx(0.8 * free, rel=1e-6)
    assert plan.overheads.activation_peak == 0
    old = planned("lmdeploy", "llama-3.1-8b", "a100-80g-sxm", version="v0.2.1")[1]
    assert old.memory.kv_cache_bytes == pytest.approx(request.device_bytes / 2, rel=1e-6)
    torch = planned("lmdeploy", "gemma-3-1b", "a100-80g-sxm")[1]
    # (8192 tokens + 2 x 384 sequences) x 262,144 logits x 2 B
    assert torch.overheads.activation_peak == (8192 + 768) * 262144 * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_and_fp8_caches_are_smaller(engine: str) -> None:
    """The engine's own smaller KV cache holds nearly twice the tokens."""
    e = get_engine(engine)
    wide = planned(engine, "llama-3.1-8b", "h100-sxm")[1].kv_cache
    small = planned(engine, "llama-3.1-8b", "h100-sxm", kv=e.smaller_kv)[1].kv_cache
    assert 1.9 < small.max_concurrency / wide.max_concurrency <= 2.01


@settings(max_examples=40, deadline=None)
@given(
    engine=st.sampled_from(ENGINES),
    model=st.sampled_from(["llama-3.1-8b", "gpt-oss-20b", "qwen3-next-80b-a3b", "gemma-3-27b"]),
    shares=st.lists(st.floats(0.05, 0.99), min_size=2, max_size=2).map(sorted),
    context=st.integers(1, 131072),
)
def test_more_share_never_holds_less(
    engine: str, model: str, shares: list[float], context: int
) -> None:
    """Raising the share of memory never lowers capacity, and parts never exceed the device."""
    less, more = (
        planned(engine, model, "h200", context=context, gpu_memory_utilization=s)[1] for s in shares
    )
    assert less.kv_cache.max_concurrency <= more.kv_cache.max_concurrency
    assert less.max_context_tokens <= more.max_context_tokens
    for plan in (less, more):
        assert plan.fits is (plan.kv_cache.max_concurrency >= 1)
        if plan.fits:
            assert plan.memory.free_bytes >= -1


@settings(max_examples=30, deadline=None)
@given(engine=st.sampled_from(ENGINES), tp=st.sampled_from([2, 4, 8]))
def test_ranks_hold_the_whole_model(engine: str, tp: int) -> None:
    """tp ranks hold all weights, little more than one device does: norms alone are on each."""
    one = planned(engine, "llama-3.3-70b", "h200")[1].memory.weights_bytes
    rank = planned(engine, "llama-3.3-70b", "h200", tp=tp)[1].memory.weights_bytes
    assert one <= rank * tp <= one * 1.001


@pytest.mark.parametrize("engine", ENGINES)
def test_stages_and_versions_leave_the_rest_alone(engine: str) -> None:
    """A version changes shares, never weights; the figures printed agree with the plan."""
    e = get_engine(engine)
    plans = [planned(engine, "llama-3.1-8b", "h100-sxm", version=v) for v in e.versions]
    assert len({p.memory.weights_bytes for _, p in plans}) == 1
    for request, plan in plans:
        figures = e.printed(request, plan)
        assert figures["weights"] == plan.memory.weights_bytes
        assert figures["kv_bytes_per_token"] == 131072
        assert figures["max_concurrency"] == pytest.approx(plan.kv_cache.max_concurrency, rel=1e-2)


def test_the_smallest_stage_counts() -> None:
    """61 layers over 4 stages: the one with 16 layers holds the fewest tokens."""
    request, plan = planned("sglang", "deepseek-r1", "h200", pp=4, tp=2)
    figures = get_engine("sglang").printed(request, plan)
    assert figures["kv_bytes_per_token"] == 16 * 576 * 2


VERSIONS = {
    "0.5.0.post1": (0, 5, 0), "v0.4.10": (0, 4, 10), "0.2.0-cu124": (0, 2, 0), "": (),
    "0.9.1.dev287+g89b1388d8": (0, 9, 1), "1.3.0rc27": (1, 3, 0), "main": (), "9" * 60: (),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key"), VERSIONS.items())
def test_versions_are_read(text: str, key: tuple[int, ...]) -> None:
    """Post-releases, builds and candidates count with their release."""
    assert version_key(text) == key


@pytest.mark.parametrize("engine", ENGINES)
def test_versions_that_no_row_covers_are_refused(engine: str) -> None:
    """Older than the first, newer than the last, or no version at all."""
    e = get_engine(engine)
    assert e.check_version(None) == e.default_version == e.versions[-1]
    for wrong in ("0.0.1", "99.0", "latest", "", "1" * 500, "../x"):
        with pytest.raises(InputError, match="not a version"):
            e.check_version(wrong)


REASONS = [
    ("sglang", "llama-3.1-8b", "v100-32g", {}, "needs compute capability 7.5"),
    ("sglang", "llama-3.1-8b", "h100-sxm", {"weights": "nvfp4"}, "need compute capability 10.0"),
    ("sglang", "llama-3.1-8b", "h100-sxm", {"kv": "int8"}, "has no int8 KV cache"),
    ("sglang", "llama-3.1-8b", "h100-sxm", {"kv": "fp8_ds_mla"}, "sparse latent attention alone"),
    ("sglang", "llama-3.1-8b", "h100-sxm", {"weights": "gguf:Q4_K_M"}, "with llama.cpp"),
    ("tensorrt-llm", "llama-3.1-8b", "mi300x", {}, "NVIDIA devices alone"),
    ("tensorrt-llm", "llama-3.1-8b", "a100-80g-sxm", {"weights": "fp8"}, "capability 8.9"),
    ("tensorrt-llm", "llama-3.1-8b", "b200", {"weights": "awq-int4"}, "no awq-int4 kernels"),
    ("tensorrt-llm", "llama-3.1-8b", "h100-sxm", {"kv_cache_memory_bytes": GIB}, "--config"),
    ("tensorrt-llm", "gemma-2-9b", "h100-sxm", {}, "does not know Gemma2ForCausalLM"),
    ("lmdeploy", "llama-3.1-8b", "h100-sxm", {"weights": "nvfp4"}, "in nvfp4"),
    ("lmdeploy", "llama-3.1-8b", "h100-sxm", {"kv_cache_memory_bytes": GIB}, "only for its share"),
    ("lmdeploy", "opt-6.7b", "h100-sxm", {}, "does not know OPTForCausalLM"),
]


@pytest.mark.parametrize(("engine", "model", "gpu", "asked", "why"), REASONS)
def test_what_does_not_run_says_why(
    engine: str, model: str, gpu: str, asked: dict[str, Any], why: str
) -> None:
    """One sentence, ending in a full stop."""
    reason = get_engine(engine).unsupported(request_of(engine, model, gpu, **asked))
    assert reason is not None
    assert why in reason
    assert reason.endswith(".")


def test_what_runs_by_public_matrices() -> None:
    """LMDeploy's int4 on V100, FP8 on Hopper in TensorRT-LLM, MI300X in SGLang, gpt-oss in each."""
    runs = [
        ("lmdeploy", "llama-3.1-8b", "v100-32g", {"weights": "awq-int4", "kv": "fp16"}),
        ("tensorrt-llm", "llama-3.1-8b", "h100-sxm", {"weights": "fp8", "kv": "fp8"}),
        ("sglang", "llama-3.1-8b", "mi300x", {}),
        *((engine, "gpt-oss-20b", "h100-sxm", {}) for engine in ENGINES),
    ]
    for engine, model, gpu, asked in runs:
        assert get_engine(engine).unsupported(request_of(engine, model, gpu, **asked)) is None


def test_splits_that_cannot_be_started() -> None:
    """LMDeploy splits by powers of two; TensorRT-LLM's dp is attention beside experts."""
    dense = find_model("llama-3.1-8b", offline=True).model
    experts = find_model("qwen3-30b-a3b", offline=True).model
    bf16 = weight_format("bf16")
    lmdeploy, trt = get_engine("lmdeploy"), get_engine("tensorrt-llm")
    assert lmdeploy.illegal(dense, bf16, Parallelism(pp=2)) is not None
    assert lmdeploy.illegal(dense, bf16, Parallelism(tp=8)) is None
    assert {p.tp for p in lmdeploy.splits(dense, bf16, 8)} == {1, 2, 4, 8}
    assert trt.illegal(dense, bf16, Parallelism(dp=2)) is not None
    assert trt.illegal(experts, bf16, Parallelism(dp=4, ep=4)) is None


LINES = [
    ("sglang", "llama-3.1-8b", {"tp": 4, "dp": 2}, "--tp-size 4 --dp-size 2"),
    ("sglang", "qwen3-30b-a3b", {"tp": 2, "dp": 4, "ep": 8},
     "--tp-size 8 --attn-dp-size 4 --ep-size 8"),
    ("sglang", "qwen3-30b-a3b", {"tp": 2, "dp": 4, "version": "0.5.3.post3"},
     "--tp-size 8 --dp-size 4 --enable-dp-attention"),
    ("sglang", "llama-3.1-8b", {"weights": "fp8", "kv": "fp8", "max_num_seqs": 64},
     "--kv-cache-dtype fp8_e4m3 --context-length 8192 --max-running-requests 64"),
    ("sglang", "glm-4-9b", {"weights": "fp8"}, "--quantization fp8"),
    ("sglang", "llama-3.1-8b", {"kv_cache_memory_bytes": 131072 * 10_000},
     "--max-total-tokens 10000"),
    ("tensorrt-llm", "qwen3-30b-a3b", {"dp": 4, "ep": 4},
     "--tp_size 4 --ep_size 4 --max_seq_len 8192 --enable_attention_dp"),
    ("tensorrt-llm", "llama-3.1-8b", {"gpu_memory_utilization": 0.8},
     "--kv_cache_free_gpu_memory_fraction 0.8"),
    ("lmdeploy", "llama-3.1-8b", {"tp": 2, "kv": "int8"},
     "--backend turbomind --tp 2 --session-len 8192 --quant-policy 8"),
    ("lmdeploy", "gemma-3-1b", {"gpu_memory_utilization": 0.5},
     "--backend pytorch --session-len 8192 --cache-max-entry-count 0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "model", "asked", "part"), LINES)
def test_lines_that_start_it(engine: str, model: str, asked: dict[str, Any], part: str) -> None:
    """Flags as the engines' own argument parsers spell them; one line that a shell splits."""
    request, plan = planned(engine, model, "h200", **asked)
    command = get_engine(engine).launch(request, plan)[0].command
    assert part in command
    assert "\n" not in command
    starts = {"sglang": "python", "tensorrt-llm": "trtllm-serve", "lmdeploy": "lmdeploy"}
    assert shlex.split(command)[0] == starts[engine]


def test_they_answer_by_name_and_alias_and_are_not_ranked() -> None:
    """`fit --engine trtllm` answers; the listing ranks the usual two."""
    assert not set(ENGINES) & set(engine_names())
    answer = llmplan.fit("llama-3.1-8b", "h100-sxm", engine="trtllm")
    assert answer.requested.engine == "tensorrt-llm"
    assert answer.requested.fits
    assert llmplan.estimate("llama-3.1-8b", "rtx-4090", engine="sglang").fits
