"""Gemma with its towers: Gemma 3, Gemma 4 and Gemma 4 without an image encoder."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, known, moe, record, stack
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.llama_like import gemma3_text
from llmplan.sources.families.vision import biased, layer_norm, patches, siglip, tensor
from llmplan.sources.families.vision import vision_config as _vision
from llmplan.sources.layers import Plain


@family("gemma3")
def gemma3(c: Config) -> Plain:
    """Gemma 3 with its SigLIP tower and a projector into the text width."""
    v, t = _vision(c), _text(c)
    h = v["hidden_size"]
    after = [
        tensor("mm.soft_emb_norm", h),
        tensor("mm.input_projection", t.get("hidden_size", 2304), h),
    ]
    return {**gemma3_text(t), "vision": siglip(v, after)}


# transformers 5.23.0: Gemma4TextConfig, Gemma4UnifiedTextConfig, and their parts.
GEMMA4_TEXT = {"head_dim": 256, "global_head_dim": 512, "sliding_window": 512}
GEMMA4_INPUTS = {"hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144}
GEMMA4_UNIFIED_TEXT = GEMMA4_TEXT | {"sliding_window": 1024}
GEMMA4_PERIOD = 6
GEMMA4_VISION = {"patch_size": 16, "position_embedding_size": 10240}
GEMMA4_AUDIO = {
    "hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8, "conv_kernel_size": 5,
    "subsampling_conv_channels": (128, 32), "output_proj_dims": 1536,
}  # fmt: skip
GEMMA4_UNIFIED_VISION = {
    "patch_size": 16, "pooling_kernel_size": 3, "mm_embed_dim": 3840, "mm_posemb_size": 1120,
}  # fmt: skip
GEMMA4_UNIFIED_AUDIO = {"audio_embed_dim": 640}
MEL_BINS_AFTER_CONVOLUTION = 32
"""Mel bins (128) after two convolutions of stride 2. Source: Gemma4AudioFeatureExtractor."""


def _gemma4_mixer(t: Config, full: bool, shared: bool) -> Plain:
    """Return one layer's attention: full layers have wider heads, and may use K as V."""
    if not full:
        return attention(t, window=t["sliding_window"], qk_norm="per_head", shares_kv=shared)
    one = bool(t.get("attention_k_eq_v"))
    groups = (t.get("num_global_key_value_heads") if one else None) or t["num_key_value_heads"]
    wide = {**t, "head_dim": t["global_head_dim"], "num_key_value_heads": groups}
    mixer = attention(wide, qk_norm="per_head", shares_kv=shared)
    return mixer | ({"value_projection": False} if one else {})


def _gemma4_layer(t: Config, mixer: Plain, shared: bool) -> Plain:
    """Return one layer: MLP or experts beside it, the input of its own (PLE) where it has one."""
    h, size = t["hidden_size"], t["intermediate_size"]
    layer: Plain = {"mixers": [mixer], "mlp": dense(size), "norms": 4}
    tensors = []
    if shared and t.get("use_double_wide_mlp"):
        layer["mlp"] = dense(2 * size)
    if t.get("enable_moe_block"):
        experts, per_token = t["num_experts"], t["top_k_experts"]
        width = t.get("moe_intermediate_size") or t["expert_intermediate_size"]
        layer |= {"mlp": moe(width, experts, per_token, shared_experts_size=size), "norms": 7}
        tensors += [tensor("ffn_gate_inp.scale", h), tensor("ffn_down_exps.scale", experts)]
    own = t.get("hidden_size_per_layer_input")
    if own:
        layer["norms"] += 1
        tensors += [tensor("inp_gate", own, h, linear=True), tensor("proj", h, own, linear=True)]
    return layer | ({"tensors": tensors} if tensors else {})


def _gemma4_text(t: Config) -> Plain:
    n, own = t["num_hidden_layers"], t.get("hidden_size_per_layer_input")
    types = list(t.get("layer_types") or [])
    if not types:
        types = ["full_attention" if (i + 1) % GEMMA4_PERIOD == 0 else "" for i in range(n)]
    types[-1] = "full_attention"
    first_shared = n - (t.get("num_kv_shared_layers") or 0)
    layers = []
    for i, kind in enumerate(types):
        mixer = _gemma4_mixer(t, kind == "full_attention", i >= first_shared)
        layers.append(_gemma4_layer(t, mixer, i >= first_shared))
    inputs = [
        tensor("per_layer_token_embd", t["vocab_size_per_layer_input"], n * own),
        tensor("per_layer_model_proj", n * own, t["hidden_size"], linear=True),
        tensor("per_layer_proj_norm", own),
    ] if own else []  # fmt: skip
    body = stack(t["hidden_size"], layers)
    return record(t, body, tied=True, **({"tensors": inputs} if inputs else {}))


