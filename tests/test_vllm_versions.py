"""vLLM by version, against what real servers printed and what the releases' sources say."""

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
from llmplan.catalog.user_files import model_from_config
from llmplan.engines import get_engine
from llmplan.engines.base import Request
from llmplan.engines.vllm_batch import batch_limits
from llmplan.engines.vllm_paging import kinds_on_device, layers_under
from llmplan.engines.vllm_printed import Pool
from llmplan.engines.vllm_versions import (
    CHANGES,
    FLAGS_SINCE,
    at_least,
    number,
    policy_of,
    releases,
    version_on,
)
from llmplan.errors import InputError
from llmplan.memory.formats import kv_format
from llmplan.planning.request import make_options, requested

GIB = 1 << 30
VLLM = get_engine("vllm")
ORACLE = (
    "bloom", "deepseek_v2", "falcon_mqa", "gemma2", "gpt_oss", "jamba", "llama4", "llama_gqa",
    "mistral_swa", "mixtral", "nemotron_h", "olmo3", "opt", "phi3", "qwen3_next",
)  # fmt: skip


def printed(model: str, gpu: str, version: str, **options: Any) -> dict[str, float]:
    """Return what a version prints for a setup."""
    given = make_options(engine="vllm", engine_version=version, **options)
    _, request = requested(find_model(model, offline=True).model, find_gpu(gpu).gpu, given)
    return VLLM.printed(request, VLLM.plan(request))


def oracle_pool(row: dict[str, Any]) -> Pool:
    """Return the pool of a made-up config, read as that vLLM read it."""
    config, policy = dict(row["config"]), policy_of(row["vllm_version"])
    if config["model_type"] == "nemotron_h":
        # It loads the MLP layers of this pattern as state layers: its figures mean six.
        config["hybrid_override_pattern"] = config["hybrid_override_pattern"].replace("-", "M")
    model = model_from_config(config, Path("config.json"))
    groups = layers_under(model, kv_format("bf16"), policy)
    kinds = kinds_on_device(
        groups, kv_format("bf16"), tp=1, block_tokens=row["block_size"],
        layers=range(len(model.main.layers)), state_bytes=4, state_pages=policy.state_pages,
    )  # fmt: skip
    return Pool(kinds, policy, row["max_num_batched_tokens"], 0)


@pytest.mark.parametrize("name", ORACLE)
def test_a_real_vllm_prints_these_figures(shared: Path, name: str) -> None:
    """vLLM 0.32 with dummy weights: block size, blocks, tokens and concurrency, all exact."""
    rows = json.loads((shared / "data/vllm-oracle/capacity.json").read_text())
    row = next(r for r in rows if r["name"].startswith(f"{name}@"))
    pool, held = oracle_pool(row), float(row["kv_cache_memory_bytes"])
    assert pool.block_tokens == row["final_block_size"]
    assert held // pool.unit_bytes == row["num_gpu_blocks"]
    # int() before the last digits are equal: the server multiplies the unrounded ratio.
    assert pool.tokens(held, row["max_model_len"]) == row["printed_kv_cache_tokens"]
    assert pool.concurrency(held, row["max_model_len"]) == pytest.approx(
        row["max_concurrency"], abs=0.0051
    )


def test_gpt_oss_before_and_after_tokens_were_redefined() -> None:
    """0.11 printed 344,560 tokens and 19.71x at 32,768: 43,070 blocks in two groups."""
    pool_bytes = 43_070 * 12 * 16 * 2_048  # twelve layers of 16 tokens of 2 x 8 heads x 64 x 2 B
    options = {"context_tokens": 32_768, "kv_cache_memory_bytes": pool_bytes,
               "max_num_batched_tokens": 2048}  # fmt: skip
    old = printed("gpt-oss-20b", "h100-sxm", "0.11.0", **options)
    new = printed("gpt-oss-20b", "h100-sxm", "0.21.0", **options)
    assert old["kv_tokens"] == 344_560
    assert old["max_concurrency"] == pytest.approx(19.71, abs=0.005)
    assert new["max_concurrency"] == old["max_concurrency"]
    assert new["kv_tokens"] == int(new["max_concurrency"] * 32_768)


