"""How public runs were started: settings that their sources publish and the rows do not state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from llmplan.measured.rows import SpeedRow, own_measurements


class RunSettings(NamedTuple):
    """Settings of a run beside its row: null where neither the row nor its source states them.

    `recipe`: how the flags were chosen, `tuned` by a benchmark's own launch scripts or `default`.
    `length_share`: mean over nominal length, where clients draw lengths below it. `waits`: steps
    that a prompt waits by the engine's flags.
    """

    recipe: str = "default"
    length_share: float = 1.0
    kv_format: str | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    chunk_tokens: float | None = None
    gpu_memory_utilization: float | None = None
    asynchronous: bool | None = None
    waits: float = 0.0


def published_settings(row: SpeedRow) -> RunSettings:
    """Return the settings of a row's run: those of the first entry that it matches."""
    for entry in _entries():
        if _matches(entry["match"], row):
            return RunSettings(**{k: _own(v, row) for k, v in entry["set"].items()})
    return RunSettings()


def _own(value: Any, row: SpeedRow) -> Any:
    if value == "concurrency":
        return int(row.concurrency) if row.concurrency else None
    if value == "2 x input":
        return int(2 * row.input_tokens) if row.input_tokens else None
    return value


def _matches(match: Mapping[str, Any], row: SpeedRow) -> bool:
    date = str(row.source.get("date") or "")
    for key, wanted in match.items():
        if key == "source":
            if wanted not in str(row.source.get("url_or_repo") or ""):
                return False
        elif key in ("since", "until"):
            if not date or (date < wanted if key == "since" else date > wanted):
                return False
        elif not _agrees(getattr(row, key), wanted):
            return False
    return True


def _agrees(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        low, high = wanted.get("min", float("-inf")), wanted.get("max", float("inf"))
        return value is not None and low <= value <= high
    return value in wanted if isinstance(wanted, list) else value == wanted


@cache
def _entries() -> list[dict[str, Any]]:
    import yaml

    folder = os.path.dirname(own_measurements("speed"))
    with open(os.path.join(folder, "runs.yaml"), encoding="utf-8") as file:  # noqa: PTH123
        entries: list[dict[str, Any]] = yaml.safe_load(file)["runs"]
    return entries
