"""Gemma 3n: a nested decoder with streams beside the residual one, and two towers."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, known, record, stack
from llmplan.sources.config_json import text_config as _text
from llmplan.sources.families.gemma_multimodal import conformer
from llmplan.sources.families.vision import tensor
from llmplan.sources.layers import Plain

# transformers 5.23.0: Gemma3nTextConfig, Gemma3nVisionConfig, Gemma3nAudioConfig.
TEXT = {
    "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 35,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 262400,
    "sliding_window": 512, "vocab_size_per_layer_input": 262144,
    "hidden_size_per_layer_input": 256, "altup_num_inputs": 4, "num_kv_shared_layers": 15,
    "laurel_rank": 64,
}  # fmt: skip
PERIOD = 5
VISION = {"architecture": "mobilenetv5_300m_enc", "hidden_size": 2048, "vocab_size": 128}
AUDIO = {
    "hidden_size": 1536, "vocab_size": 128, "conf_num_attention_heads": 8,
    "conf_num_hidden_layers": 12, "conf_conv_kernel_size": 5, "sscp_conv_channel_size": (128, 32),
}  # fmt: skip
MEL_BINS_AFTER_CONVOLUTION = 32
"""Mel bins (128) after two convolutions of stride 2. Source: Gemma3nAudioConfig."""
CONVOLUTIONAL_TOWERS = {"mobilenetv5_300m_enc": 294_126_912}
"""Parameters of a tower that its config names but does not describe. Source: timm 1.0.31."""


def _layer(t: Config, mixer: Plain, size: int) -> Plain:
    """Return one layer: attention, MLP, a low-rank branch (LAuReL), the streams' mixing (AltUp)."""
    h, n, own = t["hidden_size"], t["altup_num_inputs"], t["hidden_size_per_layer_input"]
    rank = t["laurel_rank"]
    tensors = [
        tensor("inp_gate", own, h, linear=True),
        tensor("proj", h, own, linear=True),
        tensor("laurel_l", rank, h, linear=True),
        tensor("laurel_r", h, rank, linear=True),
        tensor("altup_router", n, h, linear=True),
        tensor("altup_correct_coef", n, n),
        tensor("altup_predict_coef", n * n, n),
        tensor("altup_correct_scale", h),
    ]
    # input, after attention, before and after the MLP, LAuReL, AltUp's router, the layer's input
    return {"mixers": [mixer], "mlp": dense(size), "norms": 7, "tensors": tensors}


@family("gemma3n_text")
def gemma3n_text(c: Config) -> Plain:
    """Gemma 3n text: four sliding layers to one full; the last ones reuse the cache of others."""
    t = known(c, **TEXT)
    h, n, own = t["hidden_size"], t["num_hidden_layers"], t["hidden_size_per_layer_input"]
    sizes = t["intermediate_size"]
    sizes = sizes if isinstance(sizes, list) else [sizes] * n
    types = t.get("layer_types") or [
        "sliding_attention" if (i + 1) % PERIOD else "full_attention" for i in range(n)
    ]
    layers = []
    for i, (kind, size) in enumerate(zip(types, sizes, strict=True)):
        window = t["sliding_window"] if kind == "sliding_attention" else None
        shared = i >= n - t["num_kv_shared_layers"]
        mixer = attention(t, window=window, qk_norm="per_head", shares_kv=shared)
        layers.append(_layer(t, mixer, size))
    inputs = [
        tensor("per_layer_token_embd", t["vocab_size_per_layer_input"], n * own),
        tensor("per_layer_model_proj", n * own, h, linear=True),
        tensor("per_layer_proj_norm", own),
    ]
    for name in ("altup_proj", "altup_unembd_proj"):  # one matrix for each stream but the first
        inputs.append(tensor(name, (t["altup_num_inputs"] - 1) * h, h, linear=True))
    return record(t, stack(h, layers), tied=True, tensors=inputs)


@family("gemma3n")
def gemma3n(c: Config) -> Plain:
    """Gemma 3n: MobileNet for images, a Conformer for sound."""
    text = gemma3n_text(_text(c))
    return {**text, "vision": _towers(c, text["decoder"]["hidden_size"])}


def _embedder(name: str, rows: int, width: int, text: int) -> list[Plain]:
    return [
        tensor(f"{name}.embd", rows, width),
        tensor(f"{name}.hard_norm", width),
        tensor(f"{name}.soft_norm", width),
        tensor(f"{name}.input_projection", text, width, linear=True),
    ]


def _towers(c: Config, text: int) -> Plain:
    v = known(c.get("vision_config") or {}, **VISION)
    a = known(c.get("audio_config") or {}, **AUDIO)
    named = str(v["architecture"])
    if named not in CONVOLUTIONAL_TOWERS:
        raise KeyError(f"a reading of the vision tower {named[:40]!r}")
    h = a["hidden_size"]
    first, second = a["sscp_conv_channel_size"]
    tensors = [
        tensor(named, CONVOLUTIONAL_TOWERS[named]),
        *_embedder("mm", v["vocab_size"], v["hidden_size"], text),
        *_embedder("mm.a", a["vocab_size"], h, text),
        tensor("a.conv_0", first, 9),
        tensor("a.conv_0_norm", first),
        tensor("a.conv_1", second, 9 * first),
        tensor("a.conv_1_norm", second),
        tensor("a.input_proj", h, second * MEL_BINS_AFTER_CONVOLUTION, linear=True),
    ]
    layer = conformer(h, a["conf_num_attention_heads"], a["conf_conv_kernel_size"])
    return stack(h, [layer] * a["conf_num_hidden_layers"], final_norm=False, tensors=tensors)
