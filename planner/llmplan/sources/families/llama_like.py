"""Dense decoders of the Llama line: RMS norm, rotary positions, gated MLP."""

from __future__ import annotations

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    known,
    own_heads,
    record,
    stack,
)
from llmplan.sources.families.towers import eva2_clip
from llmplan.sources.layers import Plain


def layer_windows(c: Config) -> list[int | None]:
    """Return the sliding window of each layer, null where the layer sees everything."""
    n, window = c["num_hidden_layers"], c.get("sliding_window")
    if not window:
        return [None] * n
    if c.get("layer_types"):
        return [window if t == "sliding_attention" else None for t in c["layer_types"]]
    pattern = c.get("sliding_window_pattern") or c.get("_sliding_window_pattern")
    if pattern:
        return [None if (i + 1) % pattern == 0 else window for i in range(n)]
    return [window] * n


def decoder(c: Config, *, norms: int = 2, mlp: Plain | None = None, **traits: object) -> Plain:
    """Return a decoder whose layers differ at most in their window."""
    mlp = mlp or dense(c["intermediate_size"])
    layers = [
        {"mixers": [attention(c, window=w, **traits)], "mlp": mlp, "norms": norms}
        for w in layer_windows(c)
    ]
    if norms == 2:
        for layer in layers:
            del layer["norms"]
    return stack(c["hidden_size"], layers)


@family("llama", "mistral", "granite", "ministral3")
def llama(c: Config) -> Plain:
    """Llama 1-3, Mistral, Yi, Vicuna, SmolLM2, Granite: GQA, no biases unless the config says."""
    b = bool(c.get("attention_bias"))
    mlp = dense(c["intermediate_size"], **({"bias": True} if c.get("mlp_bias") else {}))
    return record(c, decoder(c, mlp=mlp, qkv_bias=b, o_bias=b))


@family("qwen2")
def qwen2(c: Config) -> Plain:
    """Qwen1.5, Qwen2, Qwen2.5: biases on Q, K and V; the window is off unless switched on."""
    plain = {**c, "sliding_window": c.get("sliding_window") if c.get("use_sliding_window") else 0}
    return record(c, decoder(plain, qkv_bias=True))


@family("qwen3")
def qwen3(c: Config) -> Plain:
    """Qwen3 dense: per-head norms on queries and keys."""
    plain = {**c, "sliding_window": c.get("sliding_window") if c.get("use_sliding_window") else 0}
    return record(c, decoder(plain, qk_norm="per_head"))


@family("gemma")
def gemma(c: Config) -> Plain:
    """Gemma 1: tied embeddings, wide heads."""
    return record(c, decoder(c), tied=True)


@family("gemma2")
def gemma2(c: Config) -> Plain:
    """Gemma 2: every second layer slides, four norms a layer."""
    alternating = {"sliding_window_pattern": 2, **c}
    return record(c, decoder(alternating, norms=4), tied=True)


@family("gemma3_text")
def gemma3_text(c: Config) -> Plain:
    """Gemma 3 text: five sliding layers to one full, per-head QK norms, four norms a layer.

    Defaults: transformers 5.23 Gemma3TextConfig, which the published configs lean on.
    """
    c = known(
        c, vocab_size=262208, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
        num_attention_heads=8, num_key_value_heads=4, head_dim=256, sliding_window=4096,
        sliding_window_pattern=6,
    )  # fmt: skip
    result = record(c, decoder(c, norms=4, qk_norm="per_head"), tied=True)
    if not c.get("use_bidirectional_attention"):
        return result
    encoder = result.pop("decoder")  # EmbeddingGemma
    for block in encoder["blocks"].values():
        block["mixers"] = [m | {"causal": False} for m in block["mixers"]]
    return result | {"encoder": encoder, "head": False}


@family("olmo2")
def olmo2(c: Config) -> Plain:
    """OLMo 2: norms over the whole query and key width."""
    return record(c, decoder(c, qk_norm="full"))


@family("phi3")
def phi3(c: Config) -> Plain:
    """Phi-3 and Phi-4-mini: fused QKV and fused gate-up; the window spans the whole context."""
    window = c.get("sliding_window")
    limit = c.get("max_position_embeddings") or 0
    plain = {**c, "sliding_window": window if window and window + 1 < limit else 0}
    mlp = dense(c["intermediate_size"], fused_gate_up=True)
    return record(c, decoder(plain, mlp=mlp, fused_qkv=True))


@family("glm4")
def glm4(c: Config) -> Plain:
    """GLM-4-0414: four norms, fused gate-up, biases on Q, K, V unless the config says no."""
    mlp = dense(c["intermediate_size"], fused_gate_up=True)
    b = bool(c.get("attention_bias", True))
    return record(c, decoder(c, norms=4, mlp=mlp, qkv_bias=b))


@family("chatglm")
def chatglm(c: Config) -> Plain:
    """ChatGLM2 and 3, GLM-4-9B, GLM-4V: multi-query groups, QKV bias, RMS norm."""
    if c.get("inner_hidden_size"):
        return _chatglm_6b(c)
    plain = {
        **c,
        "num_hidden_layers": c["num_layers"],
        "num_key_value_heads": c["multi_query_group_num"],
        "head_dim": c["kv_channels"],
    }
    mlp = dense(c["ffn_hidden_size"], fused_gate_up=True)
    body = decoder(plain, mlp=mlp, qkv_bias=bool(c.get("add_qkv_bias", True)), fused_qkv=True)
    vocab = {**c, "vocab_size": c.get("padded_vocab_size") or c["vocab_size"]}
    text = record({**vocab, "tie_word_embeddings": False}, body)
    return {**text, "vision": eva2_clip(c)} if c.get("vision_config") else text


def _chatglm_6b(c: Config) -> Plain:
    """Return the first ChatGLM-6B: positions in two dimensions, layer norms, biases, tied head."""
    mixer = own_heads(c, qkv_bias=True, o_bias=True, fused_qkv=True)
    mlp = dense(c["inner_hidden_size"], gated=False, bias=True)
    layers = [{"mixers": [mixer], "mlp": mlp}] * c["num_hidden_layers"]
    return record(c, stack(c["hidden_size"], layers, norm="layer"), tied=True)
