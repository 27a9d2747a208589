"""Facts given for one run: `memory_bandwidth=2TB/s`, with units as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from llmplan.errors import InputError
from llmplan.specs.facts import Source
from llmplan.specs.hardware import GIB, Accelerator
from llmplan.specs.model import Model
from llmplan.specs.units import parse_bytes, parse_tokens

_T = TypeVar("_T", Model, Accelerator)
RATES = {"": 1.0, "gb/s": 1.0, "gbps": 1.0, "tb/s": 1e3, "mb/s": 1e-3, "gib/s": GIB / 1e9,
         "tib/s": 1024 * GIB / 1e9}  # fmt: skip
FLOPS = {"": 1.0, "tflops": 1.0, "tflop/s": 1.0, "pflops": 1e3, "pflop/s": 1e3, "gflops": 1e-3,
         "tops": 1.0}  # fmt: skip
WATTS = {"": 1.0, "w": 1.0, "kw": 1e3}
_NUMBER = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([a-zA-Z/]*)")

SHORT = {
    "memory": "memory_gib",
    "usable_memory": "usable_memory_gib",
    "memory_bandwidth": "memory_bandwidth_gb_per_s",
    "bandwidth": "memory_bandwidth_gb_per_s",
    "link": "link_gb_per_s",
    "pcie": "pcie_gb_per_s",
    "tdp": "tdp_w",
    "power": "tdp_w",
    "capability": "compute_capability",
    "context": "context_tokens",
    "licence": "license",
}
"""What people call a fact -> its field."""

DTYPES = ("fp32", "tf32", "bf16", "fp16", "fp8", "fp4", "int8", "int4")
GPU_TEXT = ("name", "vendor", "architecture", "compute_capability")
MODEL_FACTS = ("context_tokens", "vocab_size", "native_format", "license", "rope_theta", "hub_id")
"""Facts of a model that may be given; layers are given by a config.json or a YAML of your own."""


def pairs_of(given: Iterable[str]) -> list[tuple[str, str]]:
    """Return (fact, value) of each `fact=value`; InputError for anything else."""
    pairs = []
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key.strip() or not value.strip():
            raise InputError(
                f"{text[:60]!r} is not a fact with a value.", "Write: --set memory_bandwidth=2TB/s."
            )
        pairs.append((key.strip().lower().replace("-", "_"), value.strip()))
    return pairs


def with_facts(
    model: Model, gpu: Accelerator, given: Iterable[str]
) -> tuple[Model, Accelerator, tuple[str, ...]]:
    """Return model and device with the given facts, and a sentence for each that says so."""
    said = []
    for key, value in pairs_of(given):
        target, _, name = key.rpartition(".")
        field = SHORT.get(name, name)
        source = f"yours: {field}={value[:100]}"
        if target not in ("", "gpu", "model"):
            raise InputError(f"{key[:60]!r}: a fact is of the gpu or of the model.")
        if target != "model" and _is_gpu_fact(field):
            before, gpu = _shown(gpu, field), _changed(gpu, field, value)
            gpu = replace(gpu, sources=(*gpu.sources, source))
            now, of = _shown(gpu, field), gpu.id
        elif target != "gpu" and field in MODEL_FACTS:
            before, model = _shown(model, field), _changed(model, field, value)
            model = replace(model, sources=(*model.sources, Source((field,), source)))
            now, of = _shown(model, field), model.id
        else:
            known = ", ".join([*SHORT, *DTYPES, "vocab_size", "native_format", "rope_theta"])
            raise InputError(f"{key[:60]!r} is no fact that can be given.", f"Known: {known}.")
        said.append(f"{field} of {of} is yours: {now} ({before} on record).")
    return model, gpu, tuple(said)


def inline_accelerator(text: str) -> Accelerator:
    """Return the device described as `memory=48GB,bandwidth=900GB/s,fp16=150TFLOPS,...`."""
    pairs = pairs_of(part for part in text.split(",") if part.strip())
    given = {SHORT.get(k, k) for k, _ in pairs}
    if not {"memory_gib", "memory_bandwidth_gb_per_s"} <= given:
        raise InputError(
            "A device described inline needs memory and bandwidth.",
            "Write: --gpu memory=48GB,bandwidth=900GB/s,fp16=150TFLOPS,capability=sm_89.",
        )
    gpu = Accelerator(
        id="inline", name="device described inline", vendor="nvidia", architecture=None,
        memory_gib=None, memory_bandwidth_gb_per_s=None, sources=(f"yours: {text[:200]}",),
        checked="inline", confidence="low",
    )  # fmt: skip
    for key, value in pairs:
        field = SHORT.get(key, key)
        if not _is_gpu_fact(field):
            raise InputError(
                f"{key[:60]!r} is no fact of a device.",
                f"Known: {', '.join([*SHORT][:9])}, {', '.join(DTYPES)}, vendor, name.",
            )
        gpu = _changed(gpu, field, value)
    return gpu


def with_host(gpu: Accelerator, host_ram_bytes: int | None, bandwidth: float | None) -> Accelerator:
    """Return a processor with the host's memory and its bandwidth; other devices unchanged."""
    if gpu.vendor != "cpu":
        return gpu
    if host_ram_bytes is not None:
        gib = host_ram_bytes / GIB
        gpu = replace(gpu, memory_gib=gib, usable_memory_gib=gib, usable_memory_note="it is yours")
    if bandwidth is not None:
        gpu = replace(gpu, memory_bandwidth_gb_per_s=bandwidth / 1e9)
    return gpu


