"""The table of weight formats and KV formats. A format is one row here and nothing else.

Rows give storage layout, so sizes are exact; sources are named per row. GGUF presets are
not rows of bits: llama.cpp picks a type per tensor, see `llmplan.memory.gguf`.
"""

from __future__ import annotations

from itertools import product
from typing import TypeVar

from llmplan.errors import UnknownName
from llmplan.memory.gguf_types import PRESETS
from llmplan.specs.formats import KvFormat, WeightFormat

_T = TypeVar("_T", bound=WeightFormat | KvFormat)
_DENSE_AND_HEAD = (
    "attention", "mlp", "experts", "shared_experts", "recurrent", "embedding", "head",
)  # fmt: skip


def _matrix_formats() -> list[WeightFormat]:
    f = WeightFormat
    gptq = "AutoGPTQ/GPTQModel layout: qweight, scales, qzeros, g_idx; vLLM auto_gptq.py"
    ct = "PyPI compressed-tensors 0.20.0, pack-quantized, symmetric"
    bnb = "bitsandbytes storage layout: fp32 absmax per 64 weights"
    return [
        f("bf16", 16, "2 bytes a weight", aliases=("bfloat16", "16bit")),
        f("fp16", 16, "2 bytes a weight", aliases=("float16", "half")),
        f("fp32", 32, "4 bytes a weight", rest_bits=32, aliases=("float32",)),
        f("fp8", 8, "one fp32 scale a matrix; vLLM fp8.py", tensor_bits=32),
        f("fp8-channel", 8, "one fp32 scale an output row; vLLM fp8.py", row_bits=32),
        f("fp8-block", 8, "DeepSeek: one fp32 scale per 128 x 128 tile", tile=128, tile_bits=32),
        f("int8-w8a8", 8, f"{ct}; one fp32 scale an output row", row_bits=32,
          aliases=("int8", "w8a8")),
        f("int8-w8a16", 8, f"{ct}; one fp32 scale an output row", row_bits=32, aliases=("w8a16",)),
        f("awq-int4", 4, "AutoAWQ layout: fp16 scale, 4-bit zero per 128; vLLM auto_awq.py",
          group_size=128, group_bits=20, aliases=("awq",)),
        f("gptq-int4", 4, gptq, group_size=128, group_bits=20, column_bits=32, aliases=("gptq",)),
        f("compressed-tensors-w4a16", 4, ct, group_size=128, group_bits=16,
          aliases=("w4a16", "compressed-tensors-w4a16-g128")),
        f("nvfp4", 4, "ModelOpt: e4m3 scale per 16, two fp32 a matrix; vLLM modelopt.py",
          group_size=16, group_bits=8, tensor_bits=64),
        f("mxfp4", 4, "OCP MX: e8m0 scale per 32; gpt-oss quantizes expert weights only",
          group_size=32, group_bits=8, covers=("experts",)),
        f("mxfp4-all", 4, "OCP MX: e8m0 scale per 32, every linear layer", group_size=32,
          group_bits=8),
        f("mxfp8", 8, "OCP MX: e8m0 scale per 32", group_size=32, group_bits=8),
        f("bnb-nf4", 4, bnb, group_size=64, group_bits=32, aliases=("nf4", "bnb-4bit")),
        f("bnb-int8", 8, "bitsandbytes LLM.int8: fp32 absmax a row", row_bits=32),
        f("hqq-int4", 4, "HQQ: fp16 scale and zero per 64", group_size=64, group_bits=32,
          aliases=("hqq",)),
        f("hqq-int8", 8, "HQQ: fp16 scale and zero per 64", group_size=64, group_bits=32),
        f("quanto-int4", 4, "optimum-quanto: 16-bit scale and shift per 128", group_size=128,
          group_bits=32),
        f("quanto-int2", 2, "optimum-quanto: 16-bit scale and shift per 128", group_size=128,
          group_bits=32),
        f("torchao-int4", 4, "torchao int4 weight only: 16-bit scale and zero per 128",
          group_size=128, group_bits=32),
        f("bitnet-1.58", 2, "BitNet b1.58: four ternary weights a byte, one scale a matrix",
          tensor_bits=16),
    ]  # fmt: skip


