"""Coverage-guided fuzzing of the readers of people's files, for a nightly run.

    pip install atheris && pip install -e .[test]
    mkdir corpus
    python tests/fuzz/fuzz_headers.py gguf corpus --seed
    python tests/fuzz/fuzz_headers.py gguf corpus -max_total_time=600

The first word is the reader: gguf, safetensors or config. `--seed` writes small valid inputs
into the corpus; else what follows goes to libFuzzer. Only LlmplanError may leave a reader;
anything else, 10 s or 1 GB on one input is a finding, saved as crash-*, timeout-* or oom-*.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["llmplan"]):
    import llmplan.catalog.schema
    import llmplan.sources.families
    import llmplan.sources.gguf_model  # noqa: F401 (readers import these when they need them)
    from llmplan.catalog.checkpoints import model_from_gguf
    from llmplan.catalog.user_files import model_from_config, parse_json
    from llmplan.errors import LlmplanError
    from llmplan.memory.formats import weight_format
    from llmplan.memory.weights import weight_bytes
    from llmplan.sources.safetensors_files import parse_header
    from llmplan.specs.model import Model

LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=20000")
WEIGHTS_BYTES = 16 << 20
"""Zeros behind a GGUF header, as a hole in the file: inputs are headers alone."""

TARGET = Path(tempfile.mkdtemp()) / "input.gguf"
ROOT = Path(__file__).parents[2]


def planned(model: Model) -> None:
    """Go on to what `fit` would work out of the model."""
    weight_bytes(model, weight_format(model.native_format))


def gguf(data: bytes) -> None:
    """Read a GGUF file down to its weights."""
    TARGET.write_bytes(data)
    os.truncate(TARGET, len(data) + WEIGHTS_BYTES)
    planned(model_from_gguf(TARGET))


def safetensors(data: bytes) -> None:
    """Read a safetensors header."""
    parse_header(data, len(data), "input")


def config(data: bytes) -> None:
    """Read a config.json down to its weights."""
    path = Path("config.json")
    planned(model_from_config(parse_json(data.decode("utf-8", "replace"), path), path))


READERS: dict[str, Callable[[bytes], None]] = {
    "gguf": gguf, "safetensors": safetensors, "config": config,
}  # fmt: skip


def seeds(reader: str) -> dict[str, bytes]:
    """Return small valid inputs of a reader, by file name."""
    if reader == "config":
        llama = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4,
                 "num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": 320}  # fmt: skip
        return {"llama": json.dumps(llama).encode()}
    if reader == "safetensors":
        tensor = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}
        raw = json.dumps({"__metadata__": {"format": "pt"}, "a": tensor}).encode()
        return {"one": len(raw).to_bytes(8, "little") + raw + bytes(12)}
    from gguf import GGUFReader

    sys.path[:0] = [str(ROOT / "tests")]
    from gguf_files import RECORDED, write  # type: ignore[import-not-found]

    found = {}
    for name, record in RECORDED.items():
        path = write(TARGET, record["facts"], record["tensors"])
        found[name] = path.read_bytes()[: GGUFReader(path).data_offset]
    return found


def main() -> None:
    """Fuzz one reader, or write its seeds into a folder."""
    reader, folder = sys.argv[1], Path(sys.argv[2])
    if "--seed" in sys.argv:
        for name, raw in seeds(reader).items():
            (folder / name).write_bytes(raw)
        return
    read = READERS[reader]

    def one(data: bytes) -> None:
        try:
            read(data)
        except LlmplanError as e:
            assert "\n" not in e.one_line()

    limits = [w for w in LIMITS if not any(a.startswith(w.split("=")[0]) for a in sys.argv)]
    atheris.Setup([sys.argv[0], *sys.argv[2:], *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