@pytest.mark.parametrize(
    ("model", "version", "options", "logged"),
    [
        ("gemma-3-27b", "0.8.5", {"gpus": 8, "tp": 8}, 63_488),  # windows at full price
        ("deepseek-v3", "0.7.3", {"gpus": 8, "tp": 8}, 78_084),  # entries of 256 bytes
        ("deepseek-v3", "0.8.5", {"gpus": 8, "tp": 8}, 70_272),
        ("deepseek-v2-lite", "0.7.3", {}, 34_553),
        ("qwen3-30b-a3b", "0.10.0", {"gpus": 4, "tp": 4}, 24_576),
        ("glm-5.2", "0.23.0", {"gpus": 4, "tp": 4, "kv_format": "fp8_ds_mla",
                               "context_tokens": 400_000}, 53_960),
    ],
)  # fmt: skip
def test_bytes_per_token_as_logged(
    model: str, version: str, options: dict[str, Any], logged: float
) -> None:
    """Logged pool over logged tokens, public start-up logs by version."""
    figures = printed(model, "h200", version, **options)
    assert figures["kv_bytes_per_token"] == pytest.approx(logged, rel=1e-3)


def test_pages_as_large_as_a_state() -> None:
    """Qwen3.5-35B-A3B on 0.17.1, fp8 cache: 5.18 GiB made 134,144 tokens, 64 pages of 2,096."""
    figures = printed(
        "qwen3.5-35b-a3b", "rtx-5090", "0.17.1", kv_format="fp8",
        kv_cache_memory_bytes=int(5.18 * GIB),
    )  # fmt: skip
    assert figures["kv_tokens"] == 134_144


def test_first_engine_batches_the_whole_context() -> None:
    """Llama-3.1-8B on one 24 GiB card (issue 10517): 20,000 and 29,000 tokens peak at 2.07 and
    2.99 GiB, and 35,000 need less, as chunked prefill comes on beyond 32,768."""
    peaks = [
        llmplan.estimate("llama-3.1-8b", "rtx-3090", engine_version="0.6.3", context_tokens=n)
        .memory_per_gpu.activation_peak_bytes / GIB
        for n in (20_000, 29_000, 35_000)
    ]  # fmt: skip
    kept = 0.65  # what the allocator keeps is counted up to 0.6.4
    assert peaks[0] - kept == pytest.approx(2.07, rel=0.03)
    assert peaks[1] - kept == pytest.approx(2.99, rel=0.03)
    assert peaks[2] < peaks[0]


def test_kept_memory_holds_on_a_model_it_was_not_read_off() -> None:
    """Llama-3-8B in 4 bits on a T4, vLLM 0.5.0.post1: 2,595 blocks of 16 tokens."""
    figures = printed(
        "llama-3-8b", "t4", "0.5.0.post1", weight_format="bnb-nf4", kv_format="fp16",
        context_tokens=8192, gpu_memory_utilization=0.9,
    )  # fmt: skip
    assert figures["kv_tokens"] == pytest.approx(2_595 * 16, rel=0.15)


@pytest.mark.parametrize(
    ("model", "version", "logged_gib"),
    [("llama-3-8b", "0.5.0", 5.3128), ("qwen2.5-vl-72b", "0.7.2", 38.9697)],
)
def test_bitsandbytes_scales_were_nested(model: str, version: str, logged_gib: float) -> None:
    """Logged weights: before 0.9.2 the absmax stayed quantized, after it is 32 bits."""
    before, after = (
        printed(model, "h200", v, weight_format="bnb-nf4")["weights"] for v in (version, "0.9.2")
    )
    assert before == pytest.approx(logged_gib * GIB, rel=0.02)
    assert after > 1.05 * before


