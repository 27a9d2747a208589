"""A Hugging Face config.json read into a catalogue record.

One function a model_type family turns config facts into stacks of blocks; it registers
with `@family`. An unknown model_type is refused here: what it would need is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmplan.errors import InputError
from llmplan.sources.layers import Plain, stack_layers

Config = Mapping[str, Any]
Builder = Callable[[Config], Plain]
_FAMILIES: dict[str, Builder] = {}


def family(*model_types: str) -> Callable[[Builder], Builder]:
    """Register a builder for these model types."""

    def add(builder: Builder) -> Builder:
        for name in model_types:
            if name in _FAMILIES:
                raise ValueError(f"model_type {name} is registered twice")
            _FAMILIES[name] = builder
        return builder

    return add


def known_model_types() -> list[str]:
    """Return the model types that can be read."""
    from llmplan.sources import families  # noqa: F401  (they register)

    return sorted(_FAMILIES)


def architecture_from_config(config: Config) -> Plain:
    """Return the architecture part of a catalogue record: stacks, vocabulary, head, formats."""
    from llmplan.sources import families  # noqa: F401  (they register)

    model_type = config.get("model_type")
    _refuse_huge(config)
    if not isinstance(model_type, str) or model_type not in _FAMILIES:
        raise InputError(
            f"model_type {model_type!r} of this config.json is not one llmplan can read yet.",
            "Known: " + ", ".join(sorted(_FAMILIES)) + ".",
        )
    try:
        record = _FAMILIES[model_type](config)
    except KeyError as e:
        raise InputError(f"config.json lacks {e.args[0]!r}, which {model_type} needs.") from None
    record.setdefault("native_format", native_format(config))
    return record


MAX_LAYERS = 4096
"""Layers of the deepest stack read; a larger number in a file is a fault or an attack."""


def _refuse_huge(config: Config) -> None:
    for key, value in config.items():
        if isinstance(value, Mapping):
            _refuse_huge(value)
        counted = isinstance(value, int) and ("layer" in key or key == "depth")
        listed = isinstance(value, (list, str)) and ("layer" in key or "pattern" in key)
        if (counted and value > MAX_LAYERS) or (listed and len(value) > MAX_LAYERS):
            raise InputError(f"{key} of this config.json is beyond {MAX_LAYERS} layers.")


def text_config(config: Config) -> Config:
    """Return the language model's part of a nested config."""
    return {**config, **(config.get("text_config") or config.get("llm_config") or {})}


def rope_facts(config: Config) -> Plain:
    """Return the RoPE base and the name of the scaling that the checkpoint ships with."""
    text = text_config(config)
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    rope = rope if isinstance(rope, Mapping) else {}
    theta = text.get("rope_theta") or rope.get("rope_theta")
    kind = rope.get("rope_type") or rope.get("type")
    facts: Plain = {"rope_theta": float(theta)} if isinstance(theta, (int, float)) else {}
    if isinstance(kind, str) and kind not in ("default", "mrope"):
        facts["rope_scaling"] = kind
    return facts


DTYPES = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def native_format(config: Config) -> str:
    """Return the weight format that the checkpoint ships in; 16 bits where no dtype is stated."""
    text = text_config(config)
    quant = config.get("quantization_config") or text.get("quantization_config")
    if isinstance(quant, Mapping) and quant:
        return _quantized_format(quant)
    dtype = str(text.get("torch_dtype") or text.get("dtype") or "bfloat16")
    return DTYPES.get(dtype.removeprefix("torch."), "bf16")


def _quantized_format(quant: Config) -> str:
    """Return the format of a quantization_config; one that is not known is refused, not guessed."""
    method = str(quant.get("quant_method") or quant.get("quant_algo") or "").lower()
    bits, group = quant.get("bits", 4), quant.get("group_size", 128)
    algorithm = str(quant.get("quant_algo", "")).lower()
    if method == "fp8" and algorithm in ("", "fp8"):
        return "fp8-block" if quant.get("weight_block_size") else "fp8"
    if method == "mxfp4":
        return "mxfp4"
    if (method, bits) in (("awq", 4), ("gptq", 4), ("gptq", 8)) and group in (32, 64, 128):
        return f"{method}-int{bits}" + ("" if group == 128 else f"-g{group}")
    if method in ("modelopt", "nvfp4") and algorithm in ("fp8", "nvfp4"):
        return algorithm
    if method == "bitsandbytes":
        return "bnb-nf4" if quant.get("load_in_4bit") else "bnb-int8"
    if method == "compressed-tensors":
        return _compressed_format(quant)
    raise InputError(
        f"quantization_config with quant_method {method[:40]!r} is not read yet.",
        "Remove it from the config and give --quant FORMAT.",
    )


_COMPRESSED = {
    ("int", 4, "group"): "compressed-tensors-w4a16",
    ("int", 8, "channel"): "int8-w8a8",
    ("float", 8, "channel"): "fp8-channel",
    ("float", 8, "tensor"): "fp8",
    ("float", 8, "block"): "fp8-block",
    ("float", 4, "tensor_group"): "nvfp4",
}


def _compressed_format(quant: Config) -> str:
    groups = quant.get("config_groups")
    listed = list(groups.values()) if isinstance(groups, Mapping) else []
    weights = [g.get("weights") or {} for g in listed if isinstance(g, Mapping)]
    found = {(w.get("type"), w.get("num_bits"), w.get("strategy")) for w in weights}
    scheme = found.pop() if len(found) == 1 else None
    if scheme not in _COMPRESSED:
        raise InputError(
            "This compressed-tensors scheme is not read yet.",
            "Remove it from the config and give --quant FORMAT.",
        )
    return _COMPRESSED[scheme]


def attention(c: Config, **traits: Any) -> Plain:
    """Return a softmax attention mixer from the usual config keys; traits override."""
    heads = c["num_attention_heads"]
    mixer = {
        "kind": "attention",
        "heads": heads,
        "kv_heads": c.get("num_key_value_heads") or heads,
        "head_dim": c.get("head_dim") or c["hidden_size"] // heads,
    }
    if traits.pop("qkv_bias", False):
        mixer |= {"q_bias": True, "k_bias": True, "v_bias": True}
    return mixer | {k: v for k, v in traits.items() if v not in (None, False, "none")}


def own_heads(c: Config, **traits: Any) -> Plain:
    """Return MHA for families that know no other: a KV head for each query head."""
    return attention({**c, "num_key_value_heads": None}, **traits)


def dense(size: int, **traits: Any) -> Plain:
    """Return a dense feed-forward layer."""
    return {"kind": "dense", "intermediate_size": size} | traits


def moe(size: int, experts: int, per_token: int, **traits: Any) -> Plain:
    """Return a mixture-of-experts layer."""
    return {
        "kind": "moe",
        "intermediate_size": size,
        "experts": experts,
        "experts_per_token": per_token,
    } | {k: v for k, v in traits.items() if v}


def stack(hidden: int, layers: list[Plain], **rest: Any) -> Plain:
    """Return a stack record."""
    return {"hidden_size": hidden, **stack_layers(layers), **rest}


def record(c: Config, decoder: Plain, *, tied: bool = False, **rest: Any) -> Plain:
    """Return vocabulary, tying and decoder, the frame that most families share."""
    return {
        "vocab_size": c["vocab_size"],
        "tied_embeddings": bool(c.get("tie_word_embeddings", tied)),
        "decoder": decoder,
        **rest,
    }
