"""Validation of catalogue entries: the same dataclasses, checked by pydantic, errors with lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from llmplan.catalog.names import close_names
from llmplan.catalog.yaml_reader import Lines, line_of, read_yaml
from llmplan.errors import CatalogFileError
from llmplan.specs import facts, hardware, mixers, model, prices, serving, speed, stored

MAX_LAYERS = 4096
STACKS = ("decoder", "encoder", "vision", "draft")
# mypy does not know the attributes that dataclasses add to a bare `type`
_MIXERS = {t.__dataclass_fields__["kind"].default: t for t in mixers.MIXER_TYPES}  # type: ignore[attr-defined]
_MLPS = {"dense": model.Mlp, "moe": model.MoE}
_RECORDS: dict[str, type] = {
    "models": model.Model,
    "gpus": hardware.Accelerator,
    "nodes": hardware.Node,
    "topics": facts.Topic,
    "prices": prices.PriceList,
    "engines": serving.Server,
    "kernels": speed.KernelTable,
    "coefficients": speed.Coefficients,
    "bands": speed.Bands,
}
At = tuple[str | int, ...]


class _ProblemError(Exception):
    """What is wrong, and where in the data."""

    def __init__(self, at: At, message: str) -> None:
        super().__init__(message)
        self.at = at


def validate_file(path: Path, kind: str | None = None) -> Any:
    """Return the record of a YAML file; an error names file, line, field and the edit."""
    data, lines = read_yaml(path)
    return validate(data, kind or kind_of(data, str(path)), where=str(path), lines=lines)


def kind_of(data: Any, where: str) -> str:
    """Return which kind of entry this is, by the keys it has."""
    if not isinstance(data, dict):
        raise CatalogFileError(f"{where}: not a mapping of keys to values.")
    if "gpu_count" in data:
        return "nodes"
    if "status" in data and "what" in data:
        return "engines"
    if "why" in data:
        return "topics"
    if "prices" in data:
        return "prices"
    for key, kind in (("gemm", "kernels"), ("offsets", "coefficients"), ("quantiles", "bands")):
        if key in data:
            return kind
    if "memory_gib" in data or "memory_bandwidth_gb_per_s" in data:
        return "gpus"
    if "decoder" in data or "encoder" in data or "vocab_size" in data:
        return "models"
    raise CatalogFileError(
        f"{where}: neither a model (decoder or encoder), a device (memory_gib), a node "
        "(gpu_count), a topic (why), a price list (prices), an engine (status, what) nor a plan "
        "(models, gpus)."
    )


def validate(data: Any, kind: str, *, where: str, lines: Lines | None = None) -> Any:
    """Return the record of plain data, or raise CatalogFileError with file, line, field, edit."""
    try:
        if not isinstance(data, dict):
            raise _ProblemError((), "not a mapping of keys to values")
        _refuse_absurd(data, ())
        plain = _model_parts(data) if kind == "models" else data
        return _adapt(_RECORDS[kind], plain, ())
    except _ProblemError as e:
        field = ".".join(str(p) for p in e.at)
        raise CatalogFileError.at(where, line_of(e.at, lines), field, str(e)) from None


MAX_NUMBER = 1 << 50
"""Beyond any count in a model or device."""

MAX_TEXT = 2000
_ID = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")


_DATES = ("date", "released", "checked")


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _refuse_absurd(value: Any, at: At) -> None:
    """Refuse numbers and texts that no fact is: infinite, enormous, with control characters."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_absurd(item, (*at, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_absurd(item, (*at, i))
    elif isinstance(value, (int, float)) and not abs(value) <= MAX_NUMBER:
        raise _ProblemError(at, f"is beyond what a fact could be: at most {MAX_NUMBER}")
    elif isinstance(value, str):
        if len(value) > MAX_TEXT or not value.isprintable():
            raise _ProblemError(at, "is longer than a fact, or has control characters")
        if at and at[-1] in _DATES and not _is_date(value):
            raise _ProblemError(at, f"{value[:40]!r} is no date: write it as 2026-11-21")
        if at == ("id",) and (not set(value) <= _ID or not value.strip(".-_")):
            raise _ProblemError(at, "is made of a-z, 0-9, '.', '-' and '_': rename it")


_adapters: dict[type, TypeAdapter[Any]] = {}


def _adapter(cls: type) -> TypeAdapter[Any]:
    if cls not in _adapters:
        assert not is_pydantic_dataclass(cls)
        for part in (cls, facts.Source, facts.Artifact, facts.PublishedCount, facts.Variant,
                     facts.Adapter, stored.StoredWeights, model.TensorShape, model.Block,
                     model.Stack, hardware.MigSlice, prices.PriceRow, serving.Image):  # fmt: skip
            # read by TypeAdapter, unknown to mypy on a bare type
            part.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)  # type: ignore[attr-defined]
        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]


