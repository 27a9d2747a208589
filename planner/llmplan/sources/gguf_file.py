"""GGUF files read by their headers: facts and tensors, never the weights nor the vocabulary.

Source of every rule here: ggml docs/gguf.md and llama.cpp ggml/src/gguf.cpp and ggml.h at
0c1e57098 (2026-10-01, vendored in the PyPI package llama-cpp-python 0.3.36).
"""

from __future__ import annotations

import re
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from llmplan.errors import CatalogFileError, InputError
from llmplan.sources.binary import StoredTensor, open_binary, shown, unreadable

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4
MAX_NAME_BYTES = 64
"""Dimensions and name length of a tensor (GGML_MAX_DIMS, GGML_MAX_NAME)."""

MAX_KEY_BYTES = 1024
"""Longest metadata key read [bytes]: the format allows 65,535, those in use are under 100."""

MAX_HEADER_BYTES = 256 << 20
"""Longest header read [bytes]; a vocabulary of 250,000 with its merges takes about 15 MB."""

MAX_KEYS = 1 << 14
MAX_TENSORS = 1 << 16
MAX_FILES = 4096
"""Most metadata keys, tensors and parts read; real files have under 100, 3,000 and 100."""

MAX_STRINGS = 1 << 23
"""Most strings walked over in all arrays of a file; a vocabulary of 250,000 has a million."""

MAX_KEPT_TEXT = 1024
MAX_KEPT_ITEMS = 4096
"""Longest text [bytes] and array that are kept; longer ones (templates, vocabularies) are not."""

MAX_KEPT_IN_ALL = 1 << 18
"""Most items kept of all arrays together; a file has a few arrays of one item a layer."""

TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
    26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
"""Name, weights and bytes of a block, by type number (ggml.h ggml_type, ggml-common.h)."""

_SCALARS = {
    0: Struct("<B"), 1: Struct("<b"), 2: Struct("<H"), 3: Struct("<h"), 4: Struct("<I"),
    5: Struct("<i"), 6: Struct("<f"), 7: Struct("<?"), 10: Struct("<Q"), 11: Struct("<q"),
    12: Struct("<d"),
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_CHUNK = 1 << 20
_SIZE_LIMIT = 1 << 63
_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


class Omitted(NamedTuple):
    """A text or array that was not kept: only how long it is."""

    length: int


Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...] | Omitted


class GgufFile(NamedTuple):
    """Facts and tensors of a GGUF file, or of all parts of a split one.

    `path` is the file that llama.cpp is given: the first part.
    """

    path: Path
    metadata: dict[str, Value]
    tensors: tuple[StoredTensor, ...]
    files: int


class _Reader:
    """Reads a header front to back in bounded chunks; what is skipped is not read."""

    def __init__(self, file: BinaryIO, size: int, where: str) -> None:
        self.file, self.size, self.where = file, size, where
        self.chunk, self.at, self.base = b"", 0, 0
        self.strings, self.items = MAX_STRINGS, MAX_KEPT_IN_ALL

    @property
    def position(self) -> int:
        return self.base + self.at

    def fault(self, problem: str) -> CatalogFileError:
        return CatalogFileError(f"{self.where}: {problem}.", "Download or convert it again.")

    def need(self, count: int) -> int:
        """Make `count` bytes (at most a chunk) available and return where they start."""
        if self.at + count > len(self.chunk):
            self.base += self.at
            self.bound(self.base + count)
            self.file.seek(self.base)
            self.chunk, self.at = self.file.read(max(count, _CHUNK)), 0
            if len(self.chunk) < count:
                raise self.fault("ends before the size that the system states")
        start, self.at = self.at, self.at + count
        return start

    def bound(self, end: int) -> None:
        """Refuse a header that ends behind the file or grows beyond what one may be."""
        if end > self.size:
            raise self.fault(f"is cut off at {self.size:,} bytes, inside its header")
        if end > MAX_HEADER_BYTES:
            raise self.fault(f"has a header of more than {MAX_HEADER_BYTES:,} bytes")

    def skip(self, count: int) -> None:
        self.bound(self.position + count)
        self.at += count
        if self.at > len(self.chunk):
            self.base, self.at, self.chunk = self.position, 0, b""

    def scalar(self, kind: Struct) -> Scalar:
        start = self.need(kind.size)
        value: Scalar = kind.unpack_from(self.chunk, start)[0]
        return value

    def u32(self) -> int:
        return int(self.scalar(_U32))

    def u64(self) -> int:
        return int(self.scalar(_U64))

    def text(self, limit: int, what: str) -> str:
        """Return a string of at most `limit` bytes: a name, on which much depends."""
        length = self.u64()
        if length > limit:
            raise self.fault(f"{what} of {length:,} bytes is longer than {limit:,}")
        start = self.need(length)
        try:
            return self.chunk[start : start + length].decode("utf-8")
        except UnicodeDecodeError:
            raise self.fault(f"{what} is not UTF-8 text") from None

    def string(self) -> str | Omitted:
        """Return a string value where it is short; any bytes may stand in it."""
        length = self.u64()
        if length > MAX_KEPT_TEXT:
            self.skip(length)
            return Omitted(length)
        start = self.need(length)
        return self.chunk[start : start + length].decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        """Walk over the strings of an array without building any of them."""
        self.strings -= count
        if self.strings < 0:
            raise self.fault(f"has more than {MAX_STRINGS:,} strings in its arrays")
        unpack, chunk, at = _U64.unpack_from, self.chunk, self.at
        for _ in range(count):
            if at + _U64.size > len(chunk):
                self.at = at
                at = self.need(_U64.size)
                chunk = self.chunk
            at += _U64.size + unpack(chunk, at)[0]
            if at > len(chunk):
                self.at = len(chunk)
                self.skip(at - len(chunk))
                chunk, at = self.chunk, self.at
        self.at = at


