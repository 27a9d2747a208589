"""From what a user typed to a model or a device: id, alias, Hub id, bare name, or a file."""

from __future__ import annotations

import os
from typing import NamedTuple

from llmplan.catalog.names import close_names, normalise
from llmplan.catalog.store import Store, open_store
from llmplan.errors import AmbiguousName, InputError, UnknownName
from llmplan.specs.hardware import Accelerator, accelerator_from_dict, node_from_dict
from llmplan.specs.model import Model, model_from_dict

_store: Store | None = None


def store() -> Store:
    """Return the catalogue, opened once a process."""
    global _store
    if _store is None:
        _store = open_store()
    return _store


class FoundModel(NamedTuple):
    """A model and, when the name did not say which checkpoint, a note that does."""

    model: Model
    note: str | None = None


class FoundGpu(NamedTuple):
    """A device, how many of it the name means (None: not said), and the node it stands in."""

    gpu: Accelerator
    devices: int | None = None
    node: str | None = None


def find_model(name: str) -> FoundModel:
    """Return the model of a name or of a file (YAML, config.json, a folder with one)."""
    if _is_path(name):
        from llmplan.catalog.user_files import model_from_path

        return FoundModel(model_from_path(name))
    ids = _lookup("models", name)
    if ids:
        return FoundModel(model_from_dict(store().entry("models", ids[0])))
    usual = store().groups("models").get(normalise(name))
    if usual:
        model = model_from_dict(store().entry("models", usual[0]))
        return FoundModel(model, f"{name} is read as {model.name} ({model.hub_id}).")
    raise _unknown("models", name, "model", "llmplan models")


def find_gpu(name: str) -> FoundGpu:
    """Return the device of a name (`a100-40g`, `a100-40g*8`), a node's name or a YAML file."""
    if "," in name:
        raise InputError(
            f"{name!r} mixes devices, which this version does not plan.",
            "Give one device, with a count: rtx-3090*2.",
        )
    base, star, digits = name.rpartition("*")
    if star:
        if not digits.strip().isdigit():
            raise InputError(f"{name!r} has no count after '*'.", "Write it as rtx-3090*2.")
        return FoundGpu(find_gpu(base).gpu, int(digits))
    if _is_path(name):
        from llmplan.catalog.user_files import gpu_from_path

        return FoundGpu(gpu_from_path(name))
    ids = _lookup("gpus", name)
    if ids:
        return FoundGpu(load_accelerator(ids[0]))
    nodes = _lookup("nodes", name)
    if nodes:
        node = node_from_dict(store().entry("nodes", nodes[0]))
        return FoundGpu(load_accelerator(node.gpu), node.gpu_count, node.id)
    members = store().groups("gpus").get(normalise(name), [])
    if len(members) == 1:
        return FoundGpu(load_accelerator(members[0]))
    if members:
        raise AmbiguousName(
            f"{name!r} means several devices: {', '.join(sorted(members))}.", "Name one of them."
        )
    raise _unknown("gpus", name, "device", "llmplan gpus")


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
