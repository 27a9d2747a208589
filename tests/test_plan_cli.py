"""`llmplan plan` as scripts see it: fields, exit codes, formats, one line for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import pytest
from conftest import Cli

PLAN = ("plan", "llama-3.1-8b", "--rate", "5", "--profile", "chat", "--ttft", "1s", "--tpot",
        "50ms")  # fmt: skip
HERE = ("--gpu", "l4", "--gpu", "h100-sxm")
ANSWER = [
    "schema", "llmplan_version", "model", "load", "limits", "prefer", "searched", "setups",
    "unpriced", "mixed", "disaggregated", "pareto", "binding", "own_or_rent", "warnings",
]  # fmt: skip
PLANNED = [
    "replicas", "gpus", "setup", "ttft_s", "tpot_s", "e2e_s", "ttft_limit_s", "tpot_limit_s",
    "output_tokens_per_s", "requests_per_s", "capacity", "batch_limit", "max_num_seqs",
    "utilization", "rent",
    "usd_per_hour", "usd_per_million_output_tokens", "power_w", "power_basis", "quality_tier",
    "evidence", "deploy",
]  # fmt: skip


def test_json_of_plan_has_the_fields_of_the_contract(cli: Cli) -> None:
    done = cli(*PLAN, *HERE, "--json", "--api-price", "0.1,0.3")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert list(answer) == ANSWER
    assert answer["schema"] == "llmplan.plan/1"
    assert answer["setups"] and all(list(p) == PLANNED for p in answer["setups"])
    first = answer["setups"][0]
    assert list(first["rent"]) == ["usd_per_hour", "machines", "offer"]
    assert first["rent"]["offer"]["provider"] and first["rent"]["offer"]["price_date"]
    assert first["ttft_s"]["low"] <= first["ttft_s"]["value"] <= first["ttft_s"]["high"]
    assert list(answer["pareto"][0])[:3] == ["gpu", "gpus", "replicas"]
    assert answer["own_or_rent"]["hours_per_month"] == 730
    costs = [p["usd_per_hour"] for p in answer["pareto"]]
    times = [p["e2e_s"] for p in answer["pareto"]]
    assert costs == sorted(costs) and times == sorted(times, reverse=True)


def test_the_line_that_is_shown_deploys_the_setup_that_is_shown(cli: Cli) -> None:
    """Each plan's own `llmplan deploy` gives the very command of its setup."""
    answer = json.loads(cli(*PLAN, *HERE, "--json").stdout)
    for planned in answer["setups"][:3]:
        words = shlex.split(planned["deploy"])
        assert words[0] == "llmplan"
        done = json.loads(cli(*words[1:], "--json").stdout)
        setup = done["setup"]
        for name in ("engine", "weight_format", "kv_format", "gpu", "gpus", "tp", "pp", "dp", "ep"):
            assert setup[name] == planned["setup"][name]
        assert setup["launch"] == planned["setup"]["launch"]
        assert setup["performance"]["tpot_s"]["value"] == pytest.approx(
            planned["tpot_s"]["value"], rel=1e-4
        )


def test_every_format_prints_the_plan(cli: Cli) -> None:
    screen = cli(*PLAN, *HERE).stdout
    for part in ("Llama 3.1 8B", "planned for 7.55 at the peak", "Azure", "mean TTFT 1 s",
                 "$/M out", "quality", "llmplan deploy llama-3.1-8b"):  # fmt: skip
        assert part in screen, part
    assert "Llama 3.1 8B Instruct |" not in cli(*PLAN, *HERE, "-q").stdout
    assert "| $/h" in " ".join(cli(*PLAN, *HERE, "--format", "markdown").stdout.split())
    rows = list(csv.DictReader(io.StringIO(cli(*PLAN, *HERE, "--format", "csv").stdout)))
    assert rows and None not in rows[0]
    assert float(rows[0]["usd_per_hour"]) > 0 and rows[0]["list"] == "setups"
    assert "Searched" in cli(*PLAN, *HERE, "--explain").stdout


def test_the_whole_catalogue_is_planned_by_default(cli: Cli) -> None:
    answer = json.loads(cli(*PLAN, "--json").stdout)
    assert answer["searched"]["devices"] > 200
    assert answer["setups"] and answer["unpriced"]
    assert not answer["setups"][0]["evidence"]


