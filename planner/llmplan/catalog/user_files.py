"""Models and devices from a user's own files: hostile until parsed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from llmplan.catalog.reading import read_bounded
from llmplan.errors import CatalogFileError, InputError
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model

MAX_CONFIG_BYTES = 4 << 20
"""Largest config.json read [bytes]; the largest published ones are under 200 kB."""


def model_from_path(name: str) -> Model:
    """Return the model of a YAML, config.json or GGUF file, or of a folder with one.

    The weights beside a config.json are read by their headers, where they are there.
    """
    path = Path(name)
    if path.is_dir():
        path = _main_file(path)
    adapter = path.parent / "adapter_config.json"
    if path.name == "config.json" and adapter.exists() and not path.exists():
        raise InputError(
            f"{path.parent}: a LoRA adapter without its base.",
            "Plan the model that base_model_name_or_path in adapter_config.json names.",
        )
    if path.suffix in (".yaml", ".yml"):
        from llmplan.catalog.schema import validate_file

        entry = validate_file(path, "models")
        assert isinstance(entry, Model)
        return entry
    if path.suffix.lower() == ".gguf":
        from llmplan.catalog.checkpoints import model_from_gguf

        return model_from_gguf(path)
    model = model_from_config(read_json(path), path)
    if path.name != "config.json":
        return model
    from llmplan.catalog.checkpoints import with_stored_weights

    return with_stored_weights(model, path.parent)


def _main_file(folder: Path) -> Path:
    """Return what describes the model of a folder: a GGUF file where it alone has the weights."""
    config = folder / "config.json"
    if config.exists() and any(folder.glob("*.safetensors")):
        return config
    return _gguf_in(folder) or config


def _gguf_in(folder: Path) -> Path | None:
    """Return the one GGUF model of a folder (the first of its parts), or None without any."""
    try:
        names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() == ".gguf")
    except OSError as e:
        raise InputError(f"{folder}: {(e.strerror or str(e)).lower()}.") from None
    names = [n for n in names if "mmproj" not in n.lower()]
    firsts = [n for n in names if _LATER_PART.search(n) is None]
    if len(firsts) > 1:
        more = ", ..." if len(firsts) > 3 else ""
        raise InputError(
            f"{folder}: holds {len(firsts)} GGUF models: {', '.join(firsts[:3])}{more}.",
            "Give the path of one of them.",
        )
    return folder / (firsts or names)[0] if names else None


_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


def gpu_from_path(name: str) -> Accelerator:
    """Return the device of a YAML file."""
    from llmplan.catalog.schema import validate_file

    entry = validate_file(Path(name), "gpus")
    assert isinstance(entry, Accelerator)
    return entry


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, bounded in size and depth, or one clear error."""
    return parse_json(read_bounded(path, MAX_CONFIG_BYTES), path)


def parse_json(text: str, path: Path) -> dict[str, Any]:
    """Return the JSON object that a text holds; `path` names it in the error."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as e:
        reason = "nested too deep" if isinstance(e, RecursionError) else str(e)[:120]
        reason = "a number of too many digits" if "integer string" in reason else reason
        raise CatalogFileError(f"{path}: not valid JSON: {reason}.", None) from None
    if not isinstance(data, dict):
        raise CatalogFileError(f"{path}: not a JSON object.", "Give a model's config.json.")
    return data


def model_from_config(config: dict[str, Any], path: Path) -> Model:
    """Return the model that a config.json describes."""
    from llmplan.catalog.schema import validate
    from llmplan.sources.architectures import ARCHITECTURES
    from llmplan.sources.config_json import architecture_from_config, context_tokens, rope_facts

    _check_dimensions(config, path)
    try:
        architecture = architecture_from_config(config)
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, MemoryError) as e:
        reason = " ".join(str(e).split())[:120]
        raise CatalogFileError(
            f"{path}: its values do not make a {str(config.get('model_type'))[:40]!r}: {reason}.",
            "Compare it with the published config.json.",
        ) from None
    kind = str(config.get("model_type") or "unknown")[:100]
    listed = config.get("architectures")
    named = isinstance(listed, list) and listed and isinstance(listed[0], str) and listed[0]
    said = str(config.get("_name_or_path") or _called(path))
    name = "".join(c for c in said if c.isprintable())[:200] or "model"
    entry = {
        "id": id_of(name),
        "name": name,
        "family": kind,
        "hub_id": None,
        "path": str(path.resolve().parent),
        "model_type": kind,
        "architecture": named or ARCHITECTURES.get(kind, kind),
        "license": None,
        "released": None,
        "context_tokens": context_tokens(config),
        **rope_facts(config),
        "sources": [{"facts": ["architecture"], "ref": str(path)}],
        **architecture,
    }
    model = validate(entry, "models", where=str(path))
    assert isinstance(model, Model)
    return model


def _called(path: Path) -> str:
    """Return what a config is called: its folder, or its own name if that says more."""
    return path.resolve().parent.name if path.name == "config.json" else path.stem


_DIMENSIONS = (
    "hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "d_model", "n_layer",
)  # fmt: skip


def _check_dimensions(config: dict[str, Any], path: Path) -> None:
    """Refuse a dimension that is no whole number above 0, by its name."""
    text = config.get("text_config")
    parts = {"": config, "text_config.": text if isinstance(text, dict) else {}}
    for prefix, part in parts.items():
        for key in _DIMENSIONS:
            value = part.get(key)
            if value is not None and (type(value) is not int or value < 1):
                raise CatalogFileError.at(
                    str(path), None, prefix + key,
                    f"must be a whole number above 0, not {str(value)[:40]!r}",
                )  # fmt: skip


def id_of(name: str) -> str:
    """Return a catalogue id made of a name: lower case, other signs as dashes."""
    kept = (c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name.lower())
    return "".join(kept).strip("-.") or "model"
