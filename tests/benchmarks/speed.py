"""How fast speed is predicted: `python tests/benchmarks/speed.py`. Prints, asserts nothing."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "planner"))

import llmplan
from llmplan.catalog.speed_table import open_speed_table
from llmplan.planning.performance import speed_setting
from llmplan.planning.request import make_options, requested
from llmplan.speed.figures import Load, loop_figures

POINTS, CHUNK, WORKERS = 1_000_000, 8_192, 2


def main() -> None:
    """Time one estimate, and a million points of one setup on arrays."""
    model, gpu = llmplan.load_model("mixtral-8x7b"), llmplan.load_gpu("a100-80g-sxm")
    given = {"tp": 2, "weight_format": "bf16", "concurrency": 16}
    llmplan.estimate(model, gpu, **given)
    start = time.perf_counter()
    for _ in range(500):
        llmplan.estimate(model, gpu, **given)
    print(f"one estimate: {(time.perf_counter() - start) / 500 * 1e3:.2f} ms")
    engine, request = requested(model, gpu, make_options(**given))
    setting, _ = speed_setting(engine, request, engine.plan(request), open_speed_table())
    draw = np.random.default_rng(0)
    columns = draw.uniform((16, 16, 0, 1, 0, 8, 0, 0), (8192, 1024, 0, 256, 0, 256, 0, 0),
                           (POINTS, 8))  # fmt: skip
    chunks = [columns[i : i + CHUNK].T for i in range(0, POINTS, CHUNK)]
    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        done = pool.map(lambda c: loop_figures(setting, Load(*c)).ttft_s.sum(), chunks)
        total = sum(done)
    seconds = time.perf_counter() - start
    print(f"{POINTS:,} points on arrays, {WORKERS} threads: {seconds:.2f} s ({total:.3g})")


if __name__ == "__main__":
    main()
