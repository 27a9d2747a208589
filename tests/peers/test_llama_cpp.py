"""Buffers against a real llama.cpp: made-up GGUF files of several architectures, on the CPU.

Opt-in: `bash tests/peers/setup.sh llama-cpp && pytest -m peer tests/peers/test_llama_cpp.py`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import llmplan
from llmplan.catalog.resolve import find_gpu
from llmplan.engines.llama_cpp_memory import (
    compute_buffer_bytes,
    micro_batch,
    place,
    slot_bytes,
)
from llmplan.engines.llama_cpp_versions import rules_of
from llmplan.memory.weights import weight_bytes
from llmplan.planning.request import Options, requested

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None, reason="setup.sh llama-cpp was not run"
    ),
]
MIB = 2**20
HERE = Path(__file__).parent


def peer() -> Any:
    """Return the module beside this one that writes the files."""
    spec = importlib.util.spec_from_file_location("files", HERE / "llama_cpp_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEER = peer()
SETTINGS = (
    {"context": 1000, "batch": 512, "flash": True, "kv": "fp16", "slots": 1},
    {"context": 8192, "batch": 512, "flash": False, "kv": "fp16", "slots": 1},
    {"context": 8192, "batch": 256, "flash": True, "kv": "q8_0", "slots": 2},
)


@pytest.mark.parametrize("name", PEER.FILES)
@pytest.mark.parametrize("given", SETTINGS, ids=str)
def test_buffers_of_a_real_llama_cpp(tmp_path: Path, name: str, given: dict[str, Any]) -> None:
    """Model and cache exact to the log's two digits, compute buffer within a tenth."""
    path = tmp_path / f"{name}.gguf"
    PEER.FILES[name](path)
    total = given | {"context": given["context"] * given["slots"]}
    log = PEER.logged(path, **total)
    options = Options(
        engine="llama.cpp", context_tokens=given["context"], kv_format=given["kv"],
        max_num_batched_tokens=given["batch"], flash_attention=given["flash"],
    )  # fmt: skip
    model = llmplan.load_model(str(path))
    _, request = requested(model, find_gpu("a100-40g").gpu, options)
    rules = rules_of(request.version)
    layers = range(len(model.main.layers))
    cached = given["slots"] * slot_bytes(request, rules, given["context"], layers)
    compute = compute_buffer_bytes(
        request, rules, place(request, rules), outputs=micro_batch(request), slots=given["slots"]
    )
    weights = weight_bytes(model, request.weights).text
    assert weights / MIB == pytest.approx(PEER.mib(log, "model"), abs=0.011)
    assert cached / MIB == pytest.approx(PEER.mib(log, "(?:KV|RS)"), abs=0.011)
    assert compute / MIB == pytest.approx(PEER.mib(log, "compute"), rel=0.1)
