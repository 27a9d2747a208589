"""Decoders of 2021-2023 with their own conventions: fused QKV, biases, parallel residuals."""

from __future__ import annotations

from llmplan.sources.config_json import (
    Config,
    attention,
    context_tokens,
    dense,
    family,
    moe,
    own_heads,
    record,
    stack,
)
from llmplan.sources.families.llama_like import layer_windows
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


@family("gptj", "codegen")
def gptj(c: Config) -> Plain:
    """GPT-J, CodeGen, MOSS: one norm a layer, biases in the MLP and on the head."""
    hidden = c["hidden_size"]
    mlp = _plain(c.get("intermediate_size") or 4 * hidden, bias=True)
    fused = c["model_type"] == "codegen"
    layers = _layers(c["num_hidden_layers"], own_heads(c, fused_qkv=fused), mlp, norms=1)
    return record(c, stack(hidden, layers, norm="layer"), head_bias=True)


@family("gpt2", "gpt_bigcode")
def gpt2(c: Config) -> Plain:
    """GPT-2, Cerebras-GPT, StarCoder 1 (one KV head): learned positions, biases, tied head."""
    hidden = c["hidden_size"]
    one = c["model_type"] == "gpt_bigcode" and c.get("multi_query", True)
    heads = {**c, "num_key_value_heads": 1 if one else None}
    mixer = attention(heads, qkv_bias=True, o_bias=True, fused_qkv=True)
    mlp = _plain(c.get("intermediate_size") or 4 * hidden, bias=True)
    rows = context_tokens(c)
    if rows is None:
        raise KeyError("n_positions")
    return record(
        c,
        stack(hidden, _layers(c["num_hidden_layers"], mixer, mlp), norm="layer"),
        tied=True,
        tensors=[{"name": "position_embd", "shape": [rows, hidden]}],
    )


@family("starcoder2")
def starcoder2(c: Config) -> Plain:
    """StarCoder2: GQA, rotary positions in a window, biases, tied head (3B, 7B)."""
    b = bool(c.get("use_bias", True))
    layers = [
        {
            "mixers": [attention(c, window=w, qkv_bias=b, o_bias=b)],
            "mlp": _plain(c["intermediate_size"], bias=b),
        }
        for w in layer_windows(c)
    ]
    return record(c, stack(c["hidden_size"], layers, norm="layer"), tied=True)


@family("phi")
def phi(c: Config) -> Plain:
    """Phi-1, 1.5 and 2: attention and MLP behind one norm, biases everywhere, on the head too."""
    norm = "per_head" if c.get("qk_layernorm") else "none"
    mixer = attention(c, qkv_bias=True, o_bias=True, qk_norm=norm, qk_norm_bias=norm != "none")
    mlp = _plain(c["intermediate_size"], bias=True)
    layers = _layers(c["num_hidden_layers"], mixer, mlp, norms=1)
    return record(c, stack(c["hidden_size"], layers, norm="layer"), head_bias=True)


@family("persimmon")
def persimmon(c: Config) -> Plain:
    """Persimmon: squared ReLU, biases, layer norms on the queries and keys of each head."""
    norm = c.get("qk_layernorm", True)
    traits = {"qk_norm": "per_head", "qk_norm_bias": True} if norm else {}
    mixer = own_heads(c, qkv_bias=True, o_bias=True, fused_qkv=True, **traits)
    layers = _layers(c["num_hidden_layers"], mixer, _plain(c["intermediate_size"], bias=True))
    return record(c, stack(c["hidden_size"], layers, norm="layer"))


@family("bloom")
def bloom(c: Config) -> Plain:
    """BLOOM: ALiBi, biases, a norm after the embedding, tied head."""
    hidden = c.get("hidden_size") or c["n_embed"]
    shape = {"num_attention_heads": c["num_attention_heads"], "hidden_size": hidden}
    mixer = attention(shape, qkv_bias=True, o_bias=True, fused_qkv=True)
    layers = _layers(c["num_hidden_layers"], mixer, _plain(4 * hidden, bias=True))
    norm = [
        {"name": "token_embd_norm", "shape": [hidden]},
        {"name": "token_embd_norm.bias", "shape": [hidden]},
    ]
    return record(c, stack(hidden, layers, norm="layer"), tied=True, tensors=norm)


