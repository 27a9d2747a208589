"""Facts of one's own: for one run, a device inline, a host's memory, a catalogue folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, Cli

import llmplan
from llmplan.catalog.check import check_files
from llmplan.catalog.own import layered, own_store
from llmplan.catalog.resolve import store
from llmplan.catalog.write import add_model, entry_text
from llmplan.errors import CatalogFileError, InputError
from llmplan.memory.faults import model_faults
from llmplan.memory.parameters import parameter_count
from llmplan.specs.overrides import parse_rate

MIXTRAL = (ROOT / "models/mixtral/mixtral-8x7b.yaml").read_text(encoding="utf-8")


def test_a_given_fact_counts_and_is_marked() -> None:
    answer = llmplan.fit("llama-3.1-8b", "rtx-4090", set=["memory=48GiB", "memory_bandwidth=2TB/s"])
    assert answer.hardware["memory_bytes"] == 48 * 2**30
    assert answer.hardware["memory_bandwidth_bytes_per_s"] == 2e12
    said = [w.message for w in answer.requested.warnings if w.code == "overridden_fact"]
    assert len(said) == 2
    assert "memory_gib of rtx-4090 is yours: 48 (24 on record)" in said[0]
    assert "yours: memory_bandwidth_gb_per_s=2TB/s" in answer.hardware["sources"]


def test_model_facts_and_mappings() -> None:
    setup = llmplan.estimate(
        "llama-3.1-8b", "a100-80g-sxm", set={"model.context_tokens": "16k", "tdp": "300W"}
    )
    assert setup.max_context_tokens == 16384
    codes = [w.code for w in setup.warnings]
    assert codes.count("overridden_fact") == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("memory", "not a fact with a value"),
        ("memory=", "not a fact with a value"),
        ("wheels=4", "no fact that can be given"),
        ("memory=lots", "not a size"),
        ("bandwidth=-1TB/s", "not a bandwidth"),
        ("memory=0GiB", "less than one"),
        ("planet.memory=3", "of the gpu or of the model"),
        ("model.memory=3", "no fact"),
        ("usable_memory=99GiB", "swap them"),
        ("capability=sm_x", "sm_80"),
        ("context=0", "less than one"),
        ("vendor=" + "x" * 500, "no such text"),
    ],
)
def test_bad_facts_say_so(given: str, expected: str) -> None:
    with pytest.raises(InputError) as e:
        llmplan.fit("llama-3.2-1b", "rtx-4090", set=[given])
    assert expected in e.value.one_line()
    assert "\n" not in e.value.one_line()


def test_a_device_inline() -> None:
    text = "memory=48GiB,bandwidth=900GB/s,fp16=150TFLOPS,capability=sm_89"
    answer = llmplan.fit("llama-3.1-8b", f"{text}*2")
    assert (answer.hardware["gpus"], answer.hardware["memory_bytes"]) == (2, 48 * 2**30)
    assert answer.requested.fits
    assert answer.requested.supported
    with pytest.raises(InputError, match="needs memory and bandwidth"):
        llmplan.load_gpu("memory=48GiB")


def test_a_processor_takes_the_hosts_memory() -> None:
    with pytest.raises(InputError) as e:
        llmplan.fit("llama-3.1-8b", "epyc-genoa-9004")
    assert "--host-ram" in e.value.one_line()
    answer = llmplan.fit("llama-3.1-8b", "epyc-genoa-9004", host_ram=64 * 2**30)
    assert answer.requested.memory_per_gpu.device_total_bytes == 64 * 2**30
    idle = llmplan.estimate("llama-3.1-8b", "rtx-4090", host_ram=2**36)
    assert "host_unused" in [w.code for w in idle.warnings]


def test_rates_have_units() -> None:
    assert parse_rate("0.2TB/s") == parse_rate("200") == parse_rate("200GB/s") == 2e11


def test_what_add_writes_validates_and_counts_the_same(shared: Path, tmp_path: Path) -> None:
    """Every architecture survives the way into a catalogue file and back."""
    for id in store().ids("models")[::7]:
        model = llmplan.load_model(id)
        path = add_model(model, str(tmp_path / f"{id}.yaml"))
        assert not list(check_files([path], rules=model_faults)), id
        assert parameter_count(llmplan.load_model(str(path))) == parameter_count(model), id


def test_add_from_a_config_then_fit_by_id(shared: Path, cli: Cli, tmp_path: Path) -> None:
    config = shared / "data/models/configs/Qwen__Qwen3-0.6B.json"
    folder = tmp_path / "mine" / "my-qwen"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config.read_text())
    env = {"LLMPLAN_CATALOG": str(tmp_path / "catalog")}
    done = cli("models", "add", str(folder / "config.json"), "-o", str(tmp_path / "catalog"))
    assert done.returncode == 0, done.stderr
    assert "my-qwen.yaml" in done.stdout
    assert cli("check", str(tmp_path / "catalog")).returncode == 0
    fit = cli("fit", "my-qwen", "--gpu", "rtx-4090", "--json", env=env)
    assert json.loads(fit.stdout)["model"]["parameters"] == 596_049_920
    again = cli("models", "add", str(folder / "config.json"), "-o", str(tmp_path / "catalog"))
    assert (again.returncode, "there already" in again.stderr) == (2, True)


def test_own_entries_come_first(tmp_path: Path) -> None:
    text = MIXTRAL.replace("context_tokens: 32768", "context_tokens: 1024", 1)
    (tmp_path / "mixtral-8x7b.yaml").write_text(text)
    both = layered(own_store([str(tmp_path)]), store())
    assert both.entry("models", "mixtral-8x7b")["context_tokens"] == 1024
    assert both.has("models", "llama-2-7b")
    assert len(both.ids("models")) == len(store().ids("models"))


def test_a_broken_own_catalogue_names_the_line(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "bad.yaml").write_text(MIXTRAL.replace("vocab_size:", "vocab_sise:", 1))
    with pytest.raises(CatalogFileError, match="vocab_sise"):
        own_store([str(tmp_path)]).ids("models")
    done = cli("models", "mixtral", env={"LLMPLAN_CATALOG": str(tmp_path)})
    assert (done.returncode, "bad.yaml:" in done.stderr) == (2, True)
    gone = cli("models", env={"LLMPLAN_CATALOG": str(tmp_path / "nowhere")})
    assert (gone.returncode, "no such folder" in gone.stderr) == (2, True)


def test_an_unknown_architecture_is_a_marked_guess(tmp_path: Path) -> None:
    config = {
        "model_type": "quantum", "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32000,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    setup = llmplan.estimate(str(tmp_path), "a100-80g-sxm")
    said = next(w.message for w in setup.warnings if w.code == "unknown_architecture")
    ungated, gated = 32 * 2 * 4096 * 14336, 32 * 3 * 4096 * 14336
    attention, embedding = 32 * 4096 * 128 * 80, 32000 * 4096
    low = (ungated + attention + embedding) / 1e9
    high = (gated + attention + 2 * embedding) / 1e9
    assert f"between {low:.1f}B and {high:.1f}B parameters" in said
    assert not setup.supported


def test_a_known_model_in_an_unknown_wrapper(tmp_path: Path) -> None:
    inner = {
        "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
        "num_attention_heads": 4, "intermediate_size": 128,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vlm9", "text_config": inner}))
    model = llmplan.load_model(str(tmp_path))
    assert model.unverified == ("towers",)
    assert "vlm9" in model.notes[0]
    assert entry_text(model)
