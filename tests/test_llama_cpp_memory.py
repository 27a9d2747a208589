"""llama.cpp, ik_llama.cpp and Ollama: buffers against logs, builds, layers kept on the host."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.resolve import find_gpu
from llmplan.engines import get_engine
from llmplan.engines.base import Request
from llmplan.engines.llama_cpp_memory import device_layers, place
from llmplan.engines.llama_cpp_versions import TABLE, rules_of
from llmplan.errors import InputError, LlmplanError
from llmplan.measured.memory import memory_scores
from llmplan.measured.rows import read_rows
from llmplan.memory.gguf import expert_matrices
from llmplan.memory.weights import weight_bytes
from llmplan.planning.request import Options, requested
from llmplan.specs.setup import Setup

MIB = 2**20
GIB = 2**30
ROWS = Path(__file__).resolve().parent.parent / "measurements/memory.jsonl"


def request_of(model: str, gpu: str = "a100-80g-sxm", **options: Any) -> Request:
    given = {"engine": "llama.cpp", "weight_format": "gguf:Q4_K_M", "concurrency": 1} | options
    return requested(llmplan.load_model(model), find_gpu(gpu).gpu, Options(**given))[1]


def printed(model: str, gpu: str = "a100-80g-sxm", **options: Any) -> dict[str, float]:
    request = request_of(model, gpu, **options)
    engine = get_engine(options.get("engine", "llama.cpp"))
    return engine.printed(request, engine.plan(request))


def estimate(model: str, gpu: str, **options: Any) -> Setup:
    given = {"engine": "llama.cpp", "weight_format": "gguf:Q4_K_M", "concurrency": 1} | options
    return llmplan.estimate(model, gpu, **given)


def test_logged_buffers() -> None:
    """Public start-up logs: sums of model and cache exact, the compute buffer within 10 %."""
    found: dict[str, list[float]] = {}
    rows = [r for r in read_rows([str(ROWS)]) if r.engine in ("llama.cpp", "ik_llama.cpp")]
    for score in memory_scores(rows):
        if score.error is not None and score.repeat_of is None:
            found.setdefault(score.test, []).append(abs(score.error))
    assert len(found["gguf_kv_buffer"]) >= 40
    assert len(found["gguf_compute_buffer"]) >= 12
    assert median(found["gguf_model_size"]) <= 0.005
    assert max(found["gguf_kv_buffer"]) <= 0.005
    assert median(found["gguf_compute_buffer"]) <= 0.1
    assert sorted(found["gguf_compute_buffer"])[-2] <= 0.1


def test_several_devices_hold_copies_of_their_inputs() -> None:
    """Logs: Llama-3-70B at 8,192 on two devices 1216.0 MiB (b3216), Gemma-2-9B 567.0 (b3392)."""
    big = printed("llama-3-70b", pp=2, gpus=2, context_tokens=8192, engine_version="b3216")
    assert big["gguf_compute_buffer"] / MIB == pytest.approx(1216.0, abs=0.1)
    small = printed("gemma-2-9b", pp=2, gpus=2, context_tokens=2048, engine_version="b3392")
    assert small["gguf_compute_buffer"] / MIB == pytest.approx(567.0, rel=0.02)


@pytest.mark.parametrize(
    ("version", "mib"),
    [("b4436", 19_520.0), ("b5500", (576 + 512) * 61 * 4096 * 2 / MIB), ("b8000", 274.5)],
)
def test_mla_by_build(version: str, mib: float) -> None:
    """Logged for DeepSeek-V3 at 4,096: 19,520 MiB with heads expanded, 2,196 / 8 alone."""
    row = printed("deepseek-v3", context_tokens=4096, engine_version=version)
    assert row["gguf_kv_buffer"] / MIB == pytest.approx(mib, rel=1e-6)


def test_sliding_windows_by_build() -> None:
    """Gemma-3-27B at 32,768: 15,872 MiB before the short cache (b5434), in ik_llama.cpp too."""
    row = {"context_tokens": 32768, "engine_version": "b5400"}
    before = printed("gemma-3-27b", **row)["gguf_kv_buffer"]
    fork = printed("gemma-3-27b", context_tokens=32768, engine="ik_llama.cpp")["gguf_kv_buffer"]
    assert before / MIB == fork / MIB == 15_872
    # A run of two sequences logged 1360 MiB for the full layers and 552.5 for the others.
    short = printed("gemma-3-27b", **row | {"engine_version": "b5500", "kv_format": "q8_0"})
    assert 1360 < short["gguf_kv_buffer"] / MIB < 1360 + 552.5


def test_a_window_on_every_layer_is_not_kept() -> None:
    """Mistral 7B 0.1 has a window of 4,096 that llama.cpp does not read: full length."""
    row = printed("mistralai/Mistral-7B-v0.1", context_tokens=16384)
    assert row["gguf_kv_buffer"] == 16384 * 131_072


@pytest.mark.parametrize(("version", "cells"), [("b3609", 1024), ("b2800", 1024), ("b6900", 1000)])
def test_padding_by_build(version: str, cells: int) -> None:
    """1,000 tokens: to 32 without flash attention, to 256 in 2024-05, not at all in 2025-10."""
    row = printed("llama-3.1-8b", context_tokens=1000, engine_version=version)
    assert row["gguf_kv_buffer"] == cells * 131_072


@given(st.integers(1000, 99_999))
def test_every_build_has_rules(build: int) -> None:
    engine = get_engine("llama.cpp")
    version = engine.check_version(str(build))
    assert version == f"b{build}" == engine.check_version(f"B{build}")
    rules = rules_of(version)
    assert rules.build <= build or rules is TABLE[0]
    assert [r.date for r in TABLE] == sorted(r.date for r in TABLE)


@pytest.mark.parametrize("version", ["99", "b", "b12x", "0.5.0", "", "b" + "9" * 300, "../etc"])
@pytest.mark.parametrize("name", ["llama.cpp", "ik_llama.cpp", "ollama"])
def test_other_versions_are_refused(name: str, version: str) -> None:
    with pytest.raises(InputError, match="not a version of"):
        get_engine(name).check_version(version)


@given(st.integers(1, 200), st.integers(1, 16), st.integers(0, 210))
def test_every_layer_has_one_place(layers: int, devices: int, asked: int) -> None:
    assert sum(device_layers(layers, devices)) == layers
    request = request_of("llama-3-70b", gpus=2, pp=2, n_gpu_layers=asked)
    for rules in (TABLE[0], TABLE[-1]):
        placement = place(request, rules)
        placed = [*placement.host, *(i for r in placement.devices for i in r)]
        assert placed == list(range(80))
        moved = 80 - len(placement.host) + placement.output_on_device
        assert moved == min(asked, 81)


def test_layers_on_the_host_are_those_the_log_says() -> None:
    """Mistral-Large IQ3_XS, 39 of 88 layers on the device (b3488): 1252.9 of 2827 MiB of cache."""
    request = request_of(
        "mistralai/Mistral-Large-Instruct-2407", weight_format="gguf:IQ3_XS", n_gpu_layers=39,
        context_tokens=8224, engine_version="b3488",
    )  # fmt: skip
    plan = get_engine("llama.cpp").plan(request)
    assert plan.memory.weights_bytes / MIB == pytest.approx(21_018.94, rel=0.005)
    assert plan.request_bytes / MIB == pytest.approx(1252.88, abs=0.1)


def test_experts_on_the_host() -> None:
    """What leaves the device is on the host: no byte twice, none lost."""
    model = llmplan.load_model("qwen3-30b-a3b")
    all_on = estimate("qwen3-30b-a3b", "a100-40g").memory_per_gpu.weights_bytes
    request = request_of("qwen3-30b-a3b")
    experts = [sum(sizes) for sizes in expert_matrices(model, "Q4_K_M")]
    assert sum(experts) == weight_bytes(model, request.weights).classes["experts"]
    for count in (1, 20, 48):
        setup = estimate("qwen3-30b-a3b", "a100-40g", n_cpu_moe=count)
        assert all_on - setup.memory_per_gpu.weights_bytes == sum(experts[:count])
        assert f"--n-cpu-moe {count}" in (setup.launch.command if setup.launch else "")


def test_the_host_must_hold_what_stays_there() -> None:
    whole = estimate("mixtral-8x7b", "rtx-4090", n_cpu_moe=16, host_ram=64 * GIB)
    short = estimate("mixtral-8x7b", "rtx-4090", n_cpu_moe=16, host_ram=8 * GIB)
    assert whole.fits
    assert not short.fits
    assert "stay on the host, which has 8.0 GiB" in (short.reason or "")


def test_the_remedy_is_the_smallest_that_fits() -> None:
    setup = estimate("mixtral-8x7b", "rtx-4090", host_ram=64 * GIB)
    line = next(r for r in setup.remedies if "--n-cpu-moe" in r)
    count = int(line.rstrip(")").split()[-1])
    assert estimate("mixtral-8x7b", "rtx-4090", host_ram=64 * GIB, n_cpu_moe=count).fits
    assert not estimate("mixtral-8x7b", "rtx-4090", host_ram=64 * GIB, n_cpu_moe=count - 1).fits
    dense = estimate("llama-3.1-70b", "rtx-4090", host_ram=64 * GIB)
    assert any("--n-gpu-layers" in r for r in dense.remedies)
    assert not any(
        "host" in r for r in estimate("llama-3.1-70b", "rtx-4090", host_ram=GIB).remedies
    )


def test_the_remedy_says_what_it_takes_of_a_host_that_is_not_known() -> None:
    line = next(r for r in estimate("llama-3.1-70b", "rtx-4090").remedies if "--n-gpu-layers" in r)
    count, size = (float(x) for x in re.findall(r"(\d+) of 81 layers .* in ([\d.]+) GiB", line)[0])
    more = estimate("llama-3.1-70b", "rtx-4090", n_gpu_layers=int(count) + 1)
    assert not more.fits
    given = {"n_gpu_layers": int(count)}
    assert estimate("llama-3.1-70b", "rtx-4090", host_ram=int((size + 0.1) * GIB), **given).fits
    assert not estimate("llama-3.1-70b", "rtx-4090", host_ram=int((size - 0.1) * GIB), **given).fits


@given(st.integers(0, 80))
def test_fewer_layers_on_the_device_never_take_more_weights(count: int) -> None:
    fewer = estimate("llama-3.1-70b", "a100-80g-sxm", n_gpu_layers=count).memory_per_gpu
    more = estimate("llama-3.1-70b", "a100-80g-sxm", n_gpu_layers=count + 1).memory_per_gpu
    assert fewer.weights_bytes <= more.weights_bytes


def test_impossible_settings_have_a_reason() -> None:
    cases = (
        ({"kv_format": "q8_0", "flash_attention": False}, "needs flash attention"),
        ({"n_cpu_moe": 4}, "has no experts"),
        ({"gpu_memory_utilization": 0.5}, "no setting like gpu_memory_utilization"),
    )
    for options, reason in cases:
        setup = estimate("llama-3.1-8b", "a100-40g", **options)
        assert not setup.supported
        assert reason in (setup.reason or "")


def test_command_says_what_is_planned() -> None:
    setup = estimate(
        "llama-3.1-8b", "a100-40g", n_gpu_layers=20, max_num_batched_tokens=4096,
        flash_attention=False, kv_format="fp16", context_tokens=4096,
    )  # fmt: skip
    words = shlex.split(setup.launch.command or "") if setup.launch else []
    for flag, value in (("-ngl", "20"), ("-ub", "4096"), ("-b", "4096"), ("-fa", "off")):
        assert words[words.index(flag) + 1] == value


def test_ollama_says_its_own_defaults() -> None:
    setup = llmplan.estimate(
        "llama-3.1-8b", "rtx-4090", engine="ollama", weight_format="gguf:Q4_K_M",
        kv_format="q8_0", context_tokens=16384, concurrency=2, explain=True,
    )  # fmt: skip
    command = setup.launch.command if setup.launch else None
    assert command is not None
    for part in (
        "OLLAMA_CONTEXT_LENGTH=16384",
        "OLLAMA_NUM_PARALLEL=2",
        "OLLAMA_KV_CACHE_TYPE=q8_0",
    ):
        assert part in command
    assert "\n" not in command
    assert any("32,768 tokens" in w.message for w in setup.warnings)
    basis = {t.name: t.basis for t in setup.explanation or ()}
    assert basis["compute buffer"] == basis["runtime"] == "assumed"
    assert setup.memory_per_gpu.budget_bytes == setup.memory_per_gpu.device_total_bytes - 457 * MIB
    alone = llmplan.estimate("llama-3.1-8b", "rtx-4090", engine="ollama", weight_format="Q4_K_M")
    assert alone.kv_cache.max_concurrency == 1


def test_ik_llama_cpp_names_its_mla_mode() -> None:
    setup = llmplan.estimate(
        "deepseek-v2-lite", "rtx-4090", engine="ik-llama", weight_format="Q4_K_M"
    )
    assert "-mla 3" in ((setup.launch.command if setup.launch else None) or "")


def test_rows_that_name_no_build_take_that_of_their_date() -> None:
    engine = get_engine("llama.cpp")
    dated = engine.version_on
    assert rules_of(dated("2024-05-20")).padding == 32
    assert rules_of(dated("2024-05-01")).padding == 256
    assert rules_of(dated("2023-01-01")) == TABLE[0]
    for date in ("2023-01-01", "2024-05-20", "2026-11-21"):
        assert engine.check_version(dated(date)) == dated(date)


def test_keys_and_values_of_two_formats() -> None:
    """Logged for Qwen3-235B-A22B at 8,192, keys q8_0 and values f16: 1151.5 MiB."""
    row = printed(
        "qwen3-235b-a22b", context_tokens=8192, kv_format="K:q8_0/V:f16", flash_attention=True
    )
    assert row["gguf_kv_buffer"] / MIB == pytest.approx(1151.5, abs=0.1)
    for text in ("K:q8_0/V:", "K:nope/V:f16", "K:q8_0/V:K:q8_0/V:f16"):
        with pytest.raises(LlmplanError):
            printed("qwen3-235b-a22b", kv_format=text)


def test_nothing_on_the_device_but_the_compute_buffer() -> None:
    """-ngl 0: weights and cache are the host's, for as many slots as asked."""
    setup = estimate("llama-3.1-8b", "rtx-4090", n_gpu_layers=0, concurrency=4, host_ram=GIB)
    assert setup.memory_per_gpu.weights_bytes == 0
    assert not setup.fits
    roomy = estimate("llama-3.1-8b", "rtx-4090", n_gpu_layers=0, concurrency=4, host_ram=64 * GIB)
    assert roomy.fits
    assert "-ngl 0 -c 32768 -np 4" in ((roomy.launch.command if roomy.launch else None) or "")


@pytest.mark.parametrize("gpu", ["m4-max-40c-64g", "mi300x", "rtx-3090"])
@pytest.mark.parametrize("model", ["bge-m3", "gemma-3-27b", "deepseek-v3", "qwen3-next-80b-a3b"])
@pytest.mark.parametrize("engine", ["llama.cpp", "ik_llama.cpp", "ollama"])
def test_every_kind_of_model_is_planned(engine: str, model: str, gpu: str) -> None:
    for options in ({}, {"n_gpu_layers": 3}, {"n_gpu_layers": 0, "flash_attention": False}):
        setup = estimate(model, gpu, engine=engine, **options)
        parts = setup.memory_per_gpu
        assert parts.activation_peak_bytes > 0
        assert parts.weights_bytes >= 0
