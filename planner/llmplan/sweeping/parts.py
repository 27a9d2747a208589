"""A folder of Parquet parts: each is written where it is computed, and there when it is whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from llmplan.sweeping.encode import write_parquet
from llmplan.sweeping.rows import Rows
from llmplan.sweeping.workers import Part

KEY = b"llmplan"
NAME = "part-{:08d}.parquet"


@dataclass(frozen=True)
class Parts:
    """Writes the rows of a part to a folder that all workers see."""

    folder: str

    def __call__(self, rows: Rows, number: int) -> bytes:
        """Write a part under another name and rename it; return no bytes."""
        counts = {"points": rows.points, "fitting": rows.fitting, "left_out": rows.left_out}
        path = Path(self.folder) / NAME.format(number)
        # a part that two workers compute, the first one thought lost, is the same twice
        own = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            write_parquet(rows.table, str(own), {KEY.decode(): json.dumps(counts)})
            own.replace(path)
        finally:
            own.unlink(missing_ok=True)
        return b""


def done_parts(folder: Path) -> dict[int, Part]:
    """Return the parts that are there, by number; what was left half written is removed."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            path.unlink()
            continue
        metadata = pq.read_metadata(path)
        counts = json.loads(metadata.metadata[KEY])
        number = int(path.stem.partition("-")[2])
        found[number] = Part(
            b"", counts["points"], metadata.num_rows, counts["fitting"], counts["left_out"]
        )
    return found
