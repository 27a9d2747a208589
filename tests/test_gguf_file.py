"""GGUF files: read as llama.cpp wrote them, refused in one line where they are broken."""

from __future__ import annotations

import json
import os
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import gguf
import pytest
from conftest import ROOT, Cli
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.user_files import model_from_path
from llmplan.errors import InputError, LlmplanError
from llmplan.memory.formats import WEIGHT_FORMATS, weight_format
from llmplan.memory.gguf_types import BLOCKS
from llmplan.memory.parameters import parameter_count
from llmplan.memory.weights import weight_bytes
from llmplan.sources.gguf_file import TYPES, Omitted, read_gguf
from llmplan.sources.gguf_model import FILE_TYPES

RECORDED: dict[str, Any] = json.loads((ROOT / "tests/recorded/gguf_headers.json").read_text())
"""Headers that llama.cpp's converter wrote, with transformers' parameter counts: the folder's
README names the script."""

MEMORY_LIMIT = 64 << 20
"""Most that reading any file of a fuzz test may take [bytes]."""


def add_fact(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    kind = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
    getattr(writer, f"add_{kind[type(value)]}")(key, value)


def write(path: Path, facts: dict[str, Any], tensors: list[list[Any]], **options: Any) -> Path:
    """Write a file with the `gguf` package; weights are zeros, shapes columns first."""
    import numpy as np

    writer = gguf.GGUFWriter(path, facts["general.architecture"], **options)
    for key, value in facts.items():
        if key != "general.architecture":
            add_fact(writer, key, value)
    for name, kind, shape, size in tensors:
        raw = gguf.GGMLQuantizationType[kind]
        rows = [*reversed(shape[1:]), size // max(1, int(np.prod(shape[1:])))]
        writer.add_tensor(name, np.zeros(rows, np.uint8), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def recorded(tmp_path: Path, name: str, **facts: Any) -> Path:
    record = RECORDED[name]
    return write(tmp_path / f"{name}.gguf", record["facts"] | facts, record["tensors"])


@pytest.mark.parametrize("name", RECORDED)
def test_converted_models_count_as_transformers_counts(tmp_path: Path, name: str) -> None:
    """Tensors as gguf's own reader lists them, parameters as transformers counts them."""
    record = RECORDED[name]
    path = recorded(tmp_path, name)
    listed = [(n, k, tuple(reversed(s)), size) for n, k, s, size in record["tensors"]]
    assert [tuple(t) for t in read_gguf(path).tensors] == listed
    model = model_from_path(str(path))
    assert parameter_count(model) == record["parameters"]
    assert model.stored is not None
    assert model.stored.elements == record["parameters"]
    assert model.stored.total == model.stored.loaded == sum(size for *_, size in listed)
    assert weight_bytes(model, weight_format("gguf:F16")).total == model.stored.loaded


def caches(tmp_path: Path, name: str) -> list[dict[str, Any]]:
    stack = model_from_path(str(recorded(tmp_path, name))).main
    return [stack.blocks[b].to_dict()["mixers"] for b in stack.layers]


def test_mixers_are_those_of_the_config(tmp_path: Path) -> None:
    """The sizes that tests/peers/record_gguf.py gave transformers."""
    slides = [m[0]["window"] for m in caches(tmp_path, "gemma3_text")]
    assert slides == [64, 64, 64, 64, 64, None, 64]
    assert [m[0]["chunk"] for m in caches(tmp_path, "llama4_text")] == [8192, 8192, 8192, None]
    latent = caches(tmp_path, "deepseek_v3")[0][0]
    expected = {"kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
                "v_head_dim": 16, "q_lora_rank": 32, "heads": 4}  # fmt: skip
    assert {k: latent[k] for k in expected} == expected
    hybrid = caches(tmp_path, "qwen3_next")
    assert [m[0]["kind"] for m in hybrid] == ["gated_delta_net"] * 3 + ["attention"]
    assert (hybrid[0][0]["key_heads"], hybrid[0][0]["value_heads"]) == (2, 4)
    both = {m["kind"] for m in caches(tmp_path, "falcon_h1")[0]}
    assert both == {"attention", "mamba2"}
    kinds = [[m["kind"] for m in layer] for layer in caches(tmp_path, "nemotron_h")]
    assert kinds == [["mamba2"], ["attention"], [], ["mamba2"]]
    assert caches(tmp_path, "gpt_oss")[0][0]["sinks"]
    assert [m[0]["shares_kv"] for m in caches(tmp_path, "gemma3n_text")] == [False] * 3 + [True]


def test_windows_that_llama_cpp_ignores_are_ignored(tmp_path: Path) -> None:
    """llama.cpp caches every token of `llama` files, Mistral's window stated or not."""
    path = recorded(tmp_path, "llama", **{"llama.attention.sliding_window": 64})
    assert not any(a.window for a in model_from_path(str(path)).attention_layers())


def test_experts_run_as_few_as_the_file_says(tmp_path: Path) -> None:
    block = model_from_path(str(recorded(tmp_path, "qwen2_moe"))).main.blocks
    moe = next(iter(block.values())).to_dict()["mlp"]
    found = [moe[k] for k in ("experts", "experts_per_token", "intermediate_size",
                              "shared_experts_size", "shared_expert_gate")]  # fmt: skip
    assert found == [4, 2, 32, 64, True]


def test_draft_layers_are_kept_apart(tmp_path: Path) -> None:
    """The last of `nextn_predict_layers` counted blocks is no layer that serves."""
    record = RECORDED["glm4_moe"]
    facts = record["facts"] | {"glm4moe.block_count": 5, "glm4moe.nextn_predict_layers": 1}
    draft = [["blk.4.nextn.eh_proj.weight", "F16", [128, 64], 16384]]
    path = write(tmp_path / "mtp.gguf", facts, record["tensors"] + draft)
    model = model_from_path(str(path))
    assert model.stored is not None
    assert (len(model.main.layers), model.stored.draft) == (4, 16384)
    assert parameter_count(model) == record["parameters"]


def test_types_and_presets_are_those_of_gguf() -> None:
    """Block sizes and file types against the `gguf` package; Q8_1 differs there, and is never
    stored. What a preset is called here must be a format of the table."""
    sizes = {t.name: gguf.GGML_QUANT_SIZES[t] for t in gguf.GGMLQuantizationType}
    numbers = {t.name: t.value for t in gguf.GGMLQuantizationType}
    for number, (name, weights, length) in TYPES.items():
        if name in sizes and name != "Q8_1":
            assert (numbers[name], sizes[name]) == (number, (weights, length))
        if name in BLOCKS:
            assert BLOCKS[name] == (weights, length)
    assert set(numbers) <= {name for name, *_ in TYPES.values()}
    for kind in gguf.LlamaFileType:
        name = kind.name.removeprefix("ALL_").removeprefix("MOSTLY_").removesuffix("_MOE")
        if kind.value in FILE_TYPES:
            assert FILE_TYPES[kind.value] == name
            assert f"gguf:{name}" in WEIGHT_FORMATS
        else:
            assert name in ("NVFP4", "Q1_0", "Q2_0", "GUESSED")


def test_a_type_without_a_preset_is_named_after_its_neighbour(tmp_path: Path) -> None:
    path = recorded(tmp_path, "llama", **{"general.file_type": 39})
    assert model_from_path(str(path)).native_format == "gguf:F16"
    facts = RECORDED["llama"]["facts"] | {"general.file_type": 39}
    tensors = [
        [n, "NVFP4", s, size // 2 * 36 // 64] if k == "F16" else [n, k, s, size]
        for n, k, s, size in RECORDED["llama"]["tensors"]
    ]
    model = model_from_path(str(write(tmp_path / "nv.gguf", facts, tensors)))
    assert "is no preset" in model.notes[0]
    assert model.stored is not None
    assert model.stored.total == sum(size for *_, size in tensors)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
facts_strategy = st.dictionaries(
    names.map(lambda n: f"x.{n}"),
    st.one_of(
        st.booleans(), st.integers(0, 2**32 - 1), st.floats(width=32, allow_nan=False),
        st.text(min_size=1, max_size=40), st.lists(st.integers(0, 9), min_size=1, max_size=5),
    ),
    max_size=6,
)  # fmt: skip
kinds = st.sampled_from(["F32", "F16", "BF16", "Q8_0", "Q4_K", "MXFP4"])


@settings(max_examples=60, deadline=None)
@given(
    facts_strategy, st.dictionaries(names, st.tuples(kinds, st.integers(1, 3), st.integers(1, 3)))
)
def test_what_gguf_writes_is_read(tmp_path_factory, facts, tensors) -> None:  # type: ignore[no-untyped-def]
    listed = []
    for name, (kind, blocks, rows) in tensors.items():
        weights, length = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        listed.append([name, kind, [weights * blocks, rows], length * blocks * rows])
    path = tmp_path_factory.mktemp("x") / "any.gguf"
    write(path, {"general.architecture": "any", **facts}, listed)
    file = read_gguf(path)
    expected = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
    assert file.metadata == {"general.architecture": "any", **expected}
    assert [t.bytes for t in file.tensors] == [size for *_, size in listed]
    assert [list(reversed(t.shape)) for t in file.tensors] == [s for _, _, s, _ in listed]


def split_files(tmp_path: Path) -> list[Path]:
    record = RECORDED["llama"]
    write(tmp_path / "model.gguf", record["facts"], record["tensors"], split_max_tensors=15)
    return sorted(tmp_path.glob("*.gguf"))


def test_all_parts_of_a_split_file_are_read(tmp_path: Path) -> None:
    parts = split_files(tmp_path)
    assert len(parts) == 3
    for named in (parts[0], parts[2], tmp_path):
        model = model_from_path(str(named))
        assert parameter_count(model) == RECORDED["llama"]["parameters"]
        assert model.stored is not None
        assert model.stored.files == 3
        assert model.path == str(parts[0])


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    parts = split_files(tmp_path)
    parts[1].unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00003\.gguf of its 3 parts"):
        model_from_path(str(parts[0]))
    renamed = parts[0].rename(tmp_path / "other.gguf")
    with pytest.raises(InputError, match="one of 3 parts by its header, but not by its name"):
        model_from_path(str(renamed))


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


def test_a_file_is_planned_with_llama_cpp(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    path = recorded(folder, "qwen3")
    done = cli("fit", str(path), "--gpu", "rtx-4090", "--json")
    assert done.returncode == 0, done.stdout
    answer = json.loads(done.stdout)
    asked = answer["requested"]
    assert (asked["engine"], asked["weight_format"]) == ("llama.cpp", "gguf:F16")
    assert asked["launch"]["command"].startswith(f"llama-server -m '{path}' ")
    assert "engine_taken" in [w["code"] for w in asked["warnings"]]
    assert {(s["engine"], s["weight_format"]) for s in answer["setups"]} == {
        ("llama.cpp", "gguf:F16")
    }


def test_weights_on_the_device_are_those_of_the_file(tmp_path: Path) -> None:
    """llama.cpp keeps the token embedding on the host; where it is the head too, both hold it."""
    for name in ("qwen3", "llama"):
        path = recorded(tmp_path, name)
        sizes = {n: size for n, _, _, size in RECORDED[name]["tensors"]}
        tied = "output.weight" not in sizes
        held = sum(sizes.values()) - (0 if tied else sizes["token_embd.weight"])
        setup = llmplan.estimate(str(path), "rtx-4090")
        assert setup.memory_per_gpu.weights_bytes == held
        assert setup.warnings[0].code == "engine_taken"


def test_vllm_is_told_apart(tmp_path: Path) -> None:
    setup = llmplan.estimate(str(recorded(tmp_path, "llama")), "rtx-4090", engine="vllm")
    assert not setup.supported
    assert "does not load GGUF" in (setup.reason or "")


def test_sizes_say_that_they_were_read(tmp_path: Path) -> None:
    path = recorded(tmp_path, "llama")
    terms = llmplan.estimate(str(path), "rtx-4090", explain=True).explanation
    assert terms is not None
    assert (terms[0].basis, terms[0].source) == ("exact", f"headers of {path}")
