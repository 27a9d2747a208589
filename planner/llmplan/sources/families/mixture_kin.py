"""Decoders with a mixture of experts that differ from Mixtral in a norm, a bias or a spelling.

Defaults filled in with `known` are those of the configuration classes of transformers 5.23.
"""

from __future__ import annotations

from typing import Any

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    known,
    moe,
    own_heads,
    record,
    stack,
)
from llmplan.sources.families.llama_like import layer_windows
from llmplan.sources.families.mixture import (
    dense_then_experts,
    first_of,
    latent_attention,
    layered,
    mixed_decoder,
    mlp_layers,
    mtp_stack,
    routed_experts,
)
from llmplan.sources.layers import Plain


def _windowed(c: Config, **traits: Any) -> list[Plain]:
    return [attention(c, window=w, **traits) for w in layer_windows(c)]


def _correction(layers: list[Plain]) -> list[Plain]:
    """Return the layers with the correction bias that these files train and store."""
    biased = []
    for layer in layers:
        if layer["mlp"]["kind"] == "moe":
            shape = [layer["mlp"]["experts"]]
            layer = layer | {"tensors": [{"name": "exp_probs_b.bias", "shape": shape}]}
        biased.append(layer)
    return biased


@family("minimax_m2")
def minimax_m2(c: Config) -> Plain:
    """MiniMax M2: GQA with norms over the whole query and key width, experts in every layer."""
    norm = "full" if c.get("use_qk_norm", True) else "none"
    experts = moe(c["intermediate_size"], c["num_local_experts"], c["num_experts_per_tok"])
    layer = {"mixers": [attention(c, qk_norm=norm)], "mlp": experts}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("olmoe")
def olmoe(c: Config) -> Plain:
    """OLMoE: norms over the whole query and key width, 64 small experts."""
    experts = moe(c["intermediate_size"], c["num_experts"], c["num_experts_per_tok"])
    b = bool(c.get("attention_bias"))
    mixer = attention(c, qk_norm="full", qkv_bias=b, o_bias=b)
    layer = {"mixers": [mixer], "mlp": experts}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("phimoe")
def phimoe(c: Config) -> Plain:
    """Phi-3.5-MoE: layer norms, biases in attention and on the head."""
    b = bool(c.get("attention_bias"))
    experts = moe(c["intermediate_size"], c["num_local_experts"], c["num_experts_per_tok"])
    mixers = _windowed(c, qkv_bias=b, o_bias=b)
    layers = layered(mixers, [experts] * c["num_hidden_layers"])
    body = stack(c["hidden_size"], layers, norm="layer")
    return record(c, body, **({"head_bias": True} if c.get("lm_head_bias") else {}))


@family("granitemoe", "granitemoeshared")
def granitemoe(c: Config) -> Plain:
    """Granite 3 MoE: GQA, experts in every layer; the shared kind adds a dense one beside them."""
    experts = moe(
        c["intermediate_size"],
        c["num_local_experts"],
        c["num_experts_per_tok"],
        shared_experts_size=c.get("shared_intermediate_size") or 0,
    )
    b = bool(c.get("attention_bias"))
    layer = {"mixers": [attention(c, qkv_bias=b, o_bias=b)], "mlp": experts}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("dbrx")
def dbrx(c: Config) -> Plain:
    """DBRX: fused QKV, layer norms without biases, four of sixteen experts."""
    ffn = c["ffn_config"]
    shape = {**c, "num_key_value_heads": c["attn_config"]["kv_n_heads"]}
    experts = moe(ffn["ffn_hidden_size"], ffn["moe_num_experts"], ffn["moe_top_k"])
    layer = {"mixers": [attention(shape, fused_qkv=True)], "mlp": experts}
    layers = [layer] * c["num_hidden_layers"]
    return record(c, stack(c["hidden_size"], layers, norm="layer_without_bias"))


@family("hunyuan_v1_moe")
def hunyuan_moe(c: Config) -> Plain:
    """Hunyuan A13B: per-head QK norms, a shared MLP as wide as its experts, tied head."""
    each = _of_layer(c, "num_shared_expert", 1)
    sizes = _of_layer(c, "moe_intermediate_size", c["intermediate_size"])
    chosen = _of_layer(c, "moe_topk", None)
    mixed = c.get("use_mixed_mlp_moe", True)
    experts = [
        moe(size, c["num_experts"], top, shared_experts_size=n * c["intermediate_size"] * mixed)
        for size, top, n in zip(sizes, chosen, each, strict=True)
    ]
    norm = "per_head" if c.get("use_qk_norm", True) else "none"
    b = bool(c.get("attention_bias"))
    mixer = attention(c, qk_norm=norm, qkv_bias=b, o_bias=b)
    return record(c, stack(c["hidden_size"], layered([mixer] * len(experts), experts)))


