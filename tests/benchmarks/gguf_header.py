"""Print time and memory of reading a large GGUF file: `python tests/benchmarks/gguf_header.py`.

The file is sparse: 400 GB of a Llama 3.1 405B in shape, with a vocabulary of 250,000 tokens, their
scores and types, and 500,000 merges, of which only the header takes space on the disk.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

VOCABULARY, MERGES = 250_000, 500_000
HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 16384, 53248, 126, 128, 8
FIT = """
import re, sys, time
from pathlib import Path
start = time.perf_counter()
from llmplan.cli.main import run
from llmplan.sources.gguf_file import read_gguf
read = time.perf_counter()
read_gguf(Path(sys.argv[1]))
print(f"header alone: {time.perf_counter() - read:.3f} s", file=sys.stderr)
try:
    run(["fit", sys.argv[1], "--gpu", "h200*8", "--json"])
finally:
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
    print(f"fit, header read again: {time.perf_counter() - start:.3f} s", file=sys.stderr)
    print(f"peak of the process: {int(peak[1]) / 1024:.0f} MiB", file=sys.stderr)
"""


def tensors() -> dict[str, tuple[int, ...]]:
    """Return name and shape, rows first, of every matrix and vector."""
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCABULARY, HIDDEN),
        "output.weight": (VOCABULARY, HIDDEN),
        "output_norm.weight": (HIDDEN,),
    }
    kv = HIDDEN // HEADS * KV_HEADS
    shapes = {
        "attn_norm": (HIDDEN,), "attn_q": (HIDDEN, HIDDEN), "attn_k": (kv, HIDDEN),
        "attn_v": (kv, HIDDEN), "attn_output": (HIDDEN, HIDDEN), "ffn_norm": (HIDDEN,),
        "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN),
    }  # fmt: skip
    for layer in range(LAYERS):
        found |= {f"blk.{layer}.{name}.weight": shape for name, shape in shapes.items()}
    return found


def write(path: Path) -> int:
    """Write the header with the `gguf` package, the weights as a hole, and return the size."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(131072)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_token_list([f"token-{i}" for i in range(VOCABULARY)])
    writer.add_token_scores([float(i) for i in range(VOCABULARY)])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges([f"left{i} right{i}" for i in range(MERGES)])
    size = 0
    for name, shape in tensors().items():
        kind = gguf.GGMLQuantizationType.Q8_0 if len(shape) > 1 else None
        weights, length = gguf.GGML_QUANT_SIZES[kind or gguf.GGMLQuantizationType.F32]
        count = int(np.prod(shape, dtype=np.int64)) // weights * length
        dtype = np.dtype(np.float32)
        writer.add_tensor_info(name, shape, dtype, count, raw_dtype=kind)
        size += -(-count // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header = path.stat().st_size
    total = -(-header // 32) * 32 + size
    with path.open("r+b") as file:
        file.truncate(total)
    print(f"file of {total / 1e9:.1f} GB with a header of {header / 1e6:.1f} MB")
    return total


def main() -> None:
    """Write the file, then read and plan it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.gguf"
        write(path)
        command = [sys.executable, "-c", FIT, str(path)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