@family("opt")
def opt(c: Config) -> Plain:
    """OPT, OPT-IML, Galactica (no biases): learned positions (two spare rows), tied head.

    OPT-350M alone has embeddings narrower than its layers, and no final norm.
    """
    h, b = c["hidden_size"], bool(c.get("enable_bias", True))
    mixer = own_heads(c, qkv_bias=b, o_bias=b)
    layers = _layers(c["num_hidden_layers"], mixer, _plain(c["intermediate_size"], bias=b))
    tensors: list[Plain] = [
        {"name": "position_embd", "shape": [c["max_position_embeddings"] + 2, h]}
    ]
    rest: Plain = {}
    width = c.get("word_embed_proj_dim") or h
    if width != h:
        rest["embedding_size"] = width
        tensors.append({"name": "project_in", "shape": [h, width], "linear": True})
        tensors.append({"name": "project_out", "shape": [width, h], "linear": True})
    last = c.get("do_layer_norm_before", True) and not c.get("_remove_final_layer_norm")
    body = stack(
        h, layers, norm="layer" if c.get("layer_norm_elementwise_affine", True) else "none"
    )
    if not last:
        body["final_norm"] = False
    return record(c, body, tied=True, tensors=tensors, **rest)


@family("mpt")
def mpt(c: Config) -> Plain:
    """MPT: ALiBi, no biases anywhere, tied head."""
    hidden = c["d_model"]
    shape = {"num_attention_heads": c["n_heads"], "hidden_size": hidden}
    mlp = _plain(c.get("expansion_ratio", 4) * hidden, bias=False)
    layers = _layers(c["n_layers"], attention(shape, fused_qkv=True), mlp)
    return record(c, stack(hidden, layers, norm="layer_without_bias"), tied=True)


@family("falcon", "RefinedWeb", "RefinedWebModel")
def falcon(c: Config) -> Plain:
    """Falcon 7B (MQA, one norm), 40B and 180B (GQA, two norms), 11B (GQA, one norm)."""
    new = bool(c.get("new_decoder_architecture", c["model_type"] == "RefinedWeb"))
    heads = c["num_attention_heads"]
    old_heads = 1 if c.get("multi_query", True) else heads
    kv_heads = (c.get("num_key_value_heads") or heads) if new else old_heads
    shape = {**c, "num_key_value_heads": kv_heads}
    b = bool(c.get("bias"))
    mixer = attention(shape, qkv_bias=b, o_bias=b, fused_qkv=True)
    mlp = _plain(c.get("ffn_hidden_size") or 4 * c["hidden_size"], bias=b)
    beside = new or c.get("parallel_attn", True)
    norms = (c.get("num_ln_in_parallel_attn") or (2 if new else 1)) if beside else 2
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


@family("cpmbee")
def cpm_bee(c: Config) -> Plain:
    """CPM-Bee: RMS norms, no biases, gated MLP, a bias by relative position, tied head.

    Source: OpenBMB/CPM-Bee@d847641 src/cpm_live/models/bee.py.
    """
    shape = {
        "num_attention_heads": c["num_heads"],
        "hidden_size": c["dim_model"],
        "head_dim": c["dim_head"],
    }
    layers = _layers(c["num_layers"], attention(shape), dense(c["dim_ff"]))
    buckets = c.get("position_bias_num_buckets", 256)
    buckets += c.get("position_bias_num_segment_buckets", 256)
    bias = [{"name": "attn_rel_b", "shape": [buckets, c["num_heads"]]}]
    return record(c, stack(c["dim_model"], layers, tensors=bias), tied=True)
