"""Language models with a vision tower: LLaVA, Mistral, GLM-V, Kimi and others."""

from __future__ import annotations

from collections.abc import Callable

from llmplan.sources.config_json import (
    Config,
    dense,
    family,
    known,
    text_record,
)
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.mixture import dense_then_experts, latent_attention
from llmplan.sources.families.vision import (
    biased,
    clip,
    internvit,
    layer_norm,
    moonvit,
    patches,
    pixtral,
    side,
    siglip,
    siglip_with_head,
    tensor,
    tower,
)
from llmplan.sources.families.vision import vision_config as _vision
from llmplan.sources.layers import Plain

# Nested text configs leave out what equals the defaults of their class.
# transformers 5.23.0: LlamaConfig, MistralConfig, Qwen2Config, Mistral4Config.
TEXT_DEFAULTS: dict[str, Plain] = {
    "llama": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 32000,
    },
    "mistral": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000,
    },
    "qwen2": {
        "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 151936,
    },
    "mistral4": {
        "hidden_size": 4096, "moe_intermediate_size": 2048, "num_hidden_layers": 36,
        "num_attention_heads": 32, "vocab_size": 131072, "n_routed_experts": 128,
        "n_shared_experts": 1, "num_experts_per_tok": 4, "intermediate_size": 12288,
        "q_lora_rank": 1024, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    },
}  # fmt: skip
TOWERS: dict[str, Callable[[Config, list[Plain]], Plain]] = {
    "clip_vision_model": clip,
    "siglip_vision_model": siglip_with_head,
    "pixtral": pixtral,
}


def _spoken(c: Config, default: str) -> tuple[Plain, int]:
    """Return the text model of a nested config, and its width."""
    said = c.get("text_config") or c.get("llm_config")
    kind = said.get("model_type", default) if isinstance(said, dict) else default
    text = text_record(c, **{"model_type": kind, **TEXT_DEFAULTS.get(kind, {})})
    return text, text["decoder"]["hidden_size"]


def _seen(v: Config, after: list[Plain], default: str) -> Plain:
    kind = v.get("model_type", default)
    if kind not in TOWERS:
        raise KeyError(f"a reading of the vision tower {str(kind)[:40]!r}")
    return TOWERS[kind](v, after)


def _two_layers(c: Config, width: int, inputs: int, *, bias: bool) -> list[Plain]:
    made = biased("mm.0", width, inputs) + biased("mm.2", width, width)
    return [t for t in made if bias or not t["name"].endswith(".bias")]


@family("llava", "llava_next", "llava_onevision")
def llava(c: Config) -> Plain:
    """LLaVA 1.5, NeXT and OneVision, Pixtral 12B: a tower and two linear layers into the text."""
    text, width = _spoken(c, "llama")
    v = _vision(c)
    taps = c.get("vision_feature_layer")
    h = known(v, hidden_size=1024)["hidden_size"] * (len(taps) if isinstance(taps, list) else 1)
    after = _two_layers(c, width, h, bias=c.get("multimodal_projector_bias", True))
    if c["model_type"] != "llava":
        after.append(tensor("image_newline", width))
    return {**text, "vision": _seen(v, after, "clip_vision_model")}


@family("mistral4")
def mistral4(c: Config) -> Plain:
    """Mistral Small 4: multi-head latent attention, experts in every layer, one shared."""
    return dense_then_experts(c, latent_attention(c))


@family("mistral3")
def mistral3(c: Config) -> Plain:
    """Mistral Small 3.1 to 4, Medium 3.5, Ministral 3: Pixtral tower, 2x2 patch merger."""
    text, width = _spoken(c, "mistral")
    v = known(_vision(c), patch_size=14, hidden_size=1024)  # Mistral3Config's own tower
    h = v["hidden_size"]
    after = [
        tensor("mm.input_norm", h),
        tensor("mm.patch_merger", h, h * c.get("spatial_merge_size", 2) ** 2, linear=True),
        *_two_layers(c, width, h, bias=bool(c.get("multimodal_projector_bias"))),
    ]
    return {**text, "vision": _seen(v, after, "pixtral")}


# transformers 5.23.0, Glm4vVisionConfig. The merger is as wide as the text's MLP: 13,696 in
# GLM-4.1V; 10,944 in GLM-4.5V, where the published count leaves no other width.
GLM4V_VISION = {
    "depth": 24, "hidden_size": 1536, "num_heads": 12, "image_size": 336, "patch_size": 14,
    "temporal_patch_size": 2, "spatial_merge_size": 2, "out_hidden_size": 4096,
}  # fmt: skip


def _glm4v_vision(v: Config) -> Plain:
    """Return GLM-V's tower: RMS norms, gated MLPs as wide as the text, a 2x2 downsampling."""
    h, out, wide = v["hidden_size"], v["out_hidden_size"], v["intermediate_size"]
    tensors = [
        *patches(v, bias=True, frames=v["temporal_patch_size"]),
        tensor("position_embd", side(v) ** 2, h),
        tensor("post_conv_norm", h),
        tensor("post_norm", h),
        tensor("downsample", out, h * v["spatial_merge_size"] ** 2),
        tensor("downsample.bias", out),
        tensor("merger.proj", out, out, linear=True),
        *layer_norm("merger.norm", out),
        tensor("merger.gate", wide, out, linear=True),
        tensor("merger.up", wide, out, linear=True),
        tensor("merger.down", out, wide, linear=True),
    ]
    b = bool(v.get("attention_bias"))
    return tower(v, v["num_heads"], v["depth"], tensors, mlp=dense(out), norm="rms", bias=b)


