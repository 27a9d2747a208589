"""The images that vLLM encodes when it sizes its pool, against logs and the rules of its source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmplan.catalog.resolve import find_gpu, find_model, store
from llmplan.engines import get_engine, vllm_images
from llmplan.engines.vllm_batch import batch_limits
from llmplan.planning.request import make_options, requested

GIB = 1 << 30
VLLM = get_engine("vllm")


def overheads(model: str, gpu: str, version: str, **options: Any) -> Any:
    """Return a request and its run-time parts."""
    given = make_options(engine="vllm", engine_version=version, **options)
    _, request = requested(find_model(model, offline=True).model, find_gpu(gpu).gpu, given)
    return request, VLLM.plan(request).overheads


@pytest.mark.parametrize(
    ("model", "gpu", "version", "options", "logged_gib", "within"),
    [
        # H100, one rank: mondegreens/apron, rows mem-v-a012, a024 and a015
        ("qwen3.5-35b-a3b", "h100-sxm", "0.30.0", {"weight_format": "fp8-block"}, 1.92, 0.03),
        ("qwen3.5-27b", "h100-sxm", "0.30.0", {"max_num_seqs": 275}, 1.92, 0.03),
        ("muse-glimmer-30b", "h100-sxm", "0.30.0", {"context_tokens": 640}, 1.83, 0.06),
        # two ranks: noonghunna/club-3090#1087 and #1139
        ("qwen3.5-27b", "rtx-pro-6000", "0.28.0", {"tp": 2, "max_num_seqs": 2,
                                                   "max_num_batched_tokens": 8192}, 1.59, 0.13),
        ("qwen3.5-27b", "rtx-pro-6000", "0.28.0", {"tp": 2, "max_num_seqs": 2,
                                                   "max_num_batched_tokens": 8192}, 1.66, 0.13),
    ],
)  # fmt: skip
def test_the_encoders_peak_as_logged(
    model: str, gpu: str, version: str, options: dict[str, Any], logged_gib: float, within: float
) -> None:
    """No log was used: the towers' allocations were followed on the CPU."""
    _, parts = overheads(model, gpu, version, **options)
    assert parts.activation_peak / GIB == pytest.approx(logged_gib, rel=within)


def test_gated_activations_took_one_tensor_more_before_they_were_compiled() -> None:
    """Qwen2.5-VL-7B on L4, 0.9.1 (mem-v-b005): 10.04 GiB of pool; other towers stay as they are."""
    peaks = {}
    for name in ("qwen2.5-vl-7b", "qwen3-vl-8b"):
        for version in ("0.14.1", "0.15.0"):
            request, _ = overheads(name, "a100-80g-sxm", version, context_tokens=32768)
            peaks[name, version] = vllm_images.encoder_bytes(request, *batch_limits(request))[0]
    assert peaks["qwen2.5-vl-7b", "0.14.1"] / peaks["qwen2.5-vl-7b", "0.15.0"] > 1.1
    assert peaks["qwen3-vl-8b", "0.14.1"] == peaks["qwen3-vl-8b", "0.15.0"]


def test_encoded_images_were_kept_at_the_whole_budget() -> None:
    """Qwen3-VL on 0.11.0 logs "a budget of 153600 tokens, and profiled with 1 video items"."""
    request, _ = overheads("qwen3-vl-30b-a3b", "rtx-3090", "0.11.0", gpus=4, context_tokens=65536)
    found = vllm_images.encoded(request, 2048, 256)
    assert (found.items, found.budget, found.tokens) == (1, 153_600, 12_288)
    kept = vllm_images.encoder_bytes(request, 2048, 256)[1]
    assert kept == 153_600 * 4 * request.model.main.hidden_size * 2  # DeepStack: four outputs
    request = replace(request, version="0.13.0")
    assert vllm_images.encoded(request, 2048, 256).tokens == 16_384