def _of_layer(c: Config, key: str, default: Any) -> list[Any]:
    """Return a fact for each layer, given once or as a list."""
    value = c.get(key)
    if value is None and default is None:
        raise KeyError(key)
    if isinstance(value, list):
        return value[: c["num_hidden_layers"]]
    return [default if value is None else value] * c["num_hidden_layers"]


@family("bailing_moe")
def bailing_moe(c: Config) -> Plain:
    """Ling 1 and 1.5: fused QKV, shared experts."""
    mixer = attention(c, qkv_bias=bool(c.get("use_qkv_bias")), fused_qkv=True)
    if c.get("num_shared_experts") is None and c.get("n_shared_experts") is None:
        raise KeyError("num_shared_experts")
    return mixed_decoder(c, [mixer] * c["num_hidden_layers"], mixer)


@family("bailing_moe_v2")
def bailing_moe_v2(c: Config) -> Plain:
    """Ling 2 and Ring 1T: as Ling 1 with per-head QK norms, first layers dense, MTP apart."""
    norm = "per_head" if c.get("use_qk_norm") else "none"
    b = bool(c.get("use_qkv_bias"))
    mixer = attention(c, qkv_bias=b, o_bias=bool(c.get("use_bias")), qk_norm=norm, fused_qkv=True)
    return mixed_decoder(c, [mixer] * c["num_hidden_layers"], mixer)


@family("exaone_moe")
def exaone_moe(c: Config) -> Plain:
    """K-EXAONE: three sliding layers to one full, per-head QK norms, first layer dense."""
    c = known(
        c, intermediate_size=16384, sliding_window=4096, sliding_window_pattern=4,
        first_k_dense_replace=1, num_shared_experts=1,
    )  # fmt: skip
    pattern = c["sliding_window_pattern"]
    if isinstance(pattern, str):
        c = {**c, "sliding_window_pattern": len(pattern)}
    mixers = _windowed(c, qk_norm="per_head")
    layers = layered(mixers, mlp_layers(c, routed_experts(c)))
    result = record(c, stack(c["hidden_size"], layers))
    if c.get("num_nextn_predict_layers"):
        full = attention(c, qk_norm="per_head")
        result["draft"] = mtp_stack(c, {"mixers": [full], "mlp": dense(c["intermediate_size"])})
    return result


@family("ernie4_5_moe")
def ernie_moe(c: Config) -> Plain:
    """ERNIE 4.5: dense layers first (and last, where the config says), shared experts."""
    c = known(
        c, moe_layer_start_index=1, moe_layer_end_index=-1, moe_layer_interval=1,
        moe_num_shared_experts=2, tie_word_embeddings=True,
    )  # fmt: skip
    size, b = c["moe_intermediate_size"], bool(c.get("use_bias"))
    experts = moe(
        size,
        c["moe_num_experts"],
        c["moe_k"],
        shared_experts_size=c["moe_num_shared_experts"] * size,
    )
    end = c["moe_layer_end_index"] % c["num_hidden_layers"]
    plain = dense(c["intermediate_size"], **({"bias": True} if b else {}))
    mlps = [
        experts
        if (i + 1) % c["moe_layer_interval"] == 0 and c["moe_layer_start_index"] <= i <= end
        else plain
        for i in range(c["num_hidden_layers"])
    ]
    mixers = [attention(c, qkv_bias=b, o_bias=b)] * len(mlps)
    layers = _correction(layered(mixers, mlps))
    if b:
        layers = [_biased_shared(layer, c["hidden_size"]) for layer in layers]
    body = stack(c["hidden_size"], layers)
    return record(c, body, **({"head_bias": True} if b else {}))


def _biased_shared(layer: Plain, hidden: int) -> Plain:
    """Return a layer whose shared experts, if it has any, have biases."""
    width = layer["mlp"].get("shared_experts_size")
    if not width:
        return layer
    sizes = {"gate": width, "up": width, "down": hidden}
    biases = [{"name": f"ffn_{n}_shexp.bias", "shape": [size]} for n, size in sizes.items()]
    return layer | {"tensors": layer["tensors"] + biases}


@family("afmoe")
def afmoe(c: Config) -> Plain:
    """Trinity: three sliding layers to one full, gated attention, four norms, dense first."""
    c = known(
        c, sliding_window=1024, global_attn_every_n_layers=4, num_dense_layers=1,
        num_shared_experts=2, head_dim=128,
    )  # fmt: skip
    c = {"sliding_window_pattern": c["global_attn_every_n_layers"], **c,
         "first_k_dense_replace": c["num_dense_layers"]}  # fmt: skip
    mixers = _windowed(c, qk_norm="per_head", output_gate="elementwise")
    layers = layered(mixers, mlp_layers(c, routed_experts(c)), norms=4)
    return record(c, stack(c["hidden_size"], _correction(layers)))


