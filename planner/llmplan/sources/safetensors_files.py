"""Safetensors files read by their headers: names, types, shapes and sizes, never the weights.

Source of every rule here: github.com/huggingface/safetensors, README.md ("Format") and
safetensors/src/tensor.rs (`Metadata::validate`), read 2026-11.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from llmplan.errors import CatalogFileError, InputError
from llmplan.sources.binary import StoredTensor, open_binary, shown, unreadable
from llmplan.sources.tensor_places import stored_weights

__all__ = [
    "Checkpoint", "StoredTensor", "header_bytes", "parse_header", "read_checkpoint",
    "read_safetensors", "stored_weights", "weight_files",
]  # fmt: skip

LENGTH_BYTES = 8
"""Bytes of the header's own length, a little-endian unsigned integer in front of it."""

MAX_HEADER_BYTES = 100_000_000
"""Longest header that the format allows (MAX_HEADER_SIZE) [bytes]."""

MAX_TENSORS = 1 << 19
"""Most tensors read from one checkpoint. Kimi-K2 has about 140,000; a header at the format's
limit of bytes could list two million."""

MAX_PARTS = 16 * MAX_TENSORS
"""Most commas and brackets of a header: a tensor's entry has at most 16 in practice."""

MAX_FILES = 4096
"""Most files of one checkpoint; the largest published ones have a few hundred shards."""

MAX_INDEX_BYTES = 64 << 20
"""Longest index file read [bytes]; that of Kimi-K2 has about 15 MB."""

BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""Bits of an element by type, as safetensors 0.8 lists them."""

_SIZE_LIMIT = 1 << 64
_METADATA = "__metadata__"
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")


def header_bytes(data: bytes, where: str) -> int:
    """Return the length of a file's header with the length in front, from the first 8 bytes."""
    if len(data) < LENGTH_BYTES:
        raise _fault(where, f"has {len(data)} bytes, too few for a header")
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise _fault(where, f"states a header of {length:,} bytes; {MAX_HEADER_BYTES:,} is most")
    return LENGTH_BYTES + length


def parse_header(data: bytes, file_bytes: int | None, where: str) -> tuple[StoredTensor, ...]:
    """Return the tensors of a file from its first bytes, in the order they are stored.

    Parameters
    ----------
    data : bytes
        The file's first bytes: at least its whole header
    file_bytes : int or None
        Size of the whole file, against which the end of the tensors is checked [bytes]
    where : str
        Name of the file for messages

    Raises CatalogFileError where the header breaks a rule of the format.

    """
    end = header_bytes(data, where)
    if end > len(data):
        raise _fault(where, f"is cut off: its header has {end:,} bytes, {len(data):,} are there")
    listed = _json_object(data[LENGTH_BYTES:end], where)
    metadata = listed.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _fault(where, f"has a {_METADATA} that does not map text to text")
    if len(listed) > MAX_TENSORS:
        raise _fault(where, f"lists more than {MAX_TENSORS:,} tensors")
    entries = [_entry(name, info, where) for name, info in listed.items()]
    entries.sort(key=lambda entry: entry[0])
    position = 0
    for (start, stop), tensor in entries:
        if start != position:
            problem = (
                "overlaps the one before it" if start < position else "leaves a hole before it"
            )
            raise _fault(where, f"tensor {shown(tensor.name)} {problem}")
        position = stop
    if file_bytes is not None and end + position != file_bytes:
        cut = "cut off" if file_bytes < end + position else "too long"
        raise _fault(
            where, f"is {cut}: its tensors end at {end + position:,} of {file_bytes:,} bytes"
        )
    return tuple(tensor for _, tensor in entries)


