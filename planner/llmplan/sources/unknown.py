"""A config.json of an architecture that is not known: what its usual keys say, marked as a guess.

The language model inside a known wrapper is read exactly. Else the config is taken for a
decoder of the Llama line, with gated experts where it counts experts: weights and cache come
out in the right range, and the answer says that they are a guess and how far off they can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.sources.layers import Plain, stack_layers

Config = Mapping[str, Any]
NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_topk")


UNUSUAL = (
    "mamba", "ssm", "hybrid", "linear_attn", "linear_num", "recurrent", "rwkv", "conv_kernel",
    "lightning", "compress", "engram", "state_size", "cross_layer", "delta",
)  # fmt: skip
"""Parts of keys that belong to layers whose cache no usual key describes."""


def unusual_key(config: Config) -> str | None:
    """Return a key that says that layers are not plain attention, None where none does."""
    return next((k for k in config if config[k] and any(u in k.lower() for u in UNUSUAL)), None)


def readable(config: Config) -> bool:
    """Return whether a config says enough to be taken for a decoder."""
    if "dim" in config and config.get("model_type") is None:
        return False  # params.json of Mistral and Meta, whose hidden_dim is the feed-forward width
    return all(type(config.get(k)) is int and config[k] > 0 for k in NEEDED)


def guessed_record(config: Config) -> Plain:
    """Return the record of a decoder with the sizes that the config's usual keys state."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    latent = config.get("kv_lora_rank")
    mixer = _latent(config, heads) if latent else {
        "kind": "attention",
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or max(1, hidden // heads),
    }  # fmt: skip
    layer = {"mixers": [mixer], "mlp": _mlp(config, hidden)}
    decoder = {"hidden_size": hidden, **stack_layers([layer] * config["num_hidden_layers"])}
    return {
        "vocab_size": config["vocab_size"],
        "tied_embeddings": bool(config.get("tie_word_embeddings", False)),
        "decoder": decoder,
        "guessed": True,
        "unverified": ["architecture"],
        "notes": [guess_note(config)],
    }


def guess_note(config: Config) -> str:
    """Return the sentence that says what was guessed."""
    kind = str(config.get("model_type"))[:40]
    return (
        f"model_type {kind!r} is not known: read as a decoder of the Llama line from its usual "
        "keys; biases, norms, towers and unusual layers are not counted"
    )


def _latent(config: Config, heads: int) -> Plain:
    return {"kind": "mla", "heads": heads} | {
        k: config[k]
        for k in ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
                  "q_lora_rank")
        if config.get(k)
    }  # fmt: skip


def _mlp(config: Config, hidden: int) -> Plain:
    size = config.get("intermediate_size") or 4 * hidden
    experts = _first(config, EXPERTS)
    per_token = _first(config, PER_TOKEN)
    if not experts or not per_token:
        return {"kind": "dense", "intermediate_size": size}
    size = config.get("moe_intermediate_size") or size
    shared = (config.get("n_shared_experts") or config.get("num_shared_experts") or 0) * size
    moe = {"kind": "moe", "intermediate_size": size, "experts": experts,
           "experts_per_token": per_token}  # fmt: skip
    return moe | ({"shared_experts_size": shared} if shared else {})


def _first(config: Config, names: tuple[str, ...]) -> int | None:
    found = (config[n] for n in names if type(config.get(n)) is int and config[n] > 0)
    return next(found, None)
