"""What to know of a model whose weights were read from its own files."""

from __future__ import annotations

from llmplan.engines.base import Request
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.parameters import parameter_count
from llmplan.planning.request import Options, default_engine
from llmplan.specs.model import Model
from llmplan.specs.setup import Warning_
from llmplan.specs.stored import TIED_HEAD
from llmplan.specs.units import gib


def stored_warnings(request: Request) -> tuple[Warning_, ...]:
    """Return notes of the files, and where they and the facts of the model disagree."""
    model, stored = request.model, request.model.stored
    if stored is None:
        return ()
    found = [Warning_("stored_weights", note) for note in model.notes]
    twin = stored.classes.get(TIED_HEAD, 0)
    if twin:
        message = (
            f"The head is tied to the embedding: the {gib(twin)} that the files hold of it "
            "a second time are not loaded."
        )
        found.append(Warning_("tied_head_stored_twice", message))
    counted = parameter_count(model)
    if _counts_weights(model) and counted != stored.elements:
        message = (
            f"The files hold {stored.elements:,} weights, the architecture counts {counted:,}: "
            "sizes are those of the files."
        )
        found.append(Warning_("stored_count_differs", message))
    return tuple(found)


def _counts_weights(model: Model) -> bool:
    """Return whether a stored element is a weight; safetensors pack several where quantized."""
    fmt = WEIGHT_FORMATS[model.native_format]
    return fmt.gguf_preset is not None or not fmt.is_quantized


def engine_warnings(model: Model, options: Options) -> tuple[Warning_, ...]:
    """Return the note that another engine than vLLM was taken for a request that names none."""
    engine = default_engine(model)
    if options.engine is not None or engine == "vllm":
        return ()
    message = f"No engine was named: {engine} is taken, which loads GGUF files."
    return (Warning_("engine_taken", message),)
