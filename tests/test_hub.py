"""Hub ids that the catalogue does not know, against a server that speaks the Hub's paths."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

import llmplan
from llmplan.catalog.resolve import find_model
from llmplan.errors import CatalogFileError, InputError, OutsideError, UnknownName
from llmplan.memory.parameters import parameter_count
from llmplan.sources import hub, hub_request
from llmplan.sources.hub import shards_of

pytest.importorskip("huggingface_hub", reason="the extra llmplan[hub] is not installed")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny-llama"
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 2, "vocab_size": 256, "max_position_embeddings": 512,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


def tensors() -> dict[str, tuple[int, ...]]:
    """Return the tensors of that config as transformers names and shapes them."""
    h, m, kv, v = 64, 128, 32, 256
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (v, h), "lm_head.weight": (v, h), "model.norm.weight": (h,),
    }  # fmt: skip
    for i in range(2):
        layer = {
            "self_attn.q_proj": (h, h), "self_attn.k_proj": (kv, h), "self_attn.v_proj": (kv, h),
            "self_attn.o_proj": (h, h), "mlp.gate_proj": (m, h), "mlp.up_proj": (m, h),
            "mlp.down_proj": (h, m), "input_layernorm": (h,), "post_attention_layernorm": (h,),
        }  # fmt: skip
        found |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    return found


def safetensors(shapes: dict[str, tuple[int, ...]], padding: int = 0) -> bytes:
    """Return a file of BF16 zeros as the format describes it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "note": "x" * padding}}
    position = 0
    for name, shape in shapes.items():
        size = 2
        for n in shape:
            size *= n
        offsets = [position, position + size]
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": offsets}
        position += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(position)


WEIGHTS = safetensors(tensors())
Answer = tuple[int, dict[str, str], bytes]


class Hub:
    """Files by path, what was asked with which token, and answers that replace the usual ones."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.special: dict[str, Callable[[], Answer]] = {}
        self.ranges = True

    def put(self, files: dict[str, bytes]) -> None:
        """Serve a repository of these files."""
        for name, data in files.items():
            self.files[f"/{REPO}/resolve/{COMMIT}/{name}"] = data
        listing = {"sha": COMMIT, "siblings": [{"rfilename": n} for n in files]}
        for revision in ("main", COMMIT):
            path = f"/api/models/{REPO}/revision/{revision}"
            self.files[path] = json.dumps(listing).encode()

    def answer(self, path: str, span: str | None) -> Answer:
        """Return status, headers and body."""
        if path in self.special:
            return self.special[path]()
        if path not in self.files:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        data = self.files[path]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hash(data):x}"'}
        if span and self.ranges:
            last = int(span.partition("-")[2])
            headers["Content-Range"] = f"bytes 0-{min(last, len(data) - 1)}/{len(data)}"
            return 206, headers, data[: last + 1]
        return 200, headers, data


def serve(hub: Hub) -> ThreadingHTTPServer:
    """Start a server of the hub's answers on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append((self.path, self.headers.get("Authorization")))
            status, headers, body = hub.answer(self.path, self.headers.get("Range"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]  # cut connections
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a running Hub that huggingface_hub is pointed at, with an empty cache."""
    from huggingface_hub import constants

    hub = Hub()
    hub.put({"config.json": json.dumps(CONFIG).encode(), "model.safetensors": WEIGHTS})
    server = serve(hub)
    hub.url = address(server)  # type: ignore[attr-defined]
    monkeypatch.setattr(constants, "ENDPOINT", address(server))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    yield hub
    server.shutdown()
    server.server_close()


def path_of(name: str) -> str:
    return f"/{REPO}/resolve/{COMMIT}/{name}"


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
