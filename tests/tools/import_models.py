"""Write models/ from the shared facts: `python tests/tools/import_models.py SHARED`.

SHARED is the folder with data/models/configs. Every config that can be read becomes an entry;
checkpoints with the same tensors, context and RoPE facts share one, as its variants. What the
configs do not say stands in tests/tools/catalogue: names, overrides, variants, further configs.
Run `llmplan check models` after.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from catalogue_yaml import ROOT, TODAY, reference, write
from model_entry import (
    Reading,
    bare_model,
    facts_of,
    kept_artifacts,
    merged,
    model_entry,
    stored_otherwise,
)

from llmplan.catalog.names import normalise
from llmplan.errors import InputError
from llmplan.memory.faults import model_faults
from llmplan.sources.config_json import architecture_from_config
from llmplan.specs.loading import model_from_dict

__all__ = ["bare_model"]
INPUT = ROOT / "tests/tools/catalogue"
SUFFIXES = re.compile(r"[-_](instruct|chat|it|hf|bf16|base)(?=$|-v?\d|-hf|-bf16)", re.IGNORECASE)
ENDING = re.compile(r"-(Instruct|Chat|it)(?=$|-)", re.IGNORECASE)
QUANTIZED = re.compile(r"-(FP8-Static-PerTensor|FP8|NVFP4)$")


def read_input(name: str) -> dict[str, Any]:
    """Return one of the importer's own input files."""
    found: dict[str, Any] = yaml.safe_load((INPUT / name).read_text(encoding="utf-8")) or {}
    return found


def readings(shared: Path) -> tuple[list[Reading], dict[str, str]]:
    """Return what can be read, and why each other config cannot."""
    overrides, completions = read_input("overrides.yaml"), read_input("completions.yaml")
    files = sorted((shared / "data/models/configs").glob("*.json"))
    files += sorted((INPUT / "configs").glob("*.json"))
    found, refused = [], {}
    for file in files:
        config = json.loads(file.read_text(encoding="utf-8"))
        hub = config["_id"]
        extra, completion = overrides.get(hub, {}), completions.get(hub, {})
        config = merged(config, extra.get("set", {}))
        if "wrap" in completion:
            config |= {"model_type": completion["wrap"], "text_config": dict(config)}
        config = merged(config, completion.get("set", {}))
        try:
            parts = architecture_from_config(config)
            bare_model(str(config.get("model_type")), parts)
        except (InputError, TypeError, ValueError) as e:
            refused[hub] = str(e)
            continue
        if parts.pop("guessed", None):
            refused[hub] = f"model_type {config.get('model_type')} is not known"
        else:
            found.append(Reading(hub, config, parts, extra, completion))
    return found, refused


def signature(r: Reading) -> str:
    """Return what two checkpoints share when they are one shape."""
    parts = {k: v for k, v in r.parts.items() if k not in ("notes", "unverified")}
    if parts["native_format"] in ("fp16", "fp32"):
        parts["native_format"] = "bf16"  # the same bytes as served
    return json.dumps([parts, facts_of(r)], sort_keys=True)


def grouped(found: list[Reading], names: dict[str, Any]) -> list[list[Reading]]:
    """Return checkpoints by shape, the one that stands for the group first."""
    groups: dict[str, list[Reading]] = {}
    for r in found:
        groups.setdefault(signature(r), []).append(r)

    order = {hub: i for i, hub in enumerate(names)}

    def rank(r: Reading) -> tuple[Any, ...]:
        exact = r.config["_confidence"].startswith("exact")
        return (order.get(r.hub, len(order)), not exact, not r.config.get("_params_published"),
                len(r.hub))  # fmt: skip

    return [sorted(g, key=rank) for g in groups.values()]


def named(r: Reading, names: dict[str, Any]) -> dict[str, Any]:
    """Return id, name and family: those given, else made from the Hub id."""
    tail = r.hub.partition("/")[2]
    plain = SUFFIXES.sub("", tail)
    made = {
        "id": re.sub(r"[^a-z0-9.]+", "-", plain.lower()).strip("-"),
        "name": readable(tail),
        "family": re.split(r"[-_0-9.]", tail.lower())[0] or "other",
    }
    entry = made | names.get(r.hub, {})
    ending = ENDING.search(tail)
    if ending and f"{entry['id']}-{ending[1].lower()}" != tail.lower():
        longer = f"{entry['id']}-{ending[1].lower()}"
        entry["aliases"] = [*entry.get("aliases", ()), longer]
    return entry


def readable(tail: str) -> str:
    """Return the last part of a Hub id as a name."""
    return re.sub(r"[-_]+", " ", tail.removesuffix("-hf").removesuffix("-BF16"))


def variant_of(r: Reading, names: dict[str, Any], artifacts: list[dict[str, Any]]) -> Any:
    """Return a checkpoint with a config of its own as a variant of its shape."""
    name = names.get(r.hub, {})
    aliases = [*([name["id"]] if name else []), *name.get("usual_for", ()),
               *name.get("aliases", ())]  # fmt: skip
    variant = {"name": name.get("name") or readable(r.hub.partition("/")[2]), "hub_id": r.hub}
    variant |= {"license": r.config["_license"]} if r.config.get("_license") else {}
    variant |= {"aliases": aliases} if aliases else {}
    variant |= {"ref": reference(r.config["_source"][0])[:300]}
    found = kept_artifacts(r, artifacts)
    return variant | ({"artifacts": found} if found else {})


