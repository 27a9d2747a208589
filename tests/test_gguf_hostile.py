"""Broken, contradicting and hostile GGUF files: one line each, in bounded memory."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from gguf_files import MEMORY_LIMIT, RECORDED, recorded, write
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.catalog.user_files import model_from_path
from llmplan.errors import InputError, LlmplanError
from llmplan.sources.gguf_file import Omitted, read_gguf


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def fact(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(name: str | bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


ARCHITECTURE = fact("general.architecture", 8, text("llama"))


def header(
    facts: list[bytes],
    tensors: list[bytes],
    *,
    version: int = 3,
    counts: tuple[int, int] = (-1, -1),
) -> bytes:
    stated = [len(x) if n < 0 else n for x, n in zip((tensors, facts), counts, strict=True)]
    return b"GGUF" + struct.pack("<IQQ", version, *stated) + b"".join(facts) + b"".join(tensors)


def pad(data: bytes, extra: int = 64) -> bytes:
    return data + b"\0" * (-len(data) % 32 + extra)


BROKEN = {
    "empty": (b"", "too few for a GGUF file"),
    "no magic": (b"GGML" + b"\0" * 40, "not a GGUF file, it begins with 'GGML'"),
    "version 1": (header([], [], version=1), "version 1 is not read"),
    "version 4": (header([], [], version=4), "version 4 is not read"),
    "version 0": (header([], [], version=0), "version 0 is not read"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "cut counts": (b"GGUF" + struct.pack("<IQ", 3, 1), "cut off at 16 bytes"),
    "cut facts": (header([ARCHITECTURE], [])[:-3], "cut off"),
    "endless tensors": (header([], [], counts=(2**64 - 1, 0)), "more than a model has"),
    "endless facts": (header([], [], counts=(0, 2**63)), "more than a model has"),
    "empty key": (header([fact("", 4, b"1234")], []), "empty or stands twice"),
    "twin key": (header([ARCHITECTURE, ARCHITECTURE], []), "stands twice"),
    "long key": (header([fact("k" * 70000, 4, b"1234")], []), "longer than 1,024"),
    "key that is no text": (header([fact(b"\xff\xfe", 4, b"1234")], []), "not UTF-8"),
    "endless text": (header([fact("a", 8, struct.pack("<Q", 2**64 - 1))], []), "cut off"),
    "unknown fact": (header([fact("a", 13, b"")], []), "unknown type 13"),
    "array of arrays": (
        header([fact("a", 9, struct.pack("<IQ", 9, 2**60))], []), "array of the unknown type 9",
    ),
    "endless array": (header([fact("a", 9, struct.pack("<IQ", 4, 2**62))], []), "cut off"),
    "endless strings": (
        header([fact("a", 9, struct.pack("<IQ", 8, 2**40))], []), "more than 8,388,608 strings",
    ),
    "strings past the end": (header([fact("a", 9, struct.pack("<IQ", 8, 99))], []), "cut off"),
    "alignment of 0": (
        header([fact("general.alignment", 4, struct.pack("<I", 0))], []), "no power of two",
    ),
    "alignment of 48": (
        header([fact("general.alignment", 4, struct.pack("<I", 48))], []), "no power of two",
    ),
    "alignment as text": (header([fact("general.alignment", 8, text("x"))], []), "power of two"),
    "five dimensions": (header([], [info("a", (1,) * 5)]), "5 dimensions"),
    "2^32 dimensions": (header([], [text("a") + struct.pack("<I", 2**32 - 1)]), "dimensions"),
    "shape beyond 64 bits": (header([], [info("a", (2**32, 2**32))]), "beyond 64 bits"),
    "unknown type": (header([], [info("a", (1,), kind=4)]), "unknown type 4"),
    "rows of part blocks": (pad(header([], [info("a", (33,), kind=8)])), "blocks of 32"),
    "long name": (header([], [info("n" * 65, (1,))]), "longer than 64"),
    "twin tensors": (
        pad(header([], [info("a", (8,)), info("a", (8,), offset=32)])), "'a' stands twice",
    ),
    "overlap": (
        pad(header([], [info("a", (16,)), info("b", (8,), offset=32)])),
        "'b' at offset 32 overlaps",
    ),
    "hole": (pad(header([], [info("a", (8,)), info("b", (8,), offset=64)])), "leaves a hole"),
    "not aligned": (pad(header([], [info("a", (8,)), info("b", (1,), offset=33)])), "hole"),
    "cut weights": (pad(header([], [info("a", (99,))])), "ends at"),
    "offset past the end": (pad(header([], [info("a", (8,), offset=2**63)])), "leaves a hole"),
    "no architecture": (pad(header([], [])), "names no general.architecture"),
    "no weights": (pad(header([ARCHITECTURE], [])), "only facts and a vocabulary"),
    "no layers": (pad(header([ARCHITECTURE], [info("a", (8,))])), "'llama.block_count'"),
}  # fmt: skip


def error_of(path: Path) -> LlmplanError:
    with pytest.raises(InputError) as e:
        model_from_path(str(path))
    assert "\n" not in e.value.one_line()
    return e.value


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, expected = BROKEN[name]
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    assert expected in error_of(path).one_line()


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = recorded(tmp_path, "llama").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, 9000, 61), len(whole) - 33]:
        cut.write_bytes(whole[:length])
        error_of(cut)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"general.type": "mmproj"}, "the vision tower"),
        ({"general.type": "adapter"}, "an adapter"),
        ({"llama.block_count": 0}, "'llama.block_count' is 0"),
        ({"llama.block_count": 2}, "beyond its 2 layers"),
        ({"llama.block_count": 2**31}, "no whole number"),
        ({"llama.block_count": 5000}, "5000 layers"),
        ({"llama.block_count": "4"}, "no whole number"),
        ({"llama.nextn_predict_layers": 4}, "states 0 layers"),
        ({"llama.embedding_length": 0}, "'llama.embedding_length' is 0"),
        ({"llama.attention.head_count": 0}, "0 heads"),
        ({"llama.attention.head_count": [4, 4]}, "lacks the fact"),
        ({"llama.attention.head_count": 8}, "its facts make"),
        ({"llama.attention.head_count_kv": 3}, "its facts make"),
        ({"llama.attention.key_length": 2**31 - 1}, "its facts make"),
    ],
)
def test_facts_that_contradict_the_tensors(
    tmp_path: Path, facts: dict[str, Any], expected: str
) -> None:
    assert expected in error_of(recorded(tmp_path, "llama", **facts)).one_line()


@pytest.mark.parametrize(
    ("tensor", "architecture"),
    [("blk.0.time_mix_key.weight", "rwkv7"), ("blk.0.ssm_conv1d_q.weight", "kimi-linear"),
     ("blk.0.attn_compressor_kv.weight", "deepseek4"), ("enc.blk.0.attn_q.weight", "t5")],
)  # fmt: skip
def test_layers_of_unknown_kinds_are_refused(
    tmp_path: Path, tensor: str, architecture: str
) -> None:
    facts = {
        k.replace("llama.", f"{architecture}."): v for k, v in RECORDED["llama"]["facts"].items()
    }
    facts["general.architecture"] = architecture
    tensors = [*RECORDED["llama"]["tensors"], [tensor, "F32", [4], 16]]
    error = error_of(write(tmp_path / "x.gguf", facts, tensors))
    assert "not read yet" in error.message
    assert "YAML" in (error.hint or "")


def test_latent_attention_of_old_files_is_refused(tmp_path: Path) -> None:
    """Before its key_length_mla, llama.cpp caches every head of DeepSeek's (is_mla)."""
    record = RECORDED["deepseek_v3"]
    facts = {k: v for k, v in record["facts"].items() if not k.endswith("_mla")}
    error = error_of(write(tmp_path / "x.gguf", facts, record["tensors"]))
    assert "caches every head" in error.message


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.gguf"
    loop.symlink_to(loop)
    assert "symbolic links" in error_of(loop).message
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "not a regular file" in error_of(tmp_path / "pipe.gguf").message
    device = tmp_path / "device.gguf"
    device.symlink_to("/dev/zero")
    assert "not a regular file" in error_of(device).message
    assert "no such file" in error_of(tmp_path / "none.gguf").message
    folder = tmp_path / "folder.gguf"
    folder.mkdir()
    assert "config.json" in error_of(folder).message
    bomb = tmp_path / "bomb.gguf"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (1 << 24))
    assert "begins with 'PK" in error_of(bomb).message