def _families() -> list[WeightFormat]:
    f = WeightFormat
    mlx = "PyPI mlx-lm 0.32.2: affine groups, embeddings and head quantized too"
    awq = "AutoAWQ layout: fp16 scale and 4-bit zero per group"
    gptq = "AutoGPTQ/GPTQModel layout, other group sizes"
    gguf = "llama.cpp llama-quant.cpp at 0c1e57098 (2026-10-01)"
    ct = "PyPI compressed-tensors 0.20.0, pack-quantized, symmetric"
    rows = []
    for bits, size in product((2, 3, 4, 5, 6, 8), (32, 64, 128)):
        name = f"mlx-{bits}bit" + ("" if size == 64 else f"-g{size}")
        rows.append(f(name, bits, mlx, group_size=size, group_bits=32, covers=_DENSE_AND_HEAD))
    for name, size, scale in (("mlx-mxfp4", 32, 8), ("mlx-nvfp4", 16, 8)):
        rows.append(f(name, 4, mlx, group_size=size, group_bits=scale, covers=_DENSE_AND_HEAD))
    for size in (32, 64):
        rows.append(f(f"awq-int4-g{size}", 4, awq, group_size=size, group_bits=20))
    for bits, size in product((2, 3, 4, 8), (32, 64, 128)):
        if (bits, size) != (4, 128):
            name = f"gptq-int{bits}" + ("" if size == 128 else f"-g{size}")
            rows.append(f(name, bits, gptq, group_size=size, group_bits=16 + bits, column_bits=32))
    for bits in (2, 3, 4, 8):
        rows.append(f(f"gptq-int{bits}-channel", bits, f"{gptq}; one group a row",
                      row_bits=16 + bits, column_bits=32))  # fmt: skip
    rows.append(f("awq-int4-channel", 4, f"{awq}; one group a row", row_bits=20))
    for bits, size in product((4, 8), (32, 64, 128)):
        if (bits, size) != (4, 128):
            name = f"compressed-tensors-w{bits}a16" + ("" if size == 128 else f"-g{size}")
            rows.append(f(name, bits, ct, group_size=size, group_bits=16))
    rows.append(f("compressed-tensors-w4a16-channel", 4, ct, row_bits=16))
    for name, preset in PRESETS.items():
        nominal = preset.nominal_bits
        rows.append(f(f"gguf:{name}", nominal, gguf, gguf_preset=name, aliases=(name,)))
    return rows


class _Formats(dict[str, WeightFormat]):
    """The rows by name; formats of an average, like exl3:4.25bpw, are made when asked for."""

    def __missing__(self, name: str) -> WeightFormat:
        fmt = averaged_format(name)
        if fmt is None:
            raise KeyError(name)
        return fmt


WEIGHT_FORMATS: dict[str, WeightFormat] = _Formats(
    {fmt.name: fmt for fmt in (*_matrix_formats(), *_families())}
)

