"""A server that answers as the Hugging Face Hub does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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


def path_of(name: str) -> str:
    return f"/{REPO}/resolve/{COMMIT}/{name}"
