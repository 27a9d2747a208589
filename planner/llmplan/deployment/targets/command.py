"""A shell script with the command that starts the server."""

from __future__ import annotations

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.quoting import shell_lines
from llmplan.deployment.reasons import flag_lines, head
from llmplan.deployment.yaml_text import comment
from llmplan.errors import InputError

ENGINES: tuple[str, ...] = ()


def files(d: Deployment) -> list[File]:
    """Return the script; lines of engines that need several steps stay as they are."""
    if d.nodes > 1 and d.server.id not in ("vllm", "llama.cpp"):
        raise InputError(
            f"{d.setup.gpus} devices are more than a node of {d.devices_per_node}: "
            "one command does not start them.",
            "Take --to lws, or say --devices-per-node.",
        )
    lines = [*head(d), *flag_lines(list(d.start.words), d)]
    if d.nodes > 1:
        lines.append(f"Start a Ray cluster over {d.nodes} nodes first: ray start on each of them.")
    lines.append("Gated checkpoints: export HF_TOKEN first, or log in with the hf command.")
    launch = d.setup.launch
    command = launch.command if launch and launch.command else d.start.line
    if command == d.start.line and not d.start.variables:
        command = f"exec {shell_lines(_words(d))}"
    text = "\n".join(["#!/usr/bin/env bash", *map(comment, lines), "set -euo pipefail", command])
    return [File("start.sh", f"{text}\n", executable=True)]


def _words(d: Deployment) -> list[str]:
    """Return the words; on several nodes those of the first, in a Ray cluster that is up."""
    words = list(d.start.words)
    if d.nodes > 1 and d.server.id == "vllm":
        words += ["--distributed-executor-backend", "ray"]
    return words
