"""A GGUF file as a model: its facts and tensors as catalogue data, and the bytes it stores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from llmplan.errors import InputError
from llmplan.sources.binary import StoredTensor
from llmplan.sources.gguf_facts import Facts, is_parameter
from llmplan.sources.gguf_file import TYPES, GgufFile
from llmplan.sources.gguf_layers import block_of, listed, unknown_mixer
from llmplan.sources.layers import Plain, stack_layers
from llmplan.specs.stored import StoredWeights

MAX_LAYERS = 512
"""Most layers of a model (LLAMA_MAX_LAYERS, llama.cpp llama-hparams.h at 0c1e57098)."""

FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip
"""Preset by general.file_type (llama.h llama_ftype); NVFP4, Q1_0 and Q2_0 are no presets here."""

_USUAL = {
    "F32": "F32", "F16": "F16", "BF16": "BF16", "Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K": "Q5_K_M",
    "Q5_1": "Q5_1", "Q5_0": "Q5_0", "Q4_K": "Q4_K_M", "Q4_1": "Q4_1", "Q4_0": "Q4_0",
    "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS", "MXFP4": "MXFP4", "Q3_K": "Q3_K_M", "IQ3_S": "IQ3_M",
    "IQ3_XXS": "IQ3_XXS", "Q2_K": "Q2_K", "IQ2_S": "IQ2_M", "IQ2_XS": "IQ2_XS",
    "IQ2_XXS": "IQ2_XXS", "TQ2_0": "TQ2_0", "IQ1_M": "IQ1_M", "TQ1_0": "TQ1_0",
    "IQ1_S": "IQ1_S",
}  # fmt: skip
"""Preset usual for files whose weights are mostly of this type."""

_NOT_MODELS = {
    "mmproj": "the vision tower (mmproj) of a model, not its language model",
    "clip": "the vision tower (mmproj) of a model, not its language model",
    "adapter": "an adapter, which goes with a model",
    "imatrix": "an importance matrix, which goes with a model",
}
_LAYER = re.compile(r"blk\.(\d{1,6})\.(.+)")
_INPUTS = ("token_embd", "token_types", "position_embd", "per_layer_token_embd")
_ROPE_TENSORS = {"rope_freqs": "llama3", "rope_factors_long": "longrope"}
"""Rotary scaling that a file stores as a tensor of factors (llama.cpp conversion/*.py)."""


class GgufModel(NamedTuple):
    """Catalogue data of a GGUF file, what it stores, and what is to be known of it."""

    entry: Plain
    stored: StoredWeights
    notes: tuple[str, ...]


class _Tensors(NamedTuple):
    """Tensors by place: those of each layer, and those beside the layers, by short name."""

    layers: list[dict[str, StoredTensor]]
    beside: dict[str, StoredTensor]
    draft: list[StoredTensor]


def gguf_model(file: GgufFile) -> GgufModel:
    """Return the model of a GGUF file as plain catalogue data, with the exact bytes it stores."""
    kind = file.metadata.get("general.type")
    _refuse_parts(file, kind if isinstance(kind, str) else "")
    facts = Facts(file.metadata, str(file.path))
    _refuse_parts(file, facts.architecture)
    if not file.tensors:
        raise InputError(
            f"{file.path}: holds no weights, only facts and a vocabulary.",
            "Give the GGUF file of the whole model.",
        )
    tensors = _sorted(facts, file.tensors)
    entry = _architecture(facts, tensors)
    preset, note = _preset(file)
    stored = _stored(file, tensors, f"gguf:{preset}")
    entry |= {
        "name": facts.text("general.name") or file.path.stem,
        "family": facts.architecture,
        "hub_id": None,
        "model_type": facts.architecture,
        "architecture": facts.architecture,
        "license": facts.text("general.license"),
        "released": None,
        "context_tokens": facts.whole("context_length", 0) or None,
        "native_format": stored.format,
        "path": str(file.path.absolute()),
        "sources": [{"facts": ["architecture"], "ref": str(file.path)}],
        **_rope(facts, tensors),
    }
    return GgufModel(entry, stored, (note,) if note else ())


def _refuse_parts(file: GgufFile, kind: str) -> None:
    if kind in _NOT_MODELS:
        raise InputError(
            f"{file.path}: {_NOT_MODELS[kind]}.", "Give the GGUF file of the language model."
        )


def _sorted(facts: Facts, tensors: Iterable[StoredTensor]) -> _Tensors:
    """Return the tensors by layer; those of draft (MTP) layers apart, which serving skips."""
    drafts = facts.whole("nextn_predict_layers", 0)
    layers = facts.size("block_count") - drafts
    if not 1 <= layers <= MAX_LAYERS:
        raise facts.fault(f"states {layers} layers, of which there are 1 to {MAX_LAYERS}")
    found = _Tensors([{} for _ in range(layers)], {}, [])
    for tensor in tensors:
        match = _LAYER.fullmatch(tensor.name)
        if tensor.name.startswith(("enc.", "dec.")):
            raise unknown_mixer(facts, "encoder and decoder")
        if match is None:
            if tensor.name.startswith("nextn."):
                found.draft.append(tensor)
            else:
                found.beside[tensor.name.removesuffix(".weight")] = tensor
        elif int(match[1]) < layers:
            found.layers[int(match[1])][match[2].removesuffix(".weight")] = tensor
        elif int(match[1]) < layers + drafts:
            found.draft.append(tensor)
        else:
            raise facts.fault(f"has the tensor {tensor.name!r}, beyond its {layers} layers")
    return found


def _architecture(facts: Facts, tensors: _Tensors) -> Plain:
    beside = {n: t for n, t in tensors.beside.items() if is_parameter(n)}
    hidden = facts.size("embedding_length")
    norm = _norm_kind(facts, tensors)
    table = beside.pop("token_embd", None)
    if table is None or len(table.shape) != 2:
        raise facts.fault("has no table of token embeddings")
    vocabulary, width = table.shape
    count = len(tensors.layers)
    stack: Plain = {"hidden_size": hidden, "norm": norm}
    stack |= stack_layers(
        [block_of(facts, i, count, part, norm) for i, part in enumerate(tensors.layers)]
    )
    stack["final_norm"] = _final_norm(beside, hidden, norm)
    own_head = beside.get("output")
    headed = own_head is not None and own_head.shape == table.shape
    if headed:
        del beside["output"]
    encoder = facts.metadata.get(f"{facts.architecture}.attention.causal") is False and not headed
    biased = not encoder and _is(beside, "output.bias", vocabulary)
    if biased:
        del beside["output.bias"]
    return {
        "vocab_size": vocabulary,
        "tied_embeddings": not headed,
        "head": not encoder,
        "head_bias": biased,
        "embedding_size": width if width != hidden else None,
        "encoder" if encoder else "decoder": stack,
        "tensors": [listed(name, t) for name, t in sorted(beside.items())],
    }


def _norm_kind(facts: Facts, tensors: _Tensors) -> str:
    """Return rms, layer (with biases) or layer_without_bias, by the facts and the tensors."""
    names = {n for part in (*tensors.layers, tensors.beside) for n in part}
    if any(n.endswith("norm.bias") and not n.startswith(("attn_q_", "attn_k_")) for n in names):
        return "layer"
    rms = facts.has("attention.layer_norm_rms_epsilon")
    return "rms" if rms or not facts.has("attention.layer_norm_epsilon") else "layer_without_bias"


def _is(tensors: dict[str, StoredTensor], name: str, elements: int) -> bool:
    return name in tensors and tensors[name].elements == elements


def _final_norm(beside: dict[str, StoredTensor], hidden: int, norm: str) -> bool:
    """Take the norm behind the last layer, with its bias where the stack's norms have one."""
    names = ["output_norm"] + (["output_norm.bias"] if norm == "layer" else [])
    if not all(_is(beside, name, hidden) for name in names):
        return False
    for name in names:
        del beside[name]
    return True


def _rope(facts: Facts, tensors: _Tensors) -> Plain:
    scaling = facts.text(f"{facts.architecture}.rope.scaling.type")
    names = {n for part in (tensors.beside, tensors.layers[0]) for n in part}
    stored = next((kind for n, kind in _ROPE_TENSORS.items() if n in names), None)
    kind = stored or (scaling if scaling != "none" else None)
    base = facts.real("rope.freq_base")
    rope: Plain = {} if base is None else {"rope_theta": base}
    return rope | ({"rope_scaling": kind} if kind else {})


def _preset(file: GgufFile) -> tuple[str, str | None]:
    """Return the preset of a file, and a note where it is a neighbour for what has no preset."""
    stated = file.metadata.get("general.file_type")
    if type(stated) is int and stated in FILE_TYPES:
        return FILE_TYPES[stated], None
    sizes: dict[str, int] = {}
    for t in file.tensors:
        sizes[t.dtype] = sizes.get(t.dtype, 0) + t.bytes
    mostly = max(sizes, key=lambda n: sizes[n])
    if mostly in _USUAL:
        return _USUAL[mostly], None
    bits = {name: 8 * length / weights for name, weights, length in TYPES.values()}
    near = min(_USUAL, key=lambda n: abs(bits[n] - bits[mostly]))
    note = f"{file.path.name} is mostly {mostly}, which is no preset: named {near}, its own bytes."
    return _USUAL[near], note


def _stored(file: GgufFile, tensors: _Tensors, format: str) -> StoredWeights:
    """Return what the file holds by the parts that are loaded."""
    classes: dict[str, int] = {}
    elements = 0
    for name, tensor, draft in _named(tensors):
        group = "draft" if draft else _group(name)
        classes[group] = classes.get(group, 0) + tensor.bytes
        if not draft and is_parameter(name):
            elements += tensor.elements
    inputs = {n for n in tensors.beside if n.startswith(_INPUTS)}
    return StoredWeights(
        format=format,
        layers=tuple(sum(t.bytes for t in part.values()) for part in tensors.layers),
        embedding=sum(tensors.beside[n].bytes for n in inputs),
        head=sum(t.bytes for n, t in tensors.beside.items() if n not in inputs),
        encoder=0,
        vision=0,
        draft=sum(t.bytes for t in tensors.draft),
        classes=classes,
        elements=elements,
        files=file.files,
    )


def _named(tensors: _Tensors) -> Iterator[tuple[str, StoredTensor, bool]]:
    for part in (*tensors.layers, tensors.beside):
        yield from ((name, t, False) for name, t in part.items())
    yield from ((t.name, t, True) for t in tensors.draft)


_GROUPS = (
    ("norm", re.compile(r"norm")),
    ("shared_experts", re.compile(r"_shexp")),
    ("router", re.compile(r"ffn_gate_inp|exp_probs_b")),
    ("experts", re.compile(r"_exps|_chexps|ffn_\w+\.\d")),
    ("recurrent", re.compile(r"ssm_|shortconv")),
    ("attention", re.compile(r"attn_|indexer")),
    ("mlp", re.compile(r"ffn_")),
    ("embedding", re.compile(r"token_|position_embd|per_layer_token_embd")),
    ("head", re.compile(r"output|cls")),
    ("other", re.compile(r"")),
)


def _group(name: str) -> str:
    return next(group for group, pattern in _GROUPS if pattern.search(name))
