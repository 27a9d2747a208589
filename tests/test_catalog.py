"""The catalogue's own rules: every entry validates, and its facts agree with each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

import llmplan
from llmplan.catalog.check import check_files, expand
from llmplan.catalog.files import read_entries, yaml_files
from llmplan.catalog.resolve import all_accelerators, store
from llmplan.catalog.schema import validate_file
from llmplan.catalog.store import index_store, write_index
from llmplan.memory.faults import model_faults
from llmplan.memory.mixers import kinds
from llmplan.specs.mixers import MIXER_TYPES


def test_every_entry_validates() -> None:
    faults = check_files(
        expand([ROOT / "models", ROOT / "hardware", ROOT / "engines"]), rules=model_faults
    )
    assert [f.one_line() for f in faults] == []


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("native_format: bf16", "native_format: zzz", "native_format"),
        ("  - format: fp8", "  - format: fp99", "artifacts.1.format"),
        ("      - IQ2_M", "      - IQ2_ZZ", "artifacts.2.presets.0"),
        ("  parameters: 8030261248", "  parameters: 8030261249", "published.parameters"),
        ("id: llama-3.1-8b", "id: llama-x", "id"),
    ],
)
def test_faults_between_files_and_tables_have_their_line(
    tmp_path: Path, before: str, after: str, field: str
) -> None:
    text = (ROOT / "models/llama/llama-3.1-8b.yaml").read_text(encoding="utf-8")
    path = tmp_path / "llama-3.1-8b.yaml"
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    (fault,) = check_files([path], rules=model_faults)
    line = path.read_text(encoding="utf-8").splitlines().index(after) + 1
    assert fault.message.startswith(f"{path}:{line}: {field}: ")
    assert (fault.file, fault.line, fault.field) == (str(path), line, field)


def test_taken_names_have_their_line(tmp_path: Path) -> None:
    own = ROOT / "models/llama/llama-3.1-8b.yaml"
    twin = tmp_path / own.name
    twin.write_text(own.read_text(encoding="utf-8"), encoding="utf-8")
    faults = check_files([own, twin])
    fields = [f.field for f in faults]
    assert fields[:3] == ["id", "variants.0.name", "variants.0.hub_id"]
    assert all(f.file == str(twin) and f.line for f in faults)


def test_a_file_is_checked_once_however_it_is_spelt() -> None:
    folder = ROOT / "hardware" / "nodes"
    assert expand([folder, folder / ".." / "nodes"]) == expand([folder])


def test_breadth() -> None:
    assert len(store().ids("models")) >= 40
    assert len(store().ids("gpus")) >= 30
    found = set()
    for id in store().ids("models"):
        model = llmplan.load_model(id)
        for stack in model.stacks():
            found |= {m.kind for b in stack.blocks.values() for m in b.mixers}
    assert found == set(kinds())


def test_attention_shapes_of_the_field_are_there() -> None:
    attention = {id: llmplan.load_model(id).attention_layers() for id in store().ids("models")}
    layers = [a for found in attention.values() for a in found]
    assert any(a.kv_heads == a.heads for a in layers)  # MHA
    assert any(1 < a.kv_heads < a.heads for a in layers)  # GQA
    assert any(a.kv_heads == 1 < a.heads for a in layers)  # MQA
    assert any(a.window for a in layers)
    assert any(a.chunk for a in layers)
    assert any(a.cross for a in layers)
    assert any(not a.causal for a in layers)  # encoders


def test_every_mixer_kind_is_registered() -> None:
    assert kinds() == sorted(t.__dataclass_fields__["kind"].default for t in MIXER_TYPES)


def test_facts_have_sources_and_dates() -> None:
    for id in store().ids("models"):
        for source in llmplan.load_model(id).sources:
            assert source.ref
            assert source.date, id
    for gpu in all_accelerators():
        assert all(gpu.sources), gpu.id
        assert gpu.checked, gpu.id


def test_sources_reach_the_answer() -> None:
    answer = llmplan.fit("mixtral-8x7b", "a100-40g").to_dict()
    assert answer["model"]["sources"] == [s.ref for s in llmplan.load_model("mixtral-8x7b").sources]
    assert answer["hardware"]["sources"] == list(llmplan.load_gpu("a100-40g").sources)


def test_unverified_facts_warn() -> None:
    codes = [w.code for w in llmplan.estimate("mpt-7b", "a100-40g").warnings]
    assert "unverified_facts" in codes
    assumed = [w.code for w in llmplan.estimate("llama-3.2-1b", "a100-80g-pcie").warnings]
    assert "usable_memory_assumed" in assumed


def test_compiled_index_says_what_the_yaml_says() -> None:
    entries = read_entries(ROOT)
    by_id = {kind: {e["id"]: e for e in found} for kind, found in entries.items()}
    data = write_index(by_id)
    assert data == write_index(by_id)
    indexed = index_store(data)
    for kind in ("models", "gpus", "nodes", "engines"):
        assert indexed.ids(kind) == store().ids(kind)
        for id in indexed.ids(kind):
            assert indexed.entry(kind, id) == by_id[kind][id]
    assert indexed.names("models") == store().names("models")


def test_validated_and_trusted_records_are_equal() -> None:
    """The fast path builds the very record that validation builds."""
    for path in yaml_files(ROOT, "models"):
        assert validate_file(path).to_dict() == llmplan.load_model(path.stem).to_dict()
    for path in (ROOT / "hardware/nvidia").glob("*.yaml"):
        assert validate_file(path).to_dict() == llmplan.load_gpu(path.stem).to_dict()


def test_editor_schemas_are_current() -> None:
    """`python tests/tools/write_schemas.py` writes them."""
    import runpy

    tools = runpy.run_path(str(ROOT / "tests/tools/write_schemas.py"))
    for path, text in tools["schemas"]().items():
        assert Path(ROOT / path).read_text(encoding="utf-8") == text, path


@pytest.mark.parametrize("kind", ["models", "gpus", "nodes"])
def test_schema_line_is_on_top(kind: str) -> None:
    from llmplan.catalog.files import yaml_files

    for path in yaml_files(ROOT, kind):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith("# yaml-language-server: $schema=")
        target = path.parent / first.partition("$schema=")[2]
        assert target.is_file(), path
