"""Speculative decoding: what drafts holds weights and a part of the pool, on the last stage."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest
from conftest import Cli

import llmplan
from llmplan.catalog.resolve import find_gpu
from llmplan.engines import get_engine
from llmplan.errors import InputError
from llmplan.planning.request import make_options, requested
from llmplan.specs.model import Model

GIB = 1 << 30


def eagle_head(model: str, name: str, block: str | None = None) -> Model:
    """Return an EAGLE head for a model: one of its layers under the name that engines go by."""
    whole = llmplan.load_model(model)
    stack = whole.main
    kept = block or stack.layers[-1]
    one = replace(stack, layers=(kept,), blocks={kept: stack.blocks[kept]})
    return replace(whole, id="eagle", hub_id=name, decoder=one)


def printed(engine: str, model: str, gpu: str, **options: Any) -> dict[str, float]:
    """Return what an engine prints for a setup."""
    given = make_options(engine=engine, **options)
    _, request = requested(llmplan.load_model(model), find_gpu(gpu).gpu, given)
    return get_engine(engine).printed(request, get_engine(engine).plan(request))


def test_an_eagle_head_is_a_33rd_layer() -> None:
    """Llama-3.1-8B with EAGLE: 33 x 4,096 B a token (vllm-project/vllm issue 19996)."""
    head = eagle_head("llama-3.1-8b", "yuhuili/EAGLE-LLaMA3.1-Instruct-8B")
    for version in ("0.9.2", "0.33.0"):
        figures = printed("vllm", "llama-3.1-8b", "h100-sxm", engine_version=version,
                          speculative_tokens=3, draft=head)  # fmt: skip
        assert figures["kv_bytes_per_token"] == 33 * 4096
    # A layer is 218,112,000 parameters, the projection 2 x 4,096 x 4,096; embedding and head are
    # those of the model it drafts for.
    alone = printed("vllm", "llama-3.1-8b", "h100-sxm")
    assert figures["weights"] - alone["weights"] == 2 * (218_112_000 + 2 * 4096 * 4096)


def test_mtp_layers_weigh_what_the_files_hold_of_them() -> None:
    """Qwen3.5-35B-A3B's files hold 844,640,768 parameters beside the model: its MTP layers."""
    with_mtp, without = (
        printed("vllm", "qwen3.5-35b-a3b", "h200", speculative_tokens=n) for n in (1, None)
    )
    assert with_mtp["weights"] - without["weights"] == 2 * 844_640_768


def test_mtp_layers_keep_the_latent_too() -> None:
    """DeepSeek-V3: 62 entries of 576 elements a token in place of 61."""
    figures = printed("vllm", "deepseek-v3", "h200", gpus=8, tp=8, speculative_tokens=1)
    assert figures["kv_bytes_per_token"] == 62 * 576 * 2


def test_kinds_are_padded_to_the_layers_with_the_draft() -> None:
    """gpt-oss-20b and EAGLE: 12 windows and 13 full layers are two groups of 13.

    Source: vLLM 0.32.0 v1/core/kv_cache_utils.py, which names this case.
    """
    head = eagle_head("gpt-oss-20b", "eagle-head", "attention_moe")
    pool = 43_070 * 13 * 16 * 2_048
    figures = printed("vllm", "gpt-oss-20b", "h100-sxm", kv_cache_memory_bytes=pool, draft=head,
                      speculative_tokens=1, engine_version="0.19.1")  # fmt: skip
    assert figures["kv_tokens"] == 43_070 // 2 * 16


def test_a_state_page_more_for_each_drafted_token() -> None:
    """Qwen3.5: a state before each of the drafted tokens is kept (MambaSpec, vLLM 0.32.0)."""
    sizes = []
    for n in (1, 2, 3):
        setup = llmplan.estimate("qwen3.5-35b-a3b", "h200", speculative_tokens=n)
        sizes.append(setup.kv_cache.bytes_per_token_per_gpu)
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0]) != 0


