"""What goes wrong at the Hub, and names that are never asked for: one line each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import llmplan
from llmplan.catalog.resolve import find_model
from llmplan.errors import CatalogFileError, InputError, OutsideError, UnknownName
from llmplan.sources import hub, hub_request

pytest.importorskip("huggingface_hub", reason="the extra llmplan[hub] is not installed")

from hub_server import REPO, WEIGHTS, Answer, Hub, address, path_of, serve


def refused(status: int, code: str = "") -> Callable[[], Answer]:
    return lambda: (status, {"X-Error-Code": code}, b'{"error": "no"}')


API = f"/api/models/{REPO}/revision/main"


@pytest.mark.parametrize(
    ("path", "answer", "kind", "said"),
    [
        (path_of("config.json"), refused(403, "GatedRepo"), OutsideError, "Accept its licence"),
        (path_of("config.json"), refused(401, "GatedRepo"), OutsideError, "HF_TOKEN"),
        (API, refused(401), OutsideError, "HF_TOKEN"),
        (API, refused(401, "RepoNotFound"), UnknownName, "no model someone/tiny-llama"),
        (API, refused(404, "RepoNotFound"), UnknownName, "HF_TOKEN"),
        (API, refused(429), OutsideError, "429"),
        (API, refused(500), OutsideError, "500"),
        (API, lambda: (200, {}, b"<html>captive portal</html>"), OutsideError, "HF_ENDPOINT"),
        (API, lambda: (200, {}, b"[" * 100_000), OutsideError, "HF_ENDPOINT"),
        (API, lambda: (200, {}, b'{"sha": "../x", "siblings": []}'), OutsideError, "HF_ENDPOINT"),
        (API, lambda: (302, {"Location": API}, b""), OutsideError, "Cannot read"),
        (path_of("config.json"), lambda: (200, {}, b"{"), CatalogFileError, "not valid JSON"),
        (path_of("config.json"), lambda: (200, {}, b"{}"), InputError, "model_type"),
        (path_of("config.json"), lambda: (200, {}, b'{"a": "\xff"}'), InputError, "UTF-8"),
        (path_of("config.json"), lambda: (200, {}, b'{"a":' * 9999), InputError, "too deep"),
        (path_of("config.json"), lambda: (200, {}, b" " * (5 << 20)), InputError, "bytes that"),
        (path_of("model.safetensors"), lambda: (200, {}, b"\0"), CatalogFileError, "header"),
        (path_of("model.safetensors"), lambda: (200, {}, b"\xff" * 99), InputError, "header"),
        (path_of("model.safetensors"), lambda: (200, {}, WEIGHTS[:-2]), InputError, "cut off"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(
    there: Hub, path: str, answer: Callable[[], Answer], kind: type[Exception], said: str
) -> None:
    there.special[path] = answer
    with pytest.raises(kind) as e:
        find_model(REPO)
    error = e.value
    assert isinstance(error, (InputError, OutsideError))
    assert said in error.one_line()
    assert "\n" not in error.one_line()
    assert error.exit_code == (3 if kind is OutsideError else 2)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.Q4_K_M.gguf": b"", "b.Q8_0.gguf": b""}, "GGUF files only (2: a.Q4_K_M.gguf"),
        ({"adapter_config.json": b"", "adapter_model.safetensors": b""}, "adapter"),
        ({"README.md": b""}, "no config.json"),
    ],
)
def test_other_repositories_say_what_they_are(
    there: Hub, files: dict[str, bytes], said: str
) -> None:
    there.put(files)
    with pytest.raises(InputError) as e:
        find_model(REPO)
    assert said in e.value.one_line()
    assert e.value.exit_code == 2


@pytest.mark.parametrize("slow", ["config.json", "model.safetensors"])
def test_a_slow_server_is_given_up(there: Hub, monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    monkeypatch.setattr(hub_request, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(hub, "TOTAL_SECONDS", 0.3)
    done = threading.Event()

    def wait() -> Answer:
        done.wait(20)
        return 200, {}, b""

    there.special[path_of(slow)] = wait
    start = time.monotonic()
    try:
        if slow == "config.json":
            with pytest.raises(OutsideError, match="tiny-llama/config"):
                find_model(REPO)
        else:
            assert "computed from its config" in (find_model(REPO).note or "")
    finally:
        done.set()
    assert time.monotonic() - start < 10


def test_the_token_goes_to_the_endpoint_only(there: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are stored elsewhere: a redirect leaves the host, and the token stays."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    elsewhere = Hub()
    elsewhere.files["/blob"] = WEIGHTS
    other = serve(elsewhere)
    target = {"Location": f"{address(other)}/blob"}
    there.special[path_of("model.safetensors")] = lambda: (302, target, b"")
    try:
        assert find_model(REPO).model.stored is not None
    finally:
        other.shutdown()
        other.server_close()
    assert {token for _, token in there.asked} == {"Bearer hf_secret"}
    assert elsewhere.asked == [("/blob", None)]


def test_offline_asks_nobody(there: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with pytest.raises(OutsideError, match="not in the cache"):
        find_model(REPO, offline=True)
    with pytest.raises(OutsideError, match="not in the cache"):
        llmplan.fit(REPO, "rtx-4090", offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OutsideError, match="not in the cache"):
        llmplan.load_model(REPO)
    assert there.asked == []


@pytest.mark.parametrize(
    "name",
    ["mixtral-8x7x", "a/b/c", "a/..", "/a", "a/", "a--b/c", "a/b@", "a b/c", "a/b\n", "日/本"],
)
def test_other_names_are_never_asked_for(there: Hub, name: str) -> None:
    with pytest.raises(InputError):
        find_model(name)
    assert there.asked == []


def test_names_of_the_catalogue_are_never_asked_for(there: Hub) -> None:
    assert find_model("mistralai/Mixtral-8x7B-Instruct-v0.1").model.id == "mixtral-8x7b"
    assert there.asked == []
