"""llama-server's --fit: first the context shrinks, then layers or experts stay on the host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.resolve import find_gpu
from llmplan.engines import get_engine
from llmplan.engines.base import Request
from llmplan.engines.llama_cpp_fit import Choice, Measured, choice
from llmplan.engines.llamacpp import LlamaCpp
from llmplan.planning.request import Options, requested

GIB = 1 << 30
ENGINE = get_engine("llama.cpp")
assert isinstance(ENGINE, LlamaCpp)


def request_of(model: str, gpu: str, **options: object) -> Request:
    """Return a request of llama.cpp."""
    given = Options(engine="llama.cpp", weight_format="gguf:Q4_K_M", **options)  # type: ignore[arg-type]
    return requested(llmplan.load_model(model), find_gpu(gpu).gpu, given)[1]


def chosen(request: Request) -> Choice | None:
    """Return what --fit sets, by this project's own memory of a request."""
    assert isinstance(ENGINE, LlamaCpp)
    return choice(request, measure=ENGINE._measured, fits=lambda r: ENGINE.plan(r).fits)


def test_the_context_is_interpolated_and_rounded_down() -> None:
    """16 GiB of weights, 1 MiB a token, 20 GiB to take: 4,096 tokens are all that is left."""
    request = request_of("llama-3.1-8b", "rtx-4090")

    def of(target_gib: float, r: Request) -> Measured:
        return Measured(16 * GIB + r.context_tokens * 2**20, target_gib * GIB, 16 * GIB)

    def context(target_gib: float, r: Request = request) -> int:
        found = choice(
            r,
            measure=lambda asked: of(target_gib, asked),
            fits=lambda asked: of(target_gib, asked).used <= target_gib * GIB,
        )
        assert found is not None
        return found.context_tokens

    assert context(20) == 4096
    assert context(16 + 10.1) == 10_240  # 10,342 tokens, in steps of 256
    assert context(16 + 129) == 131_072
    two = request_of("llama-3.1-8b", "rtx-4090", gpus=2)
    assert context(16 + 10.1, two) == 9_472  # three halves of a layer of 0.5 GiB less


def test_layers_stay_behind_when_the_least_context_is_too_long() -> None:
    """Llama-3.1-70B on 24 GiB: as many layers as fit at 4,096 tokens, and not one more."""
    request = request_of("llama-3.1-70b", "rtx-4090")
    found = chosen(request)
    assert found is not None
    assert (found.context_tokens, found.n_cpu_moe) == (4096, 0)
    assert 0 < found.n_gpu_layers < 81
    one = replace(
        request,
        workload=replace(request.workload, context_tokens=4096),
        limits=request.limits._replace(max_num_seqs=1),
    )
    fits = [
        ENGINE.plan(replace(one, limits=one.limits._replace(n_gpu_layers=n))).fits
        for n in (found.n_gpu_layers, found.n_gpu_layers + 1)
    ]
    assert fits == [True, False]


def test_experts_stay_behind_before_layers() -> None:
    found = chosen(request_of("mixtral-8x7b", "rtx-4090"))
    assert found is not None
    assert (found.context_tokens, found.n_gpu_layers) == (4096, 33)
    assert 0 < found.n_cpu_moe < 32


@settings(max_examples=25, deadline=None)
@given(
    model=st.sampled_from(["llama-3.1-8b", "qwen3-30b-a3b", "gemma-2-27b", "mixtral-8x7b"]),
    gpu=st.sampled_from(["t4", "rtx-3060-12g", "rtx-4090", "a100-40g"]),
    gpus=st.integers(1, 3),
)
def test_what_it_takes_fits(model: str, gpu: str, gpus: int) -> None:
    request = request_of(model, gpu, gpus=gpus)
    found = chosen(request)
    if found is None:
        return
    assert found.context_tokens >= min(4096, request.model.context_tokens or 0)
    setup = llmplan.estimate(
        model, gpu, gpus=gpus, engine="llama.cpp", weight_format="gguf:Q4_K_M", max_num_seqs=1,
        context_tokens=found.context_tokens, n_gpu_layers=found.n_gpu_layers,
        n_cpu_moe=found.n_cpu_moe,
    )  # fmt: skip
    assert setup.fits


@pytest.mark.parametrize(
    ("engine", "version", "said"),
    [("llama.cpp", None, True), ("llama.cpp", "b7000", False), ("ollama", None, False)],
)
def test_only_builds_that_fit_themselves_say_so(
    engine: str, version: str | None, said: bool
) -> None:
    setup = llmplan.estimate(
        "llama-3.1-70b", "rtx-4090", engine=engine, engine_version=version,
        weight_format="gguf:Q4_K_M",
    )  # fmt: skip
    assert any("fits itself" in line for line in setup.remedies) == said
