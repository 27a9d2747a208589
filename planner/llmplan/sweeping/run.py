"""A sweep from its plan to its output: here, in processes, or on a Ray cluster; or as a table."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from llmplan.errors import InputError
from llmplan.specs.record import plain
from llmplan.specs.speed import SpeedTable
from llmplan.sweeping.databases import DuckDb, Sqlite, full_disk
from llmplan.sweeping.encode import SUFFIXES, encoded
from llmplan.sweeping.outputs import AppendedFile, Output, State, WorkFolder
from llmplan.sweeping.parts import Parts, done_parts
from llmplan.sweeping.progress import Progress
from llmplan.sweeping.rows import Evaluator, wanted_of
from llmplan.sweeping.space import Space
from llmplan.sweeping.workers import PART_POINTS, Encoder, Make, Part, computed, parts_of
from llmplan.version import __version__

MAX_TABLE_POINTS = 50_000_000
"""Points whose rows fit the memory of a common machine as one table, at 250 bytes each."""


class Summary(NamedTuple):
    """What a sweep came to."""

    output: str
    points: int
    rows: int
    fitting: int
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `llmplan sweep --json`."""
        return {"schema": "llmplan.sweep/1", **plain(self)}


def sweep_table(space: Space, table: SpeedTable) -> pa.Table:
    """Return all rows of a grid as one Arrow table."""
    if space.points > MAX_TABLE_POINTS:
        raise InputError(
            f"The plan has {space.points:,} points, too many for one table.",
            "Write a file: llmplan sweep PLAN -o out.parquet.",
        )
    evaluator = Evaluator(space, table)
    starts = range(0, space.points, PART_POINTS)
    found = [evaluator.rows(s, min(s + PART_POINTS, space.points)).table for s in starts]
    return pa.concat_tables(found).unify_dictionaries()


def sweep_file(
    space: Space,
    table: SpeedTable,
    output: Path,
    *,
    workers: int,
    restart: bool = False,
    quiet: bool = False,
    ray: str | None = None,
) -> Summary:
    """Write all rows of a grid to a file or a folder of parts, whole or not at all.

    Parameters
    ----------
    space, table : Space, SpeedTable
        The grid, and what predictions of speed need
    output : Path
        File whose suffix names the format; without one, a folder of Parquet parts
    workers : int
        Processes on this machine
    restart : bool
        Drop what an unfinished run left
    quiet : bool
        No progress
    ray : str
        Address of a Ray cluster to compute on, in place of processes

    """
    format = format_of(output)
    if ray is not None and format != "parts":
        raise InputError("A sweep on Ray writes a folder of Parquet parts.", "Give -o FOLDER.")
    with WorkFolder(output) as work:
        state = work.state(key_of(space, table, format), restart=restart)
        try:
            if format == "parts":
                state = _parts(space, table, work, state, workers, quiet, ray)
            else:
                state = _one_file(space, table, work, state, workers, quiet)
        except OSError as e:
            raise full_disk(e) from None
        work.remove()
    left_out: Counter[str] = Counter(state["left_out"])
    left_out["splits over other than the devices there are"] += space.idle
    return Summary(
        str(output), space.points + space.idle, state["rows"], state["fitting"], dict(+left_out)
    )


def format_of(output: Path) -> str:
    """Return the format that an output's name asks for; refuse what is in the way."""
    format = SUFFIXES.get(output.suffix.lower())
    if format is None and output.suffix:
        raise InputError(
            f"{output.name}: no format goes by {output.suffix}.",
            f"Known: {', '.join(SUFFIXES)}; a name without one is a folder of Parquet parts.",
        )
    if format is None and output.exists():
        raise InputError(f"{output} is there already.", "Remove it, or give another -o.")
    if format is not None and output.is_dir():
        raise InputError(f"{output} is a folder.", "Give the name of a file.")
    return format or "parts"


def key_of(space: Space, table: SpeedTable, format: str) -> str:
    """Return what two runs have to have in common for one to go on with the other's work."""
    facts = [m.model for m in space.models], space, table, format, __version__, PART_POINTS
    text = json.dumps(plain(facts), sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()


def _one_file(
    space: Space, table: SpeedTable, work: WorkFolder, state: State, workers: int, quiet: bool
) -> State:
    format = format_of(work.output)
    schema = schema_of(space)
    sink: Output
    if format in ("sqlite", "duckdb"):
        sink = (Sqlite if format == "sqlite" else DuckDb)(work, state, schema)
    else:
        sink = AppendedFile(work, state, format)
    try:
        numbers = list(range(state["next"], parts_of(space.points)))
        made = computed(space, table, numbers, Encoder(format), workers)
        for _, part in _shown(made, space, state["next"] * PART_POINTS, quiet):
            state = _counted(state, part)
            sink.append(part.data, state)
        sink.finish(schema, encoded(schema.empty_table(), format, first=True))
    finally:
        sink.close()
    return state


def _parts(
    space: Space, table: SpeedTable, work: WorkFolder, state: State, workers: int, quiet: bool,
    ray: str | None,
) -> State:  # fmt: skip
    folder = work.path.absolute() / "parts"
    folder.mkdir(exist_ok=True)
    done = done_parts(folder)
    numbers = [n for n in range(parts_of(space.points)) if n not in done]
    make: Make = Parts(str(folder))
    if ray is None:
        made = computed(space, table, numbers, make, workers)
    else:
        from llmplan.sweeping.on_ray import computed_on_ray

        made = computed_on_ray(space, table, numbers, make, ray)
    for _ in _shown(made, space, sum(p.points for p in done.values()), quiet):
        pass
    for part in done_parts(folder).values():
        state = _counted(state, part)
    folder.replace(work.output)
    return state


def _shown(
    made: Iterator[tuple[int, Part]], space: Space, done: int, quiet: bool
) -> Iterator[tuple[int, Part]]:
    progress = Progress(space.points, done, quiet=quiet)
    try:
        for number, part in made:
            yield number, part
            progress.add(part.points)
    finally:
        progress.end()


def _counted(state: State, part: Part) -> State:
    left_out: Counter[str] = Counter(state["left_out"])
    left_out.update(part.left_out)
    return state | {
        "next": state["next"] + 1,
        "rows": state["rows"] + part.rows,
        "fitting": state["fitting"] + part.fitting,
        "left_out": dict(left_out),
    }


def schema_of(space: Space) -> pa.Schema:
    """Return the columns of a grid's rows."""
    return wanted_of(space.plan, priced=any(g.price for g in space.gpus)).schema
