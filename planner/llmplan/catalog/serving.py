"""Engines and stacks of the catalogue: by name, with a sentence where none can be planned."""

from __future__ import annotations

from typing import Any

from llmplan.catalog.names import normalise
from llmplan.catalog.resolve import find_gpu, find_node, store
from llmplan.errors import NotPlannable, UnknownName
from llmplan.specs.hardware import Accelerator
from llmplan.specs.serving import Server, server_from_dict


def all_servers() -> list[Server]:
    """Return every engine and stack, by id."""
    return [server_from_dict(e) for e in store().entries("engines")]


def find_server(name: str) -> Server | None:
    """Return the engine or stack of a name, or None."""
    ids = store().names("engines").get(normalise(name), [])
    return server_from_dict(store().entry("engines", ids[0])) if ids else None


def show_server(name: str) -> Server:
    """Return the engine or stack of a name; an unknown one is an error that lists them."""
    found = find_server(name)
    if found is None:
        known = ", ".join(store().ids("engines"))
        raise UnknownName(f"Engine {name[:60]!r} is unknown.", f"Known: {known}.")
    return found


def refuse_unplannable(name: Any) -> None:
    """Raise NotPlannable with the sentence of an engine that llmplan does not plan."""
    if not isinstance(name, str):
        return
    found = find_server(name)
    if found is not None and not found.planned:
        what = "is no engine of its own" if found.kind == "stack" else "is not planned"
        raise NotPlannable(f"{found.name} {what}.", found.instead)


def devices_per_host(gpu: Accelerator | str) -> int | None:
    """Return the devices of one host of a machine that was named, None for a bare device."""
    if not isinstance(gpu, str):
        return None
    id = find_gpu(gpu).node
    node = find_node(id) if id else None
    return (node.gpus_per_host or node.gpu_count) if node else None