def test_constraints_hold(cli: Cli) -> None:
    args = ("--provider", "runpod", "--engine", "vllm", "--quant", "fp8", "--kv-dtype", "bf16")
    answer = json.loads(cli(*PLAN, *args, "--json").stdout)
    for p in answer["setups"]:
        s = p["setup"]
        assert (s["engine"], s["weight_format"], s["kv_format"]) == ("vllm", "fp8", "bf16")
        assert p["rent"]["offer"]["provider"] == "runpod"
    assert not answer["unpriced"]


def test_nothing_that_meets_the_limits_is_exit_1_and_says_why(cli: Cli) -> None:
    done = cli(*PLAN[:-1], "1ms", *HERE)
    assert done.returncode == 1
    assert "No plan meets load and limits." in done.stdout and "TPOT of 1 ms binds" in done.stdout
    answer = json.loads(cli(*PLAN[:-1], "1ms", *HERE, "--json").stdout)
    assert not answer["setups"] and answer["binding"][0]["limit"] == "tpot_s"
    none = cli("plan", "llama-3.1-8b", "--license", "mit", "--gpu", "l4")
    assert none.returncode == 1 and "llama3.1" in none.stdout
    free = cli("plan", "command-r-plus", "--commercial", "--gpu", "h100-sxm")
    assert free.returncode == 1 and "commercial" in free.stdout


@pytest.mark.parametrize(
    "args",
    [
        ("--rate", "0"), ("--rate", "nan"), ("--rate", "-3"), ("--rate", "1", "--concurrency", "2"),
        ("--users", "5"), ("--profile", "gossip"), ("--trace", "/nowhere.csv"),
        ("--trace", "/dev/null"), ("--ttft", "soon"), ("--tpot", "0"), ("--percentile", "p12"),
        ("--prefer", "everything"), ("--gpu", "a100"), ("--gpu", "rtx-3090*0"), ("--gpu", ","),
        ("--gpu", "rtx-3090*2,nope*1"), ("--provider", "nobody"), ("--region", "mars"),
        ("--engine", "no-such"), ("--quant", "int3.7"), ("--kv-dtype", "none"), ("--budget", "-1"),
        ("--max-gpus", "0"), ("--api-price", "1"), ("--api-price", "a,b"), ("--headroom", "0.2"),
        ("--api-price", "nan,1"), ("--context", "0"), ("--input", "9000", "--context", "4k"),
        ("--engine", "tgi"), ("--set", "memory=1GiB"), ("--format", "yaml"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_one_line(cli: Cli, args: tuple[str, ...]) -> None:
    done = cli("plan", "llama-3.1-8b", *args)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("llmplan: ")


def test_encoders_are_refused(cli: Cli) -> None:
    done = cli("plan", "bge-m3", "--rate", "5", "--json")
    assert done.returncode == 2 and "error" in json.loads(done.stdout)


def test_a_trace_gives_lengths_context_and_load(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    lines = "".join(f"{5 * i},{300 + i % 7},{40 + i % 3}\n" for i in range(400))
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + lines, encoding="utf-8")
    answer = json.loads(cli("plan", "llama-3.1-8b", "--trace", str(path), *HERE, "--json").stdout)
    load = answer["load"]
    assert (load["input_tokens"], load["output_tokens"]) == (303, 41)
    assert load["context_tokens"] == 306 + 42
    assert load["rate_per_s"] == pytest.approx(400 / (5 * 399))
    assert any("the trace's own" in w["message"] for w in answer["warnings"])


def test_facts_of_ones_own_are_marked(cli: Cli) -> None:
    done = cli("plan", "llama-3.1-8b", "--gpu", "l4", "--set", "memory=48GiB", "--json")
    answer = json.loads(done.stdout)
    assert any(w["code"] == "overridden_fact" for w in answer["warnings"])


def test_options_of_a_plan_come_from_the_environment(cli: Cli) -> None:
    env = {"LLMPLAN_PREFER": "fewest", "LLMPLAN_TPOT": "30ms", "LLMPLAN_GPU": "l4 h100-sxm"}
    answer = json.loads(cli("plan", "llama-3.1-8b", "--rate", "9", "--json", env=env).stdout)
    assert (answer["prefer"], answer["limits"]["tpot_s"]) == ("fewest", 0.03)
    assert answer["searched"]["devices"] == 2
