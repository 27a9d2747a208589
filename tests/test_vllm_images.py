"""The images that vLLM encodes when it sizes its pool, against logs and the rules of its source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmplan.catalog.resolve import find_gpu, find_model
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


@pytest.mark.parametrize(("tp", "logged_gib"), [(1, 2.80), (2, 1.59), (2, 1.66)])
def test_the_encoders_peak_as_logged(tp: int, logged_gib: float) -> None:
    """The starts that the widths were read off: constants and formula still belong together."""
    _, parts = overheads("qwen3.5-27b", "rtx-pro-6000", "0.28.0", tp=tp, max_num_seqs=2,
                         max_num_batched_tokens=8192)  # fmt: skip
    assert parts.activation_peak / GIB == pytest.approx(logged_gib, rel=0.04)


def test_the_encoders_peak_of_a_model_it_was_not_read_off() -> None:
    """Qwen2.5-VL-7B with videos of two pairs of frames, on Ascend: 5.64 GiB logged (mem-v-0494)."""
    request, _ = overheads("qwen2.5-vl-7b", "a100-80g-sxm", "0.21.0", context_tokens=32768)
    peak, _ = vllm_images.encoder_bytes(request, batch_limits(request)[0])
    assert peak / GIB == pytest.approx(5.64, rel=0.15)


@pytest.mark.parametrize(
    ("model", "context", "batched", "tokens"),
    [
        # "Encoder cache will be initialized with a budget of 16384 tokens, and profiled with 1
        # image items of the maximum feature size": club-3090#1047, a batch of 8,192
        ("qwen3.5-27b", 131072, 8192, 16384),
        ("gemma-3-27b", 8192, 8300, 32 * 256),
        ("qwen2.5-vl-7b", 32768, 2048, 2 * 16384),
        ("internvl3-8b", 8192, 8192, 0),
    ],
)
def test_images_that_are_encoded(model: str, context: int, batched: int, tokens: int) -> None:
    request, _ = overheads(model, "h100-sxm", "0.33.0", context_tokens=context)
    assert vllm_images.encoded_tokens(request, batched) == tokens
    codes = {w.code for w in VLLM.plan(request).warnings}
    assert codes & {"encoder_peak_assumed", "encoder_peak_unknown"} == {
        "encoder_peak_assumed" if tokens else "encoder_peak_unknown"
    }


def test_a_longer_context_is_profiled_with_longer_videos() -> None:
    """What is said to be the longest starts, and one token more does not."""
    request, _ = overheads("qwen2.5-vl-7b", "rtx-4090", "0.33.0", context_tokens=8192)
    longest = VLLM.plan(request).max_context_tokens
    for tokens, fits in ((longest, True), (longest + 1, False)):
        workload = replace(request.workload, context_tokens=tokens)
        assert VLLM.plan(replace(request, workload=workload)).fits is fits
    assert 8192 < longest < request.model.context_tokens
