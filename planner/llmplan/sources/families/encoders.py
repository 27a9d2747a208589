"""Encoders and encoder-decoders."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, own_heads, stack
from llmplan.sources.layers import Plain


@family("bert")
def bert(c: Config) -> Plain:
    """BERT and the embedding models of its shape: bidirectional, pooler, no head."""
    h = c["hidden_size"]
    mixer = own_heads(c, qkv_bias=True, o_bias=True) | {"causal": False}
    mlp = dense(c["intermediate_size"], gated=False, bias=True)
    embeddings = [
        {"name": "position_embd", "shape": [c["max_position_embeddings"], h]},
        {"name": "token_types", "shape": [c.get("type_vocab_size", 2), h]},
        {"name": "token_embd_norm", "shape": [h]},
        {"name": "token_embd_norm.bias", "shape": [h]},
        {"name": "pooler", "shape": [h, h], "linear": True},
        {"name": "pooler.bias", "shape": [h]},
    ]
    layers = [{"mixers": [mixer], "mlp": mlp}] * c["num_hidden_layers"]
    return {
        "vocab_size": c["vocab_size"],
        "tied_embeddings": True,
        "head": False,
        "tensors": embeddings,
        "encoder": stack(h, layers, norm="layer", final_norm=False),
    }


@family("t5", "mt5", "umt5")
def t5(c: Config) -> Plain:
    """T5, Flan-T5, T0: relative position bias in each stack, cross-attention in the decoder."""
    shape = {
        "num_attention_heads": c["num_heads"],
        "hidden_size": c["d_model"],
        "head_dim": c["d_kv"],
    }
    gated = c.get("feed_forward_proj", "relu").startswith("gated")
    mlp = dense(c["d_ff"], **({} if gated else {"gated": False}))
    encode, decode = attention(shape) | {"causal": False}, attention(shape)
    cross = attention(shape) | {"cross": True}
    buckets = c.get("relative_attention_num_buckets", 32)
    bias = [{"name": "attn_rel_b", "shape": [buckets, c["num_heads"]]}]
    encoder = [{"mixers": [encode], "mlp": mlp}] * c["num_layers"]
    decoder = [{"mixers": [decode, cross], "mlp": mlp, "norms": 3}] * (
        c.get("num_decoder_layers") or c["num_layers"]
    )
    return {
        "vocab_size": c["vocab_size"],
        "tied_embeddings": bool(c.get("tie_word_embeddings", True)),
        "encoder": stack(c["d_model"], encoder, tensors=bias),
        "decoder": stack(c["d_model"], decoder, tensors=bias),
    }
