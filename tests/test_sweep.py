"""Rows of a sweep: those of `estimate` for every point of the grid; plan files, their faults."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.plan_file import plan_of, read_plan
from llmplan.catalog.plan_schema import plan_schema
from llmplan.errors import CatalogFileError, InputError
from llmplan.specs.plan_file import AXES, COLUMNS

pytest.importorskip("pyarrow")

MODELS = ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v2-lite", "gemma-3-12b", "flan-t5-xxl",
          "nemotron-3-nano-30b-a3b"]  # fmt: skip
ENGINES = ["vllm", "sglang", "llama.cpp", "transformers", "tensorrt-llm"]
SETUP_OF = {
    "fits": lambda s: s.fits,
    "weights_bytes": lambda s: s.memory_per_gpu.weights_bytes,
    "kv_cache_bytes": lambda s: s.memory_per_gpu.kv_cache_bytes,
    "activation_peak_bytes": lambda s: s.memory_per_gpu.activation_peak_bytes,
    "cuda_graph_bytes": lambda s: s.memory_per_gpu.cuda_graph_bytes,
    "runtime_bytes": lambda s: s.memory_per_gpu.runtime_bytes,
    "free_bytes": lambda s: s.memory_per_gpu.free_bytes,
    "budget_bytes": lambda s: s.memory_per_gpu.budget_bytes,
    "capacity_tokens": lambda s: s.kv_cache.capacity_tokens,
    "max_concurrency": lambda s: s.kv_cache.max_concurrency,
    "max_context_tokens": lambda s: s.max_context_tokens,
    "utilization": lambda s: s.performance.utilization,
}
SPEEDS = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s", "total_tokens_per_s",
          "requests_per_s", "output_tokens_per_s_per_user", "output_tokens_per_s_per_gpu",
          "prefill_tokens_per_s")  # fmt: skip


def asked_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `estimate` that ask for a row."""
    asked = {"engine": row["engine"], "weight_format": row["weight_format"],
             "kv_format": row["kv_format"], "gpus": row["gpus"], "tp": row["tp"], "pp": row["pp"],
             "dp": row["dp"], "ep": row["ep"], "context_tokens": row["context_tokens"]}  # fmt: skip
    for name in ("input_tokens", "output_tokens", "concurrency", "rate_per_s"):
        if row[name] is not None:
            asked[name] = row[name]
    return asked


def same(row: dict[str, Any], setup: Any) -> None:
    """Compare a row with the setup of `estimate`."""
    for name, of in SETUP_OF.items():
        want = of(setup)
        assert row[name] == (None if want is None else pytest.approx(want, rel=1e-9)), name
    for name in SPEEDS:
        band = getattr(setup.performance, name)
        for column, want in (
            (name, None if band is None else band.value),
            (f"{name}_low", None if band is None else band.low),
            (f"{name}_high", None if band is None else band.high),
        ):
            assert row[column] == (None if want is None else pytest.approx(want, rel=1e-9)), column


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(MODELS), gpu=st.sampled_from(["h100-sxm", "l4", "mi300x", "rtx-4090"]),
    engine=st.sampled_from(ENGINES), count=st.sampled_from([1, 2, 8]),
    weights=st.sampled_from([None, "bf16", "fp8", "awq-int4", "gguf:Q4_K_M"]),
    kv=st.sampled_from([None, "fp8"]), context=st.sampled_from([2048, 8192, 131072]),
    load=st.sampled_from([{}, {"concurrency": [1, 7, 300]}, {"rate_per_s": [0.1, 3, 1000]}]),
)  # fmt: skip
def test_rows_are_those_of_estimate(
    model: str, gpu: str, engine: str, count: int, weights: str | None, kv: str | None,
    context: int, load: dict[str, Any],
) -> None:  # fmt: skip
    workload = {"context_tokens": [context], "input_tokens": [100, 1500], "output_tokens": 200}
    plan: dict[str, Any] = {
        "models": [model], "gpus": [gpu], "gpu_counts": [count], "engines": [engine],
        "columns": "all", "parallel": "all", "workload": workload | load,
    }  # fmt: skip
    plan |= {"weight_formats": [weights]} if weights else {}
    plan |= {"kv_formats": [kv]} if kv else {}
    rows = llmplan.sweep(plan).to_pylist()
    for row in rows:
        same(row, llmplan.estimate(model, gpu, **asked_of(row)))


