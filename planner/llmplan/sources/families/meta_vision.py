"""Meta's models with a vision tower: Llama 3.2 Vision, Llama 4, Muse Glimmer."""

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
)
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.vision import layer_norm, patches, plain_tower, side, tensor
from llmplan.sources.families.vision import vision_config as _vision
from llmplan.sources.layers import Plain


@family("llama4", "llama4_text")
def llama4(c: Config) -> Plain:
    """Llama 4: chunked attention in three layers of four, one routed and one shared expert."""
    t = _text(c)
    experts = moe(
        t["intermediate_size"],
        t["num_local_experts"],
        t["num_experts_per_tok"],
        shared_experts_size=t["intermediate_size"],
    )
    step = t.get("interleave_moe_layer_step", 1)
    plain = dense(t.get("intermediate_size_mlp") or t["intermediate_size"])
    count = t["num_hidden_layers"]
    rotated = t.get("no_rope_layers") or [(i + 1) % 4 for i in range(count)]  # 0: no RoPE
    layers = [
        {
            "mixers": [attention(t, chunk=t["attention_chunk_size"] if rotated[i] else None)],
            "mlp": experts if (i + 1) % step == 0 else plain,
        }
        for i in range(count)
    ]
    result = record({**t, "tie_word_embeddings": False}, stack(t["hidden_size"], layers))
    if c.get("vision_config"):
        result["vision"] = _llama4_vision(c["vision_config"], t["hidden_size"])
    return result


def _llama4_vision(v: Config, text: int) -> Plain:
    h = v["hidden_size"]
    shuffled = int(h / v["pixel_shuffle_ratio"] ** 2)
    projected = v["projector_output_dim"]
    tensors = [
        tensor("patch_embd", h, 3 * v["patch_size"] ** 2, linear=True),
        tensor("class_embd", h),
        tensor("position_embd", side(v) ** 2 + 1, h),
        *layer_norm("pre_norm", h),
        *layer_norm("post_norm", h),
        tensor("adapter.fc1", v["projector_input_dim"], shuffled, linear=True),
        tensor("adapter.fc2", projected, v["projector_input_dim"], linear=True),
        tensor("mm.projection", text, v["vision_output_dim"], linear=True),
    ]
    return plain_tower(v, tensors)


# Rows of Llama 3.2 Vision's embedding past the vocabulary, for the image token; the head has none.
# Source: transformers 5.23.0, MllamaTextModel.
MLLAMA_IMAGE_ROWS = 8


@family("mllama")
def mllama(c: Config) -> Plain:
    """Llama 3.2 Vision: Llama 3 with gated layers that read the image by cross-attention."""
    t, v = _text(c), _vision(c)
    h, crossing = t["hidden_size"], set(t["cross_attention_layers"])
    mlp = dense(t["intermediate_size"])
    gates = [tensor(f"cross_attn_{part}_gate", 1) for part in ("attn", "mlp")]
    cross = {"mixers": [attention(t, cross=True, qk_norm="per_head")], "mlp": mlp, "tensors": gates}
    plain = {"mixers": [attention(t)], "mlp": mlp}
    layers = [cross if i in crossing else plain for i in range(t["num_hidden_layers"])]
    extra = [tensor("token_embd.image", MLLAMA_IMAGE_ROWS, h)]
    return record(t, stack(h, layers), tensors=extra, vision=_mllama_vision(v, h))


def _mllama_vision(v: Config, text: int) -> Plain:
    """Return two runs of layers, plain and gated, and positions of each tile of each ratio."""
    h, places = v["hidden_size"], side(v) ** 2 + 1
    ratios = len(v.get("supported_aspect_ratios") or MLLAMA_RATIOS) + 1
    tiles = v["max_num_tiles"]
    mixer = attention({"num_attention_heads": v["attention_heads"], "hidden_size": h})
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    layer = {"mixers": [mixer | {"causal": False}], "mlp": mlp}
    gated = layer | {"tensors": [tensor("gate_attn", 1), tensor("gate_ffn", 1)]}
    tensors = [
        *patches(v, bias=False),
        tensor("class_embd", h),
        tensor("position_embd", places, h),
        tensor("position_embd.gate", 1),
        tensor("tile_position_embd", ratios, tiles * places * h),
        *layer_norm("pre_norm", h),
        *layer_norm("post_norm", h),
        tensor("mm.proj", text, v["vision_output_dim"], linear=True),
        tensor("mm.proj.bias", text),
    ]
    for name in ("pre_tile_embd", "post_tile_embd"):
        tensors += [tensor(name, ratios, tiles * h), tensor(f"{name}.gate", 1)]
    layers = [layer] * v["num_hidden_layers"] + [gated] * v["num_global_layers"]
    return stack(h, layers, norm="layer", final_norm=False, tensors=tensors)


# transformers 5.23.0, MllamaVisionConfig: tile arrangements of up to four tiles.
MLLAMA_RATIOS = ((1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1))

# transformers 5.23.0, MuseGlimmerConfig, its text and its vision part.
MUSE_GLIMMER_WINDOW = 2048
MUSE_GLIMMER_VISION = {
    "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 50,
    "num_attention_heads": 16, "patch_size": 14, "patch_temporal": 2, "pos_emb_height": 32,
    "pos_emb_width": 32, "merge_size": 2,
}  # fmt: skip
MUSE_GLIMMER_PROJECTOR = 4096


@family("muse_glimmer")
def muse_glimmer(c: Config) -> Plain:
    """Muse Glimmer: gated attention, every fourth layer from the last full, the rest sliding."""
    t = known(_text(c), sliding_window=MUSE_GLIMMER_WINDOW)
    n, h, mlp = t["num_hidden_layers"], t["hidden_size"], dense(t["intermediate_size"])
    types = t.get("layer_types") or [
        "sliding_attention" if (n - 1 - i) % 4 else "full_attention" for i in range(n)
    ]
    sliding, full = (
        {"mixers": [attention(t, window=w, output_gate="elementwise")], "mlp": mlp, "norms": 4}
        for w in (t["sliding_window"], None)
    )
    layers = [full if kind == "full_attention" else sliding for kind in types]
    vision = _muse_glimmer_vision(c, h)
    return record(t, stack(h, layers), vision=vision)


def _muse_glimmer_vision(c: Config, text: int) -> Plain:
    v = known(c.get("vision_config") or {}, **MUSE_GLIMMER_VISION)
    inner = c.get("projector_hidden_size") or MUSE_GLIMMER_PROJECTOR
    h = v["hidden_size"]
    tensors = [
        *patches(v, bias=False, frames=v["patch_temporal"]),
        tensor("position_embd", v["pos_emb_height"] * v["pos_emb_width"], h),
        *layer_norm("pre_norm", h),
        *layer_norm("post_norm", h),
        tensor("mm.0", inner, h * v["merge_size"] ** 2, linear=True),
        tensor("mm.2", inner, inner, linear=True),
        tensor("mm.proj", text, inner, linear=True),
    ]
    return plain_tower(v, tensors)
