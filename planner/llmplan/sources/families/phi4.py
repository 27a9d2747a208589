"""Phi-4 multimodal: Phi-4-mini with an image tower and a Conformer for sound."""

from __future__ import annotations

from collections.abc import Mapping

from llmplan.sources.config_json import Config, family, known
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.llama_like import phi3
from llmplan.sources.families.vision import biased, layer_norm, siglip_with_head, tensor
from llmplan.sources.layers import Plain

# The config does not describe the image tower: vLLM 0.33.0 phi4mm.get_navit_vision_model.
VISION = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16, "image_size": 448, "patch_size": 14,
}  # fmt: skip
# transformers 5.23.0, Phi4MultimodalAudioConfig; the position bias reaches 500 frames in the
# published checkpoint, whose count leaves no other.
AUDIO = {
    "attention_dim": 1024, "linear_units": 1536, "num_blocks": 24, "attention_heads": 16,
    "input_size": 80, "kernel_size": 3, "time_reduction": 8,
}  # fmt: skip
BIAS_FRAMES = 500


@family("phi4mm")
def phi4mm(c: Config) -> Plain:
    """Phi-4 multimodal, both towers in; its LoRA adapters for image and sound are not counted."""
    text = phi3(_text(c))
    width = text["decoder"]["hidden_size"]
    said = c.get("audio_processor")
    audio = said.get("config") if isinstance(said, Mapping) else None
    a = known(audio or {}, **AUDIO)
    h = VISION["hidden_size"]
    after = [
        tensor("mm.global_separator", h),
        tensor("mm.sub_separator", h),
        *biased("mm.0", width, h),
        *biased("mm.2", width, width),
        *_audio_ends(a, width),
    ]
    seen = siglip_with_head(VISION, after)
    blocks = {**seen["blocks"], "audio": {"norms": 0, "tensors": _conformer(a)}}
    layers = [*seen["layers"], f"audio*{a['num_blocks']}"]
    return {**text, "vision": {**seen, "blocks": blocks, "layers": layers}}


def _conformer(a: Config) -> list[Plain]:
    """Return the tensors of one Conformer layer: two half MLPs, attention, convolution."""
    h, wide = a["attention_dim"], a["linear_units"]
    tensors = [
        *(t for n in ("q", "k", "v", "out") for t in biased(f"a.attn_{n}", h, h)),
        tensor("a.conv_glu_1", h),
        tensor("a.conv_glu_2", h),
        *biased("a.conv_start", 2 * h, h),
        tensor("a.conv_dw", h, a["kernel_size"]),
        tensor("a.conv_dw.bias", h),
        *biased("a.conv_pw", h, h),
        *biased("a.conv_end", h, h),
    ]
    for part in ("ffn", "ffn_1"):
        tensors += biased(f"a.{part}_gate_up", 2 * wide, h)
        tensors += biased(f"a.{part}_down", h, wide)
    for name in ("ffn_norm", "ffn_1_norm", "attn_norm", "conv_norm", "out_norm"):
        tensors += layer_norm(f"a.{name}", h)
    return tensors


def _audio_ends(a: Config, text: int) -> list[Plain]:
    """Return what stands around the audio layers: subsampling, position bias, projections."""
    h, bins = a["attention_dim"], -(-a["input_size"] // a["time_reduction"])
    said = a.get("relative_attention_bias_args")
    reach = known(said or {}, t5_bias_max_distance=BIAS_FRAMES)["t5_bias_max_distance"]
    tensors = [
        *biased("a.input_proj", h, h * bins),
        tensor("a.attn_rel_b", 2 * reach, a["attention_heads"]),
    ]
    for i in range(3):  # strided convolutions over time and bins, the last two depthwise
        tensors += [tensor(f"a.conv_{i}", h, 9), tensor(f"a.conv_{i}.bias", h)]
    for i in (1, 2):
        tensors += biased(f"a.conv_{i}_pw", h, h)
    for name in ("speech", "vision"):
        tensors += biased(f"mm.a.{name}.0", text, h) + biased(f"mm.a.{name}.2", text, text)
    return tensors