@family("laguna")
def laguna(c: Config) -> Plain:
    """Laguna: query heads a layer of its own, gated per head, first layer dense."""
    c = known(c, intermediate_size=8192, sliding_window=512, head_dim=128, first_k_dense_replace=1)
    count = c["num_hidden_layers"]
    heads = c.get("num_attention_heads_per_layer") or [c["num_attention_heads"]] * count
    c = {**c, "layer_types": c.get("layer_types") or ["full_attention"] * count}
    gating = c.get("gating", True)
    wide = "elementwise" if gating else "none"
    gate = "per_head" if gating in (True, "per-head") else wide
    mixers = [
        attention({**c, "num_attention_heads": h}, window=w, qk_norm="per_head", output_gate=gate)
        for h, w in zip(heads, layer_windows(c), strict=True)
    ]
    experts = routed_experts(c, shared_experts_size=c["shared_expert_intermediate_size"])
    layers = _correction(layered(mixers, mlp_layers(c, experts)))
    return record(c, stack(c["hidden_size"], layers))


@family("mimo_v2_flash", "mimo_v2")
def mimo_v2(c: Config) -> Plain:
    """MiMo-V2: narrower values, five sliding layers with sinks to one full, first layer dense."""
    kinds = []
    for prefix, slides in (("", False), ("swa_", True)):
        heads = first_of(c, f"{prefix}num_attention_heads", "num_attention_heads")
        shape = {
            "num_attention_heads": heads,
            "num_key_value_heads": first_of(
                c, f"{prefix}num_key_value_heads", "num_key_value_heads"
            ),
            "head_dim": first_of(c, f"{prefix}head_dim", "head_dim"),
            "hidden_size": c["hidden_size"],
        }
        sinks = c.get("add_swa_attention_sink_bias" if slides else "add_full_attention_sink_bias")
        value = first_of(c, f"{prefix}v_head_dim", "v_head_dim")
        b = bool(c.get("attention_bias"))
        window = c["sliding_window"] if slides else None
        kinds.append(attention(shape, v_head_dim=value, window=window, sinks=sinks, qkv_bias=b))
    full, sliding = kinds
    types = [t == "sliding_attention" for t in c.get("layer_types") or ()]
    mixers = [sliding if slides else full for slides in types or c["hybrid_layer_pattern"]]
    layers = layered(mixers, mlp_layers(c, routed_experts(c)))
    result = record(c, stack(c["hidden_size"], layers))
    if c.get("num_nextn_predict_layers"):
        one = {"mixers": [sliding], "mlp": dense(c["intermediate_size"])}
        result["draft"] = mtp_stack(c, one)
    return result


@family("arctic")
def arctic(c: Config) -> Plain:
    """Arctic: a dense MLP in every layer beside experts in each one that routes."""
    count, often = c["num_hidden_layers"], c["moe_layer_frequency"]
    experts = moe(c["intermediate_size"], c["num_local_experts"], c["num_experts_per_tok"])
    mixers = [own_heads(c) if c.get("num_key_value_heads") is None else attention(c)] * count
    if not c.get("parallel_attn_mlp_res"):
        mlps = [experts if (i + 1) % often == 0 else dense(c["intermediate_size"])
                for i in range(count)]  # fmt: skip
        return record(c, stack(c["hidden_size"], layered(mixers, mlps)))
    experts["shared_experts_size"] = c["hidden_size"]
    mlps = [experts if (i + 1) % often == 0 else dense(c["hidden_size"]) for i in range(count)]
    layers = layered(mixers, mlps)
    for layer in layers:
        layer["norms"] = 3 if layer["mlp"]["kind"] == "moe" else 2
    return record(c, stack(c["hidden_size"], layers))


@family("longcat_flash")
def longcat_flash(c: Config) -> Plain:
    """LongCat-Flash: two MLA and two dense parts a layer beside experts, some of which do nothing.

    A layer stands as three here, so that each part is split and cached as it is. A token that
    draws an idle expert passes through fewer parameters than the active count says.
    """
    idle, h = c.get("zero_expert_num", 0), c["hidden_size"]
    experts = moe(c["expert_ffn_hidden_size"], c["n_routed_experts"], c["moe_topk"])
    router: Plain = {"name": "ffn_gate_inp_idle", "shape": [idle, h]}
    routed = {"mlp": experts, "norms": 0} | ({"tensors": [router]} if idle else {})
    half = {"mixers": [latent_attention(c)], "mlp": dense(c["intermediate_size"])}
    return record(c, stack(h, [half, routed, half] * c["num_hidden_layers"]))


@family("hy_v3")
def hunyuan_3(c: Config) -> Plain:
    """Hy3: GQA with per-head QK norms, one shared expert, a dense first layer, MTP apart.

    Shapes and defaults: transformers 5.23 models/hy_v3.
    """
    c = known(
        c, head_dim=128, num_shared_experts=1, moe_intermediate_size=1536, num_experts=192,
        num_experts_per_tok=8, first_k_dense_replace=1,
    )  # fmt: skip
    b = bool(c.get("attention_bias"))
    return dense_then_experts(c, attention(c, qkv_bias=b, o_bias=b, qk_norm="per_head"))