# transformers 5.23.0, Glm4vTextConfig and Glm4vMoeTextConfig.
GLM4V_TEXT = {"attention_bias": True, "num_key_value_heads": 2, "intermediate_size": 13696}
GLM4V_MOE_TEXT = {
    "attention_bias": True, "num_key_value_heads": 8, "intermediate_size": 10944,
    "n_shared_experts": 1, "first_k_dense_replace": 1,
}  # fmt: skip


@family("glm4v")
def glm4v(c: Config) -> Plain:
    """GLM-4.1V, GLM-4.6V Flash: GLM-4-0414 with a tower of its own."""
    return _glm4v(c, "glm4", GLM4V_TEXT)


@family("glm4v_moe")
def glm4v_moe(c: Config) -> Plain:
    """GLM-4.5V and 4.6V: GLM-4.5-Air with the tower of GLM-4.1V."""
    return _glm4v(c, "glm4_moe", GLM4V_MOE_TEXT)


def _glm4v(c: Config, kind: str, silent: Plain) -> Plain:
    said = {k: v for k, v in _text(c).items() if k not in ("text_config", "vision_config")}
    text = known(said, **silent)
    width = {"intermediate_size": text["intermediate_size"]}
    v = known(c.get("vision_config") or {}, **GLM4V_VISION, **width)
    record = text_record({"text_config": {**text, "model_type": kind}})
    return {**record, "vision": _glm4v_vision(v)}


@family("kimi_vl")
def kimi_vl(c: Config) -> Plain:
    """Kimi-VL: MoonViT tower, 2x2 patch merger, DeepSeek-V3's text model."""
    text, width = _spoken(c, "deepseek_v3")
    return {**text, "vision": moonvit(_vision(c), _kimi_projector(_vision(c), width))}


@family("kimi_k25")
def kimi_k25(c: Config) -> Plain:
    """Kimi K2.5 to K2.7: MoonViT over frames of video, Kimi K2's text model."""
    text, width = _spoken(c, "deepseek_v3")
    said = _vision(c)
    renamed = {k.removeprefix("vt_"): x for k, x in said.items()}
    v = known(renamed, **KIMI_VISION)
    return {**text, "vision": moonvit(v, _kimi_projector(v, width))}


# transformers 5.23.0, Kimi_K25VisionConfig.
KIMI_VISION = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16, "patch_size": 14, "pos_emb_height": 64, "pos_emb_width": 64,
}  # fmt: skip


def _kimi_projector(v: Config, width: int) -> list[Plain]:
    merged = v["hidden_size"]
    for n in v.get("merge_kernel_size", (2, 2)):
        merged *= n
    return [
        *layer_norm("mm.pre_norm", v["hidden_size"]),
        *biased("mm.0", merged, merged),
        *biased("mm.2", width, merged),
    ]


@family("internvl_chat")
def internvl(c: Config) -> Plain:
    """InternVL 2 to 3.5: InternViT, pixel shuffle, two linear layers into the text."""
    text, width = _spoken(c, "qwen2")
    v = _vision(c)
    shuffled = int(v["hidden_size"] / c.get("downsample_ratio", 0.5) ** 2)
    after = [
        *layer_norm("mm.norm", shuffled),
        *biased("mm.0", width, shuffled),
        *biased("mm.2", width, width),
    ]
    return {**text, "vision": internvit(v, after)}


# transformers 5.23.0, Idefics3VisionConfig and SmolVLMVisionConfig.
IDEFICS3_VISION = {
    "hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 16, "image_size": 224, "patch_size": 32,
}  # fmt: skip


@family("idefics3", "smolvlm")
def idefics3(c: Config) -> Plain:
    """Idefics3 and SmolVLM: SigLIP tower, pixel shuffle, one linear layer into the text."""
    text, width = _spoken(c, "llama")
    v = known(_vision(c), **IDEFICS3_VISION)
    shuffled = v["hidden_size"] * c.get("scale_factor", 2) ** 2
    return {**text, "vision": siglip(v, [tensor("mm.proj", width, shuffled, linear=True)])}


@family("minicpmv")
def minicpmv(c: Config) -> Plain:
    """MiniCPM-V 2.5 to 4.5: SigLIP tower, a resampler that asks with queries of its own.

    Its config.json is flat: the keys of the text model stand beside `vision_config`.
    """
    if isinstance(c.get("text_config"), dict):
        text, width = _spoken(c, "qwen2")
    else:
        kind = MINICPMV_TEXT.get(str(c["version"]))
        if kind is None:
            raise KeyError(f"a reading of version {str(c['version'])[:10]!r}")
        text = text_record({"text_config": {**c, "model_type": kind, "vision_config": None}})
        width = text["decoder"]["hidden_size"]
    v = _vision(c)
    depth = v["num_hidden_layers"] - (1 if c.get("drop_vision_last_layer") else 0)
    resampler = [
        tensor("resampler.query", c["query_num"], width),
        tensor("resampler.kv", width, v["hidden_size"], linear=True),
        *biased("resampler.attn_qkv", 3 * width, width),
        *biased("resampler.attn_out", width, width),
        *(t for n in ("q", "kv", "post") for t in layer_norm(f"resampler.norm_{n}", width)),
        tensor("resampler.proj", width, width),
    ]
    return {**text, "vision": siglip({**v, "num_hidden_layers": depth}, resampler)}


MINICPMV_TEXT = {"2.5": "llama", "2.6": "qwen2", "4.0": "llama", "4": "llama", "4.5": "qwen3"}
"""Text model of each release. Source: vLLM 0.33.0, model_executor/models/minicpmv.py."""