_BLOCK = "llama.cpp ggml-common.h block layout at 0c1e57098 (2026-10-01)"
_VLLM_KV = "vLLM 0.33.0 v1/kv_cache_interface.py"
KV_FORMATS: dict[str, KvFormat] = {
    fmt.name: fmt
    for fmt in (
        KvFormat("bf16", 16, 16, "2 bytes an element", aliases=("auto", "bfloat16")),
        KvFormat("fp16", 16, 16, "2 bytes an element", aliases=("f16", "float16")),
        KvFormat("fp8", 8, 8, f"{_VLLM_KV}: per-tensor scales", aliases=("fp8_e4m3", "fp8_e5m2")),
        KvFormat("int8", 8, 8, f"{_VLLM_KV}: fp32 scale per token and head", head_bits=32),
        KvFormat("nvfp4", 4.5, 4.5, f"{_VLLM_KV}: fp8 scale per 16"),
        KvFormat("fp8_ds_mla", 8, 8, f"{_VLLM_KV}: 512 fp8 + 16 scales + 128 rope bytes",
                 latent_bytes=656),
        KvFormat("q8_0", 8.5, 8.5, _BLOCK),
        KvFormat("q5_1", 6, 6, _BLOCK),
        KvFormat("q5_0", 5.5, 5.5, _BLOCK),
        KvFormat("q4_1", 5, 5, _BLOCK),
        KvFormat("q4_0", 4.5, 4.5, _BLOCK),
        KvFormat("iq4_nl", 4.5, 4.5, _BLOCK),
        KvFormat("f32", 32, 32, "4 bytes an element", aliases=("fp32",)),
    )
}  # fmt: skip


_AVERAGED = {
    "exl3": "turboderp-org/exllamav3 doc/exl3.md: K bits + 16(in+out), head at 6 bits",
    "exl2": "ExLlamaV2: average bits with scales, head at 6 bits",
    "aqlm": "AQLM (arXiv:2401.06118): codes as stated, a 16-bit scale a row, codebooks left out",
    "higgs": "HIGGS (arXiv:2411.17525): codes as stated, a 16-bit scale per 1024",
}
_EXL_HEAD_BITS = 6.0
_VECTOR_BITS = {"exl3": (16, 16), "aqlm": (16, 0)}
"""Bits of a scale for each (output row, input column)."""


def averaged_format(name: str) -> WeightFormat | None:
    """Return `exl3:4.25bpw` and kin: any average of 1 to 8 bits a weight."""
    kind, _, rest = name.lower().partition(":")
    number = rest.removesuffix("bpw")
    if kind not in _AVERAGED or not number.replace(".", "", 1).isdecimal():
        return None
    bits = float(number)
    if not 1 <= bits <= 8:
        raise UnknownName(f"{name!r} is out of range.", "Such formats have 1 to 8 bits a weight.")
    row_bits, column_bits = _VECTOR_BITS.get(kind, (0, 0))
    return WeightFormat(
        f"{kind}:{bits:g}bpw",
        bits,
        _AVERAGED[kind],
        group_size=1024 if kind == "higgs" else 0,
        group_bits=16 if kind == "higgs" else 0,
        row_bits=row_bits,
        column_bits=column_bits,
        head_bits=_EXL_HEAD_BITS if kind.startswith("exl") else None,
    )


def weight_format(name: str) -> WeightFormat:
    """Return a weight format by name or alias, in any case; EXL formats by bits a weight."""
    return averaged_format(name) or _find(name, WEIGHT_FORMATS, "weight format")


def kv_format(name: str) -> KvFormat:
    """Return a KV-cache format by name or alias, in any case; `K:q8_0/V:f16` sets both apart."""
    keys, apart, values = name.partition("/V:")
    if not apart:
        return _find(name, KV_FORMATS, "KV format")
    k = _find(keys.removeprefix("K:"), KV_FORMATS, "KV format")
    v = _find(values, KV_FORMATS, "KV format")
    return KvFormat(f"K:{k.name}/V:{v.name}", k.key_bits, v.value_bits, f"{k.source}; {v.source}")


def _find(name: str, table: dict[str, _T], what: str) -> _T:
    if name in table:
        return table[name]
    known = {_key(n): key for key, row in table.items() for n in (key, *row.aliases)}
    wanted = _key(name)
    if wanted in known:
        return table[known[wanted]]
    from difflib import get_close_matches

    close = dict.fromkeys(known[n] for n in get_close_matches(wanted, known, n=3, cutoff=0.6))
    listed = dict.fromkeys(n if ":" not in n else n.partition(":")[0] + ":..." for n in table)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(listed)}."
    raise UnknownName(f"Unknown {what} {name[:40]!r}.", hint)


def _key(name: str) -> str:
    return name.lower().replace("_", "-")
