"""Parquet files one after the other in one file: their footers, moved and joined, at its end.

A footer is one struct in Thrift's compact protocol; its offsets count from the file's first byte.
Row groups stay as they were written. Source: apache/parquet-format, parquet.thrift and the
description of the compact protocol in apache/thrift, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

MAGIC = b"PAR1"
TAIL_BYTES = 8
"""Length of the footer, 4 bytes, and the magic word."""

Moves = dict[int, Any]
"""Fields by number: True where one is an offset, else the moves inside it."""

_META_DATA: Moves = {9: True, 10: True, 11: True, 14: True}  # data, index, dictionary, bloom filter
_COLUMN: Moves = {2: True, 3: _META_DATA, 4: True, 6: True}  # file, offset index, column index
_ROW_GROUP: Moves = {1: _COLUMN, 5: True}
_FILE: Moves = {4: _ROW_GROUP}

_BOOLS, _BYTE, _INTS, _DOUBLE, _BINARY, _LISTS, _MAP, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 11, 12  # noqa: E501  # fmt: skip


def joined_footer(file: BinaryIO, ends: Iterable[tuple[int, int]]) -> bytes:
    """Return the footer of all files that stand in `file`, each from a byte to another."""
    whole: Any = None
    for start, end in ends:
        file.seek(end - TAIL_BYTES)
        length = int.from_bytes(file.read(4), "little")
        file.seek(end - TAIL_BYTES - length)
        moved = moved_footer(file.read(length), start)
        size = len(moved).to_bytes(4, "little")
        found = pq.read_metadata(pa.BufferReader(MAGIC + moved + size + MAGIC))
        if whole is None:
            whole = found
        else:
            whole.append_row_groups(found)
    sink = pa.BufferOutputStream()
    whole.write_metadata_file(sink)
    written: bytes = sink.getvalue().to_pybytes()
    return written[len(MAGIC) :]


def moved_footer(footer: bytes, by: int) -> bytes:
    """Return a footer whose offsets are larger by so many bytes."""
    reader = _Mover(footer, by)
    reader.struct(_FILE)
    return b"".join([*reader.out, footer[reader.copied :]])


class _Mover:
    """Walks over a footer, copies it, and writes its offsets anew."""

    def __init__(self, data: bytes, by: int) -> None:
        self.data, self.by = data, by
        self.at = self.copied = 0
        self.out: list[bytes] = []

    def number(self) -> int:
        """Read a variable-length number."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def struct(self, moves: Moves) -> None:
        """Walk over the fields of a struct."""
        field = 0
        while True:
            head = self.data[self.at]
            self.at += 1
            if head == 0:
                return
            if head >> 4:
                field += head >> 4
            else:
                field = _signed(self.number())
            move = moves.get(field)
            if head & 15 not in _BOOLS:
                self.value(head & 15, move)

    def value(self, kind: int, move: Any) -> None:
        """Walk over one value; `move` says whether it is an offset, or what is inside it."""
        if kind in _INTS:
            self.integer(move is True)
        elif kind == _BINARY:
            length = self.number()
            self.at += length
        elif kind == _STRUCT:
            self.struct(move or {})
        elif kind in _LISTS:
            head = self.data[self.at]
            self.at += 1
            count = head >> 4 if head >> 4 < 15 else self.number()
            for _ in range(count):
                self.value(head & 15, move)
        elif kind == _MAP:
            self.map()
        else:
            self.at += 8 if kind == _DOUBLE else 1

    def map(self) -> None:
        """Walk over a map, which no offset is in."""
        count = self.number()
        if count:
            kinds = self.data[self.at]
            self.at += 1
            for _ in range(count):
                self.value(kinds >> 4, None)
                self.value(kinds & 15, None)

    def integer(self, is_offset: bool) -> None:
        """Walk over a number; where it is an offset, write it anew."""
        start = self.at
        value = self.number()
        if is_offset and value:
            self.out += [self.data[self.copied : start], _coded(_signed(value) + self.by)]
            self.copied = self.at


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _coded(value: int) -> bytes:
    left, found = (value << 1) ^ (value >> 63), bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)
