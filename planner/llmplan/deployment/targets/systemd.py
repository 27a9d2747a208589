"""A systemd unit that starts the server on the host, without containers."""

from __future__ import annotations

from shlex import join

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.pod import one_node
from llmplan.deployment.quoting import systemd
from llmplan.deployment.reasons import flag_lines, head, start_time
from llmplan.deployment.yaml_text import comment
from llmplan.engines.starting import printable

ENGINES: tuple[str, ...] = ()

FOLDER = "/var/lib/llmplan"
"""Home of the service: relative paths and downloads are below it."""

PATH = "/opt/llmplan/bin:/usr/local/bin:/usr/bin:/bin"
"""Where the engine's program is looked for; its virtual environment goes to /opt/llmplan."""


def files(d: Deployment) -> list[File]:
    """Return the unit; its user and folder are systemd's own, made at the first start."""
    one_node(d, "systemd")
    words = [*d.start.words, *d.reachable()]
    lines = [*head(d), *flag_lines(words, d), *_install(d)]
    variables = [*d.start.variables, (d.server.cache_variable, f"{FOLDER}/cache"), ("PATH", PATH)]
    text = [
        *map(comment, lines),
        "[Unit]",
        f"Description={printable(d.name)}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=exec",
        "DynamicUser=yes",
        "StateDirectory=llmplan",
        f"WorkingDirectory={FOLDER}",
        *(f"Environment={systemd(f'{n}={v}').replace('$$', '$')}" for n, v in variables),
        comment("HF_TOKEN=... for gated checkpoints, readable by root alone; may be missing"),
        f"EnvironmentFile=-/etc/llmplan/{d.name}.env",
        f"ExecStart=/usr/bin/env {_command(words)}",
        comment(start_time(d)),
        "Restart=on-failure",
        "RestartSec=10",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return [File(f"{d.name}.service", "\n".join(text) + "\n")]


def _command(words: list[str]) -> str:
    return " ".join(systemd(w) for w in words)


def _install(d: Deployment) -> list[str]:
    unit = f"{d.name}.service"
    found = [f"Install: cp {unit} /etc/systemd/system/ && systemctl enable --now {unit}"]
    found += [f"Put {m.host} below {FOLDER}." for m in d.mounts() if m.host.startswith("./")]
    if d.load_words():
        found.append(f"Then load the model: {join(d.load_words())}")
    return found
