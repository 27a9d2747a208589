"""Print how long plans over the whole catalogue take: `python tests/benchmarks/plan.py`.

Run it with the interpreter of an environment where llmplan is installed from a wheel, start-up
included; an editable install reads YAML, which is slower. The aim is 1.5 s on one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

ROUNDS = 5
MODULE = [sys.executable, "-m", "llmplan", "plan"]
CASES = {
    "8B, chat at 5 requests/s": ["llama-3.1-8b", "--rate", "5", "--profile", "chat",
                                 "--ttft", "1s", "--tpot", "50ms"],
    "8B, p95 limits at 50 requests/s": ["llama-3.1-8b", "--rate", "50", "--profile", "chat",
                                        "--ttft", "1s", "--tpot", "30ms", "--percentile", "p95"],
    "8B, 200 in flight, no limits": ["llama-3.1-8b", "--concurrency", "200"],
    "70B, RAG at 1 request/s": ["llama-3.3-70b", "--rate", "1", "--profile", "rag"],
    "30B MoE, chat at 20 requests/s": ["qwen3-30b-a3b", "--rate", "20", "--profile", "chat",
                                       "--tpot", "50ms"],
    "671B MoE, chat at 5 requests/s": ["deepseek-v3", "--rate", "5", "--profile", "chat",
                                       "--ttft", "2s", "--tpot", "50ms"],
    "8B, nothing meets the limits": ["llama-3.1-8b", "--rate", "5", "--tpot", "100us"],
}  # fmt: skip


def main() -> None:
    """Time every case and print the fastest and the median of its rounds."""
    one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    print(f"{'':36}{'min s':>8}{'median':>8}")
    for name, args in CASES.items():
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            done = subprocess.run(
                [*MODULE, *args, "--json"], stdout=subprocess.DEVNULL, env=one_core
            )
            assert done.returncode in (0, 1)
            times.append(time.perf_counter() - start)
        print(f"{name:36}{min(times):8.2f}{sorted(times)[ROUNDS // 2]:8.2f}")


if __name__ == "__main__":
    main()
