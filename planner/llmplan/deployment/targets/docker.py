"""A shell script with one `docker run`."""

from __future__ import annotations

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import CACHE, Deployment, host_path
from llmplan.deployment.pod import SHM_ALONE_GIB, SHM_GIB, one_node
from llmplan.deployment.quoting import shell_lines
from llmplan.deployment.reasons import flag_lines, head
from llmplan.deployment.yaml_text import comment
from llmplan.errors import InputError

ENGINES: tuple[str, ...] = ()

DEVICES = {
    "amd": ["--device=/dev/kfd", "--device=/dev/dri", "--group-add=video",
            "--security-opt=seccomp=unconfined"],
    "intel": ["--device=/dev/dri"],
    "cpu": [],
}  # fmt: skip
"""How a container gets the devices of a vendor. Source: ROCm docs, SGLang on ROCm, and vLLM docs,
XPU, read 2026-11-26."""


def files(d: Deployment) -> list[File]:
    """Return the script."""
    one_node(d, "docker")
    words = d.words()
    shm = SHM_GIB if d.setup.gpus > 1 else SHM_ALONE_GIB
    run = ["docker", "run", "--rm", f"--name={d.name}", *devices(d), f"--shm-size={shm}g",
           f"--publish={d.port}:{d.port}", "--env=HF_TOKEN"]  # fmt: skip
    run += [f"--env={name}={value}" for name, value in d.variables()]
    run += [f"--volume={d.name}-cache:{CACHE}", *(_volume(*host_path(m)) for m in d.mounts())]
    command = f"exec {shell_lines([*run, f'--entrypoint={words[0]}'])} \\\n  {d.image_name()}"
    if words[1:]:
        command += f" \\\n  {shell_lines(words[1:])}"
    lines = [*head(d), *flag_lines(words, d), f"Image: {d.image_reason()}.",
             "HF_TOKEN is taken from your environment, for gated checkpoints."]  # fmt: skip
    if d.load_words():
        lines.append(f"Then load the model: docker exec {d.name} {' '.join(d.load_words())}")
    text = "\n".join(["#!/usr/bin/env bash", *map(comment, lines), "set -euo pipefail", command])
    return [File("docker-run.sh", f"{text}\n", executable=True)]


def devices(d: Deployment) -> list[str]:
    """Return the flags that give the container as many devices as the plan uses."""
    if d.vendor == "nvidia":
        return [f"--gpus={d.setup.gpus}"]
    if d.vendor not in DEVICES:
        raise InputError(
            f"How a container reaches {d.vendor} devices is not on record.",
            "Take --to command or systemd.",
        )
    return DEVICES[d.vendor]


def _volume(host: str, inside: str) -> str:
    """Return a bind mount; a relative path needs its ./ for docker to take it for one."""
    if ":" in host:
        raise InputError(f"docker cannot mount {host[:80]!r}: a colon ends the path.", "Rename it.")
    return f"--volume={host if host.startswith(('/', '.')) else f'./{host}'}:{inside}:ro"
