"""Hub ids that the catalogue does not know, against a server that speaks the Hub's paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli

import llmplan
from llmplan.catalog.resolve import find_model
from llmplan.errors import CatalogFileError, UnknownName
from llmplan.memory.parameters import parameter_count
from llmplan.sources import hub
from llmplan.sources.hub import shards_of

pytest.importorskip("huggingface_hub", reason="the extra llmplan[hub] is not installed")

from hub_server import COMMIT, CONFIG, REPO, WEIGHTS, Hub, path_of, safetensors, tensors


def test_a_model_is_read_by_config_and_header(there: Hub) -> None:
    """The config's parameter count is that of the file, whose bytes are those of its header."""
    found = find_model(REPO)
    model = found.model
    expected = sum(a * (b[0] if b else 1) for a, *b in tensors().values())
    assert parameter_count(model) == expected
    assert model.stored is not None
    assert model.stored.elements == expected
    assert model.stored.total == 2 * expected
    assert (model.hub_id, model.name, model.id, model.path) == (
        REPO,
        REPO,
        "someone-tiny-llama",
        None,
    )
    assert COMMIT[:12] in (found.note or "")
    answer = llmplan.fit(REPO, "rtx-4090", engine="vllm")
    assert f"vllm serve {REPO}" in answer.requested.launch.command
    assert answer.requested.memory_per_gpu.weights_bytes == 2 * expected


def test_the_second_time_nothing_is_asked(there: Hub) -> None:
    first = find_model(REPO).model
    asked = len(there.asked)
    assert asked == 3  # the listing, the config, one header
    assert find_model(REPO).model == first
    assert find_model(REPO, offline=True).model == first
    assert len(there.asked) == asked


def test_a_damaged_cache_is_read_anew(there: Hub, tmp_path: Path) -> None:
    first = find_model(REPO).model
    (kept,) = (tmp_path / "assets").rglob("main.json")
    for text in ("", "{}", "[1]", '{"commit": 1', json.dumps({"tensors": [[1]], "files": "x"})):
        kept.write_text(text)
        assert find_model(REPO).model == first


def test_a_cache_that_cannot_be_written_is_no_fault(
    there: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **rest: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub.tempfile, "NamedTemporaryFile", refuse)
    assert find_model(REPO).model.stored is not None


def test_only_the_first_bytes_of_the_weights_are_read(there: Hub) -> None:
    """Also from a server that ignores ranges; the size of the whole file is still checked."""
    there.ranges = False
    model = find_model(REPO).model
    assert model.stored is not None


def test_a_long_header_takes_a_second_request(there: Hub) -> None:
    data = safetensors(tensors(), padding=2 * hub.FIRST_BYTES)
    there.put({"config.json": json.dumps(CONFIG).encode(), "model.safetensors": data})
    assert find_model(REPO).model.stored is not None
    assert len(there.asked) == 4


def test_shards_are_read_together(there: Hub) -> None:
    named = tensors()
    half = len(named) // 2
    parts = [dict(list(named.items())[:half]), dict(list(named.items())[half:])]
    files = {f"model-{i + 1:05}-of-00002.safetensors": safetensors(p) for i, p in enumerate(parts)}
    files["adapter_model.safetensors"] = b"other"
    there.put({"config.json": json.dumps(CONFIG).encode(), **files})
    model = find_model(REPO).model
    assert model.stored is not None
    assert model.stored.files == 2
    assert model.stored.elements == parameter_count(model)


