"""The command that would measure the plan, against the server that another target starts."""

from __future__ import annotations

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.quoting import shell_lines
from llmplan.deployment.reasons import head
from llmplan.deployment.yaml_text import comment

ENGINES: tuple[str, ...] = ()

INPUT_TOKENS = 1024
OUTPUT_TOKENS = 128
"""Lengths of requests where none were planned: the defaults of `vllm bench serve`, random
(vLLM 0.33.0 benchmarks/datasets)."""

PROMPTS_EACH = 10
"""Requests for each that runs at once, so that starting up and running dry weigh little."""


def files(d: Deployment) -> list[File]:
    """Return the script: each engine's own client, else vLLM's, which speaks the same API."""
    words = {"sglang": _sglang, "llama.cpp": _llama_cpp, "ik_llama.cpp": _llama_cpp}
    command = words.get(d.server.id, _vllm)(d)
    shape = f"{input_tokens(d)} tokens in, {output_tokens(d)} out, {at_once(d)} at once"
    lines = [*head(d), f"Requests of the plan: {shape}."]
    if not d.request.workload.input_tokens:
        lines.append("Lengths were not planned: give --input and --output to measure your own.")
    text = "\n".join(["#!/usr/bin/env bash", *map(comment, lines), "set -euo pipefail",
                      f"exec {shell_lines(command)}"])  # fmt: skip
    return [File("bench.sh", f"{text}\n", executable=True)]


def input_tokens(d: Deployment) -> int:
    """Return the prompt of a request: planned, else the default within the context [tokens]."""
    work, context = d.request.workload, d.request.context_tokens
    if work.input_tokens:
        return work.input_tokens
    return max(1, min(INPUT_TOKENS, context - output_tokens(d)))


def output_tokens(d: Deployment) -> int:
    """Return what a request generates: planned, else the default within the context [tokens]."""
    work, context = d.request.workload, d.request.context_tokens
    return work.output_tokens or max(1, min(OUTPUT_TOKENS, context // 2))


def at_once(d: Deployment) -> int:
    """Return the requests in flight: planned, else as many as the cache holds [requests]."""
    return d.request.workload.concurrency or max(1, int(d.setup.requests_at_once))


def _load(d: Deployment) -> list[str]:
    rate = d.request.workload.rate_per_s
    count = ["--num-prompts", str(PROMPTS_EACH * at_once(d)), "--max-concurrency", str(at_once(d))]
    return [*count, *(["--request-rate", f"{rate:g}"] if rate else [])]


def _lengths(d: Deployment) -> list[str]:
    return ["--dataset-name", "random", "--random-input-len", str(input_tokens(d)),
            "--random-output-len", str(output_tokens(d))]  # fmt: skip


def _vllm(d: Deployment) -> list[str]:
    words = ["vllm", "bench", "serve", "--backend", "openai",
             "--base-url", f"http://localhost:{d.port}"]  # fmt: skip
    served = d.start.target
    tokenizer = d.request.model.hub_id or d.request.model.path
    if d.server.id == "ollama":
        served = d.name if d.load_words()[1] == "create" else served
    if d.server.id != "vllm" and tokenizer:
        words += ["--tokenizer", tokenizer]
    return [*words, "--model", served, *_lengths(d), "--ignore-eos", *_load(d)]


def _sglang(d: Deployment) -> list[str]:
    return ["python", "-m", "sglang.benchmark.serving", "--backend", "sglang",
            "--base-url", f"http://localhost:{d.port}", "--model", d.start.target,
            *_lengths(d), "--random-range-ratio", "1", *_load(d)]  # fmt: skip


_SHARED = ("-m", "-hf", "-ngl", "-c", "-fa", "-ctk", "-ctv", "-sm", "-b", "-ub", "--n-cpu-moe",
           "-mla")  # fmt: skip
"""Flags of llama-server that llama-batched-bench has too (both by common/arg.cpp)."""


def _llama_cpp(d: Deployment) -> list[str]:
    """Return the batched benchmark, which needs no server and takes the same memory."""
    words, flag = ["llama-batched-bench"], ""
    for word in d.start.words[1:]:
        if word.startswith("-"):
            flag = word
        if flag in _SHARED:
            words.append(word)
    return [*words, "-npp", str(input_tokens(d)), "-ntg", str(output_tokens(d)),
            "-npl", str(at_once(d))]  # fmt: skip
