"""Step 3.5 and 3.7.

Shapes and defaults: transformers 5.23 models/step3p7 and vLLM 0.33.0 step3p5, read 2026-11-21.
"""

from __future__ import annotations

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    known,
    moe,
    record,
    stack,
    text_config,
)
from llmplan.sources.families.mixture import first_of, layered, mlp_layers, mtp_stack
from llmplan.sources.families.vision import biased, layer_norm, patches, side, tensor
from llmplan.sources.layers import Plain

SLIDING = "sliding_attention"


@family("step3p5")
def step3p5(c: Config) -> Plain:
    """Step-3.5-Flash: sliding layers with more heads, gated per head, first layers dense."""
    said = known(
        c,
        num_key_value_heads=first_of(c, "num_attention_groups", "num_key_value_heads"),
        layer_types=["full_attention"] * c["num_hidden_layers"],
    )
    types = said["layer_types"]
    mixers = [_mixer(said, kind) for kind in types]
    count, draft = c["num_hidden_layers"], c.get("num_nextn_predict_layers") or 0
    layers = layered(mixers[:count], mlp_layers(_routed(c), _experts(c)))
    result = record(c, stack(c["hidden_size"], layers))
    if draft:
        kind = types[count] if len(types) > count else "full_attention"
        one = {"mixers": [_mixer(said, kind)], "mlp": dense(c["intermediate_size"])}
        result["draft"] = mtp_stack(c, one)
    return result


def _mixer(c: Config, kind: str) -> Plain:
    other = c.get("attention_other_setting") or {}
    usual = other.get("num_attention_heads") or c["num_attention_heads"]
    slides = kind == SLIDING
    heads = c.get("num_sliding_attention_heads") or usual
    shape = {**c, "num_attention_heads": heads} if slides else c
    gate = "per_head" if c.get("use_head_wise_attn_gate", True) else "none"
    window = c["sliding_window"] if slides else None
    return attention(shape, window=window, qk_norm="per_head", output_gate=gate)


def _experts(c: Config) -> Plain:
    return moe(
        c["moe_intermediate_size"],
        first_of(c, "moe_num_experts", "n_routed_experts", "num_experts"),
        first_of(c, "moe_top_k", "num_experts_per_tok"),
        shared_experts_size=first_of(c, "share_expert_dims", "share_expert_dim"),
    )


def _routed(c: Config) -> Config:
    """Return the config with its routed layers as other families say them; first three dense."""
    listed = c.get("moe_layers_enum")
    if c.get("mlp_layer_types"):
        return {**c, "mlp_layer_types": c["mlp_layer_types"][: c["num_hidden_layers"]]}
    if listed is None:
        return known(c, first_k_dense_replace=3)
    routed = {int(i) for i in (listed.split(",") if isinstance(listed, str) else listed)}
    types = ["sparse" if i in routed else "dense" for i in range(c["num_hidden_layers"])]
    return {**c, "mlp_layer_types": types}


@family("step3p7")
def step3p7(c: Config) -> Plain:
    """Step-3.7-Flash: the text of 3.5 with a vision tower of rotary layers and layer scales."""
    result = step3p5(text_config(c))
    result["vision"] = _tower(c.get("vision_config") or {}, text_config(c)["hidden_size"])
    return result


def _tower(v: Config, text: int) -> Plain:
    """Return the tower, two strided convolutions of 3 x 3, and the projector."""
    v = known(v, patch_size=14, image_size=728, mlp_ratio=8960 / 1536)
    h = v.get("width") or v.get("hidden_size", 1536)
    heads = v.get("heads") or v.get("num_attention_heads", 16)
    depth = v.get("layers") or v.get("num_hidden_layers", 47)
    extra = [
        *patches({**v, "hidden_size": h}, bias=False),
        tensor("position_embd", side(v) ** 2, h),
        *layer_norm("pre_norm", h),
        *biased("downsampler1", 2 * h, KERNEL * h),
        *biased("downsampler2", 4 * h, KERNEL * 2 * h),
        tensor("mm.projector", text, 4 * h, linear=True),
    ]
    mlp = dense(int(h * v["mlp_ratio"]), gated=False, bias=True)
    scales = [tensor(f"ls{n}", h) for n in (1, 2)]
    shape = {"num_attention_heads": heads, "hidden_size": h}
    mixer = attention(shape, qkv_bias=True, o_bias=True) | {"causal": False}
    layers = [{"mixers": [mixer], "mlp": mlp, "tensors": scales}] * depth
    return stack(h, layers, norm="layer", final_norm=False, tensors=extra)


KERNEL = 3 * 3
"""Positions that each downsampling convolution of Step 3.7's tower takes in."""
