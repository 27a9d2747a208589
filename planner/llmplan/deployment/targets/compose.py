"""A compose file with the server as one service."""

from __future__ import annotations

from typing import Any

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import CACHE, PROBE_SECONDS, Deployment, host_path
from llmplan.deployment.pod import SHM_ALONE_GIB, SHM_GIB, one_node
from llmplan.deployment.quoting import compose
from llmplan.deployment.reasons import head, reason_of, start_time
from llmplan.deployment.yaml_text import Why, yaml_text
from llmplan.errors import InputError

ENGINES: tuple[str, ...] = ()


def files(d: Deployment) -> list[File]:
    """Return the compose file; it is named so that `docker compose up` finds it."""
    one_node(d, "compose")
    lines = [*head(d), "Gated checkpoints: put HF_TOKEN=... in a file .env beside this one."]
    if d.load_words():
        words = " ".join(d.load_words())
        lines.append(f"Then load the model: docker compose exec server {words}")
    document = {"name": d.name, "services": {"server": _service(d)}, "volumes": {"cache": {}}}
    return [File("compose.yaml", yaml_text([document], lines))]


def _service(d: Deployment) -> dict[str, Any]:
    words = [compose(w) for w in d.words()]
    shm = SHM_GIB if d.setup.gpus > 1 else SHM_ALONE_GIB
    binds = [host_path(m) for m in d.mounts()]
    found: dict[str, Any] = {
        "image": Why(d.image_name(), d.image_reason()),
        "entrypoint": words[:1],
        "command": [Why(w, reason_of(w, d) if w.startswith("-") else "") for w in words[1:]],
        "environment": {n: compose(v) for n, v in d.variables()},
        "env_file": Why([{"path": ".env", "required": False}], "HF_TOKEN, for gated checkpoints"),
        "ports": [f"{d.port}:{d.port}"],
        "shm_size": Why(f"{shm}g", "shared memory between the processes of the server"),
        "volumes": [
            {"type": "volume", "source": "cache", "target": CACHE},
            *({"type": "bind", "source": compose(host), "target": inside, "read_only": True}
              for host, inside in binds),
        ],
        "restart": "unless-stopped",
        "healthcheck": Why(_health(d), start_time(d)),
    }  # fmt: skip
    if d.load_words():  # such images have no client to ask with
        del found["healthcheck"]
    return found | _devices(d)


def _health(d: Deployment) -> dict[str, Any]:
    """Return the health check, which forgives failures for as long as a start may take."""
    url = f"http://localhost:{d.port}{d.server.health_path or '/'}"
    return {
        "test": ["CMD", "curl", "--fail", "--silent", url],
        "interval": f"{PROBE_SECONDS}s",
        "start_period": f"{d.start_seconds}s",
    }


def _devices(d: Deployment) -> dict[str, Any]:
    if d.vendor == "nvidia":
        device = {"driver": "nvidia", "count": d.setup.gpus, "capabilities": ["gpu"]}
        return {"deploy": {"resources": {"reservations": {"devices": [device]}}}}
    if d.vendor == "amd":
        return {"devices": ["/dev/kfd:/dev/kfd", "/dev/dri:/dev/dri"], "group_add": ["video"],
                "security_opt": ["seccomp:unconfined"]}  # fmt: skip
    if d.vendor == "intel":
        return {"devices": ["/dev/dri:/dev/dri"]}
    if d.vendor == "cpu":
        return {}
    raise InputError(
        f"How a container reaches {d.vendor} devices is not on record.",
        "Take --to command or systemd.",
    )
