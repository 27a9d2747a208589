"""From what a user typed to a model or a device: id, alias, Hub id, bare name, or a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from llmplan.catalog.names import close_names, normalise
from llmplan.catalog.store import Store, open_store
from llmplan.errors import AmbiguousName, InputError, NotPlannable, UnknownName
from llmplan.specs.facts import Topic, Variant
from llmplan.specs.hardware import Accelerator, Node, accelerator_from_dict, node_from_dict
from llmplan.specs.loading import model_from_dict, topic_from_dict
from llmplan.specs.model import Model

_COUNT_BEFORE = re.compile(r"(?P<count>[1-9]\d{0,3}) ?[x*] ?(?P<name>.+)", re.IGNORECASE)
_COUNT_BEHIND = re.compile(r"(?P<name>.+?) ?[x:] ?(?P<count>[1-9]\d{0,3})", re.IGNORECASE)

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
    """A device, how many of it the name means (None: not said), the node it stands in, a note."""

    gpu: Accelerator
    devices: int | None = None
    node: str | None = None
    note: str | None = None


def find_model(name: str, *, offline: bool = False) -> FoundModel:
    """Return the model of a name, of a file (YAML, config.json, a folder with one) or on the Hub.

    Only a Hub id that the catalogue does not know is asked for on the network, unless `offline`.
    """
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
    topic = find_topic(name)
    if topic is not None:
        raise not_plannable(topic)
    if "\x00" not in name and os.path.isdir(name):
        return find_model(os.path.join(".", name))
    unknown = _unknown("models", name, "model", "llmplan models")
    if "/" in name:
        from llmplan.catalog.hub_models import hub_model

        return hub_model(name, offline=offline, unknown=unknown)
    raise unknown


def _as_named(model: Model, name: str) -> FoundModel:
    """Return the model as the checkpoint that was named: an alias is served under its own id."""
    key = normalise(name)

    def is_named(hub_id: str) -> bool:
        return key in (normalise(hub_id), normalise(hub_id.rpartition("/")[2]))

    if key == normalise(model.id) or is_named(model.hub_id or model.id):
        return FoundModel(model)
    for artifact in model.artifacts:
        if is_named(artifact.hub_id) and artifact.format == "gguf":
            presets = ", ".join(artifact.presets) or "see its files"
            note = f"{artifact.hub_id} is {model.name} in GGUF ({presets}): --engine llama.cpp."
            return FoundModel(model, note)
        if is_named(artifact.hub_id):
            return FoundModel(
                model, f"{artifact.hub_id} is {model.name} in {artifact.format}.", artifact.format
            )
    for variant in model.variants:
        names = (variant.name, *variant.aliases)
        if key in map(normalise, names) or (variant.hub_id and is_named(variant.hub_id)):
            return _as_variant(model, variant)
    return FoundModel(model)


def _as_variant(model: Model, variant: Variant) -> FoundModel:
    """Return the checkpoint of a variant: its own name, licence and vocabulary."""
    what = f" ({variant.note})" if variant.note else ""
    if variant.adapter is not None:
        note = f"{variant.name}{what}: {model.name} with a rank-{variant.adapter.rank} adapter."
        adapter = replace(variant.adapter, name=variant.name, hub_id=variant.hub_id)
        name = f"{model.name} + {variant.name}"
        return FoundModel(replace(model, name=name, adapter=adapter, artifacts=()), note)
    vocab = variant.vocab_size or model.vocab_size
    served = replace(
        model,
        name=variant.name,
        hub_id=variant.hub_id,
        license=variant.license or _same_owner(model, variant),
        vocab_size=vocab,
        context_tokens=variant.context_tokens or model.context_tokens,
        artifacts=variant.artifacts,
        published=None if vocab != model.vocab_size else model.published,
    )
    own = "" if vocab == model.vocab_size else f", but for a vocabulary of {vocab:,}"
    return FoundModel(served, f"{variant.name}{what}: same architecture as {model.name}{own}.")


def _same_owner(model: Model, variant: Variant) -> str | None:
    """Return the licence of the shape's own checkpoint where the same owner released both."""
    owners = [(hub or "").partition("/")[0] for hub in (model.hub_id, variant.hub_id)]
    return model.license if owners[0] and owners[0] == owners[1] else None


def find_topic(name: str) -> Topic | None:
    """Return what is on record of a name that no plan can be made of, or None."""
    ids = _lookup("topics", name)
    return topic_from_dict(store().entry("topics", ids[0])) if ids else None