def test_every_legal_point_has_its_row_and_no_other() -> None:
    """Points that `estimate` refuses or the engine does not run are counted, not shown."""
    models, gpus, engines = MODELS[:5], ["h100-sxm", "v100-16g"], ENGINES[:3]
    plan = {"models": models, "gpus": gpus, "engines": engines, "weight_formats": ["bf16", "fp8"],
            "gpu_counts": [1, 3], "workload": {"context_tokens": [4096, 10**7]}}  # fmt: skip
    keys = ("model", "gpu", "engine", "weight_format", "gpus", "context_tokens")
    found = {tuple(r[k] for k in keys) for r in llmplan.sweep(plan).to_pylist()}
    wanted = set()
    for point in product(models, gpus, engines, ["bf16", "fp8"], [1, 3], [4096, 10**7]):
        model, gpu, engine, weights, count, context = point
        try:
            s = llmplan.estimate(model, gpu, engine=engine, weight_format=weights, gpus=count,
                                 context_tokens=context)  # fmt: skip
        except InputError:
            continue
        if s.supported:
            wanted.add(point)
    assert found == wanted


def test_order_is_that_of_the_axes_and_filters_only_leave_out() -> None:
    plan = {"models": MODELS[:2], "gpus": ["h100-sxm", "a100-80g-sxm"], "gpu_counts": [2, 4],
            "workload": {"concurrency": "1..64 x2"}}  # fmt: skip
    rows = llmplan.sweep(plan).to_pylist()
    keys = [(MODELS.index(r["model"]), r["gpus"], plan["gpus"].index(r["gpu"]), r["concurrency"])
            for r in rows]  # fmt: skip
    assert keys == sorted(keys)
    kept = llmplan.sweep(plan | {"filter": "fits and tpot_s < 0.02 and gpu in ['h100-sxm']"})
    want = [r for r in rows if r["fits"] and r["tpot_s"] < 0.02 and r["gpu"] == "h100-sxm"]
    assert kept.to_pylist() == want and 0 < len(want) < len(rows)


def test_derived_columns_and_limits() -> None:
    plan = {"models": ["llama-3.1-8b"], "gpus": ["h100-sxm"],
            "workload": {"concurrency": "1..256 x4"}, "limits": {"tpot_s": "10ms"},
            "columns": ["concurrency", "tpot_s", {"slow": "tpot_s > 0.01"}, "meets_limits",
                        {"per_user": "output_tokens_per_s / concurrency"}]}  # fmt: skip
    table = llmplan.sweep(plan)
    assert table.column_names == ["concurrency", "tpot_s", "slow", "meets_limits", "per_user"]
    for row in table.to_pylist():
        assert row["slow"] == (row["tpot_s"] > 0.01) == (not row["meets_limits"])


def test_filters_of_bools_leave_out_what_is_not_known() -> None:
    """A device without a speed has null for meets_limits: neither it nor its `not` holds."""
    plan = {"models": ["llama-3.1-8b"], "gpus": ["h100-sxm"], "limits": {"tpot_s": "10ms"},
            "workload": {"concurrency": "1..256 x4"}}  # fmt: skip
    rows = llmplan.sweep(plan).to_pylist()
    for text, want in (
        ("fits and meets_limits", [r for r in rows if r["fits"] and r["meets_limits"]]),
        ("not meets_limits", [r for r in rows if r["meets_limits"] is False]),
        ("fits and not meets_limits or tpot_s < 0.008",
         [r for r in rows if not r["meets_limits"] or r["tpot_s"] < 0.008]),
    ):  # fmt: skip
        assert llmplan.sweep(plan | {"filter": text}).to_pylist() == want
        assert len(want) > 0
    speechless = {"models": ["flan-t5-xxl"], "gpus": ["h100-sxm"], "engines": ["transformers"],
                  "limits": {"tpot_s": "10ms"}}  # fmt: skip
    assert [r["meets_limits"] for r in llmplan.sweep(speechless).to_pylist()] == [None]
    for text in ("meets_limits", "not meets_limits"):
        assert llmplan.sweep(speechless | {"filter": text}).num_rows == 0


