"""Engines and stacks as data: every name answers, what is not planned says what to use."""

from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT, Cli

import llmplan
from llmplan.catalog.files import read_entries
from llmplan.catalog.schema import validate_file
from llmplan.catalog.serving import all_servers, find_server
from llmplan.deployment.run import target_names
from llmplan.engines import get_engine, known_engines
from llmplan.errors import NotPlannable
from llmplan.specs.serving import server_from_dict

NAMED = (
    "vLLM", "SGLang", "TensorRT-LLM", "llama.cpp", "Ollama", "LMDeploy", "MLX-LM", "ExLlamaV3",
    "TabbyAPI", "KTransformers", "TGI", "Transformers", "Ray Serve LLM", "KServe", "Dynamo",
    "llm-d", "production-stack", "LeaderWorkerSet", "BentoML", "Triton", "TorchServe",
    "TensorFlow Serving", "ONNX Runtime",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_every_named_engine_answers(name: str) -> None:
    server = find_server(name)
    assert server is not None
    assert server.sources
    assert server.planned or server.instead


def test_planned_engines_are_the_modules() -> None:
    """An entry is planned where there is a memory policy, and its aliases lead there too."""
    assert {s.id for s in all_servers() if s.planned} == set(known_engines())
    for server in all_servers():
        for alias in server.aliases if server.planned else ():
            assert get_engine(alias).name == server.id


@pytest.mark.parametrize("name", ["tgi", "torchserve", "KServe", "ktransformers", "tf-serving"])
def test_what_is_not_planned_says_what_to_use(name: str) -> None:
    with pytest.raises(NotPlannable) as refused:
        llmplan.fit("llama-3.1-8b", "h200", engine=name)
    assert re.search("vllm|llama.cpp", refused.value.hint or "")


def test_tgi_is_in_maintenance() -> None:
    tgi = find_server("tgi")
    assert tgi is not None
    assert tgi.status == "maintenance"
    assert "maintenance mode" in (tgi.instead or "")


def test_stacks_name_targets_that_exist() -> None:
    for server in all_servers():
        assert set(server.targets) <= set(target_names()), server.id


def test_flags_of_reach_are_known_to_the_engine() -> None:
    """The words that open a server are flags of its release, where those are pinned."""
    from deployments import flags

    for name in ("vllm", "sglang", "llama.cpp"):
        server = find_server(name)
        assert server is not None
        words = [server.port_flag, server.name_flag, *server.listen, *server.metrics_flags]
        assert {w for w in words if w and w.startswith("-")} <= flags(name)


def test_versions_read_are_versions_planned() -> None:
    for name in ("vllm", "sglang", "lmdeploy", "mlx-lm", "exllamav3", "tensorrt-llm", "ollama"):
        server = find_server(name)
        assert server is not None
        assert server.read == get_engine(name).default_version, name


def test_records_are_what_validation_builds() -> None:
    by_id = {e["id"]: e for e in read_entries(ROOT)["engines"]}
    for path in sorted((ROOT / "engines").glob("*.yaml")):
        record = validate_file(path, "engines")
        assert record.to_dict() == server_from_dict(by_id[record.id]).to_dict()


def test_the_listing_and_one_entry(cli: Cli) -> None:
    rows = json.loads(cli("engines", "--json").stdout)
    assert len(rows) >= 23
    assert rows[0]["planned"]
    shown = cli("engines", "show", "vllm").stdout
    assert "vllm/vllm-openai:v{version}" in shown
    assert "Sources" in shown
    assert json.loads(cli("engines", "show", "TGI", "--json").stdout)["status"] == "maintenance"
    unknown = cli("engines", "show", "no-such-engine")
    assert unknown.returncode == 2
    assert "vllm" in unknown.stderr
    assert cli("engines", "zzz").returncode == 2
    refused = cli("fit", "llama-3.1-8b", "--gpu", "h200", "--engine", "torchserve")
    assert refused.returncode == 2
    assert "use --engine vllm" in refused.stderr