def test_gemma_4_encodes_in_parts_of_the_device() -> None:
    """PR 46389 logs "a budget of 8192 tokens, profiled with 3 video items": 32 frames of 78."""
    large, _ = overheads("gemma-4-31b", "h200", "0.33.0", context_tokens=8192)
    small, _ = overheads("gemma-4-31b", "h100-sxm", "0.33.0", context_tokens=8192)
    assert vllm_images.encoded(large, 8192, 256).items == 3
    peaks = [vllm_images.encoder_bytes(r, 8192, 256)[0] for r in (small, large)]
    assert peaks[0] < peaks[1]
    assert peaks[1] < 0.1 * large.device_bytes


@pytest.mark.parametrize("name", sorted(vllm_images.ITEMS))
def test_towers_shrink_on_more_ranks_and_never_below_what_all_hold(name: str) -> None:
    tower = vllm_images.ITEMS[name].tower
    widths = [tower.widths(n) for n in (1, 2, 4, 8, 16)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 1


@pytest.mark.parametrize(
    ("model", "context", "batched", "tokens"),
    [
        # "Encoder cache will be initialized with a budget of 16384 tokens, and profiled with 1
        # image items of the maximum feature size": club-3090#1047, a batch of 8,192
        ("qwen3.5-27b", 131072, 8192, 16384),
        ("gemma-3-27b", 8192, 8300, 32 * 256),
        ("qwen2.5-vl-7b", 32768, 2048, 2 * 16384),
        # 12 tiles and a thumbnail, or 19 frames beside them
        ("internvl3-8b", 8192, 8192, 19 * 256),
        ("internvl3-8b", 4096, 4096, 13 * 256),
        ("minicpm-v-4-5", 8192, 2048, 2 * 16 * 64),
        # "two 4,096-token images": mondegreens/apron, tests of 2026-09
        ("muse-glimmer-30b", 640, 8192, 2 * 4096),
        ("pixtral-12b", 8192, 8192, 64 * 65),
        # vLLM 0.33's own processors, run without a GPU, say these sizes
        ("kimi-vl-a3b", 8192, 8192, 7 * 1089),
        ("kimi-k2.6", 8192, 8192, 4225),
        ("glm-4.5v", 8192, 8192, 6084),
        ("glm-4.5v", 65536, 8192, 31974),
        ("glm-5.3-flash", 8192, 8192, 8000),
        ("glm-5.3-flash", 131072, 8192, 37345),
        ("gemma-4-31b", 8192, 8192, 3 * 2240),
        ("glm-4v-9b", 8192, 8192, 5 * 1602),
        ("gemma-3n-e4b", 8192, 8192, 32 * 256),
    ],
)
def test_images_that_are_encoded(model: str, context: int, batched: int, tokens: int) -> None:
    request, _ = overheads(model, "h100-sxm", "0.33.0", context_tokens=context)
    assert vllm_images.encoded_tokens(request, batched, 256) == tokens
    codes = {w.code for w in VLLM.plan(request).warnings}
    assert codes & {"encoder_peak_assumed", "encoder_peak_unknown"} == {"encoder_peak_assumed"}


def test_every_model_of_the_catalogue_that_vllm_serves_has_its_tower() -> None:
    """Mllama and MiniGPT-4 alone have none: vLLM 0.33 has no classes for them."""
    gpu, unknown = find_gpu("b300").gpu, set()
    for name in store().ids("models"):
        model = find_model(name, offline=True).model
        if model.vision is not None:
            _, request = requested(model, gpu, make_options(engine="vllm", gpus=8))
            if "encoder_peak_unknown" in {w.code for w in VLLM.plan(request).warnings}:
                unknown.add(model.model_type)
    assert unknown == {"mllama", "minigpt4"}


def test_a_longer_context_is_profiled_with_longer_videos() -> None:
    """What is said to be the longest starts, and one token more does not."""
    request, _ = overheads("qwen2.5-vl-7b", "rtx-4090", "0.33.0", context_tokens=8192)
    longest = VLLM.plan(request).max_context_tokens
    for tokens, fits in ((longest, True), (longest + 1, False)):
        workload = replace(request.workload, context_tokens=tokens)
        assert VLLM.plan(replace(request, workload=workload)).fits is fits
    assert 8192 < longest < request.model.context_tokens
