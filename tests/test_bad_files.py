"""Files from people: hostile until parsed. One line, the line at fault, bounded time and memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.schema import validate_file
from llmplan.catalog.yaml_reader import parse_yaml
from llmplan.errors import CatalogFileError, InputError

MIXTRAL = (ROOT / "models/mixtral/mixtral-8x7b.yaml").read_text(encoding="utf-8")
A100 = (ROOT / "hardware/nvidia/a100-40g.yaml").read_text(encoding="utf-8")


def error_of(tmp_path: Path, text: str | bytes) -> InputError:
    path = tmp_path / "entry.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as e:
        validate_file(path)
    assert "\n" not in e.value.one_line()
    return e.value


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("          kv_heads: 8\n", "          kv_haeds: 8\n", "kv_heads"),
        ("kv_heads: 8", "kv_heads: 5", "kv_heads must divide heads"),
        ("kv_heads: 8", "kv_heads: many", "valid integer"),
        ("experts_per_token: 2", "experts_per_token: 9", "between 1 and experts (8)"),
        ("vocab_size: 32000", "vocab_size: [32000]", "valid integer"),
        ("vocab_size: 32000", "vocab_size: -5", "at least 1"),
        ("vocab_size: 32000", "vocab_size: true", "must be of type int"),
        ("vocab_size: 32000", "vocab_size: 32000.0", "must be of type int"),
        ("vocab_size: 32000", 'vocab_size: "32000"', "must be of type int"),
        ("vocab_size: 32000", "vocab_size: 1:20", "valid integer"),
        ("vocab_size: 32000", "vocab_size: 0144", "must be of type int"),
        ("vocab_size: 32000", "vocab_size: " + "9" * 6000, "too many digits"),
        ("tied_embeddings: false", "tied_embeddings: 0", "must be of type bool"),
        ("released: '2023-12-10'", "released: 2023-13-45", "is no date"),
        ("rope_theta: 1000000.0", "rope_theta: 0", "above 0"),
        ("confidence: exact", "confidence: sure", "exact or rounded"),
        ("vocab_size: 32000", "vocab_size: 32000\nvocab_size: 1", "stands twice"),
        ("vocab_size: 32000\n", "", "required"),
        ("    - attention_moe*32", "    - attention_moe*0", "between 1 and 4096"),
        ("    - attention_moe*32", "    - attention_moe*99999999999", "between 1 and 4096"),
        ("    - attention_moe*32", "    - other*32", "none of the blocks"),
        ("        kind: moe", "        kind: dense_moe", "none of dense, moe"),
        ("tied_embeddings: false", "tied_embeddings: &a false", "anchors"),
        ("family: mixtral", "family: !!python/object:os.system x", "not allowed"),
    ],
)
def test_model_faults_name_line_field_and_edit(
    tmp_path: Path, before: str, after: str, expected: str
) -> None:
    assert before in MIXTRAL
    error = error_of(tmp_path, MIXTRAL.replace(before, after, 1))
    assert expected in error.one_line()
    assert "entry.yaml:" in error.message


def test_unknown_key_is_said_with_its_line(tmp_path: Path) -> None:
    text = MIXTRAL.replace("context_tokens: 32768", "context_tokns: 32768")
    line = text.splitlines().index("context_tokns: 32768") + 1
    error = error_of(tmp_path, text)
    assert f"entry.yaml:{line}: context_tokns: unknown key: rename it to context_tokens" in (
        error.message
    )


def test_device_faults(tmp_path: Path) -> None:
    swapped = A100.replace("memory_gib: 40\n", "memory_gib: 4\n")
    assert "swap them?" in error_of(tmp_path, swapped).message
    negative = A100.replace("memory_bandwidth_gb_per_s: 1555", "memory_bandwidth_gb_per_s: -1")
    assert "above 0" in error_of(tmp_path, negative).message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("just text", "not a mapping"),
        ("- a\n- b\n", "not a mapping"),
        ("{", "not valid YAML"),
        ("a: [1, 2", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("\tx: 1", "not valid YAML"),
        ("a: 1\n? [x]\n: 2\n", "plain text"),
        ("x: 1\n", "neither a model"),
        (b"\xff\xfe\x00bad", "UTF-8"),
        ("[" * 100_000, "nest"),
        ("a: &a [x]\nb: [*a, *a]\n", "anchors"),
        ("id: " + "x" * (1 << 21), "that such a file may have"),
        (MIXTRAL[: MIXTRAL.index("decoder:")] + "decoder: 4\n", "must be"),
        ("a: 1\n--- \nb: 2\n", "not valid YAML"),
    ],
)
def test_broken_files(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert expected in error_of(tmp_path, text).one_line()


def test_billion_laughs_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    with pytest.raises(CatalogFileError, match="anchors"):
        parse_yaml(bomb, "bomb.yaml")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_yaml(text, "any.yaml")
    except CatalogFileError as e:
        assert "\n" not in e.one_line()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(MIXTRAL) - 1), st.text(max_size=6))
def test_a_damaged_entry_is_read_or_refused(tmp_path_factory, at: int, junk: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("x") / "entry.yaml"
    path.write_text(MIXTRAL[:at] + junk + MIXTRAL[at + len(junk) :], encoding="utf-8")
    try:
        validate_file(path)
    except InputError as e:
        assert "\n" not in e.one_line()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "has no model_type"),
        ('{"model_type": "llama"}', "lacks"),
        ('{"model_type": "quantum"}', "quantum"),
        ('{"model_type": ["llama"]}', "model_type"),
        ('{"model_type": "llama", "hidden_size": "big", "num_hidden_layers": 2, "vocab_size": 9,'
         ' "num_attention_heads": 2, "intermediate_size": 4}', "hidden_size: must be a whole"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "num_attention_heads: must be"),
        ('{"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 99999999, "vocab_size": 9,'
         ' "num_attention_heads": 2, "intermediate_size": 4}', "layers"),
        ('{"a":' * 50_000, "not valid JSON"),
    ],
)  # fmt: skip
def test_broken_configs(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError) as e:
        llmplan.load_model(str(path))
    assert expected in e.value.one_line()
    assert "\n" not in e.value.one_line()


@pytest.mark.parametrize("name", ["日本", "---", "a\nb"])
def test_configs_are_read_whatever_they_call_themselves(
    tmp_path: Path, shared: Path, name: str
) -> None:
    config = json.loads((shared / "data/models/configs/Qwen__Qwen3-0.6B.json").read_text())
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "_name_or_path": name}))
    model = llmplan.load_model(str(path))
    assert model.id.isascii()
    assert model.name.isprintable()


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for name in ("no.yaml", "no.json", "./no", str(tmp_path)):
        with pytest.raises(InputError):
            llmplan.load_model(name)


def test_own_files_are_planned(tmp_path: Path) -> None:
    """A model and a device of one's own go through the same arithmetic."""
    model, gpu = tmp_path / "mine.yaml", tmp_path / "card.yaml"
    model.write_text(MIXTRAL.replace("id: mixtral-8x7b", "id: mine"))
    gpu.write_text(A100.replace("id: a100-40g", "id: card"))
    answer = llmplan.fit(str(model), str(gpu))
    assert answer.requested.memory_per_gpu.weights_bytes == 2 * 46_702_792_704
    assert answer.requested.gpu == "card"


def test_config_json_is_planned(shared: Path) -> None:
    path = shared / "data/models/configs/Qwen__Qwen3-235B-A22B.json"
    assert llmplan.fit(str(path), "h200", gpus=8).model["parameters"] == 235_093_634_560
