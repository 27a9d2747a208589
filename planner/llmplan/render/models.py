"""Listings and single entries of the catalogue."""

from __future__ import annotations

from typing import Any

from llmplan.catalog.resolve import find_model, store
from llmplan.memory.formats import kv_format, weight_format
from llmplan.memory.kv_cache import cached_layers, request_bytes
from llmplan.memory.parameters import parameter_count, parameters_by_class
from llmplan.memory.tensors import model_tensors
from llmplan.memory.weights import weight_bytes
from llmplan.planning.describe import model_facts
from llmplan.specs.hardware import Accelerator, Node
from llmplan.specs.model import Model, model_from_dict
from llmplan.specs.units import GIB, count_text, gib, tokens_text

KV_AT_TOKENS = 8192
"""Length at which the listing gives KV bytes per token: windows and states are inside it."""


def model_row(model: Model) -> dict[str, Any]:
    """Return what the listing says of a model, in base units."""
    facts = model_facts(model)
    length = min(model.context_tokens or KV_AT_TOKENS, KV_AT_TOKENS)
    kv = request_bytes(cached_layers(model), kv_format("bf16"), tokens=length)
    return {
        "id": model.id,
        "parameters": facts["parameters"],
        "active_parameters": facts["active_parameters"],
        "context_tokens": model.context_tokens,
        "attention": facts["attention"],
        "kv_bytes_per_token": kv / length,
        "weights_bytes": weight_bytes(model, weight_format(model.native_format)).total,
        "native_format": model.native_format,
        "license": model.license,
    }


def model_rows(query: str) -> list[dict[str, Any]]:
    """Return the rows of models whose id, name, family or Hub id holds every word of the query."""
    words = query.casefold().split()
    rows = []
    for entry in store().entries("models"):
        text = " ".join(str(entry.get(k)) for k in ("id", "name", "family", "hub_id")).casefold()
        if all(w in text for w in words):
            rows.append(model_row(model_from_dict(entry)))
    return rows


MODEL_HEADERS = ["id", "parameters", "active", "context", "attention", "KV/token", "weights",
                 "format", "licence"]  # fmt: skip


def model_cells(row: dict[str, Any]) -> list[Any]:
    """Return a model row as table cells."""
    context = row["context_tokens"]
    active = row["active_parameters"]
    return [
        row["id"],
        count_text(row["parameters"]),
        "" if active == row["parameters"] else count_text(active),
        tokens_text(context) if context else "",
        row["attention"],
        f"{row['kv_bytes_per_token'] / 1024:.1f} KiB",
        gib(row["weights_bytes"]),
        row["native_format"],
        row["license"],
    ]


def model_entry(name: str) -> dict[str, Any]:
    """Return every fact of one model: the file's own, and what is computed from them."""
    model = find_model(name).model
    computed = model_row(model) | {
        "parameters_by_class": parameters_by_class(model_tensors(model)),
        "draft_parameters": model_facts(model)["draft_parameters"],
    }
    return {"facts": model.to_dict(), "computed": computed}


def model_text(name: str) -> str:
    """Return one model for reading: facts, counts by class, published count, sources."""
    model = find_model(name).model
    row = model_row(model)
    lines = [
        f"{model.name} ({model.id})",
        f"Hub: {model.hub_id or 'none'} | {model.architecture} | licence {model.license}",
        f"Attention: {row['attention']}",
        f"Context: {model.context_tokens or 'no limit of its own'} tokens | "
        f"KV cache {row['kv_bytes_per_token']:,.0f} B a token at {KV_AT_TOKENS:,} or the context",
        f"Weights: {gib(row['weights_bytes'])} in {model.native_format} (its own format)",
        f"Parameters: {parameter_count(model):,} served, {row['active_parameters']:,} active",
    ]
    for group, count in sorted(
        parameters_by_class(model_tensors(model)).items(), key=lambda item: -item[1]
    ):
        lines.append(f"  {group}: {count:,}")
    draft = model_facts(model)["draft_parameters"]
    if draft:
        lines.append(f"  kept apart, draft or MTP layers: {draft:,}")
    if model.published:
        p = model.published
        why = f", {p.difference:+,}: {p.why}" if p.difference else ""
        lines.append(f"Published: {p.parameters:,} ({p.counted}; {p.confidence}{why})")
    if model.aliases:
        lines.append("Same shapes: " + ", ".join(model.aliases))
    for a in model.artifacts:
        lines.append(f"Published as {a.format}: {a.hub_id} [{a.ref}, {a.date}]")
    lines += [f"Note: {n}" for n in model.notes]
    lines += [f"Unverified: {u}" for u in model.unverified]
    lines += [f"Source ({', '.join(s.facts)}): {s.ref} [{s.date}]" for s in model.sources]
    return "\n".join(lines)


def gpu_row(gpu: Accelerator) -> dict[str, Any]:
    """Return what the listing says of a device, in base units."""
    rates = gpu.tflops_dense
    best = rates.get("bf16") or rates.get("fp16")
    return {
        "id": gpu.id,
        "name": gpu.name,
        "memory_bytes": gpu.memory_bytes,
        "usable_memory_bytes": gpu.usable_memory_bytes,
        "usable_memory_basis": "measured" if gpu.usable_memory_observed else "assumed",
        "memory_bandwidth_bytes_per_s": gpu.memory_bandwidth_bytes_per_s,
        "dense_16bit_flop_per_s": best * 1e12 if best else None,
        "compute_capability": gpu.compute_capability,
        "tdp_w": gpu.tdp_w,
    }


GPU_HEADERS = ["id", "name", "memory", "usable", "GB/s", "16-bit TFLOP/s", "capability", "W"]


def gpu_cells(row: dict[str, Any]) -> list[Any]:
    """Return a device row as table cells."""
    memory, usable = row["memory_bytes"], row["usable_memory_bytes"]
    rate, flops = row["memory_bandwidth_bytes_per_s"], row["dense_16bit_flop_per_s"]
    mark = "" if row["usable_memory_basis"] == "measured" else "~"
    return [
        row["id"],
        row["name"],
        f"{memory / GIB:g} GiB" if memory else "",
        f"{mark}{usable / GIB:.1f} GiB" if usable else "",
        f"{rate / 1e9:,.0f}" if rate else "",
        f"{flops / 1e12:,.0f}" if flops else "",
        row["compute_capability"],
        f"{row['tdp_w']:g}" if row["tdp_w"] else "",
    ]


def facts_text(thing: Accelerator | Node) -> str:
    """Return a device or node for reading: every fact of it, sources and conflicts included."""
    title = thing.name if isinstance(thing, Accelerator) else f"{thing.gpu_count} x {thing.gpu}"
    lines = [f"{title} ({thing.id})"]
    for key, value in thing.to_dict().items():
        if key in ("id", "name") or value in (None, [], {}):
            continue
        if isinstance(value, list):
            lines += [f"{key}: {item}" for item in value]
        elif isinstance(value, dict):
            lines.append(f"{key}: " + ", ".join(f"{k} {v}" for k, v in value.items()))
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)
