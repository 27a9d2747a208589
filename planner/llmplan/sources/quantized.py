"""The weight format of a checkpoint's `quantization_config`, whatever tool wrote it.

One function a `quant_method`, registered with `@method`; a method or setting that is not
known is refused, not guessed. What stays unquantized is read by `quantized_parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmplan.errors import InputError

Config = Mapping[str, Any]
Reader = Callable[[Config], str]
_METHODS: dict[str, Reader] = {}
GROUPS = (32, 64, 128)
"""Group sizes that the format table has rows for."""


def method(*names: str) -> Callable[[Reader], Reader]:
    """Register the reader of these quant_method values."""

    def add(reader: Reader) -> Reader:
        for name in names:
            _METHODS[name] = reader
        return reader

    return add


def quantized_format(quant: Config) -> str:
    """Return the weight format of a quantization_config; InputError when it is not known."""
    name = quant.get("quant_method")
    if name is None and ("quant_algo" in quant or "config_groups" in quant):
        name = "modelopt" if "quant_algo" in quant else "compressed-tensors"
    reader = _METHODS.get(str(name).lower())
    if name == "fp8" and quant.get("quant_algo") not in (None, "FP8", "fp8"):
        reader = _METHODS["modelopt"]
    found = reader(quant) if reader else None
    if not found:
        raise unreadable(str(name))
    return found


def unreadable(name: str) -> InputError:
    """Return the refusal of a method or setting that has no row in the table of formats."""
    return InputError(
        f"quantization_config with quant_method {name[:40]!r} is not read with these settings.",
        "Remove it from the config and give --quant FORMAT, or give the folder with its files.",
    )


def _grouped(name: str, bits: Any, group: Any, known: tuple[int, ...]) -> str:
    """Return NAME-intB with its group size, `-channel` for one group a row."""
    if bits not in known or isinstance(bits, bool):
        return ""
    if group in (-1, None, 0):
        return f"{name}-int{bits}-channel"
    if group not in GROUPS:
        return ""
    return f"{name}-int{bits}" + ("" if group == 128 else f"-g{group}")


@method("awq", "gemlite_awq")
def _awq(q: Config) -> str:
    return _grouped("awq", q.get("bits", q.get("w_bit", 4)), q.get("group_size", 128), (4,))


@method("gptq", "gptqmodel", "autoround", "auto-round", "auto_round", "intel/auto-round")
def _gptq(q: Config) -> str:
    if "awq" in str(q.get("packing_format", "")):
        return _awq(q)
    return _grouped("gptq", q.get("bits", 4), q.get("group_size", 128), (2, 3, 4, 8))


@method("fp8", "fbgemm_fp8", "finegrained_fp8")
def _fp8(q: Config) -> str:
    if str(q.get("quant_method")) == "fbgemm_fp8":
        return "fp8-channel"
    return "fp8-block" if q.get("weight_block_size") else "fp8"


@method("mxfp4")
def _mxfp4(q: Config) -> str:
    return "mxfp4"


@method("mxfp8")
def _mxfp8(q: Config) -> str:
    return "mxfp8"


@method("bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit")
def _bitsandbytes(q: Config) -> str:
    four = q.get("load_in_4bit") or q.get("_load_in_4bit") or "4bit" in str(q.get("quant_method"))
    return "bnb-nf4" if four else "bnb-int8"


@method("hqq")
def _hqq(q: Config) -> str:
    inner = q.get("quant_config")
    weights = inner.get("weight_quant_params") if isinstance(inner, Mapping) else q
    weights = weights if isinstance(weights, Mapping) else {}
    bits = weights.get("nbits", q.get("nbits", 4))
    return f"hqq-int{bits}" if bits in (4, 8) and weights.get("group_size", 64) == 64 else ""


@method("eetq")
def _eetq(q: Config) -> str:
    return "int8-w8a16"


@method("quanto", "optimum-quanto")
def _quanto(q: Config) -> str:
    kinds = {"int8": "int8-w8a16", "float8": "fp8-channel", "int4": "quanto-int4",
             "int2": "quanto-int2"}  # fmt: skip
    return kinds.get(str(q.get("weights")), "")


@method("torchao")
def _torchao(q: Config) -> str:
    kind = str(q.get("quant_type"))
    kind = kind if len(kind) < 2000 else ""
    for mark, name in (("Int4WeightOnly", "torchao-int4"), ("int4_weight_only", "torchao-int4"),
                       ("Float8", "fp8-channel"), ("float8", "fp8-channel"),
                       ("Int8WeightOnly", "int8-w8a16"), ("int8_weight_only", "int8-w8a16"),
                       ("Int8Dynamic", "int8-w8a8"), ("int8_dynamic", "int8-w8a8")):  # fmt: skip
        if mark in kind:
            return name
    return ""


@method("bitnet")
def _bitnet(q: Config) -> str:
    return "bitnet-1.58"


@method("aqlm")
def _aqlm(q: Config) -> str:
    books, bits = q.get("num_codebooks", 1), q.get("nbits_per_codebook", 16)
    return f"aqlm:{books * bits / q.get('in_group_size', 8):g}bpw"


@method("higgs")
def _higgs(q: Config) -> str:
    return f"higgs:{q.get('bits', 4)}bpw"


@method("spqr")
def _spqr(q: Config) -> str:
    raise unreadable("spqr: its outliers differ from matrix to matrix")


@method("fp_quant")
def _fp_quant(q: Config) -> str:
    return {"mxfp4": "mxfp4-all", "nvfp4": "nvfp4"}.get(str(q.get("forward_dtype", "mxfp4")), "")


@method("quark")
def _quark(q: Config) -> str:
    settings = q.get("global_quant_config")
    weight = settings.get("weight") if isinstance(settings, Mapping) else None
    weight = weight[0] if isinstance(weight, list) and weight else weight
    if not isinstance(weight, Mapping):
        return ""
    kind, scheme = str(weight.get("dtype")), str(weight.get("qscheme"))
    if kind == "fp4" and weight.get("group_size") == 32:
        return "mxfp4-all"
    if kind == "fp8_e4m3":
        return {"per_tensor": "fp8", "per_channel": "fp8-channel"}.get(scheme, "")
    return "int8-w8a8" if kind == "int8" else ""


MODELOPT = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8-channel", "FP8_PB_WO": "fp8-block",
    "FP8_BLOCK_SCALES": "fp8-block", "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4", "MXFP8": "mxfp8",
    "NVFP4_AWQ": "nvfp4", "W4A16_AWQ": "awq-int4", "W4A8_AWQ": "awq-int4",
    "W4A8_MXFP4_FP8": "mxfp4-all", "W8A8_SQ_PER_CHANNEL": "int8-w8a8", "W8A16": "int8-w8a16",
}  # fmt: skip
"""quant_algo of NVIDIA ModelOpt -> weight format.
Source: vLLM 0.33.0 modelopt.py LINEAR_ALGOS, and the names that ModelOpt's exporter writes."""


