"""Targets by name, and the artefacts of one deployment."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

from llmplan.deployment import targets
from llmplan.deployment.artefacts import File
from llmplan.deployment.checkpoints import checkpoint_files, recipe_of
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.pod import SIDE_CHANNEL
from llmplan.deployment.reasons import choice
from llmplan.errors import InputError, UnknownName
from llmplan.specs.record import Record, record
from llmplan.version import __version__

WHOLE = ("kserve", "ray-serve", "ollama", "bench")
"""Targets that do not write the parts of a disaggregated pair."""

ROUTERS = {
    "vllm": "llm-d's (--to llm-d), or vLLM's example toy_proxy_server.py",
    "sglang": "python -m sglang_router.launch_router --pd-disaggregation --prefill URL --decode "
    "URL",
}
"""What sends a request to both parts. Sources: vLLM docs, NixlConnector usage (026c83f); SGLang
docs, PD disaggregation (08edc50)."""

SCHEMA = "llmplan.deploy/1"
DEFAULT = "command"


@record
class Artefacts(Record):
    """The files of one target, the setup that they start, and what to do besides."""

    target: str
    deployment: Deployment
    files: tuple[File, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `llmplan deploy --json`."""
        d = self.deployment
        return {
            "schema": SCHEMA,
            "llmplan_version": __version__,
            "target": self.target,
            "pick": d.rank,
            "setups": d.of,
            "name": d.name,
            "nodes": d.nodes,
            "devices_per_node": d.devices_per_node,
            "start_seconds": d.start_seconds,
            "setup": d.setup.to_dict(),
            "files": [
                {"name": f.name, "executable": f.executable, "text": f.text} for f in self.files
            ],
            "notes": list(self.notes),
        }


def target_names() -> list[str]:
    """Return the names of the targets: those of their modules, the default first."""
    names = sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(targets.__path__))
    return sorted(names, key=lambda n: n != DEFAULT)


def target_module(name: str) -> ModuleType:
    """Return the module of a target."""
    if name not in target_names():
        known = ", ".join(target_names())
        raise UnknownName(f"There is no target {name[:40]!r}.", f"Known: {known}.")
    return import_module(f"llmplan.deployment.targets.{name.replace('-', '_')}")


def engine_for(name: str, asked: str | None) -> str | None:
    """Return the engine that a target is planned with where the user names none."""
    engines: tuple[str, ...] = target_module(name).ENGINES
    return asked if asked is not None or not engines else engines[0]


def artefacts_of(name: str, d: Deployment) -> Artefacts:
    """Return the files of a target, with the script of a checkpoint that has to be made."""
    module = target_module(name)
    if module.ENGINES and d.setup.engine not in module.ENGINES:
        wanted = " or ".join(module.ENGINES)
        raise InputError(f"--to {name} starts {wanted}, not {d.setup.engine}.",
                         f"Give --engine {module.ENGINES[0]}, or another target.")  # fmt: skip
    if d.role is not None and name in WHOLE:
        raise InputError(
            f"--to {name} starts whole servers, not those of a pair.",
            "Take --to command, docker, compose, systemd, k8s, lws or llm-d.",
        )
    files, notes = list(module.files(d)), [choice(d), *_pair_notes(name, d)]
    if d.start.has_to_be_made:
        files += checkpoint_files(
            d.request.model, d.setup.weight_format, d.setup.engine, d.start.target
        )
        notes.append(_making(d))
    return Artefacts(name, d, tuple(files), tuple(notes))


def _pair_notes(name: str, d: Deployment) -> list[str]:
    """Return what a part of a pair needs besides."""
    if d.role is None:
        return []
    other = "decode" if d.role == "prefill" else "prefill"
    notes = [f"This is one part of a pair: write the other with --role {other}, same formats."]
    if name == "llm-d":
        both = "helm upgrade --install RELEASE ... -f DECODE/values.yaml -f PREFILL/values.yaml"
        return [*notes, f"Install both at once: {both}."]
    router = ROUTERS[d.server.id]
    notes.append(f"The engine needs the nixl package; requests go through a router: {router}.")
    if d.server.id == "vllm" and name not in ("k8s", "lws"):
        notes.append(
            f"Parts on different machines: set {SIDE_CHANNEL} to each one's own address; parts on "
            "one machine: give each a VLLM_NIXL_SIDE_CHANNEL_PORT of its own."
        )
    return notes


def _making(d: Deployment) -> str:
    recipe = recipe_of(d.setup.weight_format, d.setup.engine)
    if recipe is None:
        return f"{d.start.target} is yours to make: no tool for {d.setup.weight_format} is known."
    return f"{d.start.target} has to be made first, with {recipe.tool}: run the quantize script."
