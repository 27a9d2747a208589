"""The contract of the command line: exit codes, JSON that always parses, one line an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Cli

FIT = ("fit", "mixtral-8x7b", "--gpu", "a100-40g")
SETUP_KEYS = [
    "engine", "engine_version", "weight_format", "kv_format", "gpu", "gpus", "tp", "pp", "dp",
    "ep", "fits", "supported", "reason", "remedies", "memory_per_gpu", "kv_cache",
    "max_context_tokens", "max_num_seqs", "performance", "quality", "cost", "launch", "warnings",
]  # fmt: skip


def test_json_of_fit_has_the_fields_of_the_contract(cli: Cli) -> None:
    done = cli(*FIT, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(answer) == [
        "schema", "llmplan_version", "model", "hardware", "workload", "requested", "setups",
    ]  # fmt: skip
    assert answer["schema"] == "llmplan.fit/1"
    assert list(answer["requested"]) == SETUP_KEYS
    assert all(list(s) == SETUP_KEYS for s in answer["setups"])
    assert list(answer["requested"]["memory_per_gpu"]) == [
        "device_total_bytes", "budget_bytes", "weights_bytes", "activation_peak_bytes",
        "cuda_graph_bytes", "runtime_bytes", "kv_cache_bytes", "free_bytes",
    ]  # fmt: skip
    performance = answer["setups"][0]["performance"]
    assert list(performance)[:7] == [
        "ttft_s", "tpot_s", "output_tokens_per_s", "total_tokens_per_s", "requests_per_s",
        "output_tokens_per_s_per_user", "limited_by",
    ]  # fmt: skip
    assert list(performance["tpot_s"]) == ["value", "low", "high", "confidence", "basis"]
    assert list(answer["workload"])[:5] == [
        "context_tokens", "input_tokens", "output_tokens", "concurrency", "rate_per_s",
    ]  # fmt: skip
    assert answer["workload"]["context_tokens"] == 8192
    assert "explanation" in json.loads(cli(*FIT, "--json", "--explain").stdout)["requested"]


def test_screen_tells_the_story(cli: Cli) -> None:
    done = cli(*FIT)
    for part in ("46.7B parameters, 12.9B active", "GQA 32/8", "39.4 GiB usable", "1,555 GB/s",
                 "87.0 GiB of weights against 39.4 GiB usable", "4 x a100-40g (tp 4",
                 "vllm serve TheBloke/Mixtral-8x7B-Instruct-v0.1-AWQ", "llama-server",
                 "W weights, K KV cache", "Order: "):  # fmt: skip
        assert part in done.stdout, part
    assert len(done.stdout.splitlines()) <= 45


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (FIT, 0),
        (("fit", "llama-3.1-405b", "--gpu", "rtx-4090"), 1),
        (("fit", "glm-130b", "--gpu", "v100-32g", "--gpus", "8"), 1),
        (("models",), 0),
        (("models", "show", "mixtral-8x7b"), 0),
        (("gpus", "a100"), 0),
        (("gpus", "show", "a100-40g"), 0),
        (("--version",), 0),
        (("--help",), 0),
        (("completion", "zsh"), 0),
        (("models", "no such model"), 2),
        (("fit", "mixtral-8x7b"), 2),
        (("fit", "mixtral-8x7q", "--gpu", "a100-40g"), 2),
        (("fit", "mixtral-8x7b", "--gpu", "a100"), 2),
        ((*FIT, "--gpus", "0"), 2),
        ((*FIT, "--gpus", "-1"), 2),
        ((*FIT, "--gpus", "1000000000"), 2),
        ((*FIT, "--gpus", "many"), 2),
        ((*FIT, "--tp", "3", "--gpus", "3"), 2),
        ((*FIT, "--context", "32 parsecs"), 2),
        ((*FIT, "--context", "0"), 2),
        ((*FIT, "--quant", "int3.7"), 2),
        ((*FIT, "--kv-dtype", "none"), 2),
        ((*FIT, "--engine", "no-such-engine"), 2),
        ((*FIT, "--engine-version", "0.0.1"), 2),
        ((*FIT, "--gpu-memory-utilization", "1.5"), 2),
        ((*FIT, "--kv-cache-memory-bytes", "-4"), 2),
        ((*FIT, "--format", "yaml"), 2),
        ((*FIT, "--nonsense"), 2),
        ((*FIT, "--quant", ""), 2),
        ((*FIT, "--engine", ""), 2),
        ((*FIT, "--engine-version", "\n"), 2),
        ((*FIT, "--context", "8,19"), 2),
        (("fit", "mixtral-8x7b", "--gpu", "memory=4GiB"), 2),
        ((*FIT, "--quant", "awq-int4", "--context", "8,192"), 0),
        (("nonsense",), 2),
    ],
)
def test_exit_codes_and_json_errors(cli: Cli, args: tuple[str, ...], code: int) -> None:
    done = cli(*args)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if code == 2:
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("llmplan: ")
        as_json = cli(*args, "--json")
        error = json.loads(as_json.stdout)["error"]
        assert (as_json.returncode, as_json.stderr) == (2, "")
        assert set(error) == {"code", "message", "hint"}


@pytest.mark.parametrize("command", [FIT, ("models", "llama"), ("gpus", "a100")])
def test_every_format_prints(cli: Cli, command: tuple[str, ...]) -> None:
    import csv
    import io

    json.loads(cli(*command, "--format", "json").stdout)
    rows = list(csv.DictReader(io.StringIO(cli(*command, "--format", "csv").stdout)))
    assert rows
    assert None not in rows[0]
    assert "| " in cli(*command, "--format", "markdown").stdout


def test_beyond_context_is_a_warning(cli: Cli) -> None:
    done = cli(*FIT, "--context", "64k", "--gpus", "4")
    assert done.returncode == 0
    assert "beyond the 32,768 of mixtral-8x7b" in done.stdout
    assert "YaRN" in done.stdout


def test_options_come_from_the_environment(cli: Cli) -> None:
    done = cli(
        "fit", "mixtral-8x7b", "--json", env={"LLMPLAN_GPU": "a100-40g", "LLMPLAN_GPUS": "4"}
    )
    assert json.loads(done.stdout)["requested"]["tp"] == 4


def test_explicit_choices_bind_the_setups(cli: Cli) -> None:
    answer = json.loads(cli(*FIT, "--engine", "llama.cpp", "--quant", "Q4_K_M", "--json").stdout)
    assert {(s["engine"], s["weight_format"]) for s in answer["setups"]} == {
        ("llama.cpp", "gguf:Q4_K_M")
    }


def test_unwritable_output_is_exit_3(installed: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with full.open("w") as out:
        done = _start(installed, *FIT, stdout=out)
        _, err = done.communicate(timeout=60)
    assert done.returncode == 3
    assert err.startswith("llmplan: Cannot write the answer")
    assert "Traceback" not in err


def test_closed_pipe_is_silent(installed: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = _start(installed, "models", stdout=write)
    os.close(write)
    _, err = done.communicate(timeout=60)
    assert err == ""
    assert done.returncode == 0


def test_ctrl_c_is_one_line(cli: Cli) -> None:
    """The signal arrives while the command runs: no traceback, the shell's code for it."""
    script = (
        "import llmplan, signal, os\n"
        "llmplan.fit = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT) or __import__('time')"
        ".sleep(5)\n"
        "from llmplan.cli.main import run\n"
        "run(['fit', 'mixtral-8x7b', '--gpu', 'a100-40g'])\n"
    )
    done = cli.python(script)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.strip() == "Interrupted."


def test_check_names_every_fault(cli: Cli, tmp_path: Path) -> None:
    good = Path(__file__).parents[1] / "models/mixtral/mixtral-8x7b.yaml"
    bad = tmp_path / "bad.yaml"
    bad.write_text(good.read_text().replace("vocab_size: 32000", "vocab_size: -1"))
    done = cli("check", str(good), str(bad))
    assert done.returncode == 2
    assert "bad.yaml" in done.stdout
    assert "1 of 2 files are right." in done.stdout
    twin = tmp_path / "mixtral-8x7b.yaml"
    twin.write_text(good.read_text())
    assert "is taken by" in cli("check", str(good), str(twin)).stdout
    assert json.loads(cli("check", str(good), "--json").stdout) == {"checked": 1, "faults": []}


def test_completion_offers_names(cli: Cli) -> None:
    words = {"COMP_WORDS": "llmplan fit mixtral", "COMP_CWORD": "2"}
    done = cli(env={"_LLMPLAN_COMPLETE": "bash_complete", **words})
    assert "mixtral-8x7b" in done.stdout


def _start(folder: Path, *args: str, stdout: object) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-m", "llmplan", *args],
        stdout=stdout,  # type: ignore[arg-type]
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    time.sleep(0)
    return started
