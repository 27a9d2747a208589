"""EVA-CLIP towers: MiniGPT-4's ViT-g with its Q-Former, GLM-4V's EVA2-CLIP-E.

Shapes: Vision-CAIR/MiniGPT-4@d94738a minigpt4/models (eva_vit.py, minigpt4.py, Qformer.py), and
CogVLM's visual.py, which GLM-4V shares.
"""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, stack, text_record
from llmplan.sources.families.vision import (
    biased,
    layer_norm,
    patches,
    side,
    tensor,
    tower,
    vision_config,
)
from llmplan.sources.layers import Plain


def eva2_clip(c: Config) -> Plain:
    """Return GLM-4V's tower: norms after each part, a 2x2 convolution, a gated layer, two marks."""
    v, width = vision_config(c), c["hidden_size"]
    h, wide = v["hidden_size"], c["ffn_hidden_size"]
    after = [
        tensor("mm.conv", h, 4 * h),
        tensor("mm.conv.bias", h),
        tensor("mm.input", width, h, linear=True),
        *layer_norm("mm.norm", width),
        tensor("mm.gate", wide, width, linear=True),
        tensor("mm.up", wide, width, linear=True),
        tensor("mm.down", width, wide, linear=True),
        tensor("mm.begin_image", width),
        tensor("mm.end_image", width),
    ]
    tensors = [
        *patches(v, bias=True),
        tensor("class_embd", h),
        tensor("position_embd", v["num_positions"], h),
        *after,
    ]
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    return tower(v, v["num_heads"], v["num_hidden_layers"], tensors, mlp=mlp)


def _q_former(q: Config, seen: int) -> list[Plain]:
    """Return a Q-Former's tensors: BERT's layers over the queries, reading the image in some."""
    h, wide = q["hidden_size"], q["intermediate_size"]
    tensors = [tensor("qformer.query", q["num_query_tokens"], h), *layer_norm("qformer.norm", h)]
    for layer in range(q["num_hidden_layers"]):
        parts = [("attn", h)]
        parts += [("cross", seen)] if layer % q["cross_attention_frequency"] == 0 else []
        for part, read in parts:
            name = f"qformer.{layer}.{part}"
            tensors += [
                *biased(f"{name}_q", h, h),
                *biased(f"{name}_k", h, read),
                *biased(f"{name}_v", h, read),
                *biased(f"{name}_output", h, h),
                *layer_norm(f"{name}_norm", h),
            ]
        name = f"qformer.{layer}.ffn"
        tensors += biased(f"{name}_up", wide, h) + biased(f"{name}_down", h, wide)
        tensors += layer_norm(f"{name}_norm", h)
    return tensors


@family("minigpt4")
def minigpt4(c: Config) -> Plain:
    """MiniGPT-4: EVA-CLIP ViT-g and BLIP-2's Q-Former, one linear layer into Vicuna."""
    text, v, q = text_record(c), vision_config(c), c["qformer_config"]
    h, width = v["hidden_size"], text["decoder"]["hidden_size"]
    tensors = [
        *patches(v, bias=True),
        tensor("class_embd", h),
        tensor("position_embd", side(v) ** 2 + 1, h),
        *layer_norm("post_norm", h),
        *_q_former(q, h),
        *biased("mm.0", width, q["hidden_size"]),
    ]
    heads = {"num_attention_heads": v["num_attention_heads"], "hidden_size": h}
    mixer = attention(heads, q_bias=True, v_bias=True, o_bias=True, fused_qkv=True)
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    layers = [{"mixers": [mixer | {"causal": False}], "mlp": mlp}] * v["num_hidden_layers"]
    seen = stack(h, layers, norm="layer", final_norm=False, tensors=tensors)
    return {**text, "vision": seen}
