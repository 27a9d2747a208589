"""Encoders and encoder-decoders."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, own_heads, stack
from llmplan.sources.layers import Plain


def _encoder(c: Config, tensors: list[Plain], body: Plain) -> Plain:
    return {
        "vocab_size": c["vocab_size"],
        "tied_embeddings": True,
        "head": False,
        "tensors": tensors,
        "encoder": body,
    }


def _vectors(name: str, width: int) -> list[Plain]:
    return [{"name": f"{name}{part}", "shape": [width]} for part in ("", ".bias")]


def _conv(name: str, out: int, columns: int) -> list[Plain]:
    return [{"name": name, "shape": [out, columns]}, {"name": f"{name}.bias", "shape": [out]}]


def _pooler(h: int) -> list[Plain]:
    return [
        {"name": "pooler", "shape": [h, h], "linear": True},
        {"name": "pooler.bias", "shape": [h]},
    ]


def _bert_layers(c: Config) -> Plain:
    mixer = own_heads(c, qkv_bias=True, o_bias=True) | {"causal": False}
    mlp = dense(c["intermediate_size"], gated=False, bias=True)
    layers = [{"mixers": [mixer], "mlp": mlp}] * c["num_hidden_layers"]
    return stack(c["hidden_size"], layers, norm="layer", final_norm=False)


@family("bert", "roberta", "xlm-roberta", "camembert")
def bert(c: Config) -> Plain:
    """BERT, RoBERTa, XLM-R and the embedding models of their shape: pooler, no head."""
    h = c["hidden_size"]
    embeddings = [
        {"name": "position_embd", "shape": [c["max_position_embeddings"], h]},
        {"name": "token_types", "shape": [c.get("type_vocab_size", 2), h]},
        *_vectors("token_embd_norm", h),
        *_pooler(h),
    ]
    return _encoder(c, embeddings, _bert_layers(c))


@family("mpnet")
def mpnet(c: Config) -> Plain:
    """MPNet: BERT without token types, with a relative position bias that all layers share."""
    h, heads = c["hidden_size"], c["num_attention_heads"]
    embeddings = [
        {"name": "position_embd", "shape": [c["max_position_embeddings"], h]},
        {"name": "attn_rel_b", "shape": [c.get("relative_attention_num_buckets", 32), heads]},
        *_vectors("token_embd_norm", h),
        *_pooler(h),
    ]
    return _encoder(c, embeddings, _bert_layers(c))


@family("nomic_bert")
def nomic_bert(c: Config) -> Plain:
    """Nomic Embed 1 and 1.5: rotary positions, gated MLP, no biases but the norms'."""
    if c.get("num_experts"):
        raise KeyError("a reading of num_experts (Nomic Embed 2)")
    h, b = c["hidden_size"], bool(c.get("qkv_proj_bias"))
    gated = c.get("activation_function", "swiglu") in ("swiglu", "geglu", "glu")
    traits = {"bias": True} if c.get("mlp_fc1_bias") else {}
    mlp = dense(c["intermediate_size"], **({} if gated else {"gated": False}), **traits)
    mixer = own_heads(c, qkv_bias=b, o_bias=b, fused_qkv=True) | {"causal": False}
    types = c.get("type_vocab_size", 2)
    embeddings = [
        *([{"name": "token_types", "shape": [types, h]}] if types else []),
        *_vectors("token_embd_norm", h),
    ]
    layers = [{"mixers": [mixer], "mlp": mlp}] * c["num_hidden_layers"]
    return _encoder(c, embeddings, stack(h, layers, norm="layer", final_norm=False))


@family("modernbert")
def modernbert(c: Config) -> Plain:
    """ModernBERT: rotary positions, two windowed layers to one full, no norm before the first."""
    h = c["hidden_size"]
    b, every = bool(c.get("attention_bias")), c.get("global_attn_every_n_layers", 3)
    window = c.get("local_attention", 128)
    mlp = dense(
        c["intermediate_size"],
        fused_gate_up=True,
        **({"bias": True} if c.get("mlp_bias") else {}),
    )
    layers = []
    for i in range(c["num_hidden_layers"]):
        near = window if i % every else None
        mixer = own_heads(c, window=near, qkv_bias=b, o_bias=b, fused_qkv=True)
        layer = {"mixers": [mixer | {"causal": False}], "mlp": mlp}
        layers.append(layer | ({} if i else {"norms": 1}))
    norm = "layer" if c.get("norm_bias") else "layer_without_bias"
    names = ("", ".bias") if c.get("norm_bias") else ("",)
    embeddings = [{"name": f"token_embd_norm{n}", "shape": [h]} for n in names]
    return _encoder(c, embeddings, stack(h, layers, norm=norm))


@family("whisper")
def whisper(c: Config) -> Plain:
    """Whisper: two convolutions before the encoder, learned positions in both stacks, tied head."""
    h = c["d_model"]

    def layers(part: str, *mixers: Plain) -> list[Plain]:
        mlp = dense(c[f"{part}_ffn_dim"], gated=False, bias=True)
        block = {"mixers": list(mixers), "mlp": mlp, "norms": 1 + len(mixers)}
        return [block] * c[f"{part}_layers"]

    def heads(part: str) -> Plain:
        shape = {"num_attention_heads": c[f"{part}_attention_heads"], "hidden_size": h}
        return attention(shape, o_bias=True) | {"q_bias": True, "v_bias": True}

    front = [
        *_conv("conv1", h, 3 * c["num_mel_bins"]),
        *_conv("conv2", h, 3 * h),
        {"name": "position_embd", "shape": [c["max_source_positions"], h]},
    ]
    decode = layers("decoder", heads("decoder"), heads("decoder") | {"cross": True})
    return {
        "vocab_size": c["vocab_size"],
        "tied_embeddings": bool(c.get("tie_word_embeddings", True)),
        "tensors": [{"name": "position_embd", "shape": [c["max_target_positions"], h]}],
        "encoder": stack(
            h, layers("encoder", heads("encoder") | {"causal": False}), norm="layer", tensors=front
        ),
        "decoder": stack(h, decode, norm="layer"),
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
