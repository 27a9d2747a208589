"""Request traces: CSV or JSON lines with prompt and output tokens, hostile until read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from llmplan.errors import InputError
from llmplan.specs.traffic import Traffic

INPUT_COLUMNS = ("contexttokens", "input_length", "prompt_tokens", "num_prefill_tokens",
                 "request tokens", "input_tokens", "prompt_len", "input_len")  # fmt: skip
OUTPUT_COLUMNS = ("generatedtokens", "output_length", "completion_tokens", "num_decode_tokens",
                  "response tokens", "output_tokens", "output_len")  # fmt: skip
TIME_COLUMNS = ("timestamp", "arrived_at", "arrival_time")
"""Columns of the Azure, Mooncake, BurstGPT and Vidur traces, and of vLLM's benchmarks."""

MAX_BYTES = 512 << 20
MAX_LINE_BYTES = 4 << 20
MAX_TOKENS = 10_000_000
MINUTE_S = 60.0
FEWEST_MINUTES = 10
"""Whole minutes that a trace must span for its busiest one to say something of peaks."""

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class _Row(NamedTuple):
    input_tokens: int
    output_tokens: int
    time_s: float | None


def read_trace(name: str) -> Traffic:
    """Return the statistics of a trace file (.csv, .jsonl or .json)."""
    path = Path(name)
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path.name[:80]} holds no requests.", COLUMNS_HINT)
    inputs = sorted(r.input_tokens for r in rows)
    outputs = sorted(r.output_tokens for r in rows)
    peak, rate = _peaks([r.time_s for r in rows])
    return Traffic(
        path.name, sum(inputs) / len(rows), sum(outputs) / len(rows),
        {p: _percentile(inputs, q) for p, q in PERCENTILES.items()},
        {p: _percentile(outputs, q) for p, q in PERCENTILES.items()},
        peak, rate, len(rows), f"{path.name}, {len(rows):,} requests", None,
        None if peak else "The trace has no times over ten minutes: peaks are not known from it.",
    )  # fmt: skip


FILE_HINT = "Give a .csv or .jsonl."
COLUMNS_HINT = "It needs columns like ContextTokens and GeneratedTokens, or input_length and "\
    "output_length."  # fmt: skip


def _rows(path: Path) -> Iterator[_Row]:
    text = _text(path)
    found = _csv_rows(text, path) if path.suffix.lower() == ".csv" else _json_rows(text, path)
    for number, row in found:
        yield _row(row, number, path)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError(
                f"There is no trace file {str(path)[:80]!r}.", "Give a .csv or .jsonl."
            )
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path.name[:80]} is over {MAX_BYTES >> 20} MiB.", "Give a part of it."
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path.name[:80]} is not UTF-8 text.", FILE_HINT) from None
    except (OSError, ValueError) as e:
        raise InputError(f"Cannot read the trace: {getattr(e, 'strerror', None) or e}.") from None


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(text.splitlines())
    try:
        header = [h.strip().lower() for h in next(reader, [])]
        for row in reader:
            if row:
                yield reader.line_num, dict(zip(header, row, strict=False))
    except csv.Error as e:
        raise InputError(f"{path.name[:80]} line {reader.line_num}: {e}.") from None


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if text.lstrip()[:1] == "[":
        data = _parsed(text, 1, path)
        yield from ((n, _lowered(row, n, path)) for n, row in enumerate(data, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{path.name[:80]} line {number} is too long for a request.")
        if line.strip():
            yield number, _lowered(_parsed(line, number, path), number, path)


def _parsed(text: str, number: int, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        where = f"{path.name[:80]} line {number}"
        raise InputError(f"{where} is not JSON.", "Give JSON lines or CSV.") from None


def _lowered(row: Any, number: int, path: Path) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise InputError(f"{path.name[:80]} line {number} is no request.", COLUMNS_HINT)
    found = {str(k).strip().lower(): v for k, v in row.items()}
    if isinstance(found.get("timestamp"), (int, float)):
        found["timestamp"] = found["timestamp"] / 1000  # Mooncake's are in milliseconds
    return found


def _row(row: Mapping[str, Any], number: int, path: Path) -> _Row:
    tokens = []
    for names in (INPUT_COLUMNS, OUTPUT_COLUMNS):
        value = next((row[n] for n in names if n in row), None)
        if value is None:
            raise InputError(f"{path.name[:80]} line {number}: no token counts.", COLUMNS_HINT)
        tokens.append(_count(value, number, path))
    return _Row(tokens[0], tokens[1], _time(row))


def _count(value: Any, number: int, path: Path) -> int:
    try:
        count = float(value)
    except (TypeError, ValueError):
        count = -1.0
    if isinstance(value, bool) or not (0 <= count <= MAX_TOKENS and count == int(count)):
        raise InputError(
            f"{path.name[:80]} line {number}: {str(value)[:40]!r} is no count of tokens.",
            f"Counts are whole numbers up to {MAX_TOKENS:,}.",
        )
    return int(count)


def _time(row: Mapping[str, Any]) -> float | None:
    value = next((row[n] for n in TIME_COLUMNS if n in row), None)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _percentile(ordered: list[int], share: float) -> float:
    """Return the value with `share` of the others at or below it, interpolated."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _peaks(times: list[float | None]) -> tuple[float | None, float | None]:
    """Return the busiest minute by the clock over the mean one, and requests a second."""
    known = [t for t in times if t is not None and abs(t) < 1e13]
    if len(known) < len(times) or not known:
        return None, None
    span = max(known) - min(known)
    if span <= 0:
        return None, None
    rate = len(known) / span
    minutes = int(span // MINUTE_S)
    if minutes < FEWEST_MINUTES:
        return None, rate
    counts: dict[int, int] = {}
    for t in known:
        minute = int(t // MINUTE_S)
        counts[minute] = counts.get(minute, 0) + 1
    return max(counts.values()) / (rate * MINUTE_S), rate