def not_plannable(topic: Topic) -> NotPlannable:
    """Return the error that says why, and what comes nearest."""
    return NotPlannable(topic.why, f"Nearest: {', '.join(topic.see)}." if topic.see else None)


def find_gpu(name: str) -> FoundGpu:
    """Return the device of a name (`a100-40g`, `a100-40g*8`), a node's name or a YAML file."""
    _check_name(name, "device")
    if name == "local":
        from llmplan.catalog.local import find_local

        return find_local()
    if "=" in name:
        return _inline(name)
    if "," in name:
        raise InputError(
            f"{name[:80]!r} mixes devices, which this version does not plan.",
            "Give one device, with a count: rtx-3090*2.",
        )
    base, star, digits = name.rpartition("*")
    if star:
        digits = digits.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 6) or "*" in base:
            raise _miscounted(name) or InputError(
                f"{name[:80]!r} has no count after '*'.", "Write it as rtx-3090*2."
            )
        found = find_gpu(base)
        if base == "local":
            from llmplan.catalog.local import some_of

            return some_of(found, int(digits))
        return found._replace(devices=int(digits) * (found.devices or 1))
    if _is_path(name):
        from llmplan.catalog.user_files import gpu_from_path

        return FoundGpu(gpu_from_path(name))
    return _named_gpu(name)


def _inline(name: str) -> FoundGpu:
    """Return the device described as `memory=48GB,bandwidth=900GB/s,...`, with `*N` behind."""
    from llmplan.specs.overrides import inline_accelerator

    text, star, digits = name.rpartition("*")
    counted = star and digits.strip().isascii() and digits.strip().isdigit() and len(digits) < 7
    gpu = inline_accelerator(text if counted else name)
    return FoundGpu(gpu, int(digits) if counted else None)


def _named_gpu(name: str) -> FoundGpu:
    found = _known_gpu(name)
    if found is None:
        raise _miscounted(name) or _unknown("gpus", name, "device", "llmplan gpus")
    return found


def _known_gpu(name: str) -> FoundGpu | None:
    ids = _lookup("gpus", name)
    if ids:
        return FoundGpu(load_accelerator(ids[0]))
    node = find_node(name)
    if node is not None:
        from llmplan.catalog.slices import gpu_of_node

        return gpu_of_node(node)
    members = store().groups("gpus").get(normalise(name), [])
    if len(members) == 1:
        return FoundGpu(load_accelerator(members[0]))
    if members:
        raise AmbiguousName(
            f"{name!r} means several devices: {', '.join(sorted(members))}.", "Name one of them."
        )
    from llmplan.catalog.slices import find_slice

    part = find_slice(name)
    return FoundGpu(part) if part is not None else None


def _miscounted(name: str) -> UnknownName | None:
    """Return the error of a known device whose count is written in another way (`8xh200`)."""
    for pattern in (_COUNT_BEFORE, _COUNT_BEHIND):
        found = pattern.fullmatch(name)
        if found and _known_gpu(found["name"]):
            right = f"'{found['name']}*{int(found['count'])}'"
            return UnknownName(f"Unknown device {name[:80]!r}.", f"Write a count as {right}.")
    return None


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


def bigger_accelerators(gpu: Accelerator) -> Iterator[Accelerator]:
    """Yield the devices with more memory that is no slower, same vendor and smallest first."""
    have, speed = gpu.usable_memory_bytes or 0, gpu.memory_bandwidth_bytes_per_s or 0
    bigger = [
        (vendor != gpu.vendor, usable, id)
        for id, (vendor, usable, bandwidth) in store().sizes().items()
        if (usable or 0) > have and (bandwidth or 0) >= speed
    ]
    for _, _, id in sorted(bigger):
        yield load_accelerator(id)


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
    for other in (kind, "nodes") if kind == "gpus" else (kind,):
        if not close:
            keys = store().names(other)
            close = sorted({i for k in close_names(name, keys) for i in keys[k]})
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    return UnknownName(f"Unknown {what} {name[:80]!r}.", f"{hint}List them: {listing}.")


def _is_path(name: str) -> bool:
    if name.endswith((".json", ".yaml", ".yml", ".gguf")) or name.startswith(("./", "../", "/")):
        return True
    return name in (".", "..") or (os.sep in name and os.path.isdir(name))