def test_the_same_tensor_in_two_files_is_refused(there: Hub) -> None:
    files = {f"model-{i + 1:05}-of-00002.safetensors": WEIGHTS for i in range(2)}
    there.put({"config.json": json.dumps(CONFIG).encode(), **files})
    with pytest.raises(CatalogFileError, match="same name"):
        find_model(REPO)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], []),
        (["pytorch_model.bin"], []),
        (["model.safetensors", "consolidated.safetensors"], ["model.safetensors"]),
        (["a-00001-of-00001.safetensors"], ["a-00001-of-00001.safetensors"]),
        (["model-00001-of-00002.safetensors"], []),
        (["a-00001-of-00001.safetensors", "b-00001-of-00001.safetensors"], []),
        (["model-00001-of-00000.safetensors"], []),
        (
            ["model-00001-of-00001.safetensors", "b-00001-of-00001.safetensors"],
            ["model-00001-of-00001.safetensors"],
        ),
    ],
)
def test_the_files_of_a_model_are_told_from_others(names: list[str], chosen: list[str]) -> None:
    assert shards_of(names) == chosen


def test_a_revision_is_asked_for_and_said(there: Hub) -> None:
    found = find_model(f"{REPO}@{COMMIT}")
    assert there.asked[0][0].endswith(f"/revision/{COMMIT}")
    assert f"--revision {COMMIT}" in (found.note or "")
    with pytest.raises(UnknownName, match="at refs/pr/1"):
        find_model(f"{REPO}@refs/pr/1")
    assert there.asked[-1][0].endswith("/revision/refs%2Fpr%2F1")


def test_weights_that_are_no_safetensors_are_computed(there: Hub) -> None:
    there.files.pop(path_of("model.safetensors"))
    there.put({"config.json": json.dumps(CONFIG).encode(), "pytorch_model.bin": b""})
    found = find_model(REPO)
    assert found.model.stored is None
    assert "computed from its config" in (found.note or "")
    asked = len(there.asked)
    assert "computed from its config" in (find_model(REPO).note or "")
    assert len(there.asked) == asked


def test_headers_that_cannot_be_fetched_are_tried_again(there: Hub) -> None:
    there.special[path_of("model.safetensors")] = lambda: (503, {}, b"")
    found = find_model(REPO)
    assert found.model.stored is None
    assert "503" in (found.note or "")
    there.special.clear()
    assert find_model(REPO).model.stored is not None


def test_what_other_programs_downloaded_is_used(there: Hub, tmp_path: Path) -> None:
    repo = tmp_path / "hub/models--someone--tiny-llama"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(COMMIT)
    (snapshot / "config.json").write_text(json.dumps(CONFIG))
    model = find_model(REPO, offline=True)
    assert model.model.stored is None
    assert "not in the cache" in (model.note or "")
    (snapshot / "model.safetensors").write_bytes(WEIGHTS)
    assert find_model(REPO).model.stored is not None
    assert there.asked == []


def test_without_the_extra_the_line_says_what_to_install(
    there: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmplan.catalog import hub_models

    monkeypatch.setattr(hub_models, "find_spec", lambda name: None)
    with pytest.raises(UnknownName) as e:
        find_model("mistralai/Mixtral-8x7B-Instruct-v0.2")
    assert "pip install 'llmplan[hub]'" in e.value.one_line()
    assert "mixtral-8x7b" in e.value.one_line()


def test_the_command_line_reads_the_hub_and_its_environment(
    there: Hub, cli: Cli, tmp_path: Path
) -> None:
    env = {"HF_ENDPOINT": there.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}  # type: ignore[attr-defined]
    ask = ("fit", REPO, "--gpu", "rtx-4090", "--engine", "vllm", "--json")
    done = cli(*ask, env={**env, "LLMPLAN_OFFLINE": "1"})
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "outside_failure"
    assert there.asked == []
    done = cli(*ask, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["name"] == REPO
    assert done.stderr == ""
    asked = len(there.asked)
    assert cli(*ask, "--offline", env=env).stdout == done.stdout
    assert cli(*ask, env={**env, "HF_ENDPOINT": "http://127.0.0.1:9"}).stdout == done.stdout
    assert len(there.asked) == asked
    gone = cli(
        "fit", "some/other", "--gpu", "rtx-4090", env={**env, "HF_ENDPOINT": "http://127.0.0.1:9"}
    )
    assert gone.returncode == 3
    assert len(gone.stderr.splitlines()) == 1