FAULTS = [
    ("models: [llama-3.1-8b]\n", "gpus is missing"),
    ("models: [llama-3.1-8b]\ngpu: [l4]\n", ":2:6: gpu: unknown key, did you mean gpus?"),
    ("models: [m]\ngpus: [l4]\ngpu_counts: 8..1\n", ":3:13: gpu_counts: '8..1' has no steps"),
    ("models: [m]\ngpus: [l4]\nworkload:\n  concurrency: [1, x]\n", ":4:20: workload.concurrency"),
    ("models: [m]\ngpus: [l4]\nfilter: fits and tpots < 1\n", ":3:18: filter: 'tpots' is no col"),
    ("models: [m]\ngpus: [l4]\ncolumns: [model, tpot]\n", ":3:18: columns.1: 'tpot' is no column"),
    ("models: [m]\ngpus: [l4]\nfilter: __import__('os')\n", ":3:9: filter: call is not allowed"),
    ("models: [m]\ngpus: [l4]\nparallel: {tp: all}\n", "parallel: all"),
    ("models: [m]\ngpus: [l4]\noptions: {max_num_seqs: [1, 2]}\n", "one value for the whole grid"),
    ("models: [m]\ngpus: [l4]\nlimits: {ttft_s: soon}\n", ":3:18: limits.ttft_s"),
    ("models: [m\n", "bad.yaml:"),
    ("models: {a: b}\ngpus: []\n", "must be a value, a list or a range"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), FAULTS, ids=[s[:30] for _, s in FAULTS])
def test_faults_name_line_and_column(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(CatalogFileError) as e:
        read_plan(path)
    assert says in e.value.one_line() and "\n" not in e.value.one_line()


def test_check_reads_plans(cli: Cli, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("models: all\ngpus: all\n")
    bad.write_text("models: all\ngpus: all\nworkload: {input: 3}\n")
    assert cli("check", str(good)).returncode == 0
    done = cli("check", str(bad), "--json")
    assert done.returncode == 2
    fault = json.loads(done.stdout)["faults"][0]
    assert (fault["line"], fault["column"], fault["field"]) == (3, 19, "workload.input")


def test_schema_knows_the_keys_of_the_reader() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = plan_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    whole: dict[str, Any] = {"models": "all", "gpus": ["l4"], "columns": ["all", {"x": "tp + 1"}],
                             "filter": "fits", "limits": {"ttft_s": "1s"},
                             "options": {"max_num_seqs": 8}}  # fmt: skip
    for key, axis in AXES.items():
        if axis.group:
            whole.setdefault(axis.group, {})[key] = "1..8 x2"
        elif axis.kind == "count":
            whole[key] = [1, 2]
    jsonschema.validate(whole, schema)
    plan_of(whole)
    for wrong in ({"model": "x"}, {"workload": {"input": 1}}, {"columns": ["tpot"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"models": "all", "gpus": "all"} | wrong, schema)
        with pytest.raises(CatalogFileError):
            plan_of({"models": "all", "gpus": "all"} | wrong)
    items = schema["properties"]["columns"]["anyOf"][1]["items"]
    assert {n["const"] for n in items["anyOf"][0]["oneOf"]} == set(COLUMNS)


def test_too_large_for_a_table_says_so() -> None:
    every = {"models": "all", "gpus": "all"}
    with pytest.raises(InputError, match="too many for one table"):
        llmplan.sweep(every | {"workload": {"concurrency": "1..100000"}})
    with pytest.raises(InputError, match="points"):
        llmplan.sweep(
            every | {"workload": dict.fromkeys(("concurrency", "input_tokens"), "1..900000")}
        )
