"""Measured rows: read, predicted from their settings alone, scored; logs read into rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Cli
from hypothesis import given
from hypothesis import strategies as st

from llmplan.engines import get_engine, known_engines
from llmplan.engines.vllm_measured import CUDA_GRAPH_BYTES
from llmplan.errors import CatalogFileError, InputError
from llmplan.measured.bands import held_out, with_bands
from llmplan.measured.logs import read_log
from llmplan.measured.memory import memory_scores
from llmplan.measured.rows import own_measurements, read_rows, row_of
from llmplan.measured.summary import quantile, summaries

LOGS = ROOT / "tests/recorded"
PLAIN = {
    "id": "x", "engine": "vllm", "model": "Qwen/Qwen3-8B", "engine_version": "0.12.0",
    "gpu": "h100-sxm", "tp": 1, "weight_format": "bf16", "kv_format": "bf16",
    "max_model_len": 8192, "gpu_memory_utilization": 0.9,
    "expected": {"weights": 1.6e10, "kv_bytes_per_token": 147456.0},
}  # fmt: skip


def test_every_test_of_every_row_comes_out() -> None:
    rows = list(read_rows([own_measurements("memory")]))
    scores = list(memory_scores(rows))
    assert [(s.id, s.test) for s in scores] == [(r.id, t) for r in rows for t in r.expected]
    for s in scores:
        assert (s.predicted is None) == (s.skipped is not None)


def test_a_prediction_never_reads_what_it_is_scored_on() -> None:
    """Ten times the figures, the same predictions; a concurrency is asked of the logged pool."""
    rows = list(read_rows([own_measurements("memory")]))
    tenfold = [replace(r, expected={k: 10 * v for k, v in r.expected.items()}) for r in rows]
    for one, other in zip(memory_scores(rows), memory_scores(tenfold), strict=True):
        assert one.predicted == other.predicted, (one.id, one.test)


def test_repeats_count_once_and_skips_are_counted() -> None:
    first, again = row_of(PLAIN, "a"), row_of({**PLAIN, "id": "y", "extra": {
        "repeat_of": {"weights": "x"}}}, "b")  # fmt: skip
    strange = row_of({**PLAIN, "id": "z", "model": "no-such-model-at-all"}, "c")
    found = {s.group: s for s in summaries(memory_scores([first, again, strange]))}
    assert found["vllm", "weights"].rows == 1
    assert found["vllm", "weights"].skipped == 1
    assert found["vllm", "kv_bytes_per_token"].rows == 2


def test_declared_rows_exist_and_hold_what_their_constant_says() -> None:
    """Every row that a constant was read off is in measurements/, and is left out of quotes."""
    rows = {r.id: r for r in read_rows([own_measurements("memory")])}
    declared = [(e, f) for e in known_engines() for f in get_engine(e).fitted_on]
    assert {e for e, _ in declared} >= {"vllm", "sglang", "llama.cpp", "transformers"}
    for _, f in declared:
        assert set(f.rows) <= rows.keys(), f.constant
        assert len({rows[i].repeats.get(t, i) for i in f.rows for t in f.tests or ("x",)}) > 1
    kept = {(s.id, s.test) for s in held_out(memory_scores(rows.values()))}
    for _, f in declared:
        assert not kept & {(i, t) for i in f.rows for t in f.tests}
    graphs = next(f for _, f in declared if f.constant == "CUDA_GRAPH_BYTES")
    observed = {json.loads(line)["id"]: json.loads(line).get("observed") or {}
                for line in Path(own_measurements("memory")).read_text().splitlines()}  # fmt: skip
    median = quantile(sorted(observed[i]["cudagraph_gib"] for i in graphs.rows), 0.5)
    assert median == pytest.approx(CUDA_GRAPH_BYTES / 2**30, abs=0.006)


def test_bands_are_those_of_other_rows() -> None:
    """80 % bands: they hold about that share of rows, and no row is in its own band's errors."""
    own = list(memory_scores(read_rows([own_measurements("memory")])))
    banded = [s for s in with_bands(own, own) if s.low is not None and not s.fitted]
    assert {s.engine for s in banded} == {"vllm", "llama.cpp", "ik_llama.cpp", "transformers"}
    inside = sum(
        (s.low or 0) * (1 - 1e-9) <= s.observed <= (s.high or 0) * (1 + 1e-9) for s in banded
    )
    assert 0.72 <= inside / len(banded) <= 0.95
    worst = next(s for s in banded if s.id == "mem-v-0566" and s.test == "kv_pool")
    without = [s for s in own if s.id != "mem-v-0566"]
    assert with_bands([worst], without)[0].high == worst.high


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_lie_between_the_values(values: list[float], share: float) -> None:
    ordered = sorted(values)
    assert ordered[0] <= (quantile(ordered, share) or 0.0) <= ordered[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be an object"),
        ('{"id": "x"}', "lacks engine, model, expected"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_broken_rows_name_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(PLAIN) + "\n" + text + "\n")
    with pytest.raises(CatalogFileError) as e:
        list(read_rows([str(path)]))
    assert expected in e.value.one_line()
    assert "rows.jsonl:2" in e.value.message


VLLM_LOG = """\
INFO Initializing a V1 LLM engine (v0.12.0) with config: model='Qwen/Qwen3-8B', tokenizer='x', \
dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=2, pipeline_parallel_size=1, \
quantization=None, enforce_eager=True, kv_cache_dtype=auto
INFO Model loading took 7.6400 GiB memory and 3.2 seconds
INFO Available KV cache memory: 60.50 GiB
INFO GPU KV cache size: 881,024 tokens
INFO Maximum concurrency for 8,192 tokens per request: 107.55x
"""
SGLANG_LOG = """\
server_args=ServerArgs(model_path='meta-llama/Meta-Llama-3-8B-Instruct', tp_size=1, \
mem_fraction_static=0.88, context_length=8192, dtype='auto')
Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16, \
avail mem=124.23 GB, mem usage=14.98 GB.
KV Cache is allocated. #tokens: 871371, K size: 53.18 GB, V size: 53.18 GB
"""
LLAMA_LOG = """\
build: 5361 (abc) with cc
print_info: file type   = Q4_K - Medium
print_info: general.name     = Meta Llama 3.1 8B Instruct
print_info: file size   = 4.58 GiB (4.89 BPW)
llama_model_loader: model size = 4.58 GiB (4.89 BPW)
load_tensors: offloaded 33/33 layers to GPU
llama_context: n_ctx         = 8192
llama_context: n_ubatch      = 512
llama_context: flash_attn    = 1
llama_kv_cache: CUDA0 KV buffer size =   512.00 MiB
llama_kv_cache: CUDA1 KV buffer size =   512.00 MiB
llama_context:      CUDA0 compute buffer size =   258.50 MiB
"""


def test_a_vllm_log(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text(VLLM_LOG)
    row = read_log(str(tmp_path / "server.log"), "vllm")
    assert (row["model"], row["tp"], row["max_model_len"]) == ("Qwen/Qwen3-8B", 2, 8192)
    assert (row["engine_version"], row["enforce_eager"]) == ("0.12.0", True)
    assert row["expected"]["weights"] == 7.64 * 2**30
    assert row["expected"]["kv_tokens"] == 881_024
    assert row["expected"]["max_concurrency"] == 107.55


def test_logs_of_other_engines(tmp_path: Path) -> None:
    (tmp_path / "s.log").write_text(SGLANG_LOG)
    sglang = read_log(str(tmp_path / "s.log"), "sglang")
    assert sglang["gpu_memory_utilization"] == 0.88
    assert sglang["expected"]["kv_pool"] == 2 * 53.18 * 2**30
    (tmp_path / "l.log").write_text(LLAMA_LOG)
    llama = read_log(str(tmp_path / "l.log"), "llama.cpp")
    assert (llama["n_gpu_layers"], llama["flash_attention"]) == (33, True)
    assert llama["expected"]["gguf_kv_buffer"] == 1024 * 2**20
    assert llama["extra"] == {"n_ubatch": 512}


def test_a_log_without_figures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("nothing here\n")
    with pytest.raises(InputError, match="no start-up figures"):
        read_log(str(tmp_path / "x.log"), "vllm")


@given(st.text(max_size=300))
def test_any_log_is_read_or_refused(text: str) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".log", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        for engine in ("vllm", "sglang", "llama.cpp"):
            try:
                read_log(file.name, engine)
            except InputError as e:
                assert "\n" not in e.one_line()


def test_add_then_validate(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text(VLLM_LOG)
    mine, out = tmp_path / "mine.jsonl", tmp_path / "out.jsonl"
    done = cli("measurements", "add", "--vllm-log", str(tmp_path / "server.log"), "--gpu",
               "h100-sxm", "-o", str(mine))  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = cli("validate", "--measurements", str(mine), "--rows", str(out), "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    keys = {"id", "test", "observed", "predicted", "low", "high", "basis", "error", "skipped"}
    assert all(keys <= r.keys() for r in rows)
    weights = next(r for r in rows if r["test"] == "weights")
    assert abs(weights["error"]) < 0.01
    assert cli("validate", "--measurements", str(tmp_path / "no.jsonl")).returncode == 2
