"""What the tests of `deploy` share: making artefacts, and checking objects by published fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import yaml
from conftest import ROOT

import llmplan
from llmplan.deployment.run import Artefacts

PINNED = ROOT / "tests/pinned"
KUBERNETES = "1.30"
"""Version whose schemas objects are checked by."""

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "boolean": (bool,),
    "number": (int, float), "null": (type(None),),
}  # fmt: skip


def made(model: Any, gpu: str, to: str, **options: Any) -> Artefacts:
    """Return the artefacts of a target; something has to fit."""
    found = llmplan.deploy(model, gpu, to, **options)
    assert found is not None
    return found


def documents(artefacts: Artefacts) -> list[Any]:
    """Return the YAML documents of the first file."""
    return list(yaml.safe_load_all(artefacts.files[0].text))


def flags(engine: str) -> set[str]:
    """Return the pinned flag names of an engine."""
    lines = (PINNED / f"{engine}-flags.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


def schema(name: str) -> dict[str, Any]:
    """Return a pinned schema with its source."""
    found: dict[str, Any] = json.loads((PINNED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def faults(value: Any, by: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield what the published fields do not allow: unknown names, types, missing fields."""
    if by.get("x-pod"):
        extra = by.get("properties", {})
        for name in set(value) & set(extra):
            yield from faults(value[name], extra[name], f"{at}.{name}")
        check_pod({k: v for k, v in value.items() if k not in extra})
        return
    wanted = TYPES.get(by.get("type", ""))
    if wanted and not isinstance(value, wanted):
        yield f"{at}: {value!r} is no {by['type']}"
    elif "enum" in by and value not in by["enum"]:
        yield f"{at}: {value!r} is not one of {by['enum']}"
    elif isinstance(value, dict):
        for name in by.get("required", ()):
            if name not in value:
                yield f"{at}: {name} is missing"
        for name, item in value.items():
            yield from _field(name, item, by, at)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from faults(item, by.get("items", {}), f"{at}[{i}]")


def _field(name: str, item: Any, by: dict[str, Any], at: str) -> Iterator[str]:
    fields = by.get("properties", {})
    others = by.get("additionalProperties")
    if name in fields:
        yield from faults(item, fields[name], f"{at}.{name}")
    elif isinstance(others, dict):
        yield from faults(item, others, f"{at}.{name}")
    elif fields and others is not True and not by.get("x-kubernetes-preserve-unknown-fields"):
        yield f"{at}: no field {name}"


def check_pod(spec: dict[str, Any]) -> None:
    """Check a pod template as a Pod of Kubernetes; containers may leave their image to others."""
    containers = [{"image": "given-by-the-operator", **c} for c in spec["containers"]]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
           "spec": {**spec, "containers": containers}}  # fmt: skip
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def check_object(document: dict[str, Any], pinned: str | None = None) -> None:
    """Check one object: Kubernetes' own by its schemas, others by the pinned fields."""
    if pinned is None:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    record = schema(pinned)
    assert document["kind"] == record["kind"]
    assert document["apiVersion"] in record["schema"], sorted(record["schema"])
    by = record["schema"][document["apiVersion"]]
    body = {k: v for k, v in document.items() if k != "metadata"}
    assert list(faults(body, {**by, "required": []})) == []
    assert document["metadata"].keys() <= {"name", "labels", "annotations"}