def test_rocm_counts_what_its_allocator_keeps() -> None:
    """Qwen3-Coder-30B on one R9700, 0.13: 16.23 GiB where CUDA printed 15.61 for the same file."""
    form = "compressed-tensors-w4a16-g128"
    rocm, cuda = (
        printed("qwen3-coder-30b-a3b", gpu, "0.12.0", weight_format=form)["weights"] / GIB
        for gpu in ("r9700", "rtx-5090")
    )
    assert cuda == pytest.approx(15.6116, rel=0.01)
    assert rocm == pytest.approx(16.2266, rel=0.04)


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("0.9.1.dev287+g89b1388d8", (0, 9, 1)), ("0.5.0.post1", (0, 5, 0)), ("v0.12", (0, 12, 0)),
        ("0.13.0rc2.dev112+g763963aa7.d20251213", (0, 13, 0)), ("0.17.1rc1.dev88", (0, 17, 1)),
    ],
)  # fmt: skip
def test_builds_belong_to_a_release(text: str, release: tuple[int, int, int]) -> None:
    assert number(text) == release
    assert VLLM.check_version(text) == text


@pytest.mark.parametrize("text", ["", "99", "0.34.0", "0.0.9", "1.0; rm -rf", "0." + "9" * 500])
def test_versions_that_are_none_or_not_known_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a version of vllm"):
        VLLM.check_version(text)


def test_version_of_a_day() -> None:
    """Days of the PyPI uploads; a log of a day ran that release at most."""
    assert version_on("2026-04-27") == "0.20.0"
    assert version_on("2026-04-26") == "0.19.1"
    assert version_on("2020-01-01") == "0.1.0"
    days = [day for _, day in releases()]
    assert days == sorted(days)
    assert VLLM.default_version == releases()[-1][0]


def test_defaults_follow_the_version() -> None:
    """Utilisation 0.92 from 0.20.0 on (config/cache.py), and graphs inside it (envs.py)."""
    old = llmplan.estimate("llama-3.1-8b", "rtx-4090", engine_version="0.19.1").memory_per_gpu
    new = llmplan.estimate("llama-3.1-8b", "rtx-4090", engine_version="0.20.0").memory_per_gpu
    assert new.budget_bytes / old.budget_bytes == pytest.approx(0.92 / 0.90)
    assert (old.cuda_graph_bytes, new.cuda_graph_bytes > 0) == (0, True)
    eager = llmplan.estimate("llama-3.1-8b", "rtx-4090", enforce_eager=True).memory_per_gpu
    rocm = llmplan.estimate("llama-3.1-8b", "mi300x").memory_per_gpu
    assert eager.cuda_graph_bytes == rocm.cuda_graph_bytes == 0


def test_batch_defaults_follow_version_and_device() -> None:
    """arg_utils.py: A100 is small from 0.9.0 on, GB10 always.

    NVML tells no memory of a GB10, so it gets the smallest batch (vllm pull request 57378).
    """

    def seqs(gpu: str, version: str) -> int:
        setup = llmplan.estimate("qwen3-0.6b", gpu, engine_version=version)
        return setup.max_num_seqs

    assert [seqs("a100-80g-sxm", v) for v in ("0.8.5", "0.9.0")] == [1024, 256]
    assert [seqs("h100-sxm", v) for v in ("0.7.3", "0.8.5", "0.9.0")] == [256, 1024, 1024]
    assert [seqs("dgx-spark", v) for v in ("0.8.5", "0.13.0", "0.33.0")] == [256] * 3
    assert seqs("rtx-4090", "0.8.0") == 1024  # one figure for all before 0.8.5


def test_offline_batches_are_larger() -> None:
    """arg_utils.py, UsageContext.LLM_CLASS: `LLM(...)` batches 8,192 or 16,384 tokens."""

    def tokens(gpu: str, version: str, **options: Any) -> int:
        model, device = find_model("qwen3-0.6b", offline=True).model, find_gpu(gpu).gpu
        given = make_options(engine="vllm", engine_version=version, **options)
        request = requested(model, device, given)[1]
        return batch_limits(request)[0]

    for version, gpu, server, offline in (
        ("0.12.0", "rtx-4090", 2048, 8192), ("0.12.0", "h100-sxm", 8192, 16384),
        ("0.32.0", "b200", 16384, 16384), ("0.7.3", "h100-sxm", 8192, 8192),
    ):  # fmt: skip
        context = {"context_tokens": 8192}
        assert tokens(gpu, version, **context) == server
        assert tokens(gpu, version, offline_batch=True, **context) == offline
    line = llmplan.estimate("qwen3-0.6b", "rtx-4090", offline_batch=True).launch
    assert line is not None
    assert "--max-num-batched-tokens 8192" in (line.command or "")


