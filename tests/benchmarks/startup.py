"""Print start-up times as multiples of the bare interpreter: `python tests/benchmarks/startup.py`.

Run it with the interpreter of an environment where llmplan is installed from a wheel. An
editable install has no compiled index and reads YAML, which is slower. Rounds interleave the
commands, so that a busy moment of the machine hits all of them.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROUNDS = 15
LLMPLAN = str(Path(sysconfig.get_path("scripts")) / "llmplan")
FIT = [LLMPLAN, "fit", "mixtral-8x7b", "--gpu", "a100-40g"]
COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import click": [sys.executable, "-c", "import click"],
    "import click, tabulate": [sys.executable, "-c", "import click, tabulate"],
    "fit --json (limit 9, aim 7)": [*FIT, "--json"],
    "fit, table (limit 12, aim 9)": FIT,
    "llmplan --version": [LLMPLAN, "--version"],
    "llmplan models": [LLMPLAN, "models"],
    "llmplan gpus": [LLMPLAN, "gpus"],
}


def main() -> None:
    """Time every command and print minimum, median and the multiple of the bare start."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - start)
    bare = min(times["bare interpreter"])
    print(f"{'':32}{'min ms':>9}{'median':>9}{'x bare':>9}")
    for name, seconds in times.items():
        low, middle = min(seconds), sorted(seconds)[ROUNDS // 2]
        print(f"{name:32}{low * 1e3:9.1f}{middle * 1e3:9.1f}{low / bare:9.1f}")


if __name__ == "__main__":
    main()
