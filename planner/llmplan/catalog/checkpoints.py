"""Models from the files of their weights: GGUF files, and safetensors beside a config.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llmplan.errors import InputError
from llmplan.specs.model import Model


def model_from_gguf(path: Path) -> Model:
    """Return the model of a GGUF file or of all parts of a split one, with its stored bytes."""
    from llmplan.catalog.schema import validate
    from llmplan.catalog.user_files import id_of
    from llmplan.sources.gguf_file import read_gguf
    from llmplan.sources.gguf_model import gguf_model

    read = gguf_model(read_gguf(path))
    entry = {"id": id_of(str(read.entry["name"])), **read.entry}
    model = validate(entry, "models", where=str(path))
    assert isinstance(model, Model)
    return replace(model, stored=read.stored, notes=(*model.notes, *read.notes))


def with_stored_weights(model: Model, folder: Path) -> Model:
    """Return the model with what the safetensors files of its folder store, if it has any."""
    from llmplan.sources.safetensors_files import read_checkpoint, stored_weights

    checkpoint = read_checkpoint(folder)
    if not checkpoint.tensors:
        return model
    stored = stored_weights(checkpoint.tensors, model, checkpoint.files)
    empty = [i for i, size in enumerate(stored.layers) if not size]
    if empty or not stored.embedding:
        what = f"layer {empty[0]}" if empty else "the embedding"
        raise InputError(
            f"{folder}: its files hold no weights of {what}.",
            "Finish the download, or give the config.json alone to plan by it.",
        )
    return replace(model, stored=stored)