STATED_CONTEXT = re.compile(r"its config states ([0-9,]+) tokens")


def with_context(variant: dict[str, Any]) -> dict[str, Any]:
    """Return a listed variant with the context that its note states."""
    stated = STATED_CONTEXT.search(variant.get("note") or "")
    said = {"context_tokens": int(stated[1].replace(",", ""))} if stated else {}
    return {k: v for k, v in variant.items() if k != "ref"} | said | (
        {"ref": variant["ref"]} if variant.get("ref") else {})  # fmt: skip


def variants_of(
    group: list[Reading],
    names: dict[str, Any],
    given: dict[str, Any],
    artifacts: list[dict[str, Any]],
    known: set[str],
) -> list[dict[str, Any]]:
    """Return the other checkpoints of a shape: those with a config, and those listed."""
    result = [variant_of(r, names, artifacts) for r in group[1:]]
    for r in group:
        result += [with_context(v) for v in given.get(r.hub, ()) if v.get("hub_id") not in known]
    unique: dict[str, dict[str, Any]] = {}
    for v in result:
        unique.setdefault(normalise(v.get("hub_id") or v["name"]), v)
    return list(unique.values())


def quantized_artifacts(shared: Path, found: list[Reading]) -> list[dict[str, Any]]:
    """Return the shipped FP8 and NVFP4 checkpoints whose own configs are at hand."""
    by_tail = {r.hub.partition("/")[2].lower(): r for r in found}
    rows = []
    for file in sorted((shared / "data/models/configs_quantized").glob("*_config.json")):
        hub = file.name.removesuffix("_config.json").replace("--", "/")
        base = by_tail.get(QUANTIZED.sub("", hub.partition("/")[2]).lower())
        if base is None or hub.endswith("hf_quant"):
            continue
        shape = {k: v for k, v in base.config.items() if k != "quantization_config"}
        config = {**shape, **json.loads(file.read_text(encoding="utf-8"))}
        beside = file.with_name(file.name.replace("_config.json", "_hf_quant_config.json"))
        if "quantization_config" not in config and beside.exists():
            config["quantization_config"] = json.loads(beside.read_text())["quantization"]
        try:
            parts = architecture_from_config(config)
        except (InputError, KeyError):
            continue
        if parts.get("decoder") == base.parts.get("decoder"):
            rows.append({
                "model": base.hub, "format": parts["native_format"], "hub_id": hub,
                "ref": f"https://huggingface.co/{hub}/blob/main/config.json", "date": TODAY,
                "parts": parts.get("native_parts", {}),
            })  # fmt: skip
    return rows


def artifact_rows(shared: Path, found: list[Reading]) -> list[dict[str, Any]]:
    """Return known artifacts: those with their own configs before those that are only listed."""
    rows = quantized_artifacts(shared, found)
    seen = {a["hub_id"].lower() for a in rows}
    listed = list(csv.DictReader((ROOT / "tests/tools/artifacts.csv").open(encoding="utf-8")))
    rows += [dict(a) for a in listed if a["hub_id"].lower() not in seen]
    for row in rows:
        if isinstance(row.get("parts"), str):
            row["parts"] = dict(part.split("=") for part in row["parts"].split())
    return rows


def stock_artifacts(
    rows: list[dict[str, Any]], found: list[Reading], shared: Path
) -> list[dict[str, Any]]:
    """Return the rows, with a note on those whose stored bytes are not their format's."""
    by_hub = {r.hub: r for r in found}
    for row in rows:
        r = by_hub.get(row["model"])
        if r is not None:
            row["note"] = stored_otherwise(shared, row, r)
    return rows


def main(shared: Path) -> None:
    """Write models/<family>/, and say what was not taken."""
    names, given = read_input("names.yaml"), read_input("variants.yaml")
    found, refused = readings(shared)
    artifacts = stock_artifacts(artifact_rows(shared, found), found, shared)
    known = {r.hub for r in found}
    written: dict[str, str] = {}
    paths: set[Path] = set()
    for group in grouped(found, names):
        name = named(group[0], names)
        if name["id"] in written:
            name["id"] = re.sub(r"[^a-z0-9.]+", "-", group[0].hub.partition("/")[2].lower())
        if name["id"] in written:
            print(
                f"two shapes called {name['id']}: {group[0].hub}, {written[name['id']]}: "
                f"{facts_of(group[0])}"
            )
            continue
        written[name["id"]] = group[0].hub
        entry = model_entry(group[0], name, artifacts)
        variants = variants_of(group, names, given, artifacts, known)
        if variants:
            sources = entry.pop("sources")
            entry |= {"variants": variants, "sources": sources}
        for at, problem in model_faults(model_from_dict(entry)):
            print(f"{name['id']}: {at}: {problem}")
        path = ROOT / "models" / name["family"] / f"{name['id']}.yaml"
        paths.add(path)
        write(path, entry, "../.schema.json")
    for path in set((ROOT / "models").glob("*/*.yaml")) - paths:
        if path.parent.name != "topics":
            path.unlink()
    for hub, why in sorted(refused.items()):
        print(f"not taken: {hub}: {why[:110]}")
    for hub in sorted(set(given) - known):
        print(f"variants of an unknown base: {hub}")
    print(f"{len(written)} entries from {len(found)} configs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
