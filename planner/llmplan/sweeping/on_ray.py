"""The same parts as tasks of a Ray cluster, which starts lost ones again; needs `llmplan[ray]`.

The folder of the output has to be one that all nodes see.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

from llmplan.errors import InputError, OutsideError
from llmplan.specs.speed import SpeedTable
from llmplan.sweeping.rows import Evaluator
from llmplan.sweeping.space import Space
from llmplan.sweeping.workers import Make, Part, compute

AHEAD = 4
"""Tasks in flight a core, so that none waits for the next one."""

RETRIES = -1
"""Ray starts a task again as often as its worker or its node is lost."""

_evaluators: dict[bytes, Evaluator] = {}


def computed_on_ray(
    space: Space, table: SpeedTable, numbers: list[int], make: Make, address: str
) -> Iterator[tuple[int, Part]]:
    """Yield the parts of these numbers as a cluster is done with them."""
    try:
        import ray
    except ImportError:
        raise InputError("A sweep on Ray needs Ray.", "pip install 'llmplan[ray]'.") from None
    own = not ray.is_initialized()
    try:
        if own:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        yield from _tasks(ray, space, table, numbers, make)
    except (ConnectionError, ray.exceptions.RayError) as e:
        first = str(e).strip().partition("\n")[0]
        raise OutsideError(
            f"Ray at {address}: {first}",
            "What was done is kept: the same command goes on from there.",
        ) from None
    finally:
        if own and ray.is_initialized():
            ray.shutdown()


def _tasks(
    ray: Any, space: Space, table: SpeedTable, numbers: list[int], make: Make
) -> Iterator[tuple[int, Part]]:
    task = ray.remote(max_retries=RETRIES, num_cpus=1)(_compute)
    shared, key = ray.put((space, table)), os.urandom(8)
    most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    rest = iter(numbers)
    waiting: dict[Any, int] = {}
    while True:
        while len(waiting) < most and (number := next(rest, None)) is not None:
            waiting[task.remote(key, shared, number, make)] = number
        if not waiting:
            return
        for done in ray.wait(list(waiting), num_returns=1)[0]:
            yield waiting.pop(done), ray.get(done)


def _compute(key: bytes, shared: tuple[Space, SpeedTable], number: int, make: Make) -> Part:
    """Compute a part on a worker, which keeps what it knows of the grid from part to part."""
    if key not in _evaluators:
        _evaluators.clear()
        _evaluators[key] = Evaluator(*shared)
    return compute(_evaluators[key], number, make)
