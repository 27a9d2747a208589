"""One module a group of model families; importing it registers them."""

from llmplan.sources.families import (  # noqa: F401
    classic,
    encoders,
    gemma3n,
    gemma_multimodal,
    hybrid,
    linear,
    llama_kin,
    llama_like,
    meta_vision,
    mixture,
    mixture_kin,
    multimodal,
    nemotron_nas,
    phi4,
    qwen4,
    qwen_vl,
    sparse,
    step,
    towers,
    yuan,
)
