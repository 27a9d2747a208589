"""Parts of a grid computed one after the other, here or in processes of their own, in order."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, connection, get_context, parent_process
from typing import Any, NamedTuple

from llmplan.errors import OutsideError
from llmplan.specs.speed import SpeedTable
from llmplan.sweeping.encode import encoded
from llmplan.sweeping.rows import Evaluator, Rows
from llmplan.sweeping.space import Space

PART_POINTS = 1 << 17
"""Points of a part: what is lost at most when a worker dies, and a row group of the output."""

FEW_POINTS = 1 << 18
"""Grids up to this size are computed without processes: starting these takes longer."""


COLLECTED = (200_000, 20, 100)
"""Thresholds of a worker's garbage collector: its records have no cycles, and looking for them
takes a tenth of its time by default."""


class Part(NamedTuple):
    """A computed part: its bytes (empty without rows), and what to count."""

    data: bytes
    points: int
    rows: int
    fitting: int
    left_out: dict[str, int]


Make = Callable[[Rows, int], bytes]
"""Turns the rows of the part of a number into bytes, or writes them and returns none."""


@dataclass(frozen=True)
class Encoder:
    """Encodes rows in a format."""

    format: str

    def __call__(self, rows: Rows, number: int) -> bytes:
        """Return the bytes of a part, none where it has no rows but the head of a text."""
        if not rows.table.num_rows and (self.format != "csv" or number):
            return b""
        return encoded(rows.table, self.format, first=number == 0)


def parts_of(points: int) -> int:
    """Return how many parts a grid has."""
    return -(-points // PART_POINTS)


def compute(evaluator: Evaluator, number: int, make: Make) -> Part:
    """Compute the part of a number."""
    start = number * PART_POINTS
    rows = evaluator.rows(start, min(start + PART_POINTS, evaluator.space.points))
    data = make(rows, number)
    return Part(data, rows.points, rows.table.num_rows, rows.fitting, dict(rows.left_out))


def computed(
    space: Space, table: SpeedTable, numbers: list[int], make: Make, workers: int
) -> Iterator[tuple[int, Part]]:
    """Yield the parts of these numbers in order, computed by so many processes."""
    if workers <= 1 or len(numbers) <= 1 or space.points <= FEW_POINTS:
        evaluator = Evaluator(space, table)
        for number in numbers:
            yield number, compute(evaluator, number, make)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(
        min(workers, len(numbers)), get_context("spawn"), _start, (space, table, make)
    )
    try:
        yield from _in_order(pool, numbers, ahead=2 * workers)
    except (BrokenProcessPool, BrokenPipeError):
        for child in set(active_children()) - others:
            # one that started while the pool broke is not told, and would wait for ever
            child.kill()
        raise OutsideError(
            "A worker ended before its part was done, perhaps for want of memory.",
            "What was done is kept: the same command goes on from there; --workers 1 takes least.",
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, numbers: list[int], ahead: int
) -> Iterator[tuple[int, Part]]:
    waiting: deque[tuple[int, Future[Part]]] = deque()
    rest = iter(numbers)
    while True:
        while len(waiting) < ahead and (number := next(rest, None)) is not None:
            waiting.append((number, pool.submit(_compute, number)))
        if not waiting:
            return
        number, future = waiting.popleft()
        yield number, future.result()


_worker: tuple[Evaluator, Make] | None = None


def _start(space: Space, table: SpeedTable, make: Make) -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent, and ends when this does."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import pyarrow as pa

    pa.set_cpu_count(1)  # one worker a core
    gc.set_threshold(*COLLECTED)
    _worker = (Evaluator(space, table), make)


def _end_with_parent() -> None:
    parent: Any = parent_process()
    connection.wait([parent.sentinel])
    os._exit(1)


def _compute(number: int) -> Part:
    assert _worker is not None
    return compute(_worker[0], number, _worker[1])
