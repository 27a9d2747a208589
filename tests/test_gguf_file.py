"""GGUF files: read as llama.cpp wrote them, refused in one line where they are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
from conftest import Cli
from gguf_files import RECORDED, recorded, write
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.user_files import model_from_path
from llmplan.errors import InputError
from llmplan.memory.formats import WEIGHT_FORMATS, weight_format
from llmplan.memory.gguf_types import BLOCKS
from llmplan.memory.parameters import parameter_count
from llmplan.memory.weights import weight_bytes
from llmplan.sources.gguf_file import TYPES, read_gguf
from llmplan.sources.gguf_model import FILE_TYPES


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