GIVEN = {"gpu_memory_utilization": 0.9, "max_num_seqs": 64, "max_num_batched_tokens": 2048,
         "context_tokens": 8192, "enforce_eager": True}  # fmt: skip


@pytest.mark.parametrize("index", range(1, len(CHANGES)))
def test_a_release_changes_only_what_it_changed(index: int) -> None:
    """With every setting given, a dense model's plan moves only where the profile run did."""
    before, after = CHANGES[index - 1][0], CHANGES[index][0]
    plans = [llmplan.estimate("llama-3.1-8b", "rtx-4090", engine_version=v, **GIVEN)
             for v in (before, after)]  # fmt: skip
    old, new = (p.memory_per_gpu for p in plans)
    assert old.weights_bytes == new.weights_bytes
    assert old.budget_bytes == new.budget_bytes
    old_kv, new_kv = (p.kv_cache.bytes_per_token_per_gpu for p in plans)
    assert old_kv == new_kv == 131_072
    profile = {"counts_runtime", "counts_kept", "counts_reduced", "second_runner", "copies_logits",
               "sorts"}  # fmt: skip
    if not profile & CHANGES[index][2].keys():
        assert old == new


@pytest.mark.parametrize("flag", ["kv_cache_memory_bytes", "dp", "kv_format", "ep"])
def test_flags_that_a_version_lacks_are_said(flag: str) -> None:
    options: dict[str, dict[str, Any]] = {
        "kv_cache_memory_bytes": {"kv_cache_memory_bytes": GIB},
        "dp": {"gpus": 2, "tp": 1, "dp": 2},
        "kv_format": {"kv_format": "fp8"},
        "ep": {"gpus": 2, "tp": 2, "ep": 2},
    }
    model = "mixtral-8x7b" if flag == "ep" else "llama-3.2-1b"
    names = {"kv_cache_memory_bytes": "--kv-cache-memory-bytes", "dp": "--data-parallel-size",
             "kv_format": "--kv-cache-dtype", "ep": "--enable-expert-parallel"}  # fmt: skip
    since = FLAGS_SINCE[names[flag]]
    setups = {v: llmplan.estimate(model, "h100-sxm", engine_version=v, **options[flag])
              for v in ("0.2.5", since)}  # fmt: skip
    assert setups["0.2.5"].reason == f"vLLM 0.2.5 has no {names[flag]}: it came with {since}."
    assert setups[since].supported


def test_commands_of_old_versions() -> None:
    old = llmplan.estimate("llama-2-7b", "a100-40g", engine_version="0.4.2")
    new = llmplan.estimate("llama-2-7b", "a100-40g", engine_version="0.5.4", enforce_eager=True)
    assert old.launch is not None
    assert new.launch is not None
    assert shlex.split(old.launch.command or "")[:4] == [
        "python", "-m", "vllm.entrypoints.openai.api_server", "--model",
    ]  # fmt: skip
    assert (new.launch.command or "").startswith("vllm serve ")
    assert "--enforce-eager" in (new.launch.command or "")
    assert "older_version" in [w.code for w in old.warnings]
    stretched = llmplan.estimate("mixtral-8x7b", "a100-40g", tp=4, context_tokens=65_536,
                                 engine_version="0.10.2").launch  # fmt: skip
    assert stretched is not None
    words = shlex.split(stretched.command or "")
    override = json.loads(words[words.index("--hf-overrides") + 1])
    assert override["rope_scaling"]["factor"] == 2.0


