"""Transformers, MLX-LM and ExLlamaV3: published memory figures, versions, what runs where."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.resolve import find_gpu, find_model
from llmplan.engines import get_engine
from llmplan.engines.layered import prefill_bytes
from llmplan.errors import IllegalParallelism, InputError
from llmplan.memory.weights import weight_bytes
from llmplan.planning.request import make_options, requested

GIB = 1 << 30


def total_used(model: str, gpu: str = "a100-80g-sxm", gpus: int = 1, **options: Any) -> float:
    """Return the peak over all devices that Transformers is predicted to show [bytes]."""
    asked = make_options(engine="transformers", tp=1, pp=gpus, gpus=gpus, **options)
    engine, request = requested(find_model(model, offline=True).model, find_gpu(gpu).gpu, asked)
    return engine.printed(request, engine.plan(request))["total_used"]


def predicted(row: dict[str, Any]) -> float:
    """Return the prediction for a row of the public measurements [bytes]."""
    return total_used(
        row["model"], row["gpu"], row["gpus"], engine_version=row["engine_version"],
        weight_format=row["weight_format"], kv_format=row["kv_format"],
        context_tokens=row["max_model_len"], input_tokens=row["extra"]["input_len"],
        output_tokens=row["extra"]["output_len"], flash_attention=row["flash_attention"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def errors(shared: Path) -> dict[str, list[float]]:
    """Return the relative errors of the Transformers rows by model."""
    found: dict[str, list[float]] = {}
    with (shared / "data/measurements/memory.jsonl").open() as lines:
        rows = [r for r in map(json.loads, lines) if r["engine"] == "transformers"]
    for row in rows:
        observed = row["expected"]["total_used"]
        found.setdefault(row["model"], []).append(abs(predicted(row) / observed - 1))
    return found


def test_peak_of_the_public_rows(errors: dict[str, list[float]]) -> None:
    """The bar for total_used: median at most 5 %, nine in ten within 15 %."""
    every = sorted(e for of_model in errors.values() for e in of_model)
    assert len(every) == 128
    assert median(every) <= 0.05
    assert every[len(every) * 9 // 10] <= 0.15


def test_peak_of_models_that_nothing_was_fitted_on(errors: dict[str, list[float]]) -> None:
    """Every model but Qwen2.5-3B is held out."""
    held_out = sorted(e for name, es in errors.items() if "Qwen2.5-3B" not in name for e in es)
    assert median(held_out) <= 0.05
    assert held_out[len(held_out) * 9 // 10] <= 0.15


def test_prefill_of_a_14b_as_published() -> None:
    """Qwen2.5-14B on 4.46.0: 36.85 GiB at 30,720 prompt tokens, 29.50 at 6,144."""
    grown = (36.85 - 29.50) * GIB - (30720 - 6144) * 48 * 2 * 8 * 128 * 2
    model = find_model("qwen2.5-14b", offline=True).model
    assert prefill_bytes(model, 30720 - 6144) == pytest.approx(grown, rel=0.01)


def test_logits_of_the_whole_prompt_before_4_45() -> None:
    """Qwen2-0.5B on 4.38.2 takes 27.61 GiB at 30,720 prompt tokens; 4.45 and later far less."""
    options = {"context_tokens": 32768, "input_tokens": 30720, "weight_format": "bf16"}
    old = total_used("qwen2-0.5b", engine_version="4.38.2", **options)
    new = total_used("qwen2-0.5b", engine_version="4.45.2", **options)
    assert old == pytest.approx(27.61 * GIB, rel=0.01)
    assert old - new > 30720 * 151936 * 4


def test_eager_attention_pays_for_every_score() -> None:
    """28 heads x 8192 x 8192 scores of at least 6 bytes; flash attention keeps none."""
    options = {"context_tokens": 8192, "weight_format": "bf16"}
    eager = total_used("qwen2.5-7b", flash_attention=False, **options)
    assert eager - total_used("qwen2.5-7b", flash_attention=True, **options) > 8192**2 * 28 * 4


@settings(max_examples=30, deadline=None)
@given(prompt=st.integers(1, 32000), more=st.integers(1, 700))
def test_peak_grows_with_the_prompt(prompt: int, more: int) -> None:
    """No prompt takes less than a shorter one of the same request."""
    fixed = {"context_tokens": 32768, "weight_format": "bf16", "engine_version": "4.38.2"}
    short = total_used("qwen2.5-7b", input_tokens=prompt, **fixed)
    assert total_used("qwen2.5-7b", input_tokens=prompt + more, **fixed) >= short


@pytest.mark.parametrize("gpus", [1, 2])
def test_longest_request_is_the_last_that_fits(gpus: int) -> None:
    """The prefill of a longer request takes more too: the next one must not fit."""
    options = {"engine": "transformers", "gpus": gpus, "engine_version": "4.38.2"}
    first = llmplan.estimate("qwen2.5-7b", "rtx-4090", **options)
    longest = first.max_context_tokens
    assert 0 < longest < 32768
    assert llmplan.estimate("qwen2.5-7b", "rtx-4090", context_tokens=longest, **options).fits
    after = llmplan.estimate("qwen2.5-7b", "rtx-4090", context_tokens=longest + 1, **options)
    assert not after.fits


@pytest.mark.parametrize(
    ("version", "per_token"),
    [("5.0.0", 61 * 128 * (192 + 128) * 2), ("5.23.0", 70272)],
)
def test_latent_attention_by_version(version: str, per_token: int) -> None:
    """DeepSeek-V3: keys and values of 128 heads before, the latent of 576 since."""
    setup = llmplan.estimate(
        "deepseek-v3", "h200", engine="transformers", gpus=1, engine_version=version
    )
    assert setup.kv_cache.bytes_per_token_per_gpu == per_token


def test_windows_by_version() -> None:
    """Gemma-3-27B at 32k tokens: all 62 layers in full, then 10 of them and windows of 1024."""
    one_layer = 2 * 16 * 128 * 2
    for version, tokens in (("4.51.3", 62 * 32768), ("4.57.0", 10 * 32768 + 52 * 1024)):
        setup = llmplan.estimate(
            "gemma-3-27b", "h200", engine="transformers", context_tokens=32768,
            engine_version=version,
        )  # fmt: skip
        assert setup.memory_per_gpu.kv_cache_bytes == tokens * one_layer


@pytest.mark.parametrize("version", ["4.51.3", "4.51.3.dev0", "v4.46.0", "4.38.2"])
def test_versions_that_are_planned(version: str) -> None:
    """Builds and releases between the rows of the table are planned."""
    assert get_engine("hf").check_version(version) == version


@pytest.mark.parametrize("version", ["4.30.0", "99.0", "newest", "", "9" * 500])
def test_versions_that_are_refused(version: str) -> None:
    """What is older or newer than the table, or no version, is refused in one line."""
    with pytest.raises(InputError, match="is not a version of transformers"):
        get_engine("hf").check_version(version)


def test_llama_70b_in_exl3_fits_where_its_readme_says() -> None:
    """ExLlamaV3's README: Llama-3.1-70B at 1.6 bits, head at 3, 4096 tokens: under 16 GB."""
    setup = llmplan.estimate(
        "llama-3.1-70b", "rtx-4090", engine="exllamav3", weight_format="exl3:1.6bpw",
        context_tokens=4096, concurrency=1,
    )  # fmt: skip
    memory, head = setup.memory_per_gpu, 128256 * 8192
    embedding_on_the_host = head * 2
    on_device = memory.weights_bytes - head * (6 - 3) / 8 - embedding_on_the_host
    assert 14e9 < on_device + memory.kv_cache_bytes < 16e9


