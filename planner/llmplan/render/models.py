"""Listings and single entries of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmplan.catalog.resolve import find_model, store
from llmplan.memory.formats import kv_format, weight_format
from llmplan.memory.kv_cache import cached_layers, request_bytes
from llmplan.memory.parameters import parameter_count, parameters_by_class
from llmplan.memory.tensors import model_tensors
from llmplan.memory.weights import weight_bytes
from llmplan.planning.describe import model_facts
from llmplan.specs.facts import Topic, Variant
from llmplan.specs.loading import model_from_dict
from llmplan.specs.model import Model
from llmplan.specs.units import count_text, gib, tokens_text

KV_AT_TOKENS = 8192
"""Length at which the listing gives KV bytes per token: windows and states are inside it."""

FOUR_BIT = "awq-int4"
"""Format of the listing's 4-bit size: groups of 128, embeddings and head left at 16 bits."""


def model_row(model: Model) -> dict[str, Any]:
    """Return what the listing says of a model, in base units."""
    facts = model_facts(model)
    length = min(model.context_tokens or KV_AT_TOKENS, KV_AT_TOKENS)
    kv = request_bytes(cached_layers(model), kv_format("bf16"), tokens=length)

    def size(name: str) -> float:
        return weight_bytes(model, weight_format(name)).total

    return {
        "id": model.id,
        "name": model.name,
        "family": model.family,
        "parameters": facts["parameters"],
        "active_parameters": facts["active_parameters"],
        "context_tokens": model.context_tokens,
        "attention": facts["attention"],
        "modality": modality(model),
        "kv_bytes_per_token": kv / length,
        "weights_bytes": size(model.native_format),
        "native_format": model.native_format,
        "bf16_weights_bytes": size("bf16"),
        "int4_weights_bytes": size(FOUR_BIT),
        "license": model.license,
        "released": model.released,
        "verified": not model.unverified,
        "variants": [v.name for v in model.variants],
    }


def modality(model: Model) -> str:
    """Return what a model takes in and gives out, in the words that the listing filters by."""
    if model.decoder is None:
        return "embedding"
    if not model.head:
        return "embedding"
    words = ["text"] if model.encoder is None else ["text", "encoder-decoder"]
    words += ["vision"] if model.vision is not None else []
    return " ".join(words)


def row_of_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a catalogue entry, with the text that a query is looked for in."""
    names = [entry.get(k) for k in ("id", "name", "family", "hub_id")]
    names += [*entry.get("aliases", ()), *entry.get("usual_for", ())]
    for v in entry.get("variants", ()):
        names += [v["name"], v.get("hub_id"), *v.get("aliases", ())]
    text = " ".join(str(n) for n in dict.fromkeys(names) if n).casefold()
    return model_row(model_from_dict(entry)) | {"search": text}


def model_rows(query: str) -> list[dict[str, Any]]:
    """Return the rows of models that go by every word of the query, variants' names included."""
    words = query.casefold().split()
    rows = store().listing() or [row_of_entry(e) for e in store().entries("models")]
    found = [r for r in rows if all(w in r["search"] for w in words)]
    return [{k: v for k, v in r.items() if k != "search"} for r in found]


SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "id": lambda r: r["id"],
    "size": lambda r: r["parameters"],
    "active": lambda r: r["active_parameters"],
    "context": lambda r: -(r["context_tokens"] or 0),
    "kv": lambda r: r["kv_bytes_per_token"],
    "released": lambda r: tuple(-ord(c) for c in r["released"] or " "),
}
"""Orders of the listing: sizes and KV bytes least first, contexts and dates the most first."""


def selected(
    rows: Iterable[dict[str, Any]],
    *,
    texts: Mapping[str, str | None],
    least: Mapping[str, int | None],
    most: Mapping[str, int | None],
) -> list[dict[str, Any]]:
    """Return the rows whose fields hold these texts and lie within these numbers."""

    def passes(row: dict[str, Any]) -> bool:
        return (
            all(t is None or t.casefold() in str(row[k]).casefold() for k, t in texts.items())
            and all(n is None or (row[k] or 0) >= n for k, n in least.items())
            and all(n is None or (row[k] or n + 1) <= n for k, n in most.items())
        )

    return [row for row in rows if passes(row)]


MODEL_HEADERS = ["id", "parameters", "active", "context", "attention", "KV/token", "bf16 GB",
                 "4-bit GB", "own format", "licence"]  # fmt: skip


def model_cells(row: dict[str, Any]) -> list[Any]:
    """Return a model row as table cells; ~ marks shapes that no published count confirms."""
    context = row["context_tokens"]
    active = row["active_parameters"]
    return [
        row["id"],
        ("" if row["verified"] else "~") + count_text(row["parameters"]),
        "" if active == row["parameters"] else count_text(active),
        tokens_text(context) if context else "",
        row["attention"],
        f"{row['kv_bytes_per_token'] / 1024:.1f} KiB",
        f"{row['bf16_weights_bytes'] / 1e9:,.1f}",
        f"{row['int4_weights_bytes'] / 1e9:,.1f}",
        row["native_format"],
        row["license"],
    ]


def variants_named(rows: Iterable[dict[str, Any]], query: str) -> list[str]:
    """Return a line for each variant that the query names, with the entry that has its shape."""
    words = query.casefold().split()
    return [
        f"{variant}: same shapes as {row['id']}."
        for row in rows
        for variant in row["variants"]
        if all(w in variant.casefold() for w in words)
    ]


def topic_text(topic: Topic) -> str:
    """Return why no plan can be made of a name, and what comes nearest."""
    near = f" Nearest: {', '.join(topic.see)}." if topic.see else ""
    return f"{topic.why}{near}"


def model_entry(name: str, *, offline: bool = False) -> dict[str, Any]:
    """Return every fact of one model: the file's own, and what is computed from them."""
    model = find_model(name, offline=offline).model
    computed = model_row(model) | {
        "parameters_by_class": parameters_by_class(model_tensors(model)),
        "draft_parameters": model_facts(model)["draft_parameters"],
    }
    return {"facts": model.to_dict(), "computed": computed}


def model_text(name: str, *, offline: bool = False) -> str:
    """Return one model for reading: facts, counts by class, published count, sources."""
    model = find_model(name, offline=offline).model
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
        lines.append("Also called: " + ", ".join(model.aliases))
    lines += [f"Same shapes: {variant_text(v)}" for v in model.variants]
    for a in model.artifacts:
        parts = f" ({_parts_text(a.parts)})" if a.parts else ""
        lines.append(f"Published as {a.format}{parts}: {a.hub_id} [{a.ref}, {a.date}]")
    if model.native_parts:
        lines.append("Stored otherwise: " + _parts_text(model.native_parts))
    lines += [f"Note: {n}" for n in model.notes]
    lines += [f"Unverified: {u}" for u in model.unverified]
    lines += [f"Source ({', '.join(s.facts)}): {s.ref} [{s.date}]" for s in model.sources]
    return "\n".join(lines)


def _parts_text(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {form}" for name, form in parts.items())


def variant_text(variant: Variant) -> str:
    """Return one checkpoint of the same shapes for reading."""
    parts = [variant.name, variant.hub_id, variant.note, variant.license]
    if variant.vocab_size:
        parts.append(f"vocabulary of {variant.vocab_size:,}")
    if variant.adapter:
        targets = ", ".join(variant.adapter.targets)
        parts.append(f"adapter of rank {variant.adapter.rank} on {targets}")
    return " | ".join(dict.fromkeys(p for p in parts if p))
