"""What vLLM's profile run finds: the runner by release, and logs that nothing was read off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmplan.catalog.resolve import find_gpu, find_model
from llmplan.engines import vllm_profile
from llmplan.engines.vllm_batch import batch_limits
from llmplan.engines.vllm_versions import policy_of
from llmplan.measured.memory import memory_scores, request_of
from llmplan.measured.rows import read_rows
from llmplan.planning.request import make_options, requested

GIB = 1 << 30
MEASURED = Path(__file__).parents[1] / "measurements/memory.jsonl"
ROWS = {row.id: row for row in read_rows([str(MEASURED)])}


def request(model: str, version: str, **options: Any) -> Any:
    given = make_options(engine="vllm", engine_version=version, **options)
    found = find_model(model, offline=True).model
    return requested(found, find_gpu("h100-sxm").gpu, given)[1]


@pytest.mark.parametrize(
    ("model", "format", "since"),
    [
        # config/vllm.py of each release: DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES and its rule
        ("qwen3-8b", "bf16", "0.22.0"),
        ("llama-3.1-8b", "bf16", "0.23.0"),
        ("qwen3-8b", "awq-int4", "0.24.0"),
        ("deepseek-v2-lite", "bf16", "0.24.0"),
        ("gemma-2-2b", "bf16", "0.25.0"),
        ("deepseek-v4-flash", None, "0.28.0"),
        ("qwen3-30b-a3b", "bf16", "0.29.0"),
        ("qwen3.5-27b", "bf16", "0.29.0"),
    ],
)
def test_the_second_runner_by_release(model: str, format: str | None, since: str) -> None:
    versions = ["0.21.0", "0.22.0", "0.23.0", "0.24.0", "0.25.0", "0.26.0", "0.27.0", "0.28.0",
                "0.29.0", "0.33.0"]  # fmt: skip
    options = {} if format is None else {"weight_format": format}
    served = [
        v for v in versions
        if vllm_profile.is_second(request(model, v, **options), policy_of(v))
    ]  # fmt: skip
    assert served == versions[versions.index(since) :]


@pytest.mark.parametrize(("seqs", "graphs"), [(256, 35), (1024, 51), (275, 36), (1, 1)])
def test_batches_that_are_captured(seqs: int, graphs: int) -> None:
    """ "Profiling CUDA graph memory: ... FULL=35 (largest=256)" at 256 sequences; 51 at 1,024."""
    found = vllm_profile.captured_batches(request("qwen3-8b", "0.30.0", max_num_seqs=seqs), seqs)
    assert len(found) == graphs


@pytest.mark.parametrize(
    ("row", "peak_bytes"),
    [
        # transient_peak_headroom of the start, mondegreens/apron: nothing was read off it
        ("mem-v-a004", 1599875317), ("mem-v-a006", 1277752770), ("mem-v-a008", 440234147),
        ("mem-v-a010", 300647710), ("mem-v-a014", 225485783), ("mem-v-a019", 1256277934),
        ("mem-v-a021", 1385126952), ("mem-v-a023", 1728724336),
    ],
)  # fmt: skip
def test_the_peak_of_text_models_as_logged(row: str, peak_bytes: int) -> None:
    """Compiler, sampler and forward pass by the shapes of their tensors: no constant in them."""
    _, asked = request_of(ROWS[row], "kv_pool")
    policy, (batched, seqs) = policy_of(asked.version), batch_limits(asked)
    found = max(vllm_profile.moments(asked, policy, batched, seqs).values())
    assert found == pytest.approx(peak_bytes, rel=0.06, abs=20 << 20)


@pytest.mark.parametrize(
    ("row", "within"),
    [("mem-v-a012", 0.04), ("mem-v-a015", 0.06), ("mem-v-a019", 0.11), ("mem-v-a022", 0.03),
     ("mem-v-a024", 0.04), ("mem-v-a025", 0.03)],
)  # fmt: skip
def test_pools_of_models_that_nothing_was_read_off(row: str, within: float) -> None:
    (score,) = (s for s in memory_scores([ROWS[row]]) if s.test == "kv_pool")
    assert not score.fitted
    assert score.error == pytest.approx(0, abs=within)


@pytest.mark.parametrize(("gpu", "padded_gib"), [("rtx-4090", 0.86), ("h100-sxm", 0.0)])
def test_experts_are_padded_to_tiles(gpu: str, padded_gib: float) -> None:
    """gpt-oss-20b: 768 experts of three matrices of 2,880 x 2,880, stored as 2,944 x 3,072."""
    expected = 768 * 3 * (2944 * 3072 - 2880 * 2880) * 4.25 / 8 / GIB
    assert padded_gib in (0.0, pytest.approx(expected, abs=0.01))
    given = make_options(engine="vllm", engine_version="0.30.0")
    found = find_model("gpt-oss-20b", offline=True).model
    asked = requested(found, find_gpu(gpu).gpu, given)[1]
    assert vllm_profile.loading_bytes(asked) / GIB == pytest.approx(padded_gib, abs=0.01)


def test_padded_weights_as_logged() -> None:
    """13.80 GiB on an RTX 4090: 14,817,637,171 bytes (mem-v-a020)."""
    (score,) = (s for s in memory_scores([ROWS["mem-v-a020"]]) if s.test == "weights")
    assert score.error == pytest.approx(0, abs=0.02)
