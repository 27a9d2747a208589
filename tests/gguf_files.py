"""GGUF files that tests write: recorded headers with weights of zeros."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
from conftest import ROOT

RECORDED: dict[str, Any] = json.loads((ROOT / "tests/recorded/gguf_headers.json").read_text())
"""Headers that llama.cpp's converter wrote, with transformers' parameter counts: the folder's
README names the script."""

MEMORY_LIMIT = 64 << 20
"""Most that reading any file of a fuzz test may take [bytes]."""


def add_fact(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    kind = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
    getattr(writer, f"add_{kind[type(value)]}")(key, value)


def write(path: Path, facts: dict[str, Any], tensors: list[list[Any]], **options: Any) -> Path:
    """Write a file with the `gguf` package; weights are zeros, shapes columns first."""
    import numpy as np

    writer = gguf.GGUFWriter(path, facts["general.architecture"], **options)
    for key, value in facts.items():
        if key != "general.architecture":
            add_fact(writer, key, value)
    for name, kind, shape, size in tensors:
        raw = gguf.GGMLQuantizationType[kind]
        rows = [*reversed(shape[1:]), size // max(1, int(np.prod(shape[1:])))]
        writer.add_tensor(name, np.zeros(rows, np.uint8), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def recorded(tmp_path: Path, name: str, **facts: Any) -> Path:
    record = RECORDED[name]
    return write(tmp_path / f"{name}.gguf", record["facts"] | facts, record["tensors"])