def parse_rate(text: str) -> float:
    """Return bytes/s of a bandwidth: `90GB/s`, `0.2TB/s`; a bare number is GB/s.

    >>> parse_rate("90GB/s")
    90000000000.0
    """
    return _quantity(str(text), RATES, "a bandwidth", "90GB/s") * 1e9


def _is_gpu_fact(field: str) -> bool:
    return field in DTYPES or field in GPU_TEXT or field.endswith(("_gib", "_gb_per_s", "_w"))


def _changed(record: _T, field: str, text: str) -> _T:
    """Return the record with one fact changed, checked as facts of files are."""
    try:
        if isinstance(record, Accelerator) and field in DTYPES:
            rate = _quantity(text, FLOPS, "a dense rate", "150TFLOPS")
            return replace(record, tflops_dense={**record.tflops_dense, field: rate})
        if field not in record.__dataclass_fields__:
            raise InputError(f"{field[:60]!r} is no fact of {record.id}.")
        changes: dict[str, Any] = {field: _value(field, text)}
        if field == "memory_gib":
            changes |= {"usable_memory_gib": None, "usable_memory_note": None}
        if field == "usable_memory_gib":
            changes["usable_memory_note"] = "it is yours"
        return replace(record, **changes)
    except ValueError as e:
        raise InputError(f"{field}={text[:40]}: {e}.") from None


def _value(field: str, text: str) -> Any:
    if field.endswith("_gib"):
        plain = text.isascii() and text.replace(".", "", 1).isdecimal()
        return float(text) if plain else parse_bytes(text) / GIB
    if field.endswith("_gb_per_s"):
        return _quantity(text, RATES, "a bandwidth", "2TB/s")
    if field.endswith("_w"):
        return _quantity(text, WATTS, "a power", "350W")
    if field in ("context_tokens", "vocab_size"):
        return parse_tokens(text)
    if field == "rope_theta":
        return _quantity(text, {"": 1.0}, "a number", "10000")
    if len(text) > 100 or not text.isprintable():
        raise InputError(f"{field} is no such text.")
    return text


def _quantity(text: str, units: dict[str, float], what: str, example: str) -> float:
    match = _NUMBER.fullmatch(text.strip()[:40])
    if match is None or match.group(2).lower() not in units:
        raise InputError(f"{text[:40]!r} is not {what}.", f"Write it as {example}.")
    return float(match.group(1)) * units[match.group(2).lower()]


def _shown(record: Model | Accelerator, field: str) -> str:
    if isinstance(record, Accelerator) and field in DTYPES:
        value = record.tflops_dense.get(field)
    else:
        value = getattr(record, field, None)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