def read_gguf(path: Path) -> GgufFile:
    """Return facts and tensors of a GGUF file; of a split one, those of all its parts."""
    first = _split_files(path)
    name = path if first is None else first[0]
    whole = _read_part(name)
    count = whole.metadata.get("split.count", 1)
    if not isinstance(count, int) or not 1 <= count <= MAX_FILES:
        raise CatalogFileError(f"{name}: split.count is no number of files.")
    if count == 1:
        return whole
    if first is None or len(first) != count:
        raise InputError(
            f"{name}: one of {count} parts by its header, but not by its name.",
            f"Name the parts as they were published: ...-00001-of-{count:05}.gguf.",
        )
    tensors = {t.name: t for t in whole.tensors}
    for number, other in enumerate(first[1:], start=1):
        part = _read_part(other)
        if part.metadata.get("split.no") != number or part.metadata.get("split.count") != count:
            raise CatalogFileError(f"{other}: is not part {number + 1} of {count} by its header.")
        twins = tensors.keys() & {t.name for t in part.tensors}
        if twins:
            raise CatalogFileError(f"{other}: holds {shown(min(twins))}, as another part does.")
        tensors |= {t.name: t for t in part.tensors}
        if len(tensors) > MAX_TENSORS:
            raise CatalogFileError(f"{other}: brings the model beyond {MAX_TENSORS:,} tensors.")
    return whole._replace(tensors=tuple(tensors.values()), files=count)


def _split_files(path: Path) -> list[Path] | None:
    """Return the parts that the name of one of them stands for, or None; all must be there."""
    match = _SPLIT.fullmatch(path.name)
    if match is None or not 1 <= int(match[3]) <= MAX_FILES:
        return None
    count = int(match[3])
    parts = [path.with_name(f"{match[1]}-{i + 1:05}-of-{count:05}.gguf") for i in range(count)]
    missing = [p.name for p in parts if not p.exists()]
    if missing and path.exists():
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{path}: {missing[0]}{more} of its {count} parts is not beside it.",
            "Download all parts into one folder.",
        )
    return parts


def _read_part(path: Path) -> GgufFile:
    file, size = open_binary(path)
    try:
        with file:
            return _parse(_Reader(file, size, str(path)), path)
    except OSError as e:
        raise unreadable(path, e) from None


