"""The Qwen VL line: towers that merge 2x2 patches, from Qwen2-VL to Qwen3.5."""

from __future__ import annotations

from llmplan.sources.config_json import Config, dense, family, known, record, stack
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.hybrid import delta_layers
from llmplan.sources.families.llama_like import qwen2, qwen3
from llmplan.sources.families.mixture import gated_shared_experts, qwen3_moe
from llmplan.sources.families.vision import biased, layer_norm, patches, tensor, tower
from llmplan.sources.families.vision import vision_config as _vision
from llmplan.sources.layers import Plain

# transformers 5.23.0, the vision configurations of Qwen2-VL to Qwen3.5.
MERGING = {"spatial_merge_size": 2, "temporal_patch_size": 2}
QWEN2_VISION = MERGING | {
    "depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "patch_size": 14,
}  # fmt: skip
QWEN3_VISION = MERGING | {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
    "num_position_embeddings": 2304,
}  # fmt: skip
DEEPSTACK_LAYERS = (8, 16, 24)
"""Layers whose output Qwen3-VL feeds to the text too. Source: transformers, Qwen3VLVisionConfig."""


def _merged(v: Config, width: int) -> int:
    return int(width * v["spatial_merge_size"] ** 2)


@family("qwen2_vl")
def qwen2_vl(c: Config) -> Plain:
    """Qwen2-VL: `hidden_size` of its tower is the text's, `embed_dim` its own width."""
    v = known(_vision(c), **QWEN2_VISION)
    h, out = v["embed_dim"], v["hidden_size"]
    merged = _merged(v, h)
    v = {**v, "hidden_size": h}
    tensors = [
        *patches(v, bias=False, frames=v["temporal_patch_size"]),
        *layer_norm("merger.ln_q", h),
        *biased("merger.mlp.0", merged, merged),
        *biased("merger.mlp.2", out, merged),
    ]
    mlp = dense(int(h * v["mlp_ratio"]), gated=False, bias=True)
    return {**qwen2(_text(c)), "vision": tower(v, v["num_heads"], v["depth"], tensors, mlp=mlp)}


@family("qwen2_5_vl")
def qwen2_5_vl(c: Config) -> Plain:
    """Qwen2.5-VL: RMS-norm tower with gated MLP, patches of two frames, 2x2 merger."""
    v = known(_vision(c), **MERGING)
    h = v["hidden_size"]
    merged = _merged(v, h)
    tensors = [
        *patches(v, bias=False, frames=v["temporal_patch_size"]),
        tensor("merger.ln_q", h),
        *biased("merger.mlp.0", merged, merged),
        *biased("merger.mlp.2", v["out_hidden_size"], merged),
    ]
    mlp = dense(v["intermediate_size"], bias=True)
    built = tower(v, v["num_heads"], v["depth"], tensors, mlp=mlp, norm="rms")
    return {**qwen2(_text(c)), "vision": built}


def qwen3_vision(v: Config, *, deepstack: bool = False) -> Plain:
    """Return the tower of Qwen3-VL and Qwen3.5; `deepstack` adds a merger for each layer tapped."""
    v = known(v, **QWEN3_VISION)
    h, out = v["hidden_size"], v["out_hidden_size"]
    merged = _merged(v, h)
    tensors = [
        *patches(v, bias=True, frames=v["temporal_patch_size"]),
        tensor("position_embd", v["num_position_embeddings"], h),
        *layer_norm("merger.norm", h),
        *biased("merger.fc1", merged, merged),
        *biased("merger.fc2", out, merged),
    ]
    tapped = v.get("deepstack_visual_indexes", DEEPSTACK_LAYERS) if deepstack else ()
    for i, _ in enumerate(tapped):
        tensors += [
            *layer_norm(f"deepstack.{i}.norm", merged),
            *biased(f"deepstack.{i}.fc1", merged, merged),
            *biased(f"deepstack.{i}.fc2", out, merged),
        ]
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    return tower(v, v["num_heads"], v["depth"], tensors, mlp=mlp)


@family("qwen3_vl")
def qwen3_vl(c: Config) -> Plain:
    """Qwen3-VL dense: Qwen3 with a tower whose middle layers reach the text too."""
    return {**qwen3(_text(c)), "vision": qwen3_vision(_vision(c), deepstack=True)}


@family("qwen3_vl_moe")
def qwen3_vl_moe(c: Config) -> Plain:
    """Qwen3-VL MoE: Qwen3-MoE with the tower of Qwen3-VL."""
    return {**qwen3_moe(_text(c)), "vision": qwen3_vision(_vision(c), deepstack=True)}


def _hybrid(c: Config, mlp: Plain) -> Plain:
    t = _text(c)
    layers = delta_layers(t, mlp)
    result = record({**t, **c, "vocab_size": t["vocab_size"]}, stack(t["hidden_size"], layers))
    if c.get("vision_config"):
        result["vision"] = qwen3_vision(c["vision_config"])
    if t.get("mtp_num_hidden_layers"):
        full = next((x for x in layers if x["mixers"][0]["kind"] == "attention"), None)
        if full is None:
            raise KeyError("a full_attention layer")
        result["draft"] = _mtp(t["hidden_size"], full, t["mtp_num_hidden_layers"])
    return result


@family("qwen3_5", "qwen3_5_text")
def qwen3_5(c: Config) -> Plain:
    """Qwen3.5 dense: gated delta net hybrid with a vision tower and an MTP layer apart."""
    return _hybrid(c, dense(_text(c)["intermediate_size"]))


@family("qwen3_5_moe", "qwen3_5_moe_text")
def qwen3_5_moe(c: Config) -> Plain:
    """Qwen3.5 to 3.8 MoE: the same hybrid with many small experts and a gated shared one."""
    return _hybrid(c, gated_shared_experts(_text(c)))


def _mtp(hidden: int, layer: Plain, count: int) -> Plain:
    tensors = [
        tensor("nextn.eh_proj", hidden, 2 * hidden, linear=True),
        tensor("nextn.enorm", hidden),
        tensor("nextn.hnorm", hidden),
    ]
    return stack(hidden, [layer] * count, tensors=tensors)