def test_llama_8b_in_mlx_is_as_large_as_published() -> None:
    """mlx-community/Meta-Llama-3.1-8B-Instruct-4bit holds 4.52 GB."""
    setup = llmplan.estimate(
        "llama-3.1-8b", "m4-max-40c-64g", engine="mlx", weight_format="mlx-4bit"
    )
    assert setup.memory_per_gpu.weights_bytes == pytest.approx(4.52e9, rel=2e-3)


@pytest.mark.parametrize(
    ("model", "gpu", "engine", "options", "reason"),
    [
        ("llama-3.1-8b", "a100-40g", "hf", {}, None),
        ("llama-3.1-8b", "a100-40g", "hf", {"weight_format": "nf4"}, None),
        ("qwen3-8b", "a100-40g", "hf", {"weight_format": "fp8"}, "need compute capability 8.9"),
        ("llama-3.1-8b", "a100-40g", "hf", {"kv_format": "q8_0"}, "no q8_0 KV cache"),
        ("llama-3.1-8b", "a100-40g", "hf", {"gpu_memory_utilization": 0.9}, "no setting like"),
        ("llama-3.1-8b", "a100-40g", "hf", {"weight_format": "gguf:Q8_0"}, "GGUF"),
        ("llama-3.1-8b", "m4-max-40c-64g", "mlx", {"weight_format": "mlx-4bit"}, None),
        ("llama-3.1-8b", "m4-max-40c-64g", "mlx", {"weight_format": "awq"}, "not awq-int4"),
        ("llama-3.1-8b", "rtx-4090", "mlx", {}, "on Apple silicon"),
        ("llama-3.1-8b", "rtx-3090", "tabbyapi", {"weight_format": "exl3:5bpw"}, None),
        ("llama-3.1-8b", "rtx-3090", "exllama", {"weight_format": "exl2:5bpw"}, "not load EXL2"),
        ("llama-3.1-8b", "mi300x", "exllamav3", {"weight_format": "exl3:5bpw"}, "NVIDIA"),
        ("llama-3.1-8b", "v100-32g", "exllamav3", {"weight_format": "exl3:5bpw"}, "7.5"),
        ("bge-m3", "a100-40g", "hf", {}, "text generation only"),
    ],
)
def test_what_runs_where(
    model: str, gpu: str, engine: str, options: dict[str, Any], reason: str | None
) -> None:
    """One sentence says why a setup does not run; the others have a command."""
    setup = llmplan.estimate(model, gpu, engine=engine, **options)
    assert setup.supported == (reason is None), setup.reason
    if reason is not None:
        assert reason in (setup.reason or "")


