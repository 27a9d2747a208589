"""Broken and hostile safetensors files: one line each, in bounded memory."""

from __future__ import annotations

import json
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LLAMA, folder, half, llama_shapes
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save, save_file

from llmplan.catalog.user_files import model_from_path
from llmplan.errors import InputError, LlmplanError
from llmplan.sources.safetensors_files import (
    header_bytes,
    parse_header,
    read_safetensors,
)


def packed(header: Any, data: int = 0) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + b"\0" * data


def entry(start: int, stop: int, shape: Any, dtype: Any = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


BROKEN = {
    "empty": (b"", "too few for a header"),
    "only a length": (struct.pack("<Q", 2), "cut off"),
    "header of 100 MB and a byte": (struct.pack("<Q", 100_000_001), "is most"),
    "endless header": (struct.pack("<Q", 2**64 - 1), "is most"),
    "not UTF-8": (packed(b"\xff\xfe"), "not valid JSON"),
    "no object": (packed([]), "no JSON object"),
    "no JSON": (packed(b'{"a"'), "not valid JSON"),
    "nested": (packed(b'{"a":' * 5000 + b"1" + b"}" * 5000), "nested too deep"),
    "twins": (packed(b'{"a":1,"a":2}'), "'a' stands twice"),
    "NaN": (packed(b'{"a":NaN}'), "no JSON value"),
    "huge number": (packed(b'{"a":' + b"9" * 9000 + b"}"), "not valid JSON"),
    "metadata of numbers": (packed({"__metadata__": {"a": 1}}), "map text to text"),
    "entry of text": (packed({"a": "F32"}), "unknown type"),
    "unknown type": (packed({"a": entry(0, 1, [1], "F31")}, 1), "unknown type 'F31'"),
    "type of a list": (packed({"a": entry(0, 1, [1], ["U8"])}, 1), "unknown type"),
    "negative size": (packed({"a": entry(0, 1, [-1])}, 1), "whole numbers"),
    "size of a fraction": (packed({"a": entry(0, 1, [1.5])}, 1), "whole numbers"),
    "size that is true": (packed({"a": entry(0, 1, [True])}, 1), "whole numbers"),
    "offsets the wrong way": (packed({"a": entry(1, 0, [1])}, 1), "from start to end"),
    "one offset": (packed({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}), "start to"),
    "size against shape": (packed({"a": entry(0, 3, [2])}, 3), "has 3 bytes"),
    "half a byte": (packed({"a": entry(0, 1, [1], "F4")}, 1), "0.5"),
    "64-bit shape": (packed({"a": entry(0, 0, [2**32, 2**32])}), "beyond 64 bits"),
    "64-bit size": (packed({"a": entry(0, 0, [2**63], "F64")}), "beyond 64 bits"),
    "overlap": (packed({"a": entry(0, 4, [4]), "b": entry(3, 7, [4])}, 7), "'b' overlaps"),
    "hole": (packed({"a": entry(0, 4, [4]), "b": entry(5, 9, [4])}, 9), "leaves a hole"),
    "hole in front": (packed({"a": entry(1, 2, [1])}, 2), "leaves a hole"),
    "cut off": (packed({"a": entry(0, 4, [4])}, 3), "is cut off"),
    "too long": (packed({"a": entry(0, 4, [4])}, 5), "is too long"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, expected = BROKEN[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError) as e:
        read_safetensors(path)
    assert expected in e.value.message
    assert "\n" not in e.value.one_line()
    with pytest.raises(SafetensorError):
        deserialize(data)


def test_a_header_of_many_parts_takes_no_memory() -> None:
    """Headers that would take gigabytes once parsed: refused by a count of their signs."""
    for text in (b"[" + b"[]," * 5_000_000 + b"1]", b'{"a":[' + b"1," * 9_000_000 + b"1]}"):
        data = packed(text)
        tracemalloc.start()
        with pytest.raises(InputError, match="more parts"):
            parse_header(data, None, "x")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * len(data)


def test_more_tensors_than_any_checkpoint_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmplan.sources.safetensors_files.MAX_TENSORS", 2)
    data = packed({n: entry(0, 0, [0]) for n in "abc"})
    with pytest.raises(InputError, match="more than 2 tensors"):
        parse_header(data, None, "x")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.safetensors"
    loop.symlink_to(loop)
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "device.safetensors").symlink_to("/dev/zero")
    for name in ("loop", "pipe", "device", "none"):
        with pytest.raises(InputError, match=f"{name}.safetensors: "):
            read_safetensors(tmp_path / f"{name}.safetensors")
    bomb = tmp_path / "bomb.safetensors"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (1 << 22))
    with pytest.raises(InputError, match="is most"):
        read_safetensors(bomb)


def test_a_config_of_100_mb_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="bytes that such a file may have"):
        model_from_path(str(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_several_checkpoints_in_a_folder_are_not_mixed(tmp_path: Path) -> None:
    tensors = half(llama_shapes())
    path = folder(tmp_path / "m", LLAMA, tensors)
    save_file({"a": np.zeros(4)}, path / "adapter_model.safetensors")
    save_file({"a": np.zeros(4)}, path / "consolidated.safetensors")
    assert {t.name for t in read_safetensors(path)} == set(tensors)
    (path / "model.safetensors").rename(path / "other.safetensors")
    with pytest.raises(InputError, match="no one set of shards"):
        model_from_path(str(path))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused_or_read(data: bytes, framed: bool) -> None:
    try:
        parse_header(packed(data) if framed else data, len(data), "any")
    except LlmplanError as e:
        assert "\n" not in e.one_line()


def test_damaged_headers_are_refused_as_safetensors_refuses_them() -> None:
    """One byte changed a time: what the reference reads is read, and the other way round.

    safetensors ignores what JSON objects hold besides, and Python's JSON is as strict.
    """
    chance = random.Random(20261121)
    whole = save({"a": np.zeros((2, 3), np.float16), "b": np.zeros(4, np.int8)}, {"k": "v"})
    end = header_bytes(whole, "x")
    for _ in range(3000):
        data = bytearray(whole)
        at = chance.randrange(end)
        data[at] = chance.choice(b'0123456789{}[]",:abcFIBU \xff\0') if at >= 8 else data[at] ^ 1
        try:
            expected = {n: (i["dtype"], len(i["data"])) for n, i in deserialize(bytes(data))}
        except SafetensorError:
            expected = None
        try:
            read = parse_header(bytes(data), len(data), "x")
            found = {t.name: (t.dtype, t.bytes) for t in read}
        except InputError:
            found = None
        assert found == expected, bytes(data[8:end])
