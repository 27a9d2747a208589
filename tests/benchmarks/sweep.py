"""Print how fast sweeps are: `python tests/benchmarks/sweep.py [NAME ...]`.

Points a second by the size of the grid, peak memory of all its processes, start-up, one process
that loops over `estimate`, and the grid of the whole catalogue. Aims: 10^6 points/s on two cores,
flat memory, the catalogue in a minute. `bands` is `1e7` with all default columns: the ends of the
bands are two more solutions. `1e8` takes minutes and runs only where it is named.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

MODELS = ["llama-3.1-8b", "llama-3.3-70b", "qwen3-32b", "mixtral-8x7b", "qwen3-30b-a3b-2507"]
GPUS = ["a100-80g-sxm", "h100-sxm", "h200", "l40s", "mi300x"]
LENGTHS = [256, 512, 1024, 2048, 4096, 6144]


COLUMNS = ["model", "gpu", "tp", "weight_format", "input_tokens", "concurrency", "fits", "ttft_s",
           "tpot_s", "output_tokens_per_s", "requests_per_s"]  # fmt: skip


def dense(loads: int, columns: list[str] | None = COLUMNS) -> dict[str, Any]:
    """Return a grid of 5 models x 5 devices x 4 tp x 2 formats x 10 prompts x so many loads."""
    chosen = {} if columns is None else {"columns": columns}
    return {
        **chosen,
        "models": MODELS,
        "gpus": GPUS,
        "parallel": {"tp": [1, 2, 4, 8]},
        "weight_formats": ["bf16", "fp8"],
        "workload": {
            "context_tokens": 16384,
            "input_tokens": f"1000..{1000 * 10} +1000",
            "output_tokens": 500,
            "concurrency": f"1..{loads}",
        },
        "options": {"max_num_seqs": 256},
    }


CATALOGUE: dict[str, Any] = {
    "models": "all",
    "gpus": "all",
    "gpu_counts": [1, 2, 4, 8],
    "parallel": {"tp": [1, 2, 4, 8]},
    "weight_formats": ["bf16", "fp8", "awq-int4", "gptq-int4", "int8-w8a8", "nvfp4", "mxfp4",
                       "gguf:Q4_K_M"],
    "workload": {"context_tokens": 8192, "input_tokens": LENGTHS, "output_tokens": 256},
}  # fmt: skip
"""All models x all devices x 8 formats x 4 tp x 6 lengths."""

GRIDS = {
    "1e4": dense(5), "1e5": dense(50), "1e6": dense(500), "1e7": dense(5000),
    "1e8": dense(50000), "bands": dense(5000, None), "catalogue": CATALOGUE,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Time the grids that are named, else all but the largest."""
    print(
        f"{'grid':12}{'points':>14}{'rows':>14}{'s':>9}{'points/s':>12}{'peak MB':>9}{'file MB':>9}"
    )
    for name in names or [n for n in GRIDS if n != "1e8"]:
        if name in GRIDS:
            _sweep(name, GRIDS[name])
    if not names or "loop" in names:
        _loop()


def _sweep(name: str, plan: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "plan.yaml", Path(folder) / "out.parquet"
        file.write_text(yaml.safe_dump(plan), encoding="utf-8")
        start = time.perf_counter()
        done = subprocess.Popen(
            [sys.executable, "-m", "llmplan", "sweep", str(file), "-o", str(out), "--json"],
            stdout=subprocess.PIPE,
        )
        peak: list[int] = [0]
        watch = threading.Thread(target=_watch, args=(done.pid, peak), daemon=True)
        watch.start()
        text = done.communicate()[0]
        took = time.perf_counter() - start
        found = yaml.safe_load(text)
        points = found["points"] - found["left_out"].get(IDLE, 0)
        print(f"{name:12}{points:14,}{found['rows']:14,}{took:9.2f}{points / took:12,.0f}"
              f"{peak[0] / 1e6:9,.0f}{out.stat().st_size / 1e6:9,.1f}", flush=True)  # fmt: skip


IDLE = "splits over other than the devices there are"


def _watch(pid: int, peak: list[int]) -> None:
    """Keep the most memory that a process and its children held together [bytes]."""
    page = os.sysconf("SC_PAGE_SIZE")
    while True:
        pids = [pid]
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(x) for x in (task / "children").read_text().split()]
            # resident less what is shared: each page once
            each = [Path(f"/proc/{p}/statm").read_text().split() for p in pids]
        except (OSError, ValueError):
            return
        peak[0] = max(peak[0], sum((int(s[1]) - int(s[2])) * page for s in each))
        time.sleep(0.05)


def _loop() -> None:
    """Time one process that loops over `estimate`."""
    import llmplan

    model, gpu = llmplan.load_model("llama-3.1-8b"), llmplan.load_gpu("h100-sxm")
    llmplan.estimate(model, gpu)
    start = time.perf_counter()
    for n in range(1, 201):
        llmplan.estimate(model, gpu, input_tokens=1000, output_tokens=500, concurrency=n)
    took = time.perf_counter() - start
    print(f"{'loop':12}{200:14}{200:14}{took:9.2f}{200 / took:12,.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