def test_what_ran_then_and_not_now() -> None:
    """V100 (compute capability 7.0), GGUF files and models that were dropped since."""
    v100 = llmplan.estimate("llama-2-7b", "v100-32g", weight_format="fp16", engine_version="0.9.2")
    assert v100.supported
    gguf = {"weight_format": "gguf:Q4_K_M"}
    assert llmplan.estimate("llama-2-7b", "a100-40g", engine_version="0.7.3", **gguf).supported
    assert not llmplan.estimate("llama-2-7b", "a100-40g", engine_version="0.5.3", **gguf).supported
    assert llmplan.estimate("minimax-m1", "h200", gpus=8, engine_version="0.20.0").supported


def test_whole_pool_is_the_least_of_all_stages() -> None:
    """61 layers on two stages are 31 and 30 of DeepSeek-V3: what is printed is one stage's."""
    figures = printed("deepseek-v3", "h200", "0.12.0", gpus=16, tp=8, pp=2)
    layer = 576 * 2
    assert figures["kv_bytes_per_token"] / layer in (30, 31)


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "gemma-3-4b", "qwen3-30b-a3b", "mamba-2.8b"]),
    version=st.sampled_from([v for v, _ in releases() if at_least(v, "0.2.0")]),
    shares=st.tuples(st.floats(0.3, 1.0), st.floats(0.3, 1.0)),
)
def test_a_larger_share_never_lowers_capacity(
    model: str, version: str, shares: tuple[float, float]
) -> None:
    less, more = (
        printed(model, "h100-sxm", version, gpu_memory_utilization=share, context_tokens=2048)
        for share in sorted(shares)
    )
    assert all(less[test] <= more[test] for test in less)


@settings(max_examples=30, deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "qwen2.5-7b", "mixtral-8x7b", "deepseek-v2-lite"]),
    fmt=st.sampled_from(["bf16", "fp8"]),
    version=st.sampled_from(["0.6.6", "0.12.0", "0.33.0"]),
)
def test_two_ranks_hold_the_weights_of_one_and_what_both_keep(
    model: str, fmt: str, version: str
) -> None:
    """Norms, routers and KV heads beyond their number are on both ranks: a few per cent."""
    one, two = (
        printed(model, "h200", version, gpus=n, tp=n, weight_format=fmt)["weights"] for n in (1, 2)
    )
    assert one <= 2 * two <= 1.05 * one


def test_public_logs() -> None:
    """Public start-up logs, each value once: what the project promises of vLLM's memory."""
    from llmplan.measured.memory import memory_scores
    from llmplan.measured.rows import own_measurements, read_rows
    from llmplan.measured.summary import summaries

    rows = [r for r in read_rows([own_measurements("memory")]) if r.engine == "vllm"]
    scores = list(memory_scores(rows))
    by_test = {s.group[1]: s for s in summaries(scores)}
    assert by_test["weights"].median is not None
    assert by_test["weights"].median <= 0.01
    for test in ("kv_pool", "kv_tokens", "max_concurrency"):
        median = by_test[test].median
        assert median is not None
        assert median <= 0.03
    slopes = [abs(s.error) for s in scores
              if s.test == "kv_bytes_per_token" and s.error is not None]  # fmt: skip
    assert sum(e <= 0.005 for e in slopes) >= 0.97 * len(slopes)


def test_a_request_knows_its_version() -> None:
    """The same record with another version is planned by that version's rules."""
    _, request = requested(
        find_model("gemma-3-27b", offline=True).model,
        find_gpu("h200").gpu,
        make_options(engine="vllm", context_tokens=32_768, max_num_batched_tokens=2048),
    )  # fmt: skip
    older: Request = replace(request, version="0.8.5")
    assert VLLM.plan(request).request_bytes < 0.5 * VLLM.plan(older).request_bytes


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-12b", "deepseek-v2-lite"])
def test_releases_without_a_change_plan_alike(model: str) -> None:
    """What a release changed is a row of the table; between two rows nothing moves."""
    starts = {since for since, _, _ in CHANGES}
    before = None
    for version, _ in releases():
        setup = llmplan.estimate(model, "h100-sxm", engine="vllm", engine_version=version)
        figures = (setup.memory_per_gpu, setup.kv_cache, setup.max_num_seqs)
        assert version in starts or figures == before, version
        before = figures