def test_the_last_stage_is_the_fuller_one() -> None:
    """On several stages the draft has the last one, and an embedding of its own there."""
    options = {"gpus": 2, "tp": 1, "pp": 2, "context_tokens": 4096}
    head = eagle_head("llama-3.1-8b", "yuhuili/EAGLE-LLaMA3.1-Instruct-8B")
    alone = llmplan.estimate("llama-3.1-8b", "h100-sxm", **options)
    both = llmplan.estimate("llama-3.1-8b", "h100-sxm", draft=head, speculative_tokens=2, **options)
    more = both.memory_per_gpu.weights_bytes - alone.memory_per_gpu.weights_bytes
    layer, projection, embedding = 218_112_000, 2 * 4096**2, 128_256 * 4096
    norm = 4096  # the final norm stands on the last stage too
    assert more == pytest.approx(2 * (layer + projection + embedding + norm), abs=2 * norm)
    assert both.kv_cache.bytes_per_token_per_gpu == 17 * 4096


def test_a_whole_model_drafts_with_its_own_cache_and_weights() -> None:
    """Llama-3.2-1B beside Llama-3.1-8B: 16 layers of 2,048 B more, 1.24 G parameters more."""
    alone = printed("vllm", "llama-3.1-8b", "h100-sxm")
    both = printed("vllm", "llama-3.1-8b", "h100-sxm", speculative_tokens=5,
                   draft=llmplan.load_model("llama-3.2-1b"))  # fmt: skip
    assert both["weights"] - alone["weights"] == 2 * 1_235_814_400
    assert both["kv_bytes_per_token"] == 32 * 4096 + 16 * 2048


def test_sglang_counts_drafted_layers_like_the_models_own() -> None:
    """SGLang 0.5.23 pool_configurator.py: a cell grows by draft layers over layers."""
    alone, both = (
        printed("sglang", "deepseek-v3", "h200", gpus=8, tp=8, speculative_tokens=n)
        for n in (None, 1)
    )
    assert both["kv_bytes_per_token"] == pytest.approx(62 * 576 * 2)
    assert both["weights"] > alone["weights"]


@pytest.mark.parametrize(
    ("engine", "draft", "method"),
    [("vllm", None, "mtp"), ("vllm", "yuhuili/EAGLE3-x", "eagle3"), ("sglang", None, "NEXTN")],
)
def test_the_command_drafts(engine: str, draft: str | None, method: str) -> None:
    given = {"draft": eagle_head("qwen3.5-27b", draft)} if draft else {}
    setup = llmplan.estimate("qwen3.5-27b", "h200", engine=engine, speculative_tokens=2, **given)
    assert setup.launch is not None
    words = shlex.split(setup.launch.command or "")
    if engine == "sglang":
        assert words[words.index("--speculative-algorithm") + 1] == method
        assert words[words.index("--speculative-num-draft-tokens") + 1] == "3"
        return
    config = json.loads(words[words.index("--speculative-config") + 1])
    assert (config["method"], config["num_speculative_tokens"]) == (method, 2)
    assert config.get("model") == draft


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("qwen3.5-27b", {"engine_version": "0.10.2"}, "does not draft with mtp"),
        ("qwen3.5-27b", {"engine_version": "0.7.3"}, "has no --speculative-config"),
        ("qwen3.5-27b", {"engine": "llama.cpp"}, "no setting like speculative_tokens"),
        ("qwen3.5-27b", {"engine": "lmdeploy"}, "does not plan speculative decoding"),
        ("qwen3.5-27b", {"engine": "sglang", "engine_version": "0.5.3"}, "not before"),
        ("qwen2.5-7b", {"draft": "qwen2.5-1.5b"}, "needs the same vocabulary"),
    ],
)
def test_what_cannot_draft_is_said(model: str, options: dict[str, Any], reason: str) -> None:
    setup = llmplan.estimate(model, "h200", speculative_tokens=1, **options)
    assert not setup.supported
    assert reason in f"{setup.reason} {[w.message for w in setup.warnings]}"


def test_nothing_to_draft_with_is_an_error(cli: Cli) -> None:
    with pytest.raises(InputError, match="no MTP layers"):
        llmplan.fit("llama-3.1-8b", "h200", speculative_tokens=2)
    done = cli("fit", "llama-3.1-8b", "--gpu", "h200", "--draft", "llama-3.2-1b")
    assert (done.returncode, "--speculative-tokens N" in done.stderr) == (2, True)
    done = cli("fit", "llama-3.1-8b", "--gpu", "h200", "--draft", "no-such-model-here",
               "--speculative-tokens", "2", "--offline")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
