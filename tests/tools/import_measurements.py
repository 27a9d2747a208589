"""Write measurements/ from the shared facts: `python tests/tools/import_measurements.py SHARED`.

The rows are public logs, each with its source; what is dropped here is what the product never
reads: empty fields, and figures kept twice.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from catalogue_yaml import ROOT


def slim(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its empty fields."""
    kept = {k: v for k, v in row.items() if v not in (None, {}, [])}
    if "observed" in kept:
        kept["observed"] = {k: v for k, v in kept["observed"].items() if v is not None}
    return {k: v for k, v in kept.items() if v not in ({}, [])}


def main(shared: Path) -> None:
    """Write measurements/memory.jsonl, one row a line, in the order of the source."""
    lines = (shared / "data/measurements/memory.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [slim(json.loads(line)) for line in lines]
    target = ROOT / "measurements/memory.jsonl"
    target.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(r, ensure_ascii=False, separators=(", ", ": ")) + "\n" for r in rows)
    target.write_text(text, encoding="utf-8")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