@pytest.mark.parametrize("engine", ["hf", "exllamav3", "mlx"])
def test_tensors_are_not_split(engine: str) -> None:
    """Each of them is planned by whole layers: a tp of 2 is refused with the way out."""
    with pytest.raises(IllegalParallelism, match="whole layers: use pp 2"):
        llmplan.estimate("llama-3.1-8b", "rtx-4090", engine=engine, tp=2)


@pytest.mark.parametrize(
    ("engine", "gpu", "options", "words"),
    [
        ("hf", "a100-40g", {"quant": "nf4"}, "transformers serve --quantization bnb-4bit"),
        ("hf", "a100-40g", {"flash_attention": False}, "--attn-implementation eager"),
        ("hf", "a100-40g", {"quant": "fp16"}, "--dtype float16"),
        ("mlx", "m4-max-40c-64g", {"kv_dtype": "q8_0"}, "mlx_lm.server --model --kv-bits 8"),
        ("mlx", "m4-max-40c-64g", {"concurrency": 4}, "--decode-concurrency 4"),
        ("tabbyapi", "rtx-3090", {"quant": "exl3:4bpw", "concurrency": 2, "context": 1000},
         "main.py --model-name --max-seq-len 1000 --cache-size 2048 --max-batch-size 2"),
        ("tabbyapi", "rtx-3090", {"quant": "exl3:4bpw", "kv_dtype": "q4_0"}, "--cache-mode 4,4"),
    ],
)  # fmt: skip
def test_commands(engine: str, gpu: str, options: dict[str, Any], words: str) -> None:
    """Flags as the engines' own sources name them."""
    renamed = {"quant": "weight_format", "kv_dtype": "kv_format", "context": "context_tokens"}
    given_options = {renamed.get(k, k): v for k, v in options.items()}
    setup = llmplan.estimate("llama-3.1-8b", gpu, engine=engine, **given_options)
    assert setup.launch is not None
    command = shlex.split(setup.launch.command or "")
    assert all(word in command for word in words.split())


def test_a_quantized_checkpoint_is_not_quantized_again() -> None:
    """DeepSeek-V3 ships in fp8: no flag makes NF4 of it while loading."""
    setup = llmplan.estimate(
        "deepseek-v3", "h200", gpus=8, engine="transformers", weight_format="bnb-nf4"
    )
    assert setup.launch is not None
    assert "--quantization" not in (setup.launch.command or "")
    assert any(w.code == "no_published_artifact" for w in setup.warnings)


def test_devices_hold_the_layers_of_one_model() -> None:
    """Four devices hold every weight once: no device less than a fifth or more than two fifths."""
    model = find_model("llama-3.1-70b", offline=True).model
    setup = llmplan.estimate("llama-3.1-70b", "a100-80g-sxm", gpus=4, engine="transformers")
    request = requested(model, find_gpu("a100-80g-sxm").gpu, make_options())[1]
    whole = weight_bytes(model, request.weights).total
    assert setup.pp == 4
    assert whole / 5 < setup.memory_per_gpu.weights_bytes < whole * 2 / 5
