"""A Hugging Face config.json read into a catalogue record.

One function a model_type family turns config facts into stacks of blocks; it registers
with `@family`. An unknown model_type is refused here: what it would need is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from llmplan.errors import InputError
from llmplan.sources.layers import Plain, stack_layers
from llmplan.sources.native import native_weights
from llmplan.sources.unknown import NEEDED, guessed_record, readable, unusual_key

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
        record = _unknown_architecture(config)
        return native_weights(config, record.get("decoder")) | record
    try:
        record = _FAMILIES[model_type](usual_names(config))
    except KeyError as e:
        raise InputError(f"config.json lacks {e.args[0]!r}, which {model_type} needs.") from None
    except OverflowError:
        raise InputError(f"A number of this config.json is beyond any {model_type}.") from None
    return native_weights(config, record["decoder"] if record.get("decoder") else None) | record


def _unknown_architecture(config: Config) -> Plain:
    """Return the language model inside a known one's wrapper, else a guess, else refuse."""
    inner = config.get("text_config") or config.get("llm_config")
    if isinstance(inner, Mapping) and inner.get("model_type") in _FAMILIES:
        record = text_record(config)
        kind = str(config.get("model_type"))[:40]
        note = f"model_type {kind!r} is not known: its text_config is read, its towers are not"
        return record | {"unverified": ["towers"], "notes": [note]}
    text = usual_names(text_config(config))
    odd = unusual_key(text)
    if odd:
        raise InputError(
            f"model_type {str(config.get('model_type'))[:40]!r} of this config.json is not known, "
            f"and its {odd!r} says that its layers are not plain attention: no guess is made.",
            "Give the folder with its GGUF file, or a catalogue YAML of your own.",
        )
    if not readable(text):
        said = config.get("model_type")
        what = "has no model_type" if said is None else f"has the unknown model_type {said!r:.40}"
        missing = [k for k in NEEDED if not text.get(k)] or list(NEEDED)
        raise InputError(
            f"This config.json {what}, and lacks what a guess needs: {', '.join(missing)}.",
            "Compare it with the published config.json.",
        )
    return guessed_record({**text, "model_type": config.get("model_type")})


MAX_LAYERS = 4096
"""Layers of the deepest stack read; a larger number in a file is a fault or an attack."""

MAX_NESTING = 16
"""Levels of nested configs read; published ones have five at most."""


COUNTED = re.compile(r"^(num|n)_|_(size|head_dim|rank|heads|experts)$|^(vocab_size|d_model|d_ff)$")
MAX_COUNT = 1 << 40
"""Beyond any size or count in a model."""


def _check_count(key: str, value: Any) -> None:
    """Refuse what no size or count is, before arithmetic makes something enormous of it."""
    listed = isinstance(value, list) and len(value) > MAX_LAYERS
    huge = isinstance(value, (int, float)) and not abs(value) <= MAX_COUNT
    if isinstance(value, (str, bool)) or listed or huge:
        raise InputError(f"{key} of this config.json is no size or count: {str(value)[:40]!r}.")


def _refuse_huge(config: Config, level: int = 0) -> None:
    if level > MAX_NESTING:
        raise InputError(f"This config.json is nested deeper than {MAX_NESTING} levels.")
    for key, value in config.items():
        if isinstance(value, Mapping):
            _refuse_huge(value, level + 1)
        if COUNTED.search(key):
            _check_count(key, value)
        counts = ("layer" in key and "per_layer" not in key) or key == "depth"
        counted = isinstance(value, int) and counts
        listed = isinstance(value, (list, str)) and ("layer" in key or "pattern" in key)
        if (counted and value > MAX_LAYERS) or (listed and len(value) > MAX_LAYERS):
            raise InputError(f"{key} of this config.json is beyond {MAX_LAYERS} layers.")


def text_config(config: Config) -> Config:
    """Return the language model's part of a nested config."""
    inner = config.get("text_config") or config.get("llm_config")
    return {**config, **(inner if isinstance(inner, Mapping) else {})}


OLD_NAMES = {
    "hidden_size": ("n_embd", "d_model", "hidden_dim", "n_embed"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv", "n_kv_heads", "multi_query_group_num"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "ffn_embed_dim"),
}
"""Today's key of a config.json, and those of older families that mean the same."""


def usual_names(config: Config) -> Config:
    """Return the config with today's keys beside the older spellings, where those stand alone."""
    found = {}
    for name, others in OLD_NAMES.items():
        values = [config[o] for o in others if config.get(o) is not None]
        if config.get(name) is None and values:
            found[name] = values[0]
    return {k: v for k, v in {**config, **found}.items() if v is not None}


CONTEXT_NAMES = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
"""Keys that hold the longest context: the least of them counts, and `model_max_length` (Command R)
goes before them all. Source: vLLM, ModelArchConfigConvertorBase.derive_max_model_len_and_key."""

CLASS_CONTEXTS = {"gemma3": 131072, "gemma3_text": 131072}
"""Contexts of configs that lean on their class's default. Source: transformers 5.23."""

OFFSET_POSITIONS = ("roberta", "xlm-roberta", "mpnet")
"""Families whose table has rows that no token uses: positions start after the padding index."""


def context_tokens(config: Config) -> int | None:
    """Return the longest context of a config in any spelling [tokens], or None if it says none."""
    text = text_config(config)
    found = [text[k] for k in CONTEXT_NAMES if type(text.get(k)) is int and text[k] > 0]
    if type(text.get("model_max_length")) is int and text["model_max_length"] > 0:
        return int(text["model_max_length"])
    if not found:
        return CLASS_CONTEXTS.get(str(text.get("model_type")))
    limit, unused = int(min(found)), 0
    if text.get("model_type") in OFFSET_POSITIONS:
        padding = text.get("pad_token_id")
        unused = 1 + (padding if isinstance(padding, int) else 1)
    return max(limit - unused, 1)


def known(config: Config, **defaults: Any) -> Config:
    """Return the config with the published defaults of its configuration class filled in."""
    return {**defaults, **{k: v for k, v in config.items() if v is not None}}


def text_record(config: Config, **defaults: Any) -> Plain:
    """Return the language model inside a multimodal config, read by its own model_type."""
    text = config.get("text_config") or config.get("llm_config")
    if not isinstance(text, Mapping):
        raise KeyError("text_config")
    said = known(text, **defaults)
    for key in ("tie_word_embeddings", "quantization_config"):
        if config.get(key) is not None:
            said = {key: config[key], **said}
    record = architecture_from_config(said)
    for key in ("native_format", "native_parts"):
        record.pop(key, None)  # the whole config says it
    return record


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
        **({"head": False} if headless(c) else {}),
        **rest,
    }


def headless(c: Config) -> bool:
    """Return whether the checkpoint is of a bare ...Model, as embedding models are: no head."""
    listed = c.get("architectures")
    name = str(listed[0]) if isinstance(listed, list) and listed else ""
    return name.endswith("Model") and not name.endswith(("LMHeadModel", "ChatGLMModel"))
