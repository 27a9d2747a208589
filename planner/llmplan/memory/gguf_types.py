"""The type that llama.cpp gives each tensor of a GGUF preset, and the blocks of that type.

Source of every rule here: llama.cpp src/llama-quant.cpp and ggml-common.h at 0c1e57098
(2026-10-01, vendored in the PyPI package llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2),
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176),
    "Q6_K": (256, 210), "IQ1_S": (256, 50), "IQ1_M": (256, 56), "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74), "IQ2_S": (256, 82), "IQ3_XXS": (256, 98), "IQ3_S": (256, 110),
    "IQ4_NL": (32, 18), "IQ4_XS": (256, 136), "TQ1_0": (256, 54), "TQ2_0": (256, 66),
    "MXFP4": (32, 17), "NVFP4": (64, 36),
}  # fmt: skip
"""Weights and bytes of one block, by tensor type (ggml-common.h)."""


class Preset(NamedTuple):
    """A llama-quantize preset: the tensor type it starts from."""

    base: str

    @property
    def nominal_bits(self) -> float:
        """Bits a weight of the base type; the file's average differs by model."""
        size, length = BLOCKS[self.base]
        return 8 * length / size


PRESETS: dict[str, Preset] = {
    name: Preset(base)
    for name, base in {
        "F32": "F32", "F16": "F16", "BF16": "BF16", "Q8_0": "Q8_0", "Q6_K": "Q6_K",
        "Q5_K_M": "Q5_K", "Q5_K_S": "Q5_K", "Q5_1": "Q5_1", "Q5_0": "Q5_0",
        "Q4_K_M": "Q4_K", "Q4_K_S": "Q4_K", "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS",
        "Q4_1": "Q4_1", "Q4_0": "Q4_0", "MXFP4": "MXFP4", "Q3_K_L": "Q3_K", "Q3_K_M": "Q3_K",
        "Q3_K_S": "Q3_K", "IQ3_M": "IQ3_S", "IQ3_S": "IQ3_S", "IQ3_XS": "IQ3_S",
        "IQ3_XXS": "IQ3_XXS", "Q2_K": "Q2_K", "Q2_K_S": "Q2_K", "IQ2_M": "IQ2_S",
        "IQ2_S": "IQ2_XS", "IQ2_XS": "IQ2_XS", "IQ2_XXS": "IQ2_XXS", "IQ1_M": "IQ1_M",
        "IQ1_S": "IQ1_S", "TQ2_0": "TQ2_0", "TQ1_0": "TQ1_0",
    }.items()
}  # fmt: skip

