"""Names resolve in any spelling, ambiguity is an error, unknown names get suggestions."""

from __future__ import annotations

import pytest

import llmplan
from llmplan.catalog.names import normalise
from llmplan.catalog.resolve import find_gpu, find_model, store
from llmplan.errors import AmbiguousName, InputError, UnknownName
from llmplan.memory.formats import weight_format


@pytest.mark.parametrize(
    ("written", "id"),
    [
        ("rtx4090", "rtx-4090"),
        ("RTX 4090", "rtx-4090"),
        ("Rtx_4090", "rtx-4090"),
        ("A100-40GB", "a100-40g"),
        ("h100 sxm", "h100-sxm"),
        ("H200", "h200"),
        ("m3 max 40c 64g", "m3-max-40c-64g"),
    ],
)
def test_device_spellings(written: str, id: str) -> None:
    assert llmplan.load_gpu(written).id == id


@pytest.mark.parametrize(
    ("written", "id"),
    [
        ("Mixtral-8x7B", "mixtral-8x7b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("MISTRALAI/mixtral-8x7b-instruct-V0.1", "mixtral-8x7b"),
        ("Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("TheBloke/Mixtral-8x7B-Instruct-v0.1-AWQ", "mixtral-8x7b"),
        ("llama 3.1 8b", "llama-3.1-8b"),
        ("Llama3.1-8B", "llama-3.1-8b"),
        ("qwen2.5_7b", "qwen2.5-7b"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
    ],
)
def test_model_spellings(written: str, id: str) -> None:
    assert llmplan.load_model(written).id == id


def test_separators_count_between_digits() -> None:
    """gemma-3-1b and gemma-31b are not the same name."""
    assert normalise("gemma-3-1b") != normalise("gemma-31b")


@pytest.mark.parametrize("name", ["a100", "A100", "h100", "v100", "rtx-3080", "m3-max", "a100-80g"])
def test_bare_device_names_list_what_they_mean(name: str) -> None:
    with pytest.raises(AmbiguousName) as e:
        find_gpu(name)
    listed = e.value.message.partition(": ")[2].removesuffix(".").split(", ")
    assert len(listed) > 1
    assert all(llmplan.load_gpu(i).id == i for i in listed)


def test_bare_model_name_says_which_checkpoint() -> None:
    found = find_model("mistral-7b")
    assert found.model.id == "mistral-7b-v0.3"
    assert found.note is not None
    assert "mistralai/Mistral-7B-Instruct-v0.3" in found.note
    answer = llmplan.fit("mistral-7b", "rtx-4090")
    assert answer.requested.warnings[0].code == "resolved_name"


def test_near_names_are_suggested() -> None:
    with pytest.raises(UnknownName, match="mixtral-8x7x") as e:
        llmplan.load_model("mixtral-8x7x")
    assert "mixtral-8x7b" in (e.value.hint or "")
    with pytest.raises(UnknownName) as e:
        llmplan.load_gpu("rtx-4091")
    assert "rtx-4090" in (e.value.hint or "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("Q4_K_N", "gguf:Q4_K_M"), ("awq-int", "awq-int4"), ("float17", "fp16"), ("fp9", "fp8")],
)
def test_near_formats_are_suggested(written: str, meant: str) -> None:
    with pytest.raises(UnknownName) as e:
        weight_format(written)
    assert e.value.hint is not None
    assert e.value.hint.startswith("Did you mean")
    assert meant in e.value.hint


@pytest.mark.parametrize("name", ["", " ", "---", "\x00", "a" * 10_000, "💥", "../../etc/passwd"])
def test_nonsense_names_are_one_clear_line(name: str) -> None:
    for load in (llmplan.load_model, llmplan.load_gpu):
        with pytest.raises(InputError) as e:
            load(name)
        assert "\n" not in e.value.one_line()
        assert len(e.value.one_line()) < 400


def test_counts_and_nodes() -> None:
    assert find_gpu("a100-40g*8").devices == 8
    node = find_gpu("aws-p4d.24xlarge")
    assert (node.gpu.id, node.devices) == ("a100-40g", 8)
    with pytest.raises(InputError, match="no count"):
        find_gpu("a100-40g*x")
    with pytest.raises(InputError, match="mixes devices"):
        find_gpu("rtx-3090*2,rtx-4090*1")


def test_no_name_means_two_entries() -> None:
    for kind in ("models", "gpus", "nodes"):
        double = {k: v for k, v in store().names(kind).items() if len(v) > 1}
        assert not double


def test_every_id_and_alias_resolves_to_its_entry() -> None:
    for id in store().ids("models"):
        model = llmplan.load_model(id)
        assert model.id == id
        for alias in (*model.aliases, model.hub_id or id):
            assert llmplan.load_model(alias).id == id
    for id in store().ids("gpus"):
        assert llmplan.load_gpu(id).id == id
