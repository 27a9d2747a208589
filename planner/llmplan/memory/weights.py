"""Bytes of a model's weights in any format: whole, by class, by layer, on the fullest rank."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from llmplan.memory import gguf
from llmplan.memory.memo import remembered
from llmplan.memory.parts import layer_formats, parts_of
from llmplan.memory.tensor import Tensor, rank_tensor
from llmplan.memory.tensors import Layered, model_tensors, stack_tensors
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.number import Number
from llmplan.specs.stored import UNLOADED, StoredWeights


def quantized_matrix_bytes(
    *,
    rows: Number,
    columns: Number,
    bits: Number,
    group_size: Number = 0,
    group_bits: Number = 0,
    row_bits: Number = 0,
    column_bits: Number = 0,
    tile: Number = 0,
    tile_bits: Number = 0,
    tensor_bits: Number = 0,
) -> Number:
    """Bytes of one quantized weight matrix with its scales and zero points.

    Equation: ``(rows * columns * bits + rows * ceil(columns / group_size) * group_bits
    + rows * row_bits + columns * column_bits
    + ceil(rows / tile) * ceil(columns / tile) * tile_bits + tensor_bits) / 8``.

    Parameters
    ----------
    rows : number or array
        Output features [rows]
    columns : number or array
        Input features [columns]
    bits : number or array
        Bits of one weight [bits]
    group_size : number or array
        Weights of a row that share a scale, 0 for none [columns]
    group_bits : number or array
        Scale and zero point of one group [bits]
    row_bits : number or array
        Scale of one output row [bits]
    column_bits : number or array
        Index of one input column [bits]
    tile : number or array
        Side of a square block that shares a scale, 0 for none [columns]
    tile_bits : number or array
        Scale of one square block [bits]
    tensor_bits : number or array
        Scales of the whole matrix [bits]

    Returns
    -------
    size_bytes : number or array
        Bytes of the matrix [bytes]

    Source: storage layouts of AWQ, GPTQ, compressed-tensors, DeepSeek FP8, NVFP4, MXFP4

    Examples
    --------
    AWQ, groups of 128 with a 16-bit scale and a 4-bit zero: 4.15625 bits a weight.

    >>> size = quantized_matrix_bytes(
    ...     rows=4096, columns=4096, bits=4, group_size=128, group_bits=20)
    >>> size * 8 / 4096**2
    4.15625

    """
    total = rows * columns * bits + rows * row_bits + columns * column_bits + tensor_bits
    if group_size:
        total = total + rows * -(-columns // group_size) * group_bits
    if tile:
        total = total + -(-rows // tile) * -(-columns // tile) * tile_bits
    return total / 8


def format_tensor_bytes(tensor: Tensor, fmt: WeightFormat) -> float:
    """Return the bytes of all copies of a tensor in a format that is not GGUF."""
    if tensor.group == "head" and tensor.linear and fmt.head_bits is not None:
        return tensor.elements * fmt.head_bits / 8
    covered = tensor.group in fmt.covers and (tensor.linear or tensor.name == "token_embd")
    if not covered or not tensor.columns:
        return tensor.elements * fmt.rest_bits / 8
    one = quantized_matrix_bytes(
        rows=tensor.rows,
        columns=tensor.columns,
        bits=fmt.bits,
        group_size=fmt.group_size,
        group_bits=fmt.group_bits,
        row_bits=fmt.row_bits,
        column_bits=fmt.column_bits,
        tile=fmt.tile,
        tile_bits=fmt.tile_bits,
        tensor_bits=fmt.tensor_bits,
    )
    return float(one * tensor.copies)


class WeightBytes(NamedTuple):
    """Weight bytes by place: one entry a main-stack layer, and what stands beside the layers.

    `tied_head` is what a last pipeline stage holds again when head and embedding are one.
    """

    layers: tuple[float, ...]
    embedding: float
    head: float
    encoder: float
    vision: float
    tied_head: float
    classes: dict[str, float]

    @property
    def text(self) -> float:
        """Bytes without the vision tower: what the main GGUF file holds [bytes]."""
        return sum(self.layers) + self.embedding + self.head + self.encoder

    @property
    def total(self) -> float:
        """Bytes of all parts on one device [bytes]."""
        return self.text + self.vision


@remembered
def weight_bytes(
    model: Model,
    fmt: WeightFormat,
    *,
    tp: int = 1,
    dp: int = 1,
    ep: int = 1,
    pad_vocab: bool = False,
) -> WeightBytes:
    """Return weight bytes of the served model on the fullest tensor-parallel rank.

    Parameters
    ----------
    model : Model
        The model
    fmt : WeightFormat
        Weight format; GGUF presets follow llama.cpp's per-tensor types
    tp : int
        Tensor-parallel ranks [ranks]
    dp : int
        Data-parallel ranks, which share the experts of one model [ranks]
    ep : int
        Expert-parallel ranks, 1 for none [ranks]
    pad_vocab : bool
        Pad the vocabulary as vLLM and SGLang do

    Where the model was read from its files and `fmt` is theirs, the stored bytes count.

    """
    computed = _computed_bytes(model, fmt, tp=tp, dp=dp, ep=ep, pad_vocab=pad_vocab)
    if model.stored is None or model.stored.format != fmt.name:
        return computed
    whole = _computed_bytes(model, fmt, tp=1, dp=1, ep=1, pad_vocab=False)
    return _stored_bytes(model.stored, computed, whole)


def _stored_bytes(stored: StoredWeights, rank: WeightBytes, whole: WeightBytes) -> WeightBytes:
    """Return the stored bytes of each part, times the share of it that the rank holds.

    The share is that of the computed bytes, 1 where nothing is split or padded.
    """

    def held(size: int, on_rank: float, in_all: float) -> float:
        return size * (on_rank / in_all) if in_all else float(size)

    beside = {
        part: held(getattr(stored, part), getattr(rank, part), getattr(whole, part))
        for part in ("embedding", "head", "encoder", "vision")
    }
    layers = zip(stored.layers, rank.layers, whole.layers, strict=True)
    classes = {
        name: held(size, rank.classes.get(name, 0.0), whole.classes.get(name, 0.0))
        for name, size in stored.classes.items()
        if name not in (*UNLOADED, "draft")
    }
    return WeightBytes(
        layers=tuple(held(*sizes) for sizes in layers),
        tied_head=beside["embedding"] * (rank.tied_head / rank.embedding),
        classes=classes,
        **beside,
    )


def _computed_bytes(
    model: Model, fmt: WeightFormat, *, tp: int, dp: int, ep: int, pad_vocab: bool
) -> WeightBytes:
    """Return weight bytes tensor by tensor, from shapes and format."""
    main = "decoder" if model.decoder is not None else "encoder"
    layers = [0.0] * len(model.main.layers)
    places = {"embedding": 0.0, "head": 0.0, "encoder": 0.0, "vision": 0.0}
    classes: dict[str, float] = {}
    tied_head = 0.0
    for layered, sizes in _sized(model, fmt, tp=tp, dp=dp, ep=ep, pad_vocab=pad_vocab):
        t = layered.tensor
        classes[t.group] = classes.get(t.group, 0.0) + sum(sizes)
        if layered.stack == main and t.name.startswith("output_norm"):
            places["head"] += sum(sizes)
        elif layered.stack == main:
            for layer, size in zip(layered.layers, sizes, strict=True):
                layers[layer] += size
        else:
            place = {"input": "embedding", "output": "head"}.get(layered.stack, layered.stack)
            places[place] += sum(sizes)
        if t.name == "token_embd" and model.tied_embeddings and model.head:
            tied_head = sum(sizes)
    return WeightBytes(tuple(layers), tied_head=tied_head, classes=classes, **places)


def _sized(
    model: Model, fmt: WeightFormat, *, tp: int, dp: int, ep: int, pad_vocab: bool
) -> list[tuple[Layered, list[float]]]:
    tensors = model_tensors(model)
    if fmt.gguf_preset:
        facts = gguf.facts_of(model, fmt.gguf_preset)
        positions = gguf.layer_positions(model)
        stored = gguf.stored_tensors(model, tensors)
        return [(x, [float(n) for n in gguf.tensor_bytes(x, facts, positions)]) for x in stored]
    parts = parts_of(model, fmt.name)
    result = []
    for layered in tensors:
        t = layered.tensor
        if t.shard != "vocab" or pad_vocab:
            t = rank_tensor(t, tp=tp, dp=dp, ep=ep)
        if parts:
            formats = layer_formats(parts, t, layered.layers, fmt)
            result.append((layered, [format_tensor_bytes(t, f) for f in formats]))
        else:
            result.append((layered, [format_tensor_bytes(t, fmt)] * len(layered.layers)))
    return result


def stage_layers(layers: int, pp: int) -> list[int]:
    """Layers of each pipeline stage: the remainder goes to the stages before the last.

    Source: vLLM 0.33.0, distributed/utils.py get_pp_indices.

    >>> stage_layers(61, 4)
    [15, 15, 16, 15]
    """
    counts = [layers // pp] * pp
    for i in range(2, layers % pp + 2):
        counts[-i] += 1
    return counts


def stage_bytes(weights: WeightBytes, pp: int) -> list[float]:
    """Return weight bytes of each pipeline stage: embedding and towers first, head last."""
    if pp == 1:
        return [weights.total]
    stages, start = [], 0
    for count in stage_layers(len(weights.layers), pp):
        stages.append(sum(weights.layers[start : start + count]))
        start += count
    stages[0] += weights.embedding + weights.encoder + weights.vision
    stages[-1] += weights.head + weights.tied_head
    return stages


def draft_layer_bytes(
    model: Model, fmt: WeightFormat, *, tp: int = 1, dp: int = 1, ep: int = 1
) -> float:
    """Return the bytes of a model's own MTP layers on the fullest rank, embedding and head apart.

    A checkpoint in the model's native format has them in it, unless its parts say otherwise;
    conversions leave them in 16 bits. Source: exclude lists of published FP8, NVFP4 and
    compressed-tensors checkpoints (`mtp*`), read 2026-11.
    """
    if model.draft is None:
        return 0.0
    own = [p for p in parts_of(model, fmt.name) if p.name == "draft"]
    converted = fmt.name != model.native_format and fmt.is_quantized
    kept = own[0].format if own else replace(fmt, covers=()) if converted else fmt
    total = 0.0
    for t, _, layers in stack_tensors(model.draft, "decoder"):
        covered = replace(kept, covers=(t.group,)) if own else kept
        rank = rank_tensor(t, tp=tp, dp=dp, ep=ep)
        total += len(layers) * format_tensor_bytes(rank, covered)
    return total
