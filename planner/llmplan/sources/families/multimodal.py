"""Language models with a vision tower."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, moe, record, stack
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.hybrid import delta_layers
from llmplan.sources.families.llama_like import gemma3_text, qwen2
from llmplan.sources.layers import Plain


def _tower(
    v: Config, heads: int, depth: int, tensors: list[Plain], *, mlp: Plain, norm: str = "layer"
) -> Plain:
    shape = {"num_attention_heads": heads, "hidden_size": v["hidden_size"]}
    mixer = attention(shape, qkv_bias=True, o_bias=True) | {"causal": False}
    layers = [{"mixers": [mixer], "mlp": mlp}] * depth
    return stack(v["hidden_size"], layers, norm=norm, final_norm=False, tensors=tensors)


def _tensor(name: str, *shape: int, linear: bool = False) -> Plain:
    return {"name": name, "shape": list(shape)} | ({"linear": True} if linear else {})


def _biased(name: str, rows: int, columns: int) -> list[Plain]:
    return [_tensor(name, rows, columns, linear=True), _tensor(f"{name}.bias", rows)]


@family("gemma3")
def gemma3(c: Config) -> Plain:
    """Gemma 3 with its SigLIP tower and a projector into the text width."""
    v, t = c["vision_config"], _text(c)
    h, text = v["hidden_size"], t["hidden_size"]
    patches = (v["image_size"] // v["patch_size"]) ** 2
    tensors = [
        _tensor("patch_embd", h, 3 * v["patch_size"] ** 2),
        _tensor("patch_embd.bias", h),
        _tensor("position_embd", patches, h),
        _tensor("post_norm", h),
        _tensor("post_norm.bias", h),
        _tensor("mm.soft_emb_norm", h),
        _tensor("mm.input_projection", text, h),
    ]
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    tower = _tower(v, v["num_attention_heads"], v["num_hidden_layers"], tensors, mlp=mlp)
    return {**gemma3_text(t), "vision": tower}


@family("qwen2_5_vl")
def qwen2_5_vl(c: Config) -> Plain:
    """Qwen2.5-VL: RMS-norm tower with gated MLP, patches of two frames, 2x2 merger."""
    v = c["vision_config"]
    h, out = v["hidden_size"], v["out_hidden_size"]
    merged = h * v.get("spatial_merge_size", 2) ** 2
    tensors = [
        _tensor("patch_embd", h, 3 * v.get("temporal_patch_size", 2) * v["patch_size"] ** 2),
        _tensor("merger.ln_q", h),
        *_biased("merger.mlp.0", merged, merged),
        *_biased("merger.mlp.2", out, merged),
    ]
    mlp = dense(v["intermediate_size"], bias=True)
    tower = _tower(v, v["num_heads"], v["depth"], tensors, mlp=mlp, norm="rms")
    return {**qwen2(_text(c)), "vision": tower}


def _qwen3_vision(v: Config) -> Plain:
    h = v["hidden_size"]
    merged = h * v.get("spatial_merge_size", 2) ** 2
    patch = 3 * v.get("temporal_patch_size", 2) * v["patch_size"] ** 2
    tensors = [
        _tensor("patch_embd", h, patch),
        _tensor("patch_embd.bias", h),
        _tensor("position_embd", v["num_position_embeddings"], h),
        _tensor("merger.norm", h),
        _tensor("merger.norm.bias", h),
        *_biased("merger.fc1", merged, merged),
        *_biased("merger.fc2", v["out_hidden_size"], merged),
    ]
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    return _tower(v, v["num_heads"], v["depth"], tensors, mlp=mlp)


@family("qwen3_5")
def qwen3_5(c: Config) -> Plain:
    """Qwen3.5 dense: gated delta net hybrid with a vision tower and an MTP layer apart."""
    t = _text(c)
    mlp = dense(t["intermediate_size"])
    layers = delta_layers(t, mlp)
    result = record({**t, **c, "vocab_size": t["vocab_size"]}, stack(t["hidden_size"], layers))
    if c.get("vision_config"):
        result["vision"] = _qwen3_vision(c["vision_config"])
    if t.get("mtp_num_hidden_layers"):
        full = next(x for x in layers if x["mixers"][0]["kind"] == "attention")
        result["draft"] = _mtp(t["hidden_size"], full, t["mtp_num_hidden_layers"])
    return result


def _mtp(hidden: int, layer: Plain, count: int) -> Plain:
    tensors = [
        _tensor("nextn.eh_proj", hidden, 2 * hidden, linear=True),
        _tensor("nextn.enorm", hidden),
        _tensor("nextn.hnorm", hidden),
    ]
    return stack(hidden, [layer] * count, tensors=tensors)


@family("llama4")
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
    layers = [
        {
            "mixers": [attention(t, chunk=t["attention_chunk_size"] if (i + 1) % 4 else None)],
            "mlp": experts if (i + 1) % step == 0 else plain,
        }
        for i in range(t["num_hidden_layers"])
    ]
    result = record({**t, "tie_word_embeddings": False}, stack(t["hidden_size"], layers))
    if c.get("vision_config"):
        result["vision"] = _llama4_vision(c["vision_config"], t["hidden_size"])
    return result


def _llama4_vision(v: Config, text: int) -> Plain:
    h, side = v["hidden_size"], v["image_size"] // v["patch_size"]
    shuffled = int(h / v["pixel_shuffle_ratio"] ** 2)
    projected = v["projector_output_dim"]
    tensors = [
        _tensor("patch_embd", h, 3 * v["patch_size"] ** 2, linear=True),
        _tensor("class_embd", h),
        _tensor("position_embd", side * side + 1, h),
        *(_tensor(f"{n}{b}", h) for n in ("pre_norm", "post_norm") for b in ("", ".bias")),
        _tensor("adapter.fc1", v["projector_input_dim"], shuffled, linear=True),
        _tensor("adapter.fc2", projected, v["projector_input_dim"], linear=True),
        _tensor("mm.projection", text, v["vision_output_dim"], linear=True),
    ]
    mlp = dense(v["intermediate_size"], gated=False, bias=True)
    return _tower(v, v["num_attention_heads"], v["num_hidden_layers"], tensors, mlp=mlp)
