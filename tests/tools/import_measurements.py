"""Write measurements/ from the shared facts: `python tests/tools/import_measurements.py SHARED`.

The rows are public logs and results, each with its source; what is dropped here is what the
product never reads: empty fields, and figures kept twice. Speed rows whose figures are those of
another device to the last digit are marked: both cannot be right.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from catalogue_yaml import ROOT

COPIED = "the same figures stand for another device"


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


def main(shared: Path) -> None:
    """Write memory.jsonl and speed.jsonl, one row a line, in the order of the source."""
    for kind in ("memory", "speed"):
        source = shared / f"data/measurements/{kind}.jsonl"
        rows = [slim(json.loads(line)) for line in source.read_text(encoding="utf-8").splitlines()]
        if kind == "speed":
            mark_copies(rows)
        target = ROOT / f"measurements/{kind}.jsonl"
        target.parent.mkdir(exist_ok=True)
        lines = [json.dumps(r, ensure_ascii=False, separators=(", ", ": ")) + "\n" for r in rows]
        target.write_text("".join(lines), encoding="utf-8")
        marked = sum("suspect" in r for r in rows)
        print(f"{kind}: {len(rows)} rows, {marked} marked")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
