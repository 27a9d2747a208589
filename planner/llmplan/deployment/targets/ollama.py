"""Ollama: a Modelfile, and a script that makes a model of it."""

from __future__ import annotations

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.quoting import shell_lines
from llmplan.deployment.reasons import head
from llmplan.deployment.yaml_text import comment
from llmplan.engines.starting import printable

ENGINES = ("ollama",)


def files(d: Deployment) -> list[File]:
    """Return Modelfile and script; the server's own settings are variables in it."""
    layers = d.request.limits.n_gpu_layers
    lines = [
        *map(comment, head(d)),
        f"FROM {printable(d.start.target)}",
        comment("the longest request that was planned"),
        f"PARAMETER num_ctx {d.request.context_tokens}",
    ]
    if layers is not None:
        lines += [comment("layers on the devices, as asked"), f"PARAMETER num_gpu {layers}"]
    script = [
        "#!/usr/bin/env bash",
        comment("Settings of the server: give them to the service that runs it, then start it."),
        "set -euo pipefail",
        *(f"export {name}={value}" for name, value in d.start.variables),
        comment("ollama serve &"),
        shell_lines(["ollama", "create", d.name]) + " -f Modelfile",
        shell_lines(["ollama", "run", d.name]),
    ]
    return [
        File("Modelfile", "\n".join(lines) + "\n"),
        File("ollama.sh", "\n".join(script) + "\n", executable=True),
    ]