def _adapt(cls: type, data: Any, at: At) -> Any:
    if not isinstance(data, dict):
        raise _ProblemError(at, "must be a mapping of keys to values")
    try:
        record = _adapter(cls).validate_python(data)
        _refuse_coerced(data, record, at)
        return record
    except ValidationError as e:
        first = min(
            e.errors(include_url=False), key=lambda found: found["type"] not in _UNKNOWN_KEY
        )
        where, message = (*at, *first["loc"]), _message(first, cls)
        named = message.partition(" ")[0]
        if first["type"] == "value_error" and named in data:
            where = (*where, named)  # __post_init__ says the field first
        raise _ProblemError(where, message) from None


def _refuse_coerced(given: Any, read: Any, at: At) -> None:
    """Refuse what was read as another type than it was written in, but whole numbers as floats."""
    if isinstance(given, dict):
        for key, item in given.items():
            part = read[key] if isinstance(read, Mapping) else getattr(read, key)
            _refuse_coerced(item, part, (*at, key))
    elif isinstance(given, (list, tuple)):
        for i, (item, part) in enumerate(zip(given, read, strict=True)):
            _refuse_coerced(item, part, (*at, i))
    elif type(given) is not type(read) and (type(given), type(read)) != (int, float):
        raise _ProblemError(at, f"must be of type {type(read).__name__}, not {given!r}")


_UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")
"""Said before other faults: a misspelt key also makes its right name look missing."""


def _message(error: Any, cls: type) -> str:
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] in _UNKNOWN_KEY:
        fields = [f.name for f in dataclasses.fields(cls)]
        close = close_names(key, fields, 1)
        return "unknown key" + (f": rename it to {close[0]}" if close else ": remove it")
    if error["type"] in ("missing", "missing_argument"):
        return "this key is required: add it"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = repr(error.get("input"))
    if error["type"] == "value_error" or len(shown) > 60:
        return message
    return f"{message}, not {shown}"


def _model_parts(data: dict[str, Any]) -> dict[str, Any]:
    parts = dict(data)
    for name in STACKS:
        if parts.get(name) is not None:
            parts[name] = _stack(parts[name], (name,))
    return parts


def _stack(data: Any, at: At) -> model.Stack:
    if not isinstance(data, dict):
        raise _ProblemError(at, "must be a mapping of keys to values")
    parts = dict(data)
    blocks = parts.get("blocks")
    if not isinstance(blocks, dict) or not blocks:
        raise _ProblemError((*at, "blocks"), "must describe at least one block")
    parts["blocks"] = {k: _block(v, (*at, "blocks", k)) for k, v in blocks.items()}
    parts["layers"] = _layers(parts.get("layers"), (*at, "layers"), frozenset(blocks))
    stack: model.Stack = _adapt(model.Stack, parts, at)
    return stack


def _block(data: Any, at: At) -> model.Block:
    if not isinstance(data, dict):
        raise _ProblemError(at, "must be a mapping of keys to values")
    parts = dict(data)
    listed = parts.get("mixers", [])
    if not isinstance(listed, list):
        raise _ProblemError((*at, "mixers"), "must be a list")
    parts["mixers"] = tuple(_kinded(m, _MIXERS, (*at, "mixers", i)) for i, m in enumerate(listed))
    if parts.get("mlp") is not None:
        parts["mlp"] = _kinded(parts["mlp"], _MLPS, (*at, "mlp"))
    block: model.Block = _adapt(model.Block, parts, at)
    return block


def _kinded(data: Any, types: dict[str, Any], at: At) -> Any:
    if not isinstance(data, dict):
        raise _ProblemError(at, "must be a mapping with a kind")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in types:
        raise _ProblemError((*at, "kind"), f"{kind!r} is none of {', '.join(sorted(types))}")
    return _adapt(types[kind], data, at)


def _layers(runs: Any, at: At, blocks: frozenset[str], depth: int = 0) -> tuple[str, ...]:
    if not isinstance(runs, list) or not runs or depth > 2:
        raise _ProblemError(at, "must be a list of block names, name*count, or {repeat, layers}")
    names: list[str] = []
    for i, run in enumerate(runs):
        if isinstance(run, dict):
            if set(run) != {"repeat", "layers"} or not isinstance(run["repeat"], int):
                raise _ProblemError(
                    (*at, i), "must have just repeat (a number) and layers (a list)"
                )
            inner = _layers(run["layers"], (*at, i, "layers"), blocks, depth + 1)
            count = run["repeat"]
        else:
            name, _, digits = str(run).partition("*")
            if name not in blocks:
                known = ", ".join(sorted(blocks))
                raise _ProblemError((*at, i), f"{name[:40]!r} is none of the blocks: {known}")
            counted = digits.isascii() and digits.isdigit() and len(digits) <= 6
            inner, count = (name,), int(digits) if counted else (0 if digits else 1)
        if not 1 <= count <= MAX_LAYERS or len(names) + count * len(inner) > MAX_LAYERS:
            raise _ProblemError(
                (*at, i), f"the count must be between 1 and {MAX_LAYERS} layers in all"
            )
        names += list(inner) * count
    return tuple(names)
