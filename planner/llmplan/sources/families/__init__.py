"""One module a group of model families; importing it registers them."""

from llmplan.sources.families import (  # noqa: F401
    classic,
    encoders,
    hybrid,
    llama_like,
    mixture,
    multimodal,
)
