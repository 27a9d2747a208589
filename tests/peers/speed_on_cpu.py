"""A sanity run: llama.cpp on this machine's processor, measured against what is predicted.

`bash tests/peers/setup.sh llama-cpp && python tests/peers/speed_on_cpu.py`: measures the memory
bandwidth and the matrix rate of this machine with NumPy, gives them to llmplan as the device's,
writes GGUF files of random tensors, and times reading a prompt and making tokens. Best of several.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import llama_cpp as lib
import numpy as np

import llmplan

HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY = 2048, 5632, 16, 4, 128, 32000
PROMPT, OUTPUT = 512, 32
BEST_OF = 15


def best(run: Callable[[], Any]) -> float:
    """Return the shortest of some runs [s]."""
    times = []
    for _ in range(BEST_OF):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def bandwidth(threads: int) -> float:
    """Return the rate at which threads read memory together [bytes/s]."""
    parts = [np.ones(1 << 27, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        seconds = best(lambda: list(pool.map(lambda p: p.dot(p), parts)))
    return sum(p.nbytes for p in parts) / seconds


def matrix_rate() -> float:
    """Return the float32 rate of a large product, all threads of NumPy's BLAS [FLOP/s]."""
    a = np.random.default_rng(0).random((2048, 2048), np.float32)
    return 2 * 2048**3 / best(lambda: a @ a)


def write(path: Path, layers: int, kind: str) -> None:
    """Write a Llama of random weights."""
    draw = np.random.default_rng(0)
    file = gguf.GGUFWriter(path, "llama")
    for name, value in (
        ("block_count", layers), ("context_length", 4096), ("embedding_length", HIDDEN),
        ("vocab_size", VOCABULARY), ("head_count", HEADS), ("head_count_kv", KV_HEADS),
        ("feed_forward_length", FFN), ("layer_norm_rms_eps", 1e-6), ("rope_freq_base", 10000.0),
        ("rope_dimension_count", HEAD_DIM), ("tokenizer_model", "no_vocab"),
    ):  # fmt: skip
        getattr(file, f"add_{name}")(value)
    type_ = gguf.GGMLQuantizationType[kind]

    def matrix(name: str, *shape: int) -> None:
        values = draw.standard_normal(shape, np.float32) * 0.02
        file.add_tensor(name, gguf.quants.quantize(values, type_), raw_dtype=type_)

    def norm(name: str) -> None:
        file.add_tensor(name, np.ones(HIDDEN, np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    matrix("output.weight", VOCABULARY, HIDDEN)
    norm("output_norm.weight")
    for i in range(layers):
        norm(f"blk.{i}.attn_norm.weight")
        norm(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN)
        matrix(f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        matrix(f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN)
        matrix(f"blk.{i}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
        matrix(f"blk.{i}.ffn_gate.weight", FFN, HIDDEN)
        matrix(f"blk.{i}.ffn_up.weight", FFN, HIDDEN)
        matrix(f"blk.{i}.ffn_down.weight", HIDDEN, FFN)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def measure(path: Path, threads: int) -> tuple[float, float]:
    """Return tokens/s of a prompt of PROMPT, and of making OUTPUT tokens behind it."""
    lib.llama_log_set(QUIET, None)
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    settings = lib.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 1024, PROMPT, PROMPT
    settings.n_threads = settings.n_threads_batch = threads
    context = lib.llama_init_from_model(model, settings)

    def feed(count: int, keep: int) -> None:
        lib.llama_memory_seq_rm(lib.llama_get_memory(context), 0, keep, -1)
        tokens = (lib.llama_token * count)(*([7] * count))
        assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, count)) == 0
        lib.llama_synchronize(context)

    def make() -> None:
        for position in range(OUTPUT):
            feed(1, PROMPT + position)

    feed(PROMPT, 0)
    prompt = best(lambda: feed(PROMPT, 0))
    made = best(make)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return PROMPT / prompt, OUTPUT / made


@lib.llama_log_callback
def QUIET(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """Drop llama.cpp's own log."""


def predict(path: Path, rate: float, flops: float) -> Any:
    """Return the speed that llmplan predicts of the file on a device with the measured rates."""
    setup = llmplan.estimate(
        str(path), "ddr4-3200-2ch", engine="llama.cpp", host_ram=16 << 30, host_bandwidth=rate,
        set={"fp16": f"{flops / 1e12:.4f}TFLOPS"}, context_tokens=1024, input_tokens=PROMPT,
        output_tokens=OUTPUT, concurrency=1,
    )  # fmt: skip
    return setup.performance


def main() -> None:
    """Print measured and predicted speed of two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=16)
    given = parser.parse_args()
    rate, flops = bandwidth(given.threads), matrix_rate()
    print(f"this machine: {rate / 1e9:.1f} GB/s, {flops / 1e9:.0f} GFLOP/s in float32")
    for kind in ("F16", "Q8_0"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "random.gguf"
            write(path, given.layers, kind)
            prefill, decode = measure(path, given.threads)
            p = predict(path, rate, flops)
            print(f"{kind} {path.stat().st_size / 1e9:.2f} GB")
            for name, seen, band in (
                ("prefill tokens/s", prefill, p.prefill_tokens_per_s),
                ("decode tokens/s", decode, p.output_tokens_per_s_per_user),
            ):
                print(f"  {name}: measured {seen:.1f}, predicted {band.value:.1f} "
                      f"({band.low:.1f}-{band.high:.1f}, {band.basis})")  # fmt: skip


if __name__ == "__main__":
    main()
