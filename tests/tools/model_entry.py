"""One catalogue entry from one config of the shared facts: see import_models.py."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from catalogue_yaml import ROOT, TODAY, reference

sys.path.insert(0, str(ROOT / "planner"))

from llmplan.memory.formats import weight_format
from llmplan.memory.parameters import draft_parameter_count, parameter_count
from llmplan.memory.tensors import model_tensors
from llmplan.memory.weights import weight_bytes
from llmplan.sources.architectures import ARCHITECTURES
from llmplan.sources.config_json import context_tokens, rope_facts, text_config
from llmplan.specs.facts import Artifact
from llmplan.specs.loading import model_from_dict
from llmplan.specs.model import Model, MoE

# Types whose code or tokenizer only the repository has: no class in transformers 5.23 nor in the
# registry of vLLM 0.33.0; the Kimi and ChatGLM lines by vllm-project/recipes@8959cf6 (tokenizers).
TRUST_REMOTE_CODE = (
    "aquila", "baichuan", "bailing_hybrid", "bailing_moe", "bailing_moe_v2", "chatglm", "deepseek",
    "glm130b", "grok-1", "internlm", "internlm2", "internvl_chat", "kimi_k2", "kimi_k25", "kimi_k3",
    "kimi_vl", "mimo", "minicpm", "minicpmv", "nemotron-nas", "nvembed", "orion", "phi3small",
    "phi4mm", "qwen", "step3_vl", "yuan",
)  # fmt: skip

# GGUF presets that every repository of these owners holds, as their model cards list them
# (seen 2026-11-21: TheBloke's "2, 3, 4, 5, 6 and 8-bit" table, bartowski's download table).
PRESETS_OF = {
    "TheBloke": ["Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_0",
                 "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"],
    "bartowski": ["IQ2_M", "Q2_K", "IQ3_M", "IQ3_XS", "Q3_K_S", "Q3_K_M", "Q3_K_L", "IQ4_XS",
                  "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"],
    "Qwen": ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"],
    "ggml-org": ["MXFP4"],
}  # fmt: skip

EXACT = ("exact", "within", "main-model")
"""Beginnings of `_confidence` that a published count confirms."""

STORED_MORE = {
    "exact+tied-head-duplicate-in-file": "the files hold the tied head a second time",
    "exact+buffers-in-file": "rotary inv_freq buffers stored in the files, not parameters",
    "exact-main-model+MTP-in-file": "the files also hold MTP layers, kept apart here",
    "main-model (published also holds MTP)": "the files also hold MTP layers, kept apart here",
    "within3.5%-of-rounded-figure": "a rounded figure",
    "within0.5%": "the published count differs by less than half a percent, unexplained",
}
DIFFERENCES = {
    "opt-1.3b": "the published total lacks the two vectors of the final norm",
    "kimi-k2": "buffers: 23,040 router correction biases and 3,416 elements not identified",
    "gpt-neox-20b": "the files hold causal masks and rotary buffers",
}
MAX_UNEXPLAINED = 0.0005
"""Share by which a stored total may exceed the count and still be called exact."""


class Reading(NamedTuple):
    """A config with its overrides, the architecture read from it, and where it stands."""

    hub: str
    config: dict[str, Any]
    parts: dict[str, Any]
    overrides: dict[str, Any]
    completion: dict[str, Any]


def merged(config: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with further facts; those of its parts are merged, not replaced."""
    result = dict(config)
    for key, value in extra.items():
        old = result.get(key)
        inside = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if inside else value
    return result


def bare_model(model_type: str, parts: Mapping[str, Any]) -> Model:
    """Return a model of these architecture facts, its other facts left blank."""
    frame = dict.fromkeys(("hub_id", "license", "released", "context_tokens"))
    names = {"id": "x", "name": "x", "family": "x", "architecture": "x", "native_format": "bf16"}
    source = {"sources": [{"facts": ["x"], "ref": "x"}], "model_type": model_type}
    return model_from_dict({**frame, **names, **source, **parts})


def facts_of(r: Reading) -> dict[str, Any]:
    """Return the facts that tell checkpoints apart beside their tensors."""
    facts = {"model_type": r.config["model_type"], "context_tokens": context_tokens(r.config)}
    return facts | rope_facts(r.config)


