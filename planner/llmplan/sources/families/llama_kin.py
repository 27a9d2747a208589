"""Dense decoders near Llama that differ in norms, biases, windows or the MLP."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, known, record, stack
from llmplan.sources.families.llama_like import decoder, layer_windows
from llmplan.sources.families.mixture import latent_attention, mtp_stack
from llmplan.sources.layers import Plain


def _mlp(c: Config, *, gated: bool = True, bias: bool = False) -> Plain:
    return dense(
        c["intermediate_size"],
        **({} if gated else {"gated": False}),
        **({"bias": True} if bias else {}),
    )


@family("aquila", "baichuan", "internlm2", "skywork", "xverse", "Yi")
def llama_without_biases(c: Config) -> Plain:
    """Aquila, Baichuan (ALiBi at 13B), InternLM2, Skywork, XVERSE, Yi: the shapes of Llama."""
    b = bool(c.get("bias"))
    fused = c["model_type"] in ("baichuan", "internlm2")
    return record(c, decoder(c, qkv_bias=b, o_bias=b, fused_qkv=fused))


@family("internlm")
def internlm(c: Config) -> Plain:
    """InternLM: MHA with biases on Q, K, V and the output."""
    b = bool(c.get("bias", True))
    return record(c, decoder(c, qkv_bias=b, o_bias=b))


@family("internlm3")
def internlm3(c: Config) -> Plain:
    """InternLM3: GQA; `qkv_bias` and `bias` (output and MLP) are off as published."""
    b = bool(c.get("bias"))
    return record(c, decoder(c, mlp=_mlp(c, bias=b), qkv_bias=bool(c.get("qkv_bias")), o_bias=b))


@family("orion")
def orion(c: Config) -> Plain:
    """Orion: Llama with layer norms."""
    return record(c, decoder(c) | {"norm": "layer"})


@family("qwen")
def qwen(c: Config) -> Plain:
    """Qwen (the first): MHA with QKV bias; `intermediate_size` counts gate and up together."""
    plain = {**c, "num_key_value_heads": None, "head_dim": c.get("kv_channels")}
    mlp = dense(c["intermediate_size"] // 2)
    return record(c, decoder(plain, mlp=mlp, qkv_bias=True, fused_qkv=True))


@family("mimo")
def mimo(c: Config) -> Plain:
    """MiMo-7B: the shapes of Qwen2, with a multi-token-prediction layer apart."""
    plain = {**c, "sliding_window": c.get("sliding_window") if c.get("use_sliding_window") else 0}
    b = bool(c.get("attention_bias", True))
    result = record(c, decoder(plain, qkv_bias=b))
    if c.get("num_nextn_predict_layers"):
        layer = {"mixers": [attention(c, qkv_bias=b)], "mlp": _mlp(c)}
        result["draft"] = mtp_stack(c, layer)
    return result


@family("minicpm")
def minicpm(c: Config) -> Plain:
    """MiniCPM 1, 4 and 4.1 dense: Llama's shapes, tied unless the config says no."""
    if c.get("num_experts"):
        raise KeyError("a reading of num_experts (MiniCPM-MoE)")
    return record(c, decoder(c), tied=True)


# transformers 5.23.0, MiniCPM3Config: the shapes of MiniCPM3-4B.
MINICPM3 = {
    "hidden_size": 2560, "num_hidden_layers": 62, "num_attention_heads": 40,
    "intermediate_size": 6400, "q_lora_rank": 768, "kv_lora_rank": 256, "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32, "v_head_dim": 64,
}  # fmt: skip


@family("minicpm3")
def minicpm3(c: Config) -> Plain:
    """MiniCPM3: multi-head latent attention in a dense decoder, tied head."""
    c = known(c, **MINICPM3)
    layer = {"mixers": [latent_attention(c)], "mlp": _mlp(c)}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]), tied=True)


@family("smollm3", "ernie4_5")
def tied_llama(c: Config) -> Plain:
    """SmolLM3 (rotary positions in three layers of four) and ERNIE 4.5 dense: tied head."""
    b = bool(c.get("attention_bias") or c.get("use_bias"))
    window = c.get("sliding_window") if c.get("use_sliding_window") else None
    mlp = _mlp(c, bias=bool(c.get("mlp_bias") or c.get("use_bias")))
    plain = {**c, "sliding_window": window}
    return record(c, decoder(plain, mlp=mlp, qkv_bias=b, o_bias=b), tied=True)


@family("seed_oss")
def seed_oss(c: Config) -> Plain:
    """Seed-OSS: wide heads, biases on Q, K and V."""
    b, o = bool(c.get("attention_bias", True)), bool(c.get("attention_out_bias"))
    mlp = _mlp(c, bias=bool(c.get("mlp_bias")))
    return record(c, decoder(c, mlp=mlp, qkv_bias=b, o_bias=o))


@family("arcee")
def arcee(c: Config) -> Plain:
    """Arcee AFM: squared ReLU, no gate in the MLP."""
    b = bool(c.get("attention_bias"))
    mlp = _mlp(c, gated=False, bias=bool(c.get("mlp_bias")))
    return record(c, decoder(c, mlp=mlp, qkv_bias=b, o_bias=b))