@method("modelopt", "modelopt_fp4", "modelopt_mixed", "nvfp4")
def _modelopt(q: Config) -> str:
    algorithm = str(q.get("quant_algo") or q.get("quant_method")).upper()
    if algorithm == "MIXED_PRECISION":
        algorithms = [str(v.get("quant_algo")).upper() for v in listed_layers(q).values()]
        algorithm = str(q.get("moe_quant_algo") or most_frequent(algorithms)).upper()
    return MODELOPT.get(algorithm, "")


def listed_layers(q: Config) -> dict[str, Config]:
    """Return the modules of a mixed-precision checkpoint with the algorithm of each."""
    layers = q.get("quantized_layers")
    found = layers.items() if isinstance(layers, Mapping) else ()
    return {str(k): v for k, v in found if isinstance(v, Mapping)}


def most_frequent(names: list[str]) -> str:
    """Return the name that stands most often, the first of equals; empty for none."""
    return max(dict.fromkeys(names), key=names.count, default="")


@method("compressed-tensors", "compressed_tensors")
def _compressed(q: Config) -> str:
    groups = q.get("config_groups")
    listed = list(groups.values()) if isinstance(groups, Mapping) else []
    found = [compressed_scheme(g) for g in listed if isinstance(g, Mapping)]
    return found[0] if found and all(f == found[0] for f in found) else ""


_SCHEMES = {
    ("int", 8, "channel"): "int8-w8a8",
    ("int", 8, "tensor"): "int8-w8a8",
    ("float", 8, "channel"): "fp8-channel",
    ("float", 8, "tensor"): "fp8",
    ("float", 8, "block"): "fp8-block",
    ("float", 4, "tensor_group"): "nvfp4",
    ("float", 4, "group"): "mxfp4-all",
    ("float", 8, "group"): "mxfp8",
}


def compressed_scheme(group: Config) -> str:
    """Return the format of one group of a compressed-tensors config, empty when not known."""
    w = group.get("weights")
    if not isinstance(w, Mapping):
        return ""
    kind, bits, strategy = w.get("type"), w.get("num_bits"), str(w.get("strategy"))
    activations = group.get("input_activations")
    if kind == "int" and bits == 8 and strategy == "channel" and not activations:
        return "int8-w8a16"
    if kind == "int" and strategy in ("group", "channel") and bits in (4, 8):
        size = w.get("group_size") if strategy == "group" else -1
        if strategy == "group" and size not in GROUPS:
            return ""
        if bits == 4 or strategy == "group":
            tail = {128: "", -1: "-channel"}.get(size, f"-g{size}")  # type: ignore[arg-type]
            return f"compressed-tensors-w{bits}a16{tail}"
    return _SCHEMES.get((str(kind), bits if isinstance(bits, int) else 0, strategy), "")


def mlx_format(q: Config) -> str:
    """Return the format of MLX's `quantization` key: bits, group size, mode."""
    bits, group, mode = q.get("bits", 4), q.get("group_size", 64), str(q.get("mode", "affine"))
    if mode in ("mxfp4", "nvfp4"):
        return f"mlx-{mode}"
    if mode != "affine" or bits not in (2, 3, 4, 5, 6, 8) or group not in GROUPS:
        raise unreadable("mlx")
    return f"mlx-{bits}bit" + ("" if group == 64 else f"-g{group}")