def model_entry(
    r: Reading, name: dict[str, Any], artifacts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the catalogue entry of a config under the names given."""
    config, parts = r.config, dict(r.parts)
    notes, doubts = list(parts.pop("notes", ())), list(parts.pop("unverified", ()))
    classes = config.get("architectures") or [ARCHITECTURES.get(config["model_type"], "")]
    facts = facts_of(r)
    entry: dict[str, Any] = {
        "id": name["id"], "name": name["name"], "family": name["family"], "hub_id": r.hub,
        "model_type": facts.pop("model_type"), "architecture": classes[0] or config["model_type"],
        "license": config.get("_license") or licence_of(r.hub),
        "released": config.get("_release_date"),
        **facts,
    }  # fmt: skip
    if config["model_type"] in TRUST_REMOTE_CODE:
        entry["trust_remote_code"] = True
    entry |= {k: name[k] for k in ("aliases", "usual_for") if name.get(k)}
    entry |= {"native_format": parts.pop("native_format"), **parts}
    model = bare_model(config["model_type"], r.parts)
    published, doubt = published_count(config, model, name["id"], r.completion)
    entry |= {"published": published} if published else {}
    doubts += ["architecture"] if doubt else []
    notes += [doubt] if doubt else []
    notes += stated(config, model, entry, doubts)
    recalled = r.overrides.get("recalled")
    if recalled:
        named = ["context"] if recalled is True else recalled
        doubts += named
        notes.append(f"the source of the {', '.join(named)} was not opened when entered")
    notes += [a["note"] for a in artifacts if a["model"] == r.hub and a.get("note")]
    kept = kept_artifacts(r, artifacts)
    entry |= {"notes": list(dict.fromkeys(notes))} if notes else {}
    entry |= {"unverified": list(dict.fromkeys(doubts))} if doubts else {}
    entry |= {"artifacts": kept} if kept else {}
    return entry | {"sources": sources_of(r)}


def kept_artifacts(r: Reading, artifacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the published checkpoints of a model that store what their format says."""
    return [artifact(a) for a in artifacts if a["model"] == r.hub and not a.get("note")]


def stated(
    config: dict[str, Any], model: Model, entry: dict[str, Any], doubts: list[str]
) -> list[str]:
    """Return notes on what the config does not state; a missing context is also a doubt."""
    notes, text = [], text_config(config)
    if not any(text.get(k) or config.get(k)
               for k in ("torch_dtype", "dtype", "quantization_config")):  # fmt: skip
        notes.append("the config at hand states no dtype: taken as 16 bits")
    relative = any(t.tensor.name == "attn_rel_b" for t in model_tensors(model))
    attends = model.decoder and model.attention_layers()
    if entry["context_tokens"] is None and attends and not relative:
        doubts.append("context")
        notes.append("the config at hand states no context")
    return notes


def published_count(
    config: dict[str, Any], model: Model, id: str, said: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the published count with its difference, and the doubt if nothing confirms ours."""
    total, confidence = config.get("_params_published"), config["_confidence"]
    ours = parameter_count(model)
    if said:
        confidence = "exact"
    oracle = config.get("_params_oracle")
    doubt = f"shapes without a published count to compare: {confidence}"
    if "estimate rejected" in confidence or (total or 0) > 1.5 * ours:
        total = None  # a list's guess, or bytes taken for parameters
    if not total:
        return None, doubt
    rounded = "rounded" in confidence or total % 1_000_000 == 0
    record = {
        "parameters": total,
        "counted": "rounded figure" if rounded else "stored tensors",
        "confidence": "rounded" if rounded else "exact",
    }
    difference = total - ours
    why = difference_reason(difference, model, config, id)
    more, draft = said.get("stored_more", 0), draft_parameter_count(model)
    if more and difference in (more, more + draft):
        why = said["because"] + ("; the MTP layers too" if difference != more else "")
    if rounded and difference:
        why = "a rounded figure"
    if difference:
        record |= {"difference": difference, "why": why or f"not explained: {confidence}"}
    if why or not difference or rounded:
        return record, None if confidence.startswith(EXACT) or not difference else doubt
    small = abs(difference) <= MAX_UNEXPLAINED * total
    if small or oracle == ours:
        record["why"] = "stored elements that are no parameters of the architecture, unidentified"
        return record, None if small else doubt
    return record, f"the published count is not reproduced: {confidence}"


def difference_reason(difference: int, model: Model, config: dict[str, Any], id: str) -> str | None:
    """Return why the stored total differs from the parameters, None when it is not known."""
    draft, confidence = draft_parameter_count(model), config["_confidence"]
    routers = sum(
        b.mlp.experts for s in (model.decoder, model.draft) if s
        for b in (s.blocks[n] for n in s.layers) if isinstance(b.mlp, MoE)
    )  # fmt: skip
    served = sum(
        b.mlp.experts for s in (model.decoder,) if s
        for b in (s.blocks[n] for n in s.layers) if isinstance(b.mlp, MoE)
    )  # fmt: skip
    if id in DIFFERENCES:
        return DIFFERENCES[id]
    if routers and difference in (served, routers):
        return "router correction biases, which are not parameters"
    if draft and difference == draft:
        return "the files also hold the MTP layers, kept apart here"
    if draft and difference == draft + routers:
        return "the files also hold the MTP layers, kept apart here, and router correction biases"
    masks = len(model.main.layers) * (context_tokens(config) or 0) ** 2
    if difference and difference == masks:
        return "causal masks that the files hold beside the weights"
    if model.tied_embeddings and difference == model.vocab_size * model.main.hidden_size:
        return "the files hold the tied head a second time"
    return STORED_MORE.get(confidence)


LICENCES = (
    ("meta-llama/Llama-2", "llama2"), ("codellama/", "llama2"),
    ("meta-llama/Meta-Llama-3-", "llama3"),
    ("meta-llama/Llama-3.1", "llama3.1"), ("meta-llama/Meta-Llama-3.1", "llama3.1"),
    ("meta-llama/Llama-3.2", "llama3.2"), ("meta-llama/Llama-3.3", "llama3.3"),
    ("meta-llama/Llama-4", "llama4"), ("microsoft/Phi-3", "mit"), ("microsoft/phi-", "mit"),
    ("EleutherAI/", "apache-2.0"), ("google-t5/", "apache-2.0"), ("google/flan-t5", "apache-2.0"),
    ("google-bert/", "apache-2.0"), ("xai-org/grok-1", "apache-2.0"),
    ("tiiuae/falcon-7b", "apache-2.0"),
    ("tiiuae/falcon-40b", "apache-2.0"), ("bigscience/bloom", "bigscience-bloom-rail-1.0"),
    ("bigscience/T0", "apache-2.0"), ("mistralai/Pixtral-12B", "apache-2.0"),
    ("databricks/dbrx", "databricks-open-model-license"), ("databricks/dolly", "mit"),
)  # fmt: skip
"""Licences on the owners' model cards, where the list at hand has none (2026-11)."""


def licence_of(hub: str) -> str | None:
    """Return the licence of a release by the beginning of its Hub id."""
    return next((licence for start, licence in LICENCES if hub.startswith(start)), None)


def sources_of(r: Reading) -> list[dict[str, Any]]:
    """Return the sources of an entry: the config's, the overrides', the published count's."""
    refs = [s for s in r.config["_source"] if "cross-check" not in s] or r.config["_source"]
    sources = [{"facts": ["architecture"], "ref": reference(refs[0])[:300], "date": _date(refs[0])}]
    for extra in (r.overrides, r.completion):
        if extra.get("set"):
            why = extra["why"]
            sources.append({"facts": sorted(extra["set"]), "ref": why, "date": _date(why)})
    if r.config.get("_params_published"):
        sources.append(
            {
                "facts": ["published"],
                "ref": "safetensors totals, model list of llmfit 1.1.17 and model cards",
                "date": TODAY,
            }
        )
    return sources


def artifact(a: dict[str, Any]) -> dict[str, Any]:
    """Return one published checkpoint; a GGUF repository with the presets it surely has."""
    entry = {k: a[k] for k in ("format", "hub_id", "ref", "date")}
    presets = PRESETS_OF.get(a["hub_id"].partition("/")[0], []) if a["format"] == "gguf" else []
    return entry | ({"presets": presets} if presets else {}) | (
        {"parts": a["parts"]} if a.get("parts") else {})  # fmt: skip


@cache
def _stored_bytes(shared: Path) -> dict[str, int]:
    rows = (shared / "data/models/weights_bytes.csv").read_text(encoding="utf-8").splitlines()
    return {r["model_id"]: int(r["weights_bytes"]) for r in csv.DictReader(rows)}


def stored_otherwise(shared: Path, a: dict[str, Any], r: Reading) -> str | None:
    """Return a note when a checkpoint's stored bytes are not those of its format's stock recipe."""
    hub_id, format = a["hub_id"], a["format"]
    stored = _stored_bytes(shared)
    if hub_id not in stored or format == "gguf":
        return None
    model = bare_model(r.config["model_type"], r.parts)
    kept = Artifact(format, hub_id, a["ref"], a["date"], parts=a.get("parts") or {})
    model = replace(model, artifacts=(kept,))
    computed = weight_bytes(model, weight_format(format)).total + 2 * draft_parameter_count(model)
    if abs(stored[hub_id] / computed - 1) < 0.03:
        return None
    return (
        f"{hub_id} stores {stored[hub_id]:,} bytes, {format} would take {computed:,.0f}: "
        "it leaves other layers unquantized and is not offered"
    )


def _date(text: str) -> str:
    found = re.search(r"20\d\d-\d\d-\d\d", text)
    return found.group(0) if found else TODAY
