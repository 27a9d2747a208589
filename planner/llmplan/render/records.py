"""Answers and listings as JSON, CSV and tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmplan.specs.setup import Answer, Band, Performance


def to_json(value: Any) -> str:
    """Return one JSON document."""
    return json.dumps(value, indent=2, allow_nan=False)


def to_csv(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return CSV text with a header line."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def setup_rows(answer: Answer) -> tuple[list[str], list[list[Any]]]:
    """Return the setups (the requested one first) as flat rows in base units."""
    headers = [
        "rank", "engine", "engine_version", "weight_format", "kv_format", "gpu", "gpus",
        "tp", "pp", "dp", "ep", "fits", "supported",
    ]  # fmt: skip
    rows = []
    speeds = [n for n in Performance._fields if n not in PLAIN]
    for rank, s in enumerate((answer.requested, *answer.setups)):
        memory, kv = s.memory_per_gpu.to_dict(), s.kv_cache.to_dict()
        row = [rank or "requested", *(getattr(s, h) for h in headers[1:13])]
        row += [*memory.values(), *kv.values(), s.max_context_tokens]
        row += [x for n in speeds for x in _band(getattr(s.performance, n))]
        row += [getattr(s.performance, n) for n in PLAIN]
        row += [s.launch.command if s.launch else None, s.reason]
        rows.append(row)
    first = answer.requested
    headers += [*first.memory_per_gpu.to_dict(), *first.kv_cache.to_dict()]
    named = [f"{n}{end}" for n in speeds for end in ("", "_low", "_high")]
    return [*headers, "max_context_tokens", *named, *PLAIN, "command", "reason"], rows


PLAIN = ("limited_by", "utilization")
"""Fields of Performance that are no bands."""


def _band(band: Band | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if band is None else (band.value, band.low, band.high)
