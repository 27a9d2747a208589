"""Write measurements/ from the shared facts: `python tests/tools/import_measurements.py SHARED`.

The rows are public logs and results, each with its source; what is dropped here is what the
product never reads: empty fields, and figures kept twice. Speed rows whose figures are those of
another device to the last digit are marked: both cannot be right. So is a TTFT that is many times
that of the same setup in another release, and a TPOT that is the median time between tokens.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from catalogue_yaml import ROOT

COPIED = "the same figures stand for another device"


ADDITIONS = Path(__file__).with_name("memory_additions.jsonl")
"""Start-ups found after the shared facts were gathered, in the same form."""

CORRECTIONS: dict[str, dict[str, Any]] = {
    "mem-v-0583": {
        "device_total_gib": 47.54,
        "notes": "dtype not shown; checkpoint dtype assumed; A40 without ECC: weights and pool "
        "alone (40.5 GiB) pass nine tenths of the 45 GiB that ECC leaves; 48,685 MiB then",
    },
}
"""What a row says of itself and its figures rule out, with the reason."""


def slim(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its empty fields."""
    kept = {k: v for k, v in row.items() if v not in (None, {}, [], "")}
    if "observed" in kept:
        kept["observed"] = {k: v for k, v in kept["observed"].items() if v is not None}
    return {k: v for k, v in kept.items() if v not in ({}, [])}


def mark_copies(rows: list[dict[str, Any]]) -> None:
    """Mark rows of one engine and model whose figures are equal on different devices."""
    alike: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        figures = tuple(sorted(row["expected"].items()))
        load = tuple(row.get(k) for k in ("input_tokens", "output_tokens", "concurrency"))
        alike[(row["engine"], row["model"], row["scenario"], load, figures)].append(row)
    for found in alike.values():
        if len({r["gpu"] for r in found}) > 1:
            for row in found:
                row["suspect"] = COPIED


SAME_SETUP = ("engine", "model", "gpu", "weight_format", "tp", "pp", "dp", "input_tokens",
              "output_tokens", "concurrency")  # fmt: skip
STALLED = 5
"""Times another release's TTFT from which a run counts as stalled."""


def mark_stalled(rows: list[dict[str, Any]]) -> None:
    """Mark a TTFT that is STALLED times that of the same setup in another release."""
    alike: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["scenario"] == "closed-loop" and row["expected"].get("ttft_s"):
            alike[tuple(row.get(k) for k in SAME_SETUP)].append(row)
    for found in alike.values():
        least = min(row["expected"]["ttft_s"] for row in found)
        for row in found:
            if row["expected"]["ttft_s"] > STALLED * least:
                row["doubts"] = {
                    "ttft_s": f"the same setup took {least:.2g} s in another run, and TTFT here "
                    "hardly depends on load or length: requests waited for something else"
                }


MEDIANS = {"https://github.com/LottoLottoLotto/4x3090-llm-benchmarks": "median gap"}
"""Sources whose time per token is the median time between two tokens (itl_p50_ms)."""


def mark_medians(rows: list[dict[str, Any]]) -> None:
    """Say what the time per token of a row is where it is not the mean."""
    for row in rows:
        statistic = MEDIANS.get(row["source"].get("url_or_repo", ""))
        if statistic and "tpot_s" in row["expected"]:
            row["tpot_statistic"] = statistic


def main(shared: Path) -> None:
    """Write memory.jsonl and speed.jsonl, one row a line, in the order of the source."""
    for kind in ("memory", "speed"):
        source = shared / f"data/measurements/{kind}.jsonl"
        lines = source.read_text(encoding="utf-8").splitlines()
        if kind == "memory":
            lines += ADDITIONS.read_text(encoding="utf-8").splitlines()
        rows = [slim(json.loads(line)) for line in lines]
        rows = [row | CORRECTIONS.get(row.get("id", ""), {}) for row in rows]
        if kind == "speed":
            mark_copies(rows)
            mark_stalled(rows)
            mark_medians(rows)
        target = ROOT / f"measurements/{kind}.jsonl"
        target.parent.mkdir(exist_ok=True)
        lines = [json.dumps(r, ensure_ascii=False, separators=(", ", ": ")) + "\n" for r in rows]
        target.write_text("".join(lines), encoding="utf-8")
        marked = {k: sum(k in r for r in rows) for k in ("suspect", "doubts", "tpot_statistic")}
        print(f"{kind}: {len(rows)} rows, {marked}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