def _parse(reader: _Reader, path: Path) -> GgufFile:
    _check_start(reader)
    tensor_count, key_count = reader.u64(), reader.u64()
    if tensor_count > MAX_TENSORS or key_count > MAX_KEYS:
        raise reader.fault(
            f"states {tensor_count:,} tensors and {key_count:,} facts, more than a model has"
        )
    metadata: dict[str, Value] = {}
    for _ in range(key_count):
        key = reader.text(MAX_KEY_BYTES, "a key")
        if not key or key in metadata:
            raise reader.fault(f"the key {shown(key)} is empty or stands twice")
        metadata[key] = _value(reader, key)
    listed = [_tensor(reader) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise reader.fault("general.alignment is no power of two")
    _check_places(reader, listed, alignment)
    return GgufFile(path, metadata, tuple(t for t, _ in listed), 1)


def _check_start(reader: _Reader) -> None:
    if reader.size < len(MAGIC) + _U32.size:
        raise reader.fault(f"has {reader.size} bytes, too few for a GGUF file")
    start = reader.need(len(MAGIC))
    magic = reader.chunk[start : start + len(MAGIC)]
    if magic != MAGIC:
        raise CatalogFileError(
            f"{reader.where}: not a GGUF file, it begins with {shown(magic.decode('latin-1'))}.",
            "Give a .gguf file, a config.json or a folder with one.",
        )
    version = reader.u32()
    if version and not version & 0xFFFF:
        raise CatalogFileError(
            f"{reader.where}: a big-endian GGUF file, which is not read.",
            "Give the little-endian one that is published for common machines.",
        )
    if version not in VERSIONS:
        raise CatalogFileError(
            f"{reader.where}: GGUF version {version} is not read; versions 2 and 3 are.",
            "Convert the model again with today's llama.cpp.",
        )


def _value(reader: _Reader, key: str) -> Value:
    kind = reader.u32()
    if kind in _SCALARS:
        return reader.scalar(_SCALARS[kind])
    if kind == _STRING:
        return reader.string()
    if kind != _ARRAY:
        raise reader.fault(f"{shown(key)} has the unknown type {kind}")
    kind, count = reader.u32(), reader.u64()
    if kind == _STRING:
        reader.skip_strings(count)
        return Omitted(count)
    if kind not in _SCALARS:
        # llama.cpp reads no arrays of arrays either (gguf.cpp, GGUF_TYPE_ARRAY)
        raise reader.fault(f"{shown(key)} is an array of the unknown type {kind}")
    if count > min(MAX_KEPT_ITEMS, reader.items):
        reader.skip(count * _SCALARS[kind].size)
        return Omitted(count)
    reader.items -= count
    return tuple(reader.scalar(_SCALARS[kind]) for _ in range(count))


def _tensor(reader: _Reader) -> tuple[StoredTensor, int]:
    """Return one tensor, its shape rows first, and its offset in the data."""
    name = reader.text(MAX_NAME_BYTES, "a tensor's name")
    dimensions = reader.u32()
    if dimensions > MAX_DIMENSIONS:
        raise reader.fault(f"tensor {shown(name)} has {dimensions} dimensions, 4 are most")
    sizes = [reader.u64() for _ in range(dimensions)]
    kind, offset = reader.u32(), reader.u64()
    if kind not in TYPES:
        raise reader.fault(f"tensor {shown(name)} has the unknown type {kind}")
    dtype, weights, length = TYPES[kind]
    elements = 1
    for size in sizes:
        elements *= size
        if elements >= _SIZE_LIMIT:
            raise reader.fault(f"tensor {shown(name)} has a shape beyond 64 bits")
    if (sizes[0] if sizes else 1) % weights:
        raise reader.fault(f"tensor {shown(name)} has rows that blocks of {weights} do not fill")
    shape = tuple(reversed(sizes))
    return StoredTensor(name, dtype, shape, elements // weights * length), offset


def _check_places(reader: _Reader, listed: list[tuple[StoredTensor, int]], alignment: int) -> None:
    """Refuse tensors that do not lie one after the other within the file."""
    names: set[str] = set()
    start = -(-reader.position // alignment) * alignment
    expected = 0
    for tensor, offset in listed:
        if tensor.name in names:
            raise reader.fault(f"tensor {shown(tensor.name)} stands twice")
        names.add(tensor.name)
        if offset != expected:
            problem = "overlaps the one before it" if offset < expected else "leaves a hole"
            raise reader.fault(f"tensor {shown(tensor.name)} at offset {offset:,} {problem}")
        end = start + offset + tensor.bytes
        if end > reader.size:
            raise CatalogFileError(
                f"{reader.where}: is cut off at {reader.size:,} bytes: "
                f"tensor {shown(tensor.name)} ends at {end:,}.",
                "Download it again.",
            )
        expected = -(-(offset + tensor.bytes) // alignment) * alignment
