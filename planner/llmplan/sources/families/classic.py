"""Decoders of 2021-2023 with their own conventions: fused QKV, biases, parallel residuals."""

from __future__ import annotations

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    moe,
    own_heads,
    record,
    stack,
)
from llmplan.sources.layers import Plain


def _layers(count: int, mixer: Plain, mlp: Plain, norms: int = 2) -> list[Plain]:
    layer = {"mixers": [mixer], "mlp": mlp}
    return [layer | ({} if norms == 2 else {"norms": norms})] * count


def _plain(size: int, *, bias: bool) -> Plain:
    return dense(size, gated=False, **({"bias": True} if bias else {}))


@family("gpt_neox")
def gpt_neox(c: Config) -> Plain:
    """GPT-NeoX, Pythia, Dolly 2, RedPajama: MHA, biases, layer norms."""
    mixer = own_heads(c, qkv_bias=True, o_bias=True, fused_qkv=True)
    layers = _layers(c["num_hidden_layers"], mixer, _plain(c["intermediate_size"], bias=True))
    return record(c, stack(c["hidden_size"], layers, norm="layer"))


@family("gptj")
def gptj(c: Config) -> Plain:
    """GPT-J: one norm a layer, biases in the MLP and on the head."""
    hidden = c.get("n_embd") or c["hidden_dim"]
    heads = c["n_head"]
    mixer = attention({"num_attention_heads": heads, "hidden_size": hidden})
    mlp = _plain(c.get("n_inner") or c.get("ffn_embed_dim") or 4 * hidden, bias=True)
    layers = _layers(c.get("n_layer") or c["num_layers"], mixer, mlp, norms=1)
    return record(c, stack(hidden, layers, norm="layer"), head_bias=True)


@family("bloom")
def bloom(c: Config) -> Plain:
    """BLOOM: ALiBi, biases, a norm after the embedding, tied head."""
    hidden = c.get("hidden_size") or c["n_embed"]
    shape = {"num_attention_heads": c["n_head"], "hidden_size": hidden}
    mixer = attention(shape, qkv_bias=True, o_bias=True, fused_qkv=True)
    layers = _layers(c["n_layer"], mixer, _plain(4 * hidden, bias=True))
    norm = [
        {"name": "token_embd_norm", "shape": [hidden]},
        {"name": "token_embd_norm.bias", "shape": [hidden]},
    ]
    return record(c, stack(hidden, layers, norm="layer"), tied=True, tensors=norm)


@family("opt")
def opt(c: Config) -> Plain:
    """OPT and OPT-IML: learned positions (two spare rows), biases, tied head."""
    mixer = own_heads(c, qkv_bias=True, o_bias=True)
    layers = _layers(c["num_hidden_layers"], mixer, _plain(c["ffn_dim"], bias=True))
    rows = c["max_position_embeddings"] + 2
    positions = [{"name": "position_embd", "shape": [rows, c["hidden_size"]]}]
    return record(c, stack(c["hidden_size"], layers, norm="layer"), tied=True, tensors=positions)


@family("mpt")
def mpt(c: Config) -> Plain:
    """MPT: ALiBi, no biases anywhere, tied head."""
    hidden = c["d_model"]
    shape = {"num_attention_heads": c["n_heads"], "hidden_size": hidden}
    mlp = _plain(c.get("expansion_ratio", 4) * hidden, bias=False)
    layers = _layers(c["n_layers"], attention(shape, fused_qkv=True), mlp)
    return record(c, stack(hidden, layers, norm="layer_without_bias"), tied=True)


@family("falcon")
def falcon(c: Config) -> Plain:
    """Falcon 7B (MQA, one norm) and 40B, 180B (GQA, two norms)."""
    new = bool(c.get("new_decoder_architecture"))
    heads = c["num_attention_heads"]
    old_heads = 1 if c.get("multi_query", True) else heads
    kv_heads = (c.get("num_kv_heads") or heads) if new else old_heads
    shape = {**c, "num_key_value_heads": kv_heads}
    b = bool(c.get("bias"))
    mixer = attention(shape, qkv_bias=b, o_bias=b, fused_qkv=True)
    mlp = _plain(c.get("ffn_hidden_size") or 4 * c["hidden_size"], bias=b)
    norms = 2 if new or not c.get("parallel_attn", True) else 1
    layers = _layers(c["num_hidden_layers"], mixer, mlp, norms)
    return record(c, stack(c["hidden_size"], layers, norm="layer"), tied=True)


@family("glm130b")
def glm130b(c: Config) -> Plain:
    """GLM-130B: gated MLP with biases, post layer norms, tied head."""
    mixer = own_heads(c, qkv_bias=True, o_bias=True, fused_qkv=True)
    mlp = dense(c["intermediate_size"], bias=True)
    layers = _layers(c["num_hidden_layers"], mixer, mlp)
    return record(c, stack(c["hidden_size"], layers, norm="layer"), tied=True)


@family("grok-1")
def grok(c: Config) -> Plain:
    """Grok-1: eight experts, two per token, four norms a layer, tied head."""
    experts = moe(c["intermediate_size"], c["num_experts"], c["num_experts_per_tok"])
    layers = _layers(c["num_hidden_layers"], attention(c), experts, norms=4)
    return record(c, stack(c["hidden_size"], layers), tied=True)
