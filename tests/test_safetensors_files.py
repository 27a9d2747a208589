"""Safetensors headers: read as the `safetensors` package writes them, refused where it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LLAMA, folder, half, llama_shapes, shards
from conftest import Cli
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.numpy import save

import llmplan
from llmplan.catalog.user_files import model_from_path
from llmplan.errors import InputError
from llmplan.memory.formats import weight_format
from llmplan.memory.weights import weight_bytes
from llmplan.sources.binary import StoredTensor
from llmplan.sources.safetensors_files import (
    header_bytes,
    parse_header,
    read_safetensors,
    stored_weights,
)
from llmplan.specs.model import Model
from llmplan.specs.stored import BUFFERS, TIED_HEAD


def test_a_checkpoint_is_read_as_its_config_describes_it(tmp_path: Path) -> None:
    """Parts, layer by layer, against the shapes; and against the arithmetic of the config."""
    tensors = half(llama_shapes())
    model = model_from_path(str(folder(tmp_path / "m", LLAMA, tensors)))
    stored = model.stored
    assert stored is not None
    layer = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64)
    assert stored.layers == (layer, layer)
    assert (stored.embedding, stored.head) == (2 * 320 * 64, 2 * 320 * 64 + 2 * 64)
    assert stored.classes["attention"] == 2 * 2 * (2 * 64 * 64 + 2 * 32 * 64)
    assert stored.classes["mlp"] == 2 * 2 * 3 * 96 * 64
    assert stored.classes["norm"] == 2 * 64 * 5
    assert stored.total == stored.loaded == sum(t.nbytes for t in tensors.values())
    assert stored.elements == sum(t.size for t in tensors.values())
    assert stored.format == "fp16"
    assert weight_bytes(model, weight_format("fp16")).total == stored.total


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    whole = model_from_path(str(folder(tmp_path / "one", LLAMA, half(llama_shapes())))).stored
    path = shards(tmp_path / "three", half(llama_shapes()))
    split = model_from_path(str(path)).stored
    assert whole is not None
    assert split is not None
    assert split.files == 3
    assert {**split.to_dict(), "files": 1} == whole.to_dict()
    (path / "model.safetensors.index.json").unlink()
    assert {t.name for t in read_safetensors(path)} == set(llama_shapes())
    assert model_from_path(str(path / "config.json")).stored == split


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    path = shards(tmp_path / "m", half(llama_shapes()))
    (path / "model-00002-of-00003.safetensors").unlink()
    for _ in range(2):  # with the index, then by the names of the others
        with pytest.raises(InputError, match="model-00002-of-00003"):
            model_from_path(str(path))
        (path / "model.safetensors.index.json").unlink(missing_ok=True)


def test_an_index_alone_leaves_the_sizes_to_the_config(tmp_path: Path) -> None:
    path = shards(tmp_path / "m", half(llama_shapes()))
    for shard in path.glob("*.safetensors"):
        shard.unlink()
    assert model_from_path(str(path)).stored is None


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({}, "no weight_map"),
        ({"weight_map": {"a": "../x.safetensors"}}, "no file beside the index"),
        ({"weight_map": {"a": "/etc/passwd"}}, "no file beside the index"),
        ({"weight_map": {"a": 5}}, "no file beside the index"),
        ({"weight_map": {"b": "model-00001-of-00003.safetensors"}}, "lacks the tensor 'b'"),
    ],
)
def test_a_bad_index_is_refused(tmp_path: Path, index: dict[str, Any], expected: str) -> None:
    path = shards(tmp_path / "m", half(llama_shapes()))
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=expected):
        model_from_path(str(path))


def test_a_tied_head_stored_twice_is_loaded_once(tmp_path: Path) -> None:
    config = LLAMA | {"tie_word_embeddings": True}
    path = folder(tmp_path / "m", config, half(llama_shapes()))
    stored = model_from_path(str(path)).stored
    assert stored is not None
    assert stored.classes[TIED_HEAD] == 2 * 320 * 64
    assert stored.head == 2 * 64
    assert stored.total - stored.loaded == 2 * 320 * 64
    codes = {w.code for w in llmplan.estimate(str(path), "rtx-4090").warnings}
    assert "tied_head_stored_twice" in codes
    assert "stored_count_differs" not in codes


def test_files_that_disagree_with_the_config_are_told(tmp_path: Path) -> None:
    tensors = half(llama_shapes()) | {"model.layers.1.extra.weight": np.zeros(7, np.float16)}
    path = folder(tmp_path / "m", LLAMA, tensors)
    setup = llmplan.estimate(str(path), "rtx-4090")
    message = next(w.message for w in setup.warnings if w.code == "stored_count_differs")
    counted = sum(int(np.prod(s)) for s in llama_shapes().values())
    assert f"{counted + 7:,}" in message
    assert f"{counted:,}" in message


def test_stored_sizes_are_split_over_ranks_as_computed_ones(tmp_path: Path) -> None:
    """fp16 over two ranks: what is sharded halves, norms stay whole; other formats compute."""
    stored = model_from_path(str(folder(tmp_path / "m", LLAMA, half(llama_shapes()))))
    plain = model_from_path(str(folder(tmp_path / "n", LLAMA, half(llama_shapes()))))
    object.__setattr__(plain, "stored", None)
    for name in ("fp16", "fp8"):
        fmt = weight_format(name)
        for tp in (1, 2, 4):
            a, b = (weight_bytes(m, fmt, tp=tp, pad_vocab=True) for m in (stored, plain))
            assert a.total == pytest.approx(b.total)
            assert a.layers == pytest.approx(b.layers)


def model_of(config: dict[str, Any], tmp_path: Path) -> Model:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | config))
    return model_from_path(str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("transformer.h.1.attn.c_attn.weight", (1, "attention")),
        ("model.language_model.layers.0.mlp.experts.5.w1.weight", (0, "experts")),
        ("model.layers.1.mlp.shared_expert_gate.weight", (1, "router")),
        ("model.layers.1.mlp.shared_experts.up_proj.weight", (1, "shared_experts")),
        ("model.layers.1.mlp.gate.e_score_correction_bias", (1, "router")),
        ("model.layers.0.block_sparse_moe.gate.weight", (0, "router")),
        ("model.layers.0.linear_attn.in_proj_qkvz.weight", (0, "recurrent")),
        ("backbone.layers.1.mixer.in_proj.weight", (1, "recurrent")),
        ("backbone.layers.1.mixer.q_proj.weight", (1, "attention")),
        ("gpt_neox.layers.1.attention.query_key_value.weight", (1, "attention")),
        ("model.decoder.layers.1.fc1.weight", (1, "mlp")),
        ("model.layers.0.self_attn.q_norm.weight", (0, "norm")),
        ("layers.1.feed_forward.w2.weight", (1, "mlp")),
        ("model.layers.2.eh_proj.weight", "draft"),
        ("mtp.layers.0.self_attn.q_proj.weight", "draft"),
        ("model.visual.blocks.0.attn.qkv.weight", "vision"),
        ("vision_tower.vision_model.encoder.layers.7.mlp.fc1.weight", "vision"),
        ("multi_modal_projector.linear_1.weight", "vision"),
        ("transformer.wte.weight", "embedding"),
        ("tok_embeddings.weight", "embedding"),
        ("output.weight", "head"),
        ("embed_out.weight", "head"),
        ("transformer.ln_f.weight", "head"),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", BUFFERS),
    ],
)
def test_tensors_are_placed_by_their_names(tmp_path: Path, name: str, part: Any) -> None:
    """Names as published checkpoints have them, of two layers."""
    tensor = StoredTensor(name, "F16", (8, 8), 128)
    stored = stored_weights([tensor], model_of({}, tmp_path))
    assert stored.total == 128
    if isinstance(part, tuple):
        assert stored.layers[part[0]] == 128
        assert stored.classes == {part[1]: 128}
    elif part == BUFFERS:
        assert stored.loaded == 0
    else:
        assert getattr(stored, part) == 128


def test_masks_of_gpt2_are_no_weights(tmp_path: Path) -> None:
    mask = StoredTensor("h.0.attn.bias", "F32", (1, 1, 1024, 1024), 4 << 20)
    bias = StoredTensor("h.0.attn.c_attn.bias", "F32", (192,), 768)
    stored = stored_weights([mask, bias], model_of({}, tmp_path))
    assert (stored.classes[BUFFERS], stored.layers[0], stored.elements) == (4 << 20, 768, 192)


arrays = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"),
    st.tuples(
        st.sampled_from([np.float16, np.float32, np.int8, np.uint64, np.bool_]),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(arrays, st.dictionaries(st.text(max_size=5), st.text(max_size=9), min_size=1, max_size=2))
def test_what_safetensors_writes_is_read(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    values = {n: np.zeros(shape, kind) for n, (kind, shape) in tensors.items()}
    data = save(values, metadata)
    read = parse_header(data, len(data), "any")
    assert parse_header(data[: header_bytes(data, "any")], None, "any") == read
    found = {t.name: (t.dtype, list(t.shape), t.bytes) for t in read}
    expected = {n: (i["dtype"], i["shape"], len(i["data"])) for n, i in deserialize(data)}
    assert found == expected


def test_a_folder_is_planned_from_its_files(tmp_path: Path, cli: Cli) -> None:
    path = folder(tmp_path / "my model", LLAMA, half(llama_shapes()))
    done = cli("fit", str(path), "--gpu", "rtx-4090", "--json")
    assert done.returncode == 0, done.stdout
    asked = json.loads(done.stdout)["requested"]
    assert asked["weight_format"] == "fp16"
    assert asked["launch"]["command"].startswith(f"vllm serve '{path}'")
    assert asked["memory_per_gpu"]["weights_bytes"] == sum(
        2 * int(np.prod(s)) for s in llama_shapes().values()
    )
