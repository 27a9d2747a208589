"""The weight format that a checkpoint ships in, and what of it is stored otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.sources.layers import Plain, layer_count
from llmplan.sources.quantized import mlx_format, quantized_format
from llmplan.sources.quantized_parts import held_parts, quantized_parts

Config = Mapping[str, Any]
DTYPES = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def native_weights(config: Config, decoder: Plain | None) -> Plain:
    """Return native_format and, where some parts have another, native_parts.

    16 bits where no dtype is stated. InputError for a quantization that is not known.
    """
    quant = quantization_of(config)
    if not quant:
        return {"native_format": stated_dtype(config)}
    if "quant_method" not in quant and "bits" in quant and "group_size" in quant:
        return {"native_format": mlx_format(quant)}
    base = quantized_format(quant)
    parts = quantized_parts(quant, layer_count(decoder), base) if decoder else {}
    parts = held_parts(parts, decoder) if decoder else {}
    return {"native_format": base} | ({"native_parts": parts} if parts else {})


def quantization_of(config: Config) -> Config:
    """Return the quantization settings of a config wherever it keeps them; empty for none."""
    places = [config, config.get("text_config"), config.get("llm_config")]
    for place in places:
        for key in ("quantization_config", "quantization", "compression_config"):
            found = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(found, Mapping) and found:
                return found
    return {}


def stated_dtype(config: Config) -> str:
    """Return the format of an unquantized checkpoint: its dtype, 16 bits where it states none."""
    for place in (config.get("text_config"), config.get("llm_config"), config):
        for key in ("torch_dtype", "dtype"):
            said = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(said, str):
                return DTYPES.get(said.removeprefix("torch."), "bf16")
    return "bf16"