@family("gemma4", "gemma4_text")
def gemma4(c: Config) -> Plain:
    """Gemma 4: five sliding layers to one full of wider heads; vision and audio towers."""
    t = known(_text(c), **GEMMA4_TEXT, **GEMMA4_INPUTS)
    result = _gemma4_text(t)
    if c.get("vision_config"):
        v = known(c["vision_config"], **GEMMA4_VISION)
        result["vision"] = _gemma4_towers(v, c.get("audio_config"), t["hidden_size"])
    return result


def _gemma4_towers(v: Config, audio: Config | None, text: int) -> Plain:
    """Return the vision tower, and the audio tower's layers after it where there is one."""
    h = v["hidden_size"]
    mixer = attention({"num_key_value_heads": None, **v}, qk_norm="per_head") | {"causal": False}
    layer = {"mixers": [mixer], "mlp": dense(v["intermediate_size"]), "norms": 4}
    tensors = [
        *patches(v, bias=False),
        tensor("position_embd", 2 * v["position_embedding_size"], h),
        tensor("mm.input_projection", text, h, linear=True),
    ]
    layers = [layer] * v["num_hidden_layers"]
    if audio is not None:
        a = known(audio, **GEMMA4_AUDIO)
        layer = conformer(a["hidden_size"], a["num_attention_heads"], a["conv_kernel_size"])
        layers += [layer] * a["num_hidden_layers"]
        tensors += _audio_ends(a, text)
    return stack(h, layers, final_norm=False, tensors=tensors)


def conformer(h: int, heads: int, kernel: int) -> Plain:
    """Return one Conformer layer of an audio tower, in tensors of its own width."""
    tensors = [
        *(tensor(f"a.attn_{n}", h, h, linear=True) for n in ("q", "k", "v", "out", "k_rel")),
        tensor("a.per_dim_scale", h // heads),
        tensor("a.conv_start", 2 * h, h, linear=True),
        tensor("a.conv_dw", h, kernel),
        tensor("a.conv_end", h, h, linear=True),
    ]
    for part in ("ffn", "ffn_1"):
        tensors.append(tensor(f"a.{part}_up", 4 * h, h, linear=True))
        tensors.append(tensor(f"a.{part}_down", h, 4 * h, linear=True))
        tensors += [tensor(f"a.{part}_norm", h), tensor(f"a.{part}_post_norm", h)]
    norms = ("attn_pre_norm", "attn_post_norm", "conv_pre_norm", "conv_norm", "out_norm")
    return {"norms": 0, "tensors": tensors + [tensor(f"a.{n}", h) for n in norms]}


def _audio_ends(a: Config, text: int) -> list[Plain]:
    """Return what stands before and after the audio layers: convolutions and projections."""
    h, out = a["hidden_size"], a["output_proj_dims"]
    first, second = a["subsampling_conv_channels"]
    return [
        tensor("a.conv_0", first, 9),
        tensor("a.conv_0_norm", first),
        tensor("a.conv_1", second, 9 * first),
        tensor("a.conv_1_norm", second),
        tensor("a.input_proj", h, second * MEL_BINS_AFTER_CONVOLUTION, linear=True),
        *biased("a.output_proj", out, h),
        tensor("mm.a.input_projection", text, out, linear=True),
    ]


@family("gemma4_unified")
def gemma4_unified(c: Config) -> Plain:
    """Gemma 4 12B: image patches and sound enter the text through one projection each."""
    t = known(_text(c), **GEMMA4_UNIFIED_TEXT)
    h, tensors = t["hidden_size"], []
    if c.get("vision_config"):
        v = known(c["vision_config"], **GEMMA4_UNIFIED_VISION)
        patch, width = 3 * (v["patch_size"] * v["pooling_kernel_size"]) ** 2, v["mm_embed_dim"]
        tensors += [
            *layer_norm("v.patch_norm", patch),
            *biased("v.patch_embd", width, patch),
            *layer_norm("v.patch_norm_1", width),
            tensor("v.position_embd", 2 * v["mm_posemb_size"], width),
            *layer_norm("v.position_norm", width),
            tensor("mm.input_projection", h, v.get("output_proj_dims") or width, linear=True),
        ]
    if c.get("audio_config"):
        a = known(c["audio_config"], **GEMMA4_UNIFIED_AUDIO)
        tensors.append(tensor("mm.a.input_projection", h, a["audio_embed_dim"], linear=True))
    return {**_gemma4_text(t), **({"tensors": tensors} if tensors else {})}
