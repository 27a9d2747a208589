"""What must hold of every engine's memory: ranks add up, shares are monotone, versions are rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.resolve import find_gpu
from llmplan.engines import get_engine, known_engines
from llmplan.engines.llama_cpp_memory import device_weights, place
from llmplan.engines.llama_cpp_versions import TABLE, rules_of
from llmplan.planning.request import make_options, requested
from llmplan.specs.setup import Setup

ENGINES = known_engines()
SHARDING = [n for n in ENGINES if get_engine(n).has_tensor_parallel]
STAGED = [n for n in SHARDING if n != "lmdeploy"]  # it has no pipeline stages
LAYERED = [n for n in ENGINES if not get_engine(n).has_tensor_parallel]
MODELS = ("llama-3.1-8b", "qwen2.5-7b", "mixtral-8x7b", "gemma-2-9b", "deepseek-v2-lite")
FEW = settings(max_examples=25, deadline=None)


def planned(engine: str, model: str, **options: Any) -> Setup:
    """Return a setup on devices that hold any of the models, in the engine's own format."""
    device = "m3-ultra-512g" if engine == "mlx-lm" else "h200"
    return llmplan.estimate(model, device, engine=engine, context_tokens=4096, **options)


def weights(engine: str, model: str, **options: Any) -> int:
    """Return the weights of the fullest device."""
    return planned(engine, model, **options).memory_per_gpu.weights_bytes


def test_every_engine_is_one_or_the_other() -> None:
    assert len(SHARDING) >= 4
    assert sorted(SHARDING + LAYERED) == sorted(ENGINES)


@FEW
@given(engine=st.sampled_from(SHARDING), model=st.sampled_from(MODELS), tp=st.sampled_from([2, 4]))
def test_ranks_hold_the_whole_and_what_all_of_them_keep(engine: str, model: str, tp: int) -> None:
    """Norms, routers and the latent of MLA are on every rank; nothing is lost or doubled."""
    one = weights(engine, model)
    ranks = tp * weights(engine, model, gpus=tp, tp=tp)
    assert one <= ranks <= one * (1.02 if tp == 2 else 1.05)


@FEW
@given(engine=st.sampled_from(STAGED), model=st.sampled_from(MODELS))
def test_stages_of_sharding_engines_hold_the_whole(engine: str, model: str) -> None:
    one, fullest = weights(engine, model), weights(engine, model, gpus=2, tp=1, pp=2)
    assert one / 2 <= fullest < 0.75 * one


@pytest.mark.parametrize("engine", ["transformers", "exllamav3"])
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b"])
def test_devices_of_layers_hold_the_whole(engine: str, model: str) -> None:
    one, fullest = weights(engine, model), weights(engine, model, gpus=2, pp=2)
    assert one / 2 <= fullest < 0.75 * one


@FEW
@given(model=st.sampled_from(MODELS), devices=st.integers(2, 6), layers=st.integers(0, 40))
def test_llama_cpp_spreads_what_one_device_holds(model: str, devices: int, layers: int) -> None:
    """Whatever the split and however many layers stay on the host: the sum is the same."""
    sums = []
    for n in (1, devices):
        given = make_options(engine="llama.cpp", gpus=n, n_gpu_layers=layers)
        _, request = requested(llmplan.load_model(model), find_gpu("h200").gpu, given)
        rules = rules_of(request.version)
        sums.append(sum(device_weights(request, place(request, rules))))
    assert sums[0] == pytest.approx(sums[1])


@FEW
@given(
    engine=st.sampled_from(ENGINES),
    model=st.sampled_from(MODELS),
    shares=st.tuples(st.integers(30, 98), st.integers(30, 98)),
)
def test_a_larger_share_never_lowers_what_fits(
    engine: str, model: str, shares: tuple[int, int]
) -> None:
    """An engine without such a setting refuses it, and its plan does not move."""
    less, more = (
        planned(engine, model, gpu_memory_utilization=share / 100) for share in sorted(shares)
    )
    assert less.kv_cache.capacity_tokens <= more.kv_cache.capacity_tokens
    assert less.kv_cache.max_concurrency <= more.kv_cache.max_concurrency
    assert less.fits <= more.fits
    if not less.supported and "gpu_memory_utilization" in (less.reason or ""):
        assert less.memory_per_gpu == more.memory_per_gpu


def rows_of(engine: str) -> list[str]:
    """Return the versions at which an engine's policy has a row of its own."""
    if engine in ("llama.cpp", "ik_llama.cpp", "ollama"):
        return [f"b{row.build}" for row in TABLE] if engine == "llama.cpp" else []
    return list(get_engine(engine).versions) if engine != "vllm" else []


@pytest.mark.parametrize("engine", [n for n in ENGINES if len(rows_of(n)) > 1])
def test_a_version_between_two_rows_takes_the_earlier_one(engine: str) -> None:
    """Nothing moves without a row; weights do not move at all (vLLM: test_vllm_versions.py)."""
    seen = set()
    for version in rows_of(engine)[:-1]:
        later = f"b{int(version[1:]) + 1}" if version[0] == "b" else f"{version}.post1"
        at, after = (planned(engine, "llama-3.1-8b", engine_version=v) for v in (version, later))
        assert (at.memory_per_gpu, at.kv_cache) == (after.memory_per_gpu, after.kv_cache), later
        seen.add(at.memory_per_gpu.weights_bytes)
    assert len(seen) == 1


GIVEN = {"gpu_memory_utilization": 0.8, "max_num_seqs": 64, "max_num_batched_tokens": 2048,
         "enforce_eager": True}  # fmt: skip


def test_with_every_setting_given_sglang_plans_alike_in_all_versions() -> None:
    """Its releases changed defaults, pools of windows and states, and nothing of a dense model."""
    plans = {v: planned("sglang", "llama-3.1-8b", engine_version=v, **GIVEN)
             for v in get_engine("sglang").versions}  # fmt: skip
    assert len({(p.memory_per_gpu, p.kv_cache) for p in plans.values()}) == 1


def test_a_build_of_llama_cpp_changes_what_its_pull_request_did() -> None:
    """Between neighbours of the table only the parts that the changed rules name move."""
    moves = {
        "kv": {"padding", "flash_padding", "latent", "windows", "slots_apart", "flash"},
        "compute": {"padding", "flash_padding", "flash", "fused", "few_outputs", "slots_apart",
                    "latent", "windows"},
        "margin": {"fit"},
    }  # fmt: skip
    for before, after in pairwise(TABLE):
        changed = {f for f in after._fields[3:] if getattr(before, f) != getattr(after, f)}
        old, new = (planned("llama.cpp", "llama-3.1-8b", engine_version=f"b{row.build}",
                            concurrency=1) for row in (before, after))  # fmt: skip
        if not changed & moves["kv"]:
            assert old.kv_cache.bytes_per_token_per_gpu == new.kv_cache.bytes_per_token_per_gpu
        if not changed & moves["compute"]:
            assert (old.memory_per_gpu.activation_peak_bytes
                    == new.memory_per_gpu.activation_peak_bytes)  # fmt: skip
        if not changed & moves["margin"]:
            assert old.memory_per_gpu.budget_bytes == new.memory_per_gpu.budget_bytes
