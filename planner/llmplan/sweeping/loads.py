"""Points of the workload as arrays, in groups that share one context and one memory plan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from llmplan.engines.speed_load import MANY, lengths_at
from llmplan.planning.request import (
    DEFAULT_CONTEXT_TOKENS,
    DEFAULT_ENCODER_TOKENS,
)
from llmplan.specs.model import Model
from llmplan.specs.plan_file import PlanFile
from llmplan.sweeping.space import workload_axes

BLOCK = 4096
"""Points that one call of the formulas takes: their arrays stay in the processor's cache."""


class Loads(NamedTuple):
    """Points with one context and one plan: what they ask, as arrays or one null for all.

    `concurrency` and `prompt` are those that the plan is made with. `prompts` and `outputs` are
    what speed is stated for; `in_flight` and `rate` what its formulas take.
    """

    context: int
    concurrency: int | None
    prompt: int | None
    points: int
    asked: tuple[Any, ...]
    prompts: Any
    outputs: Any
    in_flight: Any
    rate: Any


class Workloads:
    """The points `start` to `stop` of a plan's workload, grouped for each kind of setup once."""

    def __init__(self, plan: PlanFile, start: int, stop: int) -> None:
        self.count = stop - start
        rest = np.arange(start, stop)
        columns: list[Any] = []
        for axis in reversed(workload_axes(plan)):
            values = np.array(axis) if axis else None
            columns.append(None if values is None else values[rest % len(axis)])
            rest //= max(1, len(axis))
        self.context, self.input, self.output, self.concurrency, self.rate = reversed(columns)
        self._groups: dict[tuple[Any, ...], tuple[list[Loads], int]] = {}

    def groups(
        self, model: Model, same_up_to: int | None, *, reads_prompt: bool
    ) -> tuple[list[Loads], int]:
        """Return the groups of a setup, and how many points ask more than their context holds.

        `same_up_to`: requests in flight up to which a plan is that of one, null for any.
        """
        default = DEFAULT_CONTEXT_TOKENS if model.decoder else DEFAULT_ENCODER_TOKENS
        base = min(model.context_tokens or default, DEFAULT_CONTEXT_TOKENS)
        if self.concurrency is None or (same_up_to or 0) >= int(self.concurrency.max()):
            same_up_to = None
        key = (base if self.context is None else 0, same_up_to, reads_prompt)
        if key not in self._groups:
            self._groups[key] = self._grouped(*key)
        return self._groups[key]

    def _grouped(
        self, base: int, same_up_to: int | None, reads_prompt: bool
    ) -> tuple[list[Loads], int]:
        zeros = np.zeros(self.count, dtype=np.int64)
        asked = (zeros if self.input is None else self.input) + (
            zeros if self.output is None else self.output
        )
        context = np.maximum(base, asked) if self.context is None else self.context
        legal = asked <= context
        planned = zeros
        if self.concurrency is not None and same_up_to is not None:
            planned = np.where(self.concurrency > same_up_to, self.concurrency, 0)
        prompt = self.input if reads_prompt and self.input is not None else zeros
        keys = np.stack([context, planned, prompt])[:, legal]
        places = np.flatnonzero(legal)
        if not places.size:
            return [], self.count
        if (keys == keys[:, :1]).all():  # one group, the common case, needs no sorting
            found, order, ends = keys[:, :1], np.arange(places.size), np.array([0, places.size])
        else:
            found, inverse = np.unique(keys, axis=1, return_inverse=True)
            order = np.argsort(inverse.reshape(-1), kind="stable")
            ends = np.searchsorted(inverse.reshape(-1)[order], np.arange(found.shape[1] + 1))
        groups = []
        for i, (tokens, flying, read) in enumerate(found.T.tolist()):
            members = places[order[ends[i] : ends[i + 1]]]
            for at in range(0, members.size, BLOCK):
                part = members[at : at + BLOCK]
                groups.append(self._loads(part, tokens, flying or None, read or None))
        return groups, self.count - places.size

    def _loads(self, at: Any, context: int, concurrency: int | None, prompt: int | None) -> Loads:
        columns = (self.context, self.input, self.output, self.concurrency, self.rate)
        asked = tuple(None if c is None else c[at] for c in columns)
        prompts, outputs = lengths_at(context, asked[1], asked[2])
        rate = 0.0 if asked[4] is None else asked[4].astype(float)
        flying = 1.0 if asked[3] is None else asked[3].astype(float)
        if asked[4] is not None:
            flying = MANY
        return Loads(context, concurrency, prompt, at.size, asked, _floats(prompts),
                     _floats(outputs), flying, rate)  # fmt: skip


def _floats(value: Any) -> Any:
    return value.astype(float) if isinstance(value, np.ndarray) else float(value)
