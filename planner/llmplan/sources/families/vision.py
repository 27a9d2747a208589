"""Vision towers that several language models share, with the projector into the text width.

The `vision` stack of a record holds the tower, and what stands between it and the text.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmplan.sources.config_json import Config, attention, dense, known, stack
from llmplan.sources.layers import Plain


def tensor(name: str, *shape: int, linear: bool = False) -> Plain:
    """Return a tensor by name and shape; `linear` says that weight formats may quantize it."""
    return {"name": name, "shape": list(shape)} | ({"linear": True} if linear else {})


def biased(name: str, rows: int, columns: int) -> list[Plain]:
    """Return a linear layer with its bias."""
    return [tensor(name, rows, columns, linear=True), tensor(f"{name}.bias", rows)]


def layer_norm(name: str, width: int) -> list[Plain]:
    """Return weight and bias of a layer norm."""
    return [tensor(name, width), tensor(f"{name}.bias", width)]


def patches(v: Config, *, bias: bool, frames: int = 1) -> list[Plain]:
    """Return the patch embedding: a convolution over RGB patches of `frames` frames."""
    h = v["hidden_size"]
    return [
        tensor("patch_embd", h, 3 * frames * v["patch_size"] ** 2),
        *([tensor("patch_embd.bias", h)] if bias else []),
    ]


def tower(
    v: Config,
    heads: int,
    depth: int,
    tensors: list[Plain],
    *,
    mlp: Plain,
    norm: str = "layer",
    bias: bool = True,
    **block: object,
) -> Plain:
    """Return a tower of equal bidirectional layers, biased unless said otherwise."""
    shape = {"num_attention_heads": heads, "hidden_size": v["hidden_size"]}
    shape |= {"head_dim": v["head_dim"]} if v.get("head_dim") else {}
    mixer = attention(shape, qkv_bias=bias, o_bias=bias) | {"causal": False}
    layers = [{"mixers": [mixer], "mlp": mlp, **block}] * depth
    return stack(v["hidden_size"], layers, norm=norm, final_norm=False, tensors=tensors)


def plain_tower(v: Config, tensors: list[Plain]) -> Plain:
    """Return the commonest tower: layer norms, biases, an MLP without a gate."""
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    return tower(v, v["num_attention_heads"], v["num_hidden_layers"], tensors, mlp=mlp)


def side(v: Config) -> int:
    """Return the patches along one side of the largest image [patches]."""
    size, patch = (
        x[0] if isinstance(x, (list, tuple)) else x for x in (v["image_size"], v["patch_size"])
    )
    return int(size) // int(patch)


def siglip(v: Config, after: list[Plain]) -> Plain:
    """Return a SigLIP tower: positions for each patch, a norm after the last layer."""
    h = v["hidden_size"]
    tensors = [
        *patches(v, bias=True),
        tensor("position_embd", side(v) ** 2, h),
        *layer_norm("post_norm", h),
        *after,
    ]
    return plain_tower(v, tensors)


def siglip_with_head(v: Config, after: list[Plain]) -> Plain:
    """Return a SigLIP tower with its attention pooling, unless the config leaves that out."""
    h, wide = v["hidden_size"], v["intermediate_size"]
    head = [
        tensor("head.probe", h),
        *biased("head.attn_qkv", 3 * h, h),
        *biased("head.attn_out", h, h),
        *layer_norm("head.norm", h),
        *biased("head.fc1", wide, h),
        *biased("head.fc2", h, wide),
    ]
    return siglip(v, [*(head if v.get("vision_use_head", True) else ()), *after])


def clip(v: Config, after: list[Plain]) -> Plain:
    """Return a CLIP tower: a class token, norms before the first and after the last layer."""
    h = v["hidden_size"]
    tensors = [
        *patches(v, bias=False),
        tensor("class_embd", h),
        tensor("position_embd", side(v) ** 2 + 1, h),
        *layer_norm("pre_norm", h),
        *layer_norm("post_norm", h),
        *after,
    ]
    return plain_tower(v, tensors)


# transformers 5.23.0, PixtralVisionConfig.
PIXTRAL = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "patch_size": 16,
}  # fmt: skip


def pixtral(v: Config, after: list[Plain]) -> Plain:
    """Return a Pixtral tower: rotary positions, RMS norms, gated MLP, no biases."""
    v = known(v, **PIXTRAL)
    tensors = [*patches(v, bias=False), tensor("pre_norm", v["hidden_size"]), *after]
    mlp = dense(v["intermediate_size"])
    heads, depth = v["num_attention_heads"], v["num_hidden_layers"]
    return tower(v, heads, depth, tensors, mlp=mlp, norm="rms", bias=False)


def moonvit(v: Config, after: list[Plain]) -> Plain:
    """Return a MoonViT tower: positions interpolated from a grid, a final norm."""
    h = v["hidden_size"]
    high, wide = (v.get(f"init_pos_emb_{s}") or v[f"pos_emb_{s}"] for s in ("height", "width"))
    tensors = [
        *patches(v, bias=True),
        tensor("position_embd", high * wide, h),
        *layer_norm("post_norm", h),
        *after,
    ]
    return plain_tower(v, tensors)


def internvit(v: Config, after: list[Plain]) -> Plain:
    """Return an InternViT tower: a class token, two layer scales a layer (6B: QK norms, RMS)."""
    h, b = v["hidden_size"], bool(v["qkv_bias"])
    norm = "rms" if v.get("norm_type", "layer_norm") == "rms_norm" else "layer"
    qk_norm = "full" if v.get("qk_normalization") else "none"
    tensors = [
        *patches(v, bias=True),
        tensor("class_embd", h),
        tensor("position_embd", side(v) ** 2 + 1, h),
        *after,
    ]
    mixer = attention(
        {"num_attention_heads": v["num_attention_heads"], "hidden_size": h},
        qkv_bias=b, o_bias=True, fused_qkv=True, qk_norm=qk_norm,
    )  # fmt: skip
    layer = {
        "mixers": [mixer | {"causal": False}],
        "mlp": dense(v["intermediate_size"], gated=False, bias=True),
        "tensors": [tensor("layer_scale_1", h), tensor("layer_scale_2", h)],
    }
    layers = [layer] * v["num_hidden_layers"]
    return stack(h, layers, norm=norm, final_norm=False, tensors=tensors)


def vision_config(c: Config) -> Config:
    """Return the vision part of a config, or raise KeyError where it is not there."""
    v = c.get("vision_config")
    if not isinstance(v, Mapping):
        raise KeyError("vision_config")
    return v