def _json_object(text: bytes, where: str) -> dict[str, Any]:
    """Return the header's JSON, whose size is bounded before anything is built of it."""
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MAX_PARTS:
        raise _fault(where, "has a header of more parts than tensors could need")
    try:
        listed = json.loads(
            text.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as e:
        deep = isinstance(e, RecursionError)
        reason = "nested too deep" if deep else " ".join(str(e).split())[:120]
        raise _fault(where, f"has a header that is not valid JSON: {reason}") from None
    if not isinstance(listed, dict):
        raise _fault(where, "has a header that is no JSON object")
    return listed


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{shown(counts.most_common(1)[0][0])} stands twice")
    return result


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _entry(name: str, info: Any, where: str) -> tuple[tuple[int, int], StoredTensor]:
    """Return where a tensor lies and what it is, checked against each other."""
    facts = info if isinstance(info, dict) else {}
    dtype, shape, offsets = (facts.get(k) for k in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _fault(where, f"tensor {shown(name)} has the unknown type {shown(str(dtype))}")
    if not _whole_numbers(shape):
        raise _fault(where, f"tensor {shown(name)} has no shape of whole numbers")
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[1] < offsets[0]:
        raise _fault(where, f"tensor {shown(name)} has no data_offsets from start to end")
    bits = BITS[dtype]
    for size in shape:
        bits *= size
        if bits >= _SIZE_LIMIT:
            raise _fault(where, f"tensor {shown(name)} has a shape beyond 64 bits")
    start, stop = offsets
    if bits % 8 or stop - start != bits // 8:
        raise _fault(
            where,
            f"tensor {shown(name)} has {stop - start:,} bytes, its type and shape {bits / 8:,g}",
        )
    return (start, stop), StoredTensor(name, dtype, tuple(shape), stop - start)


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < _SIZE_LIMIT for n in value)


def _fault(where: str, problem: str) -> CatalogFileError:
    return CatalogFileError(f"{where}: {problem}.", "Download the file again.")


class Checkpoint(NamedTuple):
    """The tensors of a checkpoint's files; none where an index stands without its shards."""

    tensors: tuple[StoredTensor, ...]
    files: int


def read_safetensors(path: Path) -> tuple[StoredTensor, ...]:
    """Return the tensors of a file, an index with its shards, or a folder of either."""
    return read_checkpoint(path).tensors


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the tensors and the number of files of a file, an index or a folder of either."""
    listed: dict[str, str] = {}
    if path.is_dir():
        index = path / INDEX
        if index.exists():
            return read_checkpoint(index)
        files = weight_files(path)
    elif path.name.endswith(".index.json"):
        listed = _weight_map(path)
        files = [path.parent / name for name in sorted(set(listed.values()))]
        if not any(f.exists() for f in files):
            return Checkpoint((), 0)
    else:
        files = [path]
    tensors = _read_files(files, lambda name, file: listed.get(name, file.name) == file.name)
    missing = listed.keys() - {t.name for t in tensors}
    if missing:
        raise CatalogFileError(
            f"{path}: {listed[min(missing)]} lacks the tensor {shown(min(missing))}.",
            "Download the files again.",
        )
    return Checkpoint(tensors, len(files))


def _read_files(
    files: Iterable[Path], belongs: Callable[[str, Path], bool]
) -> tuple[StoredTensor, ...]:
    found: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in _read_file(file):
            if not belongs(tensor.name, file):
                continue
            if tensor.name in found:
                raise _fault(str(file), f"holds {shown(tensor.name)}, as another file does")
            found[tensor.name] = tensor
        if len(found) > MAX_TENSORS:
            raise _fault(str(file), f"brings the checkpoint beyond {MAX_TENSORS:,} tensors")
    return tuple(found.values())


def _read_file(path: Path) -> tuple[StoredTensor, ...]:
    file, size = open_binary(path)
    try:
        with file:
            start = file.read(LENGTH_BYTES)
            end = header_bytes(start, str(path))
            data = start + file.read(min(end, size) - LENGTH_BYTES)
    except OSError as e:
        raise unreadable(path, e) from None
    return parse_header(data, size, str(path))


def _weight_map(path: Path) -> dict[str, str]:
    """Return the file of each tensor that an index lists; names only, no folders."""
    file, _ = open_binary(path)
    try:
        with file:
            text = file.read(MAX_INDEX_BYTES + 1)
    except OSError as e:
        raise unreadable(path, e) from None
    if len(text) > MAX_INDEX_BYTES:
        raise CatalogFileError(f"{path}: more than the {MAX_INDEX_BYTES:,} bytes of an index.")
    listed = _json_object(text, str(path)).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise CatalogFileError(f"{path}: has no weight_map of tensors to files.")
    for name in listed.values():
        plain = isinstance(name, str) and name.endswith(".safetensors") and name.isprintable()
        if not plain or "/" in name or "\\" in name:
            raise CatalogFileError(f"{path}: {shown(str(name))} is no file beside the index.")
    if len(set(listed.values())) > MAX_FILES:
        raise CatalogFileError(f"{path}: names more than {MAX_FILES:,} files.")
    return listed


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder that make up its model; empty where it has none.

    An adapter is not the model, and a second copy in one file (`consolidated.safetensors`)
    stands behind `model.safetensors` and its shards.
    """
    try:
        names = sorted(p.name for p in folder.iterdir() if p.name.endswith(".safetensors"))
    except OSError as e:
        raise unreadable(folder, e) from None
    names = [n for n in names if not n.startswith("adapter_")]
    if "model.safetensors" in names:
        return [folder / "model.safetensors"]
    sets: dict[tuple[str, str], int] = {}
    for match in filter(None, map(_SHARD.fullmatch, names)):
        key = (match[1], match[3])
        sets[key] = sets.get(key, 0) + 1
    if len(sets) == 1:
        (stem, count), = sets  # fmt: skip
        return [folder / f"{stem}-{i + 1:05}-of-{count}.safetensors" for i in range(int(count))]
    if len(names) > 1:
        raise InputError(
            f"{folder}: {len(names)} safetensors files that are no one set of shards.",
            "Give the file or the index of one of them in a folder of its own.",
        )
    return [folder / n for n in names]
