"""Write field names of published schemas into tests/pinned/, without their texts.

    python tests/tools/pin_schemas.py NAME SOURCE FILE     a CustomResourceDefinition or JSON schema

Kept: names, types, required fields, enumerations, references. A pod template is kept as the
mark `x-pod`: tests check it as a Pod of Kubernetes itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

PINNED = Path(__file__).parents[1] / "pinned"
KEPT = ("type", "required", "enum", "$ref", "pattern", "const", "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields", "minimum", "minItems", "uniqueItems")  # fmt: skip
NAMED = ("properties", "definitions", "$defs", "patternProperties")
LISTS = ("oneOf", "anyOf", "allOf")


def pruned(schema: Any, *, pods: bool = False) -> Any:
    """Return a schema without texts, defaults and rules in other languages."""
    if not isinstance(schema, dict):
        return schema
    fields = schema.get("properties", {})
    if pods and {"containers", "volumes", "nodeSelector"} <= set(fields):
        own = ("minReplicas", "maxReplicas", "model")  # a KServe predictor is a pod and more
        extra = {k: pruned(fields[k], pods=pods) for k in own if k in fields}
        return {"type": "object", "x-pod": True} | ({"properties": extra} if extra else {})
    found = {k: schema[k] for k in KEPT if k in schema}
    for key in NAMED:
        if key in schema:
            found[key] = {name: pruned(s, pods=pods) for name, s in schema[key].items()}
    for key in LISTS:
        if key in schema:
            found[key] = [pruned(s, pods=pods) for s in schema[key]]
    if "items" in schema:
        found["items"] = pruned(schema["items"], pods=pods)
    if "additionalProperties" in schema:
        found["additionalProperties"] = pruned(schema["additionalProperties"], pods=pods)
    return found


def main(name: str, source: str, file: str) -> None:
    """Write one schema; of a resource the versions that are served."""
    data = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    if data.get("kind") == "CustomResourceDefinition":
        found: Any = {
            f"{data['spec']['group']}/{v['name']}": pruned(
                v["schema"]["openAPIV3Schema"], pods=True
            )
            for v in data["spec"]["versions"]
            if v["served"]
        }
        kind = data["spec"]["names"]["kind"]
    else:
        found, kind = pruned(data), None
    record = {"source": source, "date": "2026-11-26", "kind": kind, "schema": found}
    text = json.dumps(record, separators=(",", ":"), sort_keys=True) + "\n"
    (PINNED / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
