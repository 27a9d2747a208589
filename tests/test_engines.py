"""What runs where, and the budgets, against engines' own figures and public reports."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

import llmplan
from llmplan.engines import engine_names, get_engine
from llmplan.errors import IllegalParallelism, InputError, UnknownName
from llmplan.memory.formats import kv_format
from llmplan.memory.kv_cache import cached_layers

GIB = 1 << 30


def test_glm_130b_as_its_repository_says() -> None:
    """fp16 runs on 8 x A100-40G, not on 8 x V100-32G, where INT8 does."""
    ampere = llmplan.estimate("glm-130b", "a100-40g", gpus=8, weight_format="fp16")
    volta = llmplan.estimate("glm-130b", "v100-32g", gpus=8, weight_format="fp16")
    int8 = llmplan.estimate("glm-130b", "v100-32g", gpus=8, weight_format="int8")
    assert (ampere.fits, volta.fits, int8.fits) == (True, False, True)
    assert not ampere.supported
    assert ampere.reason == "vLLM 0.33.0 does not know GLM130B."
    assert ampere.memory_per_gpu.weights_bytes == pytest.approx(260e9 / 8, rel=0.02)


def test_mixtral_on_one_a100_40g() -> None:
    """The answer that the project is named by: 87.0 GiB of weights against 39.4 usable."""
    answer = llmplan.fit("mixtral-8x7b", "a100-40g")
    assert not answer.requested.fits
    assert answer.requested.memory_per_gpu.weights_bytes == 2 * 46_702_792_704
    assert answer.requested.reason is not None
    assert answer.requested.reason.startswith("87.0 GiB of weights against 39.4 GiB usable")
    assert any("4 x a100-40g (tp 4" in r for r in answer.requested.remedies)
    assert any("awq-int4" in r for r in answer.requested.remedies)
    assert any("h200" in r for r in answer.requested.remedies)


@pytest.mark.parametrize(
    ("model", "gpu", "options", "supported"),
    [
        ("llama-3.1-8b", "v100-32g", {}, False),  # stock wheel starts at sm_75
        ("llama-3.1-8b", "v100-32g", {"engine": "llama.cpp", "weight_format": "gguf:Q4_K_M"}, True),
        ("llama-3.1-8b", "t4", {"weight_format": "bf16"}, False),  # no bf16 below sm_80
        ("llama-3.1-8b", "t4", {"weight_format": "awq"}, True),
        ("llama-3.1-8b", "v100-32g", {"weight_format": "nvfp4"}, False),
        ("llama-3.1-8b", "a100-40g", {"weight_format": "nvfp4"}, True),  # Marlin, weights only
        ("llama-3.1-8b", "b200", {"weight_format": "nvfp4"}, True),
        ("gemma-2-9b", "t4", {"gpus": 4}, False),  # refused in float16
        ("deepseek-v3", "h200", {"gpus": 8, "kv_format": "int8"}, False),  # no MLA kernel
        ("deepseek-v3.2", "a100-80g-sxm", {"gpus": 16}, False),  # sparse MLA from sm_90 on
        ("llama-3.1-8b", "h100-sxm", {"block_size": 7}, False),
        ("llama-3.1-8b", "gaudi3", {"engine": "llama.cpp", "weight_format": "Q8_0"}, False),
        ("t0pp", "a100-40g", {"engine": "llama.cpp", "weight_format": "Q8_0"}, False),
        ("opt-1.3b", "a100-40g", {"context_tokens": 4096}, False),  # positions end
        ("deepseek-v3", "h200", {"gpus": 8, "context_tokens": 262_144}, False),  # YaRN already
        ("llama-3.1-8b", "a100-40g", {"weight_format": "gguf:Q4_K_M"}, False),  # gone in 0.33
        ("llama-3.1-8b", "h100-sxm", {"kv_format": "fp8"}, True),
        ("llama-3.1-8b", "a100-40g", {"kv_format": "fp8"}, True),  # FlashInfer
        ("llama-3.1-8b", "t4", {"weight_format": "awq", "kv_format": "fp8"}, False),
        ("llama-3.1-8b", "m4-max-40c-64g", {}, False),
        ("llama-3.1-8b", "mi300x", {}, True),
        ("t0pp", "h100-sxm", {}, False),
        ("minimax-m1", "h200", {"gpus": 8}, False),  # dropped after 0.23
    ],
)
def test_what_runs_where(model: str, gpu: str, options: dict[str, object], supported: bool) -> None:
    assert llmplan.estimate(model, gpu, **options).supported is supported


def test_device_without_bf16_takes_fp16() -> None:
    setup = llmplan.estimate("llama-3.2-3b", "t4")
    assert setup.weight_format == "fp16"
    assert setup.launch is not None
    assert "--dtype half" in (setup.launch.command or "")


def test_batch_defaults_follow_the_device() -> None:
    """vLLM 0.16: 1,024 sequences from 70 GiB on, but 256 on every A100."""
    peaks = {g: llmplan.estimate("qwen3-30b-a3b", g, weight_format="awq-int4",
                                 engine_version="0.16.0").memory_per_gpu.activation_peak_bytes
             for g in ("h100-sxm", "a100-80g-sxm", "rtx-4090")}  # fmt: skip
    assert peaks["h100-sxm"] == pytest.approx(4 * peaks["a100-80g-sxm"])
    assert peaks["a100-80g-sxm"] == peaks["rtx-4090"]
    logged = 5.56 * GIB  # Qwen3-0.6B on H100, vLLM V1 start-up log
    assert peaks["h100-sxm"] == pytest.approx(logged, rel=0.03)


def test_kv_pool_given_outright_is_taken() -> None:
    setup = llmplan.estimate("llama-3.1-8b", "h100-sxm", kv_cache_memory_bytes=GIB)
    assert setup.memory_per_gpu.kv_cache_bytes == GIB
    assert setup.kv_cache.capacity_tokens == GIB // 131_072


def test_illegal_splits_name_the_nearest_legal_ones() -> None:
    with pytest.raises(IllegalParallelism, match="does not divide the 32 attention heads") as e:
        llmplan.estimate("mixtral-8x7b", "a100-40g", gpus=3, tp=3)
    assert e.value.hint == "Legal tp near it: 1, 2, 4."
    with pytest.raises(IllegalParallelism, match="group of 128"):
        llmplan.estimate("llama-2-13b", "a100-40g", tp=8, weight_format="awq")
    with pytest.raises(IllegalParallelism, match="whole layers"):
        llmplan.estimate("llama-2-13b", "a100-40g", tp=2, engine="llama.cpp")
    with pytest.raises(IllegalParallelism, match="needs 4 devices, not 2"):
        llmplan.estimate("llama-2-13b", "a100-40g", tp=4, gpus=2)
    with pytest.raises(IllegalParallelism, match="mixture of experts"):
        llmplan.estimate("llama-2-13b", "a100-40g", tp=2, ep=2)


@pytest.mark.parametrize("gpus", range(1, 17))
def test_a_request_without_a_split_is_always_legal(gpus: int) -> None:
    for model in ("mixtral-8x7b", "deepseek-v3", "falcon-7b", "qwen2.5-14b", "nemotron-nano-9b-v2"):
        setup = llmplan.estimate(model, "h100-sxm", gpus=gpus)
        assert setup.gpus <= gpus


def test_kv_heads_are_replicated_past_their_number() -> None:
    """Eight KV heads on 16 ranks: each rank keeps one, as on 8 ranks."""
    eight = llmplan.estimate("llama-3.1-405b", "h100-sxm", gpus=8, weight_format="fp8")
    sixteen = llmplan.estimate("llama-3.1-405b", "h100-sxm", gpus=16, tp=16, weight_format="fp8")
    assert sixteen.kv_cache.bytes_per_token_per_gpu == eight.kv_cache.bytes_per_token_per_gpu


def test_experts_are_shared_by_all_tp_and_dp_ranks() -> None:
    """vLLM FusedMoEParallelConfig: without EP experts are split over tp x dp, with EP dealt out.

    Four ranks hold a quarter of the experts either way, and each its own attention by tp 2.
    """
    tp = llmplan.estimate("mixtral-8x7b", "h100-sxm", tp=2, dp=2)
    ep = llmplan.estimate("mixtral-8x7b", "h100-sxm", tp=2, dp=2, ep=4)
    experts = 2 * 32 * 8 * 3 * 4096 * 14336
    assert ep.memory_per_gpu.weights_bytes == tp.memory_per_gpu.weights_bytes
    rest = 2 * 46_702_792_704 - experts
    assert tp.memory_per_gpu.weights_bytes == pytest.approx(experts / 4 + rest / 2, rel=1e-3)
    dense = llmplan.estimate("llama-3.1-8b", "h100-sxm", tp=2, dp=2)
    alone = llmplan.estimate("llama-3.1-8b", "h100-sxm", tp=2)
    assert dense.memory_per_gpu.weights_bytes == alone.memory_per_gpu.weights_bytes
    assert ep.launch is not None
    assert "--enable-expert-parallel" in (ep.launch.command or "")


def test_context_beyond_the_model_warns_and_starts_stretched() -> None:
    setup = llmplan.estimate("mixtral-8x7b", "a100-40g", tp=4, context_tokens=65_536)
    assert [w.code for w in setup.warnings] == ["context_beyond_model"]
    assert setup.launch is not None
    words = shlex.split(setup.launch.command or "")
    rope = json.loads(words[words.index("--hf-overrides") + 1])["rope_parameters"]
    assert rope["factor"] == 2.0
    override = json.loads(words[words.index("--hf-overrides") + 1])
    assert override["max_position_embeddings"] == 65_536  # vLLM does not scale it for YaRN


def test_commands_quote_what_a_file_may_say() -> None:
    """A hostile Hub id cannot leave its word."""
    from dataclasses import replace

    model = replace(llmplan.load_model("llama-3.2-1b"), hub_id="a/b; rm -rf $HOME `id` '\n")
    launch = llmplan.estimate(model, "a100-40g").launch
    assert launch is not None
    words = shlex.split(launch.command or "")
    assert words[2] == "a/b; rm -rf $HOME `id` '"
    assert "\n" not in (launch.command or "")


def _settings(remedies: Sequence[str], flag: str) -> float:
    return float(next(r for r in remedies if flag in r).rstrip(")").split()[-1])


def test_the_lowest_share_and_the_most_sequences_are_found() -> None:
    asked = {"context_tokens": 32_000}
    remedies = llmplan.estimate("qwen3-32b", "h100-sxm", **asked).remedies
    share = _settings(remedies, "--gpu-memory-utilization")
    assert llmplan.estimate("qwen3-32b", "h100-sxm", gpu_memory_utilization=share, **asked).fits
    less = llmplan.estimate("qwen3-32b", "h100-sxm", gpu_memory_utilization=share - 0.01, **asked)
    assert not less.fits
    most = int(_settings(remedies, "--max-num-seqs"))
    assert llmplan.estimate("qwen3-32b", "h100-sxm", max_num_seqs=most, **asked).fits
    assert not llmplan.estimate("qwen3-32b", "h100-sxm", max_num_seqs=most + 1, **asked).fits


def test_the_asked_format_with_another_engine_is_a_remedy() -> None:
    setup = llmplan.estimate(
        "glm-4.5-air", "rtx-4090", engine="vllm", weight_format="gguf:Q4_K_M", n_cpu_moe=40
    )
    assert any("weights in gguf:Q4_K_M" in r and "llama.cpp" in r for r in setup.remedies)


def test_remedies_can_be_started() -> None:
    """T0 fits with a shorter context, but vLLM does not know it: no such advice."""
    assert not llmplan.estimate("t0pp", "rtx-4090", context_tokens=64).supported
    remedies = llmplan.estimate("t0pp", "rtx-4090").remedies
    assert not any("context" in line for line in remedies)


def test_devices_that_stay_idle_are_said() -> None:
    answer = llmplan.fit("gemma-3-12b", "h100-sxm", gpus=4096)
    asked = answer.requested
    assert asked.gpus < 4096
    assert "devices_idle" in {w.code for w in asked.warnings}
    assert any(
        (s.engine, s.weight_format, s.tp, s.pp, s.dp)
        == (asked.engine, asked.weight_format, asked.tp, asked.pp, asked.dp)
        for s in answer.setups
    )


def test_engines_refuse_versions_they_do_not_know() -> None:
    for name in engine_names():
        engine = get_engine(name)
        assert engine.check_version(None) == engine.default_version
        with pytest.raises(InputError, match="not a version of"):
            engine.check_version("99")
    with pytest.raises(UnknownName, match="'no-such-engine' is unknown"):
        get_engine("no-such-engine")


def test_unused_devices_are_never_claimed() -> None:
    """Five devices and 32 heads: tp 1 x pp 5 uses all, and no setup says more than five."""
    setup = llmplan.estimate("mixtral-8x7b", "a100-40g", gpus=5)
    assert (setup.tp, setup.pp, setup.gpus) == (1, 5, 5)


def test_a_pool_given_outright_does_not_make_weights_fit() -> None:
    setup = llmplan.estimate("llama-3.1-70b", "rtx-4090", kv_cache_memory_bytes=GIB)
    assert not setup.fits
    assert setup.launch is not None
    assert setup.launch.command is None
    assert setup.max_context_tokens == 0


def test_llama_cpp_splits_layers_its_own_way() -> None:
    """Log of Llama-3-70B on two devices: KV buffers of 1312 and 1248 MiB, 41 and 39 layers."""
    setup = llmplan.estimate(
        "llama-3-70b", "a100-80g-sxm", engine="llama.cpp", gpus=2, weight_format="gguf:Q4_K_M",
        context_tokens=8192, concurrency=1,
    )  # fmt: skip
    assert setup.memory_per_gpu.kv_cache_bytes == 1312 * 2**20


def test_llama_cpp_reserves_what_its_command_asks_for() -> None:
    """Pool, capacity, concurrency and command say the same number of slots."""
    setup = llmplan.estimate(
        "llama-3.1-8b", "rtx-4090", engine="llama.cpp", weight_format="gguf:Q8_0", concurrency=4
    )
    assert setup.launch is not None
    assert "-c 32768 -np 4" in (setup.launch.command or "")
    assert setup.kv_cache.max_concurrency == 4
    assert setup.kv_cache.capacity_tokens == 32_768
    assert setup.memory_per_gpu.kv_cache_bytes == 32_768 * 131_072


def test_main_gguf_file_leaves_the_vision_tower_out() -> None:
    """Measured: Gemma-3-4B Q4_K_M has a model size of 2,368 MiB (llama.cpp's own log)."""
    from llmplan.memory.formats import weight_format
    from llmplan.memory.weights import weight_bytes

    model = llmplan.load_model("gemma-3-4b")
    size = weight_bytes(model, weight_format("gguf:Q4_K_M"))
    assert size.text == pytest.approx(2_368 * 2**20, rel=0.005)
    assert size.total - size.text == size.vision > 0


def test_windows_keep_what_vllm_holds_in_flight() -> None:
    """SlidingWindowSpec: window - 1 and every batch in flight, in pages, and one more page."""
    from llmplan.engines.vllm_paging import Kind, pages_of
    from llmplan.memory.mixers import Cache

    sliding = Kind(Cache(heads=1, key_dim=8, value_dim=8, limit=128), 4, 256.0, 16)
    assert pages_of(sliding, tokens=100_000, in_flight=2048) == -(-(127 + 2048) // 16) + 1
    assert pages_of(sliding, tokens=64, in_flight=2048) == 64 // 16 + 1
    chunked = Kind(Cache(heads=1, key_dim=8, value_dim=8, limit=8192, chunked=True), 4, 256.0, 16)
    assert pages_of(chunked, tokens=100_000, in_flight=2048) == (8192 + 2048) // 16


def test_states_without_attention_take_one_page() -> None:
    """No prefix caching without attention: Mamba-2.8B keeps conv and state once a request."""
    setup = llmplan.estimate("mamba-2.8b", "rtx-4090")
    one = 64 * 2 * (5120 * 16 + 5120 * 3)
    pool = setup.memory_per_gpu.kv_cache_bytes
    assert setup.kv_cache.max_concurrency == pytest.approx(pool / one, rel=1e-3)


def test_gb10_is_no_h100() -> None:
    """vLLM get_batch_defaults keeps compute capability 12.1 at 2,048 tokens and 256 sequences."""
    assert llmplan.estimate("qwen3-0.6b", "dgx-spark").max_num_seqs == 256


def test_vocabulary_is_divided_as_padded() -> None:
    """vLLM divides the vocabulary padded to 64: 100,352 rows of Phi-4 do not take tp 5."""
    assert llmplan.estimate("phi-4", "rtx-4090", gpus=5).tp != 5
    with pytest.raises(IllegalParallelism, match="vocabulary"):
        llmplan.estimate("phi-4", "rtx-4090", tp=5)


def test_concurrency_beyond_the_default_widens_the_engine() -> None:
    setup = llmplan.estimate("qwen3-0.6b", "a100-40g", context_tokens=512, concurrency=300)
    assert setup.max_num_seqs == 300
    assert setup.launch is not None
    assert "--max-num-seqs 300" in (setup.launch.command or "")
    few = llmplan.estimate("qwen3-0.6b", "h200", max_num_seqs=4, concurrency=64)
    assert few.requests_at_once == 4
    assert "requests_queue" in [w.code for w in few.warnings]


@pytest.mark.parametrize("concurrency", [300, 3000, 20_000])
def test_concurrency_that_the_pool_cannot_hold_queues(concurrency: int) -> None:
    """A wider profile run takes memory: it must not cost what a request needs."""
    asked = {"context_tokens": 8192, "weight_format": "awq-int4"}
    alone = llmplan.estimate("mixtral-8x7b", "a100-40g", **asked)
    many = llmplan.estimate("mixtral-8x7b", "a100-40g", concurrency=concurrency, **asked)
    assert many.fits
    assert many.launch is not None
    assert "--max-num-seqs" not in (many.launch.command or "")
    assert many.requests_at_once == alone.requests_at_once


def test_formats_that_are_not_the_checkpoints_own_say_their_dtype() -> None:
    launch = llmplan.estimate("llama-3.1-8b", "h100-sxm", weight_format="fp32").launch
    assert launch is not None
    assert "--dtype float32" in (launch.command or "")
    dequantized = llmplan.estimate("gpt-oss-20b", "h200", weight_format="bf16")
    assert "no_published_artifact" in [w.code for w in dequantized.warnings]


def test_several_nodes_are_said() -> None:
    setup = llmplan.estimate("llama-3.1-405b", "h100-sxm", gpus=16)
    assert "several_nodes" in [w.code for w in setup.warnings]


def test_large_clusters_take_the_largest_legal_split() -> None:
    setup = llmplan.estimate("mixtral-8x7b", "a100-40g", gpus=1024)
    assert setup.gpus == 512  # tp 32 x pp 16


def test_kv_replication_needs_a_multiple() -> None:
    with pytest.raises(IllegalParallelism, match="KV heads"):
        llmplan.estimate("qwen2.5-7b", "a100-40g", tp=7)


def test_measured_weights_and_tokens(shared: Path) -> None:
    """Public start-up logs: weights within 1 % (median), KV bytes a token within 0.5 % (97 %)."""
    from statistics import median

    from llmplan.errors import LlmplanError
    from llmplan.memory.formats import weight_format
    from llmplan.memory.kv_cache import layer_token_bytes
    from llmplan.memory.weights import stage_bytes, weight_bytes

    lines = (shared / "data/measurements/memory.jsonl").read_text().splitlines()
    errors: dict[str, list[float]] = {
        "weights": [],
        "kv_bytes_per_token": [],
        "gguf_model_size": [],
    }
    for row in map(json.loads, lines):
        try:
            model = llmplan.load_model(row["model"])
            fmt = weight_format(row["weight_format"] or "bf16")
        except LlmplanError:
            continue  # models and formats that this version does not have
        measured, tp, pp = row["expected"], row["tp"] or 1, row["pp"] or 1
        if row["engine"] == "vllm" and "weights" in measured:
            size = max(stage_bytes(weight_bytes(model, fmt, tp=tp, pad_vocab=True), pp))
            errors["weights"].append(abs(size / measured["weights"] - 1))
        if row["engine"] == "vllm" and "kv_bytes_per_token" in measured:
            kv = kv_format(row["kv_format"] or "bf16")
            groups = cached_layers(model)
            size = sum(layer_token_bytes(g.cache, kv, tp=tp) * len(g.layers) for g in groups) / pp
            errors["kv_bytes_per_token"].append(abs(size / measured["kv_bytes_per_token"] - 1))
        if "gguf_model_size" in measured and row["engine"] == "llama.cpp" and fmt.gguf_preset:
            size = weight_bytes(model, fmt).text
            errors["gguf_model_size"].append(abs(size / measured["gguf_model_size"] - 1))
    assert all(len(e) >= 15 for e in errors.values())
    assert median(errors["weights"]) <= 0.01
    assert sum(e <= 0.005 for e in errors["kv_bytes_per_token"]) >= 0.97 * len(
        errors["kv_bytes_per_token"]
    )
    assert median(errors["gguf_model_size"]) <= 0.001
