"""Where a stored tensor is loaded, read off its Hugging Face name: layer, embedding, tower ...

Names are those of the checkpoints of the transformers library (5.23) and of Mistral's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from llmplan.sources.binary import StoredTensor
from llmplan.specs.model import Model
from llmplan.specs.stored import BUFFERS, TIED_HEAD, StoredWeights

PLAIN_DTYPES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32"}
"""Weight format of checkpoints that are not quantized, by the type of most bytes."""

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks?)\.(\d{1,6})\.")
_TOWERS = frozenset(
    "vision visual vision_tower vision_model vision_encoder vision_tower_hd vit vpm resampler "
    "vision_language_adapter vision_projection multi_modal_projector mm_projector connector "
    "patch_merger aligner image_newline image_encoder embed_tokens_extend embed_vision "
    "embed_audio audio audio_tower audio_model audio_encoder audio_projector speech_encoder "
    "sound_encoder mlp1 talker token2wav code2wav".split()
)
"""Parts of a name that stand before anything in a vision, audio or speech tower."""

_DRAFT = frozenset("mtp mtp_layers mtp_block nextn nextn_predict_layers".split())
_EMBEDDINGS = frozenset(
    "embed_tokens embed_in wte wpe shared word_embeddings tok_embeddings embed_positions embedding "
    "embeddings position_embeddings token_type_embeddings word_embeddings_layernorm "
    "embed_tokens_per_layer project_in".split()
)
_TOKEN_TABLES = frozenset(
    "embed_tokens embed_in wte shared word_embeddings tok_embeddings embeddings".split()
)
_HEADS = frozenset("lm_head embed_out output output_layer".split())
_BUFFERS = frozenset(
    "inv_freq masked_bias position_ids cos_cached sin_cached relative_position_index".split()
)
_UNTRAINED = ("e_score_correction_bias", "expert_bias")
"""Loaded, but no parameters: corrections of the router that no gradient trains."""

_GROUPS = (
    ("shared_experts", re.compile(r"shared_experts?\.|shared_mlp\.")),
    ("experts", re.compile(r"experts\.")),
    ("router", re.compile(r"(?:^|\.)(?:gate|router|shared_expert_gate|wg)\.|e_score_corr")),
    ("norm", re.compile(r"norm|(?:^|\.)ln_|layer_norm")),
    ("recurrent", re.compile(r"linear_attn|lightning|mamba|conv|temporal|(?:^|\.)ssm|time_mix")),
    ("attention", re.compile(r"attn|attention|(?:^|\.)(?:[qkvo]_proj|wqkv|qkv_proj)\.", re.I)),
    ("mlp", re.compile(r"mlp|ffn|feed_forward|dense|fc[12]\.|(?:up|down|gate)_proj|intermediate",
                       re.I)),
    ("recurrent", re.compile(r"mixer")),
    ("other", re.compile(r"")),
)  # fmt: skip


class Place(NamedTuple):
    """The part that loads a tensor, its layer where that is a layer, and its class."""

    part: str
    group: str
    layer: int = 0


def place_of(tensor: StoredTensor, model: Model) -> Place:
    """Return where the tensor of this name is loaded."""
    name = tensor.name
    parts = name.split(".")
    if _BUFFERS & set(parts) or _is_mask(tensor):
        return Place(BUFFERS, BUFFERS)
    found = _LAYER.search(name)
    before = parts if found is None else name[: found.start()].split(".")
    if _TOWERS & set(before):
        return Place("vision", "vision")
    if _DRAFT & set(before):
        return Place("draft", "draft")
    if found is None:
        return _beside_layers(parts, model)
    group = _group(name[found.end() :])
    if "encoder" in before and model.encoder is not None and model.decoder is not None:
        return Place("encoder", group)
    layer = int(found[1])
    if layer >= len(model.main.layers):
        return Place("draft", "draft")
    return Place("layers", group, layer)


def _is_mask(tensor: StoredTensor) -> bool:
    """Return whether this is a causal mask that GPT-2 and GPT-NeoX files store as `bias`."""
    masks = (".attn.bias", ".attention.bias", ".attn.attention.bias")
    square = len(tensor.shape) == 4 and tensor.shape[:2] == (1, 1)
    return square and tensor.name.endswith(masks)


def _beside_layers(parts: list[str], model: Model) -> Place:
    names = set(parts)
    norm = any("norm" in p.lower() or p.startswith("ln_") for p in parts)
    both = model.encoder is not None and model.decoder is not None
    if names & _HEADS and not names & _EMBEDDINGS:
        return Place("head", "head")
    if names & _EMBEDDINGS:
        return Place("embedding", "norm" if norm else "embedding")
    if both and "encoder" in names:
        return Place("encoder", "norm" if norm else "other")
    return Place("head", "norm" if norm else "other")


def _group(rest: str) -> str:
    return next(group for group, pattern in _GROUPS if pattern.search(rest))


def stored_weights(tensors: Iterable[StoredTensor], model: Model, files: int = 1) -> StoredWeights:
    """Return what the files of a checkpoint hold, by the parts of the model.

    Parameters
    ----------
    tensors : iterable of StoredTensor
        All tensors of all files, by their Hugging Face names
    model : Model
        The model that its config describes
    files : int
        Number of files the tensors were read from

    """
    listed = tuple(tensors)
    layers = [0] * len(model.main.layers)
    parts = dict.fromkeys(("embedding", "head", "encoder", "vision", "draft"), 0)
    classes: dict[str, int] = {}
    elements = 0
    twins = _tied_twins(listed, model)
    for tensor in listed:
        place = place_of(tensor, model)
        if tensor.name in twins and place.part in ("head", "embedding"):
            place = Place(TIED_HEAD, TIED_HEAD)
        classes[place.group] = classes.get(place.group, 0) + tensor.bytes
        if place.part == "layers":
            layers[place.layer] += tensor.bytes
        elif place.part in parts:
            parts[place.part] += tensor.bytes
        served = place.part in ("layers", "embedding", "head", "encoder", "vision")
        if served and not tensor.name.endswith(_UNTRAINED):
            elements += tensor.elements
    return StoredWeights(
        format=_format(listed, model), layers=tuple(layers), classes=classes,
        elements=elements, files=files, **parts,
    )  # fmt: skip


def _tied_twins(tensors: tuple[StoredTensor, ...], model: Model) -> set[str]:
    """Return the stored tensors that an engine takes from the embedding instead."""
    names = {t.name for t in tensors}
    twins = set()
    if "shared.weight" in names:
        twins |= {f"{side}.embed_tokens.weight" for side in ("encoder", "decoder")}
    if "model.shared.weight" in names:
        twins |= {f"model.{side}.embed_tokens.weight" for side in ("encoder", "decoder")}
    if model.tied_embeddings and any(_TOKEN_TABLES & set(n.split(".")) for n in names):
        twins |= {n for n in names if n.endswith(".weight") and _HEADS & set(n.split(".")[:-1])}
    return twins & names


def _format(tensors: tuple[StoredTensor, ...], model: Model) -> str:
    """Return the weight format of the files: the config's where they are quantized."""
    if model.native_format not in PLAIN_DTYPES.values():
        return model.native_format
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.bytes
    largest = max(sizes, key=lambda t: sizes[t], default="")
    return PLAIN_DTYPES.get(largest, model.native_format)