def test_a_folder_of_several_models_asks_which(tmp_path: Path) -> None:
    recorded(tmp_path, "llama")
    (tmp_path / "mmproj-x.gguf").write_bytes(b"")
    assert model_from_path(str(tmp_path)).name == "llama"
    recorded(tmp_path, "qwen2")
    assert "holds 2 GGUF models" in error_of(tmp_path).message


def vocabulary(tokens: int, merges: int) -> bytes:
    strings = b"".join(text(f"token-{i}") for i in range(tokens))
    pairs = b"".join(text(f"left{i} right{i}") for i in range(merges))
    scores = struct.pack(f"<{tokens}f", *([0.0] * tokens))
    return header(
        [
            ARCHITECTURE,
            fact("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, tokens) + strings),
            fact("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, tokens) + scores),
            fact("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, merges) + pairs),
            fact("tokenizer.chat_template", 8, text("x" * (3 << 20))),
        ],
        [info("a", (1 << 30,))],
    )


def test_a_large_vocabulary_is_not_built(tmp_path: Path) -> None:
    """100,000 tokens and 200,000 merges, before 4 GiB of weights that are a hole."""
    path = tmp_path / "large.gguf"
    data = vocabulary(100_000, 200_000)
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.truncate(len(data) + (4 << 30) + 32)
    tracemalloc.start()
    read = read_gguf(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read.metadata["tokenizer.ggml.tokens"] == Omitted(100_000)
    assert read.metadata["tokenizer.chat_template"] == Omitted(3 << 20)
    assert peak < 4 << 20


def read_any(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        model_from_path(str(path))
    except LlmplanError as e:
        assert "\n" not in e.one_line()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused_or_read(tmp_path_factory, data: bytes, start: bool) -> None:  # type: ignore[no-untyped-def]
    read_any(tmp_path_factory.mktemp("x") / "any.gguf", (b"GGUF\3\0\0\0" if start else b"") + data)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return data with a few bytes or 64-bit words changed, or a piece cut out or doubled."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(result))
        kind = chance.randrange(5)
        if kind == 0:
            result[at] = chance.randrange(256)
        elif kind == 1:
            word = chance.choice([0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1])
            result[at : at + 8] = struct.pack("<Q", word)
        elif kind == 2:
            del result[at : at + chance.randint(1, 40)]
        elif kind == 3:
            result[at:at] = result[at : at + chance.randint(1, 40)]
        else:
            result[at] ^= 1 << chance.randrange(8)
    return bytes(result)


def test_damaged_headers_take_no_memory(tmp_path: Path) -> None:
    chance = random.Random(20261121)
    seeds = [recorded(tmp_path, n).read_bytes() for n in ("llama", "deepseek_v3", "jamba")]
    seeds.append(pad(vocabulary(50, 50)[:3000]))
    tracemalloc.start()
    for i in range(400):
        seed = seeds[i % len(seeds)]
        cut = min(len(seed), 12_000)  # header first, so that most changes meet it
        read_any(tmp_path / "damaged.gguf", mutate(seed[:cut], chance) + seed[cut:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY_LIMIT
