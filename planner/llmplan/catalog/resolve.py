"""From what a user typed to a model or a device: id, alias, Hub id, bare name, or a file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

from llmplan.catalog.names import close_names, normalise
from llmplan.catalog.store import Store, open_store
from llmplan.errors import AmbiguousName, InputError, UnknownName
from llmplan.specs.hardware import Accelerator, Node, accelerator_from_dict, node_from_dict
from llmplan.specs.model import Model, model_from_dict

_store: Store | None = None


def store() -> Store:
    """Return the catalogue, opened once a process."""
    global _store
    if _store is None:
        _store = open_store()
    return _store


class FoundModel(NamedTuple):
    """A model, with a note where the name meant another checkpoint, and the format it implies."""

    model: Model
    note: str | None = None
    weight_format: str | None = None


class FoundGpu(NamedTuple):
    """A device, how many of it the name means (None: not said), and the node it stands in."""

    gpu: Accelerator
    devices: int | None = None
    node: str | None = None


def find_model(name: str) -> FoundModel:
    """Return the model of a name or of a file (YAML, config.json, a folder with one)."""
    _check_name(name, "model")
    if _is_path(name):
        from llmplan.catalog.user_files import model_from_path

        return FoundModel(model_from_path(name))
    ids = _lookup("models", name)
    if ids:
        return _as_named(model_from_dict(store().entry("models", ids[0])), name)
    usual = store().groups("models").get(normalise(name))
    if usual:
        model = model_from_dict(store().entry("models", usual[0]))
        return FoundModel(model, f"{name} is read as {model.name} ({model.hub_id}).")
    if "\x00" not in name and os.path.exists(os.path.join(name, "config.json")):
        return find_model(os.path.join(name, "config.json"))
    raise _unknown("models", name, "model", "llmplan models")


def _as_named(model: Model, name: str) -> FoundModel:
    """Return the model as the checkpoint that was named: an alias is served under its own id."""
    key = normalise(name)

    def is_named(hub_id: str) -> bool:
        return key in (normalise(hub_id), normalise(hub_id.rpartition("/")[2]))

    if key == normalise(model.id) or is_named(model.hub_id or model.id):
        return FoundModel(model)
    for artifact in model.artifacts:
        if is_named(artifact.hub_id) and artifact.format != "gguf":
            return FoundModel(
                model, f"{artifact.hub_id} is {model.name} in {artifact.format}.", artifact.format
            )
    for alias in model.aliases:
        if "/" in alias and is_named(alias):
            served = replace(model, hub_id=alias, artifacts=())
            return FoundModel(served, f"{alias} has the shapes of {model.name}.")
    return FoundModel(model)


def find_gpu(name: str) -> FoundGpu:
    """Return the device of a name (`a100-40g`, `a100-40g*8`), a node's name or a YAML file."""
    _check_name(name, "device")
    if name == "local":
        raise InputError("This version does not detect devices.", "Name one: llmplan gpus.")
    if "," in name:
        raise InputError(
            f"{name[:80]!r} mixes devices, which this version does not plan.",
            "Give one device, with a count: rtx-3090*2.",
        )
    base, star, digits = name.rpartition("*")
    if star:
        digits = digits.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 6) or "*" in base:
            raise InputError(f"{name[:80]!r} has no count after '*'.", "Write it as rtx-3090*2.")
        found = find_gpu(base)
        return found._replace(devices=int(digits) * (found.devices or 1))
    if _is_path(name):
        from llmplan.catalog.user_files import gpu_from_path

        return FoundGpu(gpu_from_path(name))
    ids = _lookup("gpus", name)
    if ids:
        return FoundGpu(load_accelerator(ids[0]))
    node = find_node(name)
    if node is not None:
        return FoundGpu(load_accelerator(node.gpu), node.gpu_count, node.id)
    members = store().groups("gpus").get(normalise(name), [])
    if len(members) == 1:
        return FoundGpu(load_accelerator(members[0]))
    if members:
        raise AmbiguousName(
            f"{name!r} means several devices: {', '.join(sorted(members))}.", "Name one of them."
        )
    raise _unknown("gpus", name, "device", "llmplan gpus")


def find_node(name: str) -> Node | None:
    """Return the node of a name, or None."""
    ids = _lookup("nodes", name)
    return node_from_dict(store().entry("nodes", ids[0])) if ids else None


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str):
        raise InputError(f"A {what} is named by text, not by {type(name).__name__}.")


def load_accelerator(id: str) -> Accelerator:
    """Return a device of the catalogue by its id."""
    return accelerator_from_dict(store().entry("gpus", id))


def all_accelerators() -> list[Accelerator]:
    """Return every device of the catalogue, by id."""
    return [load_accelerator(i) for i in store().ids("gpus")]


def _lookup(kind: str, name: str) -> list[str]:
    ids = store().names(kind).get(normalise(name), [])
    if len(ids) > 1:
        raise AmbiguousName(
            f"{name!r} means several entries: {', '.join(sorted(ids))}.", "Name one of them."
        )
    return ids


def _unknown(kind: str, name: str, what: str, listing: str) -> UnknownName:
    if not normalise(name):
        return UnknownName(f"{name!r} is no {what} name.", f"List them: {listing}.")
    groups = store().groups(kind)
    close = close_names(name, [*store().ids(kind), *groups])
    close = list(dict.fromkeys(i for c in close for i in groups.get(c, [c])))
    if not close:
        keys = store().names(kind)
        close = sorted({i for k in close_names(name, keys) for i in keys[k]})
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return UnknownName(f"Unknown {what} {name[:80]!r}.", f"{hint}List them: {listing}.")


def _is_path(name: str) -> bool:
    if name.endswith((".json", ".yaml", ".yml", ".gguf")) or name.startswith(("./", "../", "/")):
        return True
    return name in (".", "..") or (os.sep in name and os.path.isdir(name))