@family("nemotron")
def nemotron(c: Config) -> Plain:
    """Nemotron 3 and 4, Minitron: squared ReLU without a gate, layer norms."""
    b = bool(c.get("attention_bias"))
    mlp = _mlp(c, gated=False, bias=bool(c.get("mlp_bias")))
    return record(c, decoder(c, mlp=mlp, qkv_bias=b, o_bias=b) | {"norm": "layer"})


@family("apertus")
def apertus(c: Config) -> Plain:
    """Apertus: xIELU with two trained scalars a layer, per-head QK norms, no gate in the MLP."""
    b = bool(c.get("attention_bias"))
    body = decoder(c, mlp=_mlp(c, gated=False), qkv_bias=b, o_bias=b, qk_norm="per_head")
    scalars = [{"name": f"ffn_act.{n}", "shape": [1]} for n in ("alpha_p", "alpha_n")]
    for block in body["blocks"].values():
        block["tensors"] = scalars
    return record(c, body)


@family("hunyuan_v1_dense")
def hunyuan_dense(c: Config) -> Plain:
    """Hunyuan dense: per-head QK norms."""
    b = bool(c.get("attention_bias"))
    norm = "per_head" if c.get("use_qk_norm", True) else "none"
    return record(c, decoder(c, qkv_bias=b, o_bias=b, qk_norm=norm))


@family("exaone")
def exaone(c: Config) -> Plain:
    """EXAONE 3 and 3.5: the shapes of Llama under GPT-2's names."""
    return record(c, decoder(c))


@family("exaone4")
def exaone4(c: Config) -> Plain:
    """EXAONE 4: norms after attention and MLP, three sliding layers to one full (32B)."""
    pattern = c.get("sliding_window_pattern")
    if isinstance(pattern, str):
        c = {**c, "sliding_window_pattern": len(pattern)}
    return record(c, decoder(c, qk_norm="per_head"))


@family("olmo")
def olmo(c: Config) -> Plain:
    """OLMo 1: layer norms without parameters."""
    b = bool(c.get("attention_bias"))
    return record(c, decoder(c, qkv_bias=b, o_bias=b) | {"norm": "none"})


# transformers 5.23.0, Olmo3Config and Cohere2Config: three sliding layers to one full.
EVERY_FOURTH_FULL = {"sliding_window_pattern": 4, "sliding_window": 4096}


@family("olmo3")
def olmo3(c: Config) -> Plain:
    """OLMo 3: norms over the whole query and key width, three sliding layers to one full."""
    b = bool(c.get("attention_bias"))
    return record(c, decoder(known(c, **EVERY_FOURTH_FULL), qkv_bias=b, o_bias=b, qk_norm="full"))


def _one_norm(c: Config, **traits: object) -> Plain:
    layers = [
        {"mixers": [attention(c, window=w, **traits)], "mlp": _mlp(c), "norms": 1}
        for w in layer_windows(c)
    ]
    return stack(c["hidden_size"], layers, norm="layer_without_bias")


@family("cohere")
def cohere(c: Config) -> Plain:
    """Command R, R+ and Aya: attention and MLP side by side behind one norm, tied head."""
    b = bool(c.get("attention_bias"))
    norm = "full" if c.get("use_qk_norm") else "none"
    plain = {**c, "sliding_window": None}
    return record(c, _one_norm(plain, qkv_bias=b, o_bias=b, qk_norm=norm), tied=True)


@family("cohere2")
def cohere2(c: Config) -> Plain:
    """Command A and R7B: Command R with three sliding layers to one full."""
    b = bool(c.get("attention_bias"))
    return record(c, _one_norm(known(c, **EVERY_FOURTH_FULL), qkv_bias=b, o_bias=b), tied=True)


@family("glm")
def glm(c: Config) -> Plain:
    """GLM-4-9B in transformers' own spelling: QKV bias, fused gate-up."""
    # transformers 5.23.0, GlmConfig: two KV groups of 128 and QKV bias where the config is silent.
    c = known(c, num_key_value_heads=2, head_dim=128, attention_bias=True)
    mlp = dense(c["intermediate_size"], fused_gate_up=True)
    return record(c, decoder(c, mlp=mlp, qkv_bias=bool(c["attention_bias"])))


@family("stablelm")
def stablelm(c: Config) -> Plain:
    """StableLM 3B, 2 1.6B and 2 12B: layer norms; the 12B has one a layer and norms each head."""
    layer = {
        "mixers": [
            attention(
                c,
                qkv_bias=bool(c.get("use_qkv_bias")),
                qk_norm="full" if c.get("qk_layernorm") else "none",
            )
        ],
        "mlp": _mlp(c),
        **({"norms": 1} if c.get("use_parallel_residual") else {}),
    }
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"], norm="layer"))


@family("phi3small")
def phi3small(c: Config) -> Plain:
    """Phi-3 small: biases throughout, layer norms, block-sparse attention in every second layer.

    Its engines keep the whole cache in the sparse layers too.
    """
    mlp = dense(c.get("ff_intermediate_size") or c["intermediate_size"], bias=True)
    body = decoder(c, mlp=mlp, qkv_bias=True, o_bias=True, fused_qkv=True)
    return record(c, body | {"norm": "layer"}, tied=True)