NEEDS_IMATRIX = ("IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "Q2_K_S")
"""Presets that llama-quantize refuses to make without an importance matrix."""

_LOWEST = ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ2_S", "IQ2_M", "IQ1_M")
_FALLBACK = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip


def block_bytes(*, rows: int, columns: int, block_weights: int, block_size_bytes: int) -> int:
    """Bytes of a matrix stored in blocks along its rows.

    Equation: ``rows * columns / block_weights * block_size_bytes``.

    Parameters
    ----------
    rows : int
        Output features [rows]
    columns : int
        Input features, a multiple of the block [columns]
    block_weights : int
        Weights of one block [weights]
    block_size_bytes : int
        Bytes of one block with its scales [bytes]

    Returns
    -------
    size_bytes : int
        Bytes of the matrix [bytes]

    Source: ggml_row_size, llama.cpp at 0c1e57098

    Examples
    --------
    A 4096 x 14336 matrix in Q4_K (144 bytes per 256 weights):

    >>> block_bytes(rows=4096, columns=14336, block_weights=256, block_size_bytes=144)
    33030144

    """
    return rows * columns // block_weights * block_size_bytes


class Facts(NamedTuple):
    """What the type rules ask of a model."""

    preset: str
    imatrix: bool
    layers: int
    gqa: int
    experts: int
    falcon: bool
    is_70b: bool
    tied: bool
    v_tensors: int


class Position(NamedTuple):
    """Where a tensor stands: its layer, and how many like it came before.

    `v_index` counts tensors like attn_v, `down_index` every ffn_down (two a layer with shared
    experts), as llama-quantize counts them.
    """

    layer: int
    v_index: int
    down_index: int = 0


def use_more_bits(index: int, count: int) -> bool:
    """Whether a layer is in the first or last eighth, or every third one between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _head(base: str, f: Facts, columns: int) -> str:
    if f.preset == "MXFP4" or f.falcon or columns % BLOCKS[base][0]:
        return "Q8_0"
    if f.preset in (*_LOWEST, "IQ3_XXS"):
        return "Q5_K"
    return base if base == "Q8_0" else "Q6_K"


def _embedding(base: str, f: Facts) -> str:
    if f.preset in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
        return "Q2_K"
    if f.preset in ("IQ2_S", "IQ2_M", "IQ3_XXS"):
        return "IQ3_S"
    return "Q4_K" if f.preset in ("TQ1_0", "TQ2_0") else base


def _low(base: str, kind: str, f: Facts, at: Position) -> str:
    better = "IQ3_S" if f.preset in ("IQ2_S", "IQ2_M") else "Q2_K"
    if kind == "v":
        return "Q4_K" if f.gqa >= 4 or f.experts >= 4 else better
    if kind == "k" and f.experts == 8:
        return "Q4_K"
    if kind == "down" and at.down_index < f.layers // 8:
        return better
    if kind == "out":
        if f.experts == 8:
            return "Q5_K"
        if f.preset in ("IQ1_S", "IQ1_M"):
            return "IQ2_XXS"
        return "IQ3_S" if f.preset in ("IQ2_S", "IQ2_M") else base
    return base


def _value(base: str, f: Facts, at: Position) -> str:
    p, wide = f.preset, f.gqa >= 4
    chosen = base
    if p == "Q2_K":
        chosen = "Q4_K" if wide else "Q3_K"
    elif (p in ("Q2_K_S", "IQ3_XS", "IQ3_S") and wide) or p == "IQ3_M":
        chosen = "Q4_K"
    elif p == "IQ3_XXS":
        chosen = "Q4_K" if wide else ("IQ3_XXS" if f.imatrix else "IQ3_S")
    elif p == "Q3_K_M":
        chosen = "Q5_K" if at.v_index < 2 else "Q4_K"
    elif p == "Q3_K_L" or (p in ("IQ4_NL", "IQ4_XS") and wide):
        chosen = "Q5_K"
    elif p in ("Q4_K_M", "Q5_K_M") and use_more_bits(at.v_index, f.v_tensors):
        chosen = "Q6_K"
    elif p == "Q4_K_S" and at.v_index < 4:
        chosen = "Q5_K"
    if f.is_70b and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    return "Q8_0" if f.experts == 8 else chosen


def _key_or_query(base: str, kind: str, f: Facts) -> str:
    if kind == "k" and f.experts == 8:
        return "Q8_0"
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(f.preset, base)


def _down(base: str, f: Facts, at: Position) -> str:
    i = at.layer if f.experts > 1 else at.down_index
    p, n = f.preset, f.layers
    first, more = i < n // 8, use_more_bits(i, n)
    rules: dict[str, Callable[[], str]] = {
        "Q2_K": lambda: "Q3_K",
        "Q2_K_S": lambda: "Q4_K" if first else base,
        "IQ3_XXS": lambda: base if f.imatrix else ("Q4_K" if first else "Q3_K"),
        "Q3_K_M": lambda: "Q5_K" if i < n // 16 else "Q4_K" if not f.falcon or more else "Q3_K",
        "IQ3_M": lambda: "Q4_K" if first or (f.experts == 8 and more) else base,
        "Q3_K_L": lambda: "Q4_K" if f.falcon else "Q5_K",
        "Q4_K_M": lambda: _down_q4_k_m(base, f, i, n, more),
        "IQ4_NL": lambda: "Q5_K" if first and not f.imatrix else base,
        "IQ4_XS": lambda: "Q5_K" if first and not f.imatrix else base,
        "Q5_K_M": lambda: "Q6_K" if more else base,
        "Q4_K_S": lambda: "Q5_K" if first and not f.falcon else base,
        "Q4_0": lambda: "Q4_1" if f.imatrix and first else base,
        "Q5_0": lambda: "Q5_1" if f.imatrix and first else base,
    }
    return rules[p]() if p in rules else base


def _down_q4_k_m(base: str, f: Facts, i: int, n: int, more: bool) -> str:
    if not f.falcon:
        return "Q6_K" if more else base
    return "Q6_K" if i < n // 16 else "Q5_K" if more else "Q4_K"


_EIGHT_EXPERTS_OUT = (
    "Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S",
    "IQ3_M", "IQ4_XS",
)  # fmt: skip


def _output(base: str, f: Facts) -> str:
    if f.falcon:
        return "Q4_K" if f.preset == "Q3_K_L" else base
    if f.experts == 8:
        return "Q5_K" if f.preset in _EIGHT_EXPERTS_OUT else base
    raised = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K",
              "IQ3_M": "Q4_K"}  # fmt: skip
    return raised.get(f.preset, base)


def _gate_or_up(base: str, f: Facts, at: Position) -> str:
    middle = f.layers // 8 <= at.layer < 7 * f.layers // 8
    return "IQ3_XXS" if f.preset == "IQ3_XS" and middle else base


_KINDS = {"attn_qkv": "v", "attn_v": "v", "attn_k": "k", "attn_q": "q", "attn_output": "out"}


def tensor_kind(name: str) -> str:
    """Return llama.cpp's category of a tensor: v, k, q, out, up, gate, down or other."""
    if name in _KINDS:
        return _KINDS[name]
    for part in ("up", "gate", "down"):
        if name.startswith(f"ffn_{part}"):
            return part
    return "other"


def tensor_type(name: str, columns: int, copies: int, f: Facts, at: Position) -> str:
    """Return the type that llama-quantize gives a weight matrix in this preset."""
    base = PRESETS[f.preset].base
    if base in ("F32", "F16", "BF16"):
        return base
    kind = tensor_kind(name)
    if name == "output" or (f.tied and name == "token_embd"):
        chosen = _head(base, f, columns)
    elif f.preset == "MXFP4":
        chosen = "MXFP4" if copies > 1 else "Q8_0"
    elif name == "token_embd":
        chosen = _embedding(base, f)
    elif f.preset in _LOWEST:
        chosen = _low(base, kind, f, at)
    elif kind == "v":
        chosen = _value(base, f, at)
    elif kind in ("k", "q"):
        chosen = _key_or_query(base, kind, f)
    elif kind == "down":
        chosen = _down(base, f, at)
    elif kind == "out":
        chosen = _output(base, f)
    else:
        chosen = _gate_or_up(base, f, at) if kind in ("gate", "up") else base
    return _fitting(chosen, columns)


def _fitting(chosen: str, columns: int) -> str:
    if columns % BLOCKS[chosen][0] == 0:
        return chosen
    smaller = _FALLBACK.get(chosen, chosen)
    return smaller if columns % BLOCKS[smaller][0] == 0 else "F16"
