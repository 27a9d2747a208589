"""Models and devices from a user's own files: hostile until parsed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmplan.catalog.reading import read_bounded
from llmplan.errors import CatalogFileError, InputError
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model

MAX_CONFIG_BYTES = 4 << 20
"""Largest config.json read [bytes]; the largest published ones are under 200 kB."""


def model_from_path(name: str) -> Model:
    """Return the model of a YAML file, a config.json or a folder with one."""
    path = Path(name)
    if path.is_dir():
        path = path / "config.json"
    if path.suffix in (".yaml", ".yml"):
        from llmplan.catalog.schema import validate_file

        entry = validate_file(path, "models")
        assert isinstance(entry, Model)
        return entry
    if path.suffix == ".gguf":
        raise InputError("GGUF files are not read in this version.", "Give its config.json.")
    return model_from_config(read_json(path), path)


def gpu_from_path(name: str) -> Accelerator:
    """Return the device of a YAML file."""
    from llmplan.catalog.schema import validate_file

    entry = validate_file(Path(name), "gpus")
    assert isinstance(entry, Accelerator)
    return entry


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, bounded in size and depth, or one clear error."""
    text = read_bounded(path, MAX_CONFIG_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as e:
        reason = "nested too deep" if isinstance(e, RecursionError) else str(e)[:120]
        raise CatalogFileError(f"{path}: not valid JSON: {reason}.", None) from None
    if not isinstance(data, dict):
        raise CatalogFileError(f"{path}: not a JSON object.", "Give a model's config.json.")
    return data


def model_from_config(config: dict[str, Any], path: Path) -> Model:
    """Return the model that a config.json describes."""
    from llmplan.catalog.schema import validate
    from llmplan.sources.config_json import architecture_from_config, rope_facts

    _check_dimensions(config, path)
    try:
        architecture = architecture_from_config(config)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, IndexError) as e:
        reason = " ".join(str(e).split())[:120]
        raise CatalogFileError(
            f"{path}: its values do not make a {str(config.get('model_type'))[:40]!r}: {reason}.",
            "Compare it with the published config.json.",
        ) from None
    listed = config.get("architectures")
    classes = listed if isinstance(listed, list) and listed else [""]
    said = str(config.get("_name_or_path") or path.resolve().parent.name)
    name = "".join(c for c in said if c.isprintable())[:200] or "model"
    context = config.get("max_position_embeddings")
    text = config.get("text_config")
    if context is None and isinstance(text, dict):
        context = text.get("max_position_embeddings")
    entry = {
        "id": _id_of(name),
        "name": name,
        "family": str(config["model_type"]),
        "hub_id": None,
        "path": str(path.resolve().parent),
        "model_type": str(config["model_type"]),
        "architecture": str(classes[0]),
        "license": None,
        "released": None,
        "context_tokens": context,
        **rope_facts(config),
        "sources": [{"facts": ["architecture"], "ref": str(path)}],
        **architecture,
    }
    model = validate(entry, "models", where=str(path))
    assert isinstance(model, Model)
    return model


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


def _id_of(name: str) -> str:
    kept = (c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in name.lower())
    return "".join(kept).strip("-.") or "model"
