"""Fit the coefficients of the speed model to public results; needs NumPy.

log(observed) = log(predicted) + error, with a robust loss (Huber), rows of one setup weighted down
by how many they are. A coefficient is base x measured kernel share x exp(offsets); every offset has
a Gaussian prior around 0, so that labels with few rows stay near what the others say. Solved by
Gauss-Newton; an offset's derivative is that of its coefficient on the rows of its label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from llmplan.measured.speed import FORMULAS, QUANTITIES, Lowered, figure_of, unpredictable
from llmplan.planning.columns import load_columns, setting_columns
from llmplan.speed.figures import Figures, Load
from llmplan.speed.work import Costs, Setting

PRIORS: Mapping[str, float] = {
    "memory": 0.95, "compute": 0.8, "cache": 0.85, "attention": 0.8, "state": 0.7,
    "expert_memory": 0.9, "expert_compute": 0.5, "link": 0.7, "sharpness": 1.17, "skew": 0.75,
    "step_s": 5e-4, "layer_s": 6e-5, "moe_layer_s": 3e-5, "recurrent_layer_s": 1.3e-5,
    "latent_layer_s": 5e-5, "sequence_s": 1.5e-5, "expert_s": 3e-5, "exchange_s": 1e-5,
    "host_exchange_s": 1.3e-5, "request_s": 0.012, "pipelining": 0.5, "admission_steps": 2.0,
    "first_wave": 0.1, "prefill_stall": 1.1, "drain": 1.2,
}  # fmt: skip
"""Where the fit starts, and what it is drawn to: the first prototype's globals, 2026-11."""

PRIOR_SD = 0.7
"""Of the log of a base value."""

OFFSETS: Mapping[str, tuple[str, ...]] = {
    "engine": ("memory", "compute", "cache", "attention", "step_s", "layer_s", "sequence_s",
               "request_s", "exchange_s", "link", "admission_steps", "first_wave",
               "prefill_stall", "drain", "expert_memory", "expert_compute", "moe_layer_s",
               "pipelining"),
    "era": ("memory", "compute", "step_s", "layer_s", "sequence_s", "request_s", "exchange_s",
            "admission_steps", "prefill_stall", "drain", "moe_layer_s"),
    "recipe": ("memory", "compute", "layer_s", "step_s", "sequence_s", "exchange_s",
               "admission_steps", "request_s", "first_wave"),
    "device_class": ("memory", "compute", "cache", "attention", "step_s", "layer_s",
                     "expert_compute", "expert_memory"),
    "device": ("memory", "compute", "cache", "attention", "layer_s", "link"),
    "cache_format": ("cache", "attention"),
    "format": ("memory", "compute", "layer_s", "expert_compute", "expert_memory", "moe_layer_s"),
}  # fmt: skip
"""Which coefficients a group may change: what physically depends on it."""

SDS = {"engine": 0.2, "era": 0.2, "recipe": 0.6, "device_class": 0.2, "device": 0.07,
       "format": 0.3, "cache_format": 0.4}  # fmt: skip
"""Of the offsets, by group: chosen once on the left-out errors of all quantities together."""

FINER = {("format", "layer_s"): 0.5, ("format", "expert_memory"): 0.3, ("format", "memory"): 0.7}
"""Shares of those: the time between kernels hardly depends on the type of the weights."""

DELTA = 0.12
"""Log error from which the loss grows linearly."""

ROW_WEIGHT = 20.0
CROWDING = 0.3
"""A row's weight falls with the rows of its group to this power."""

TEST_WEIGHTS = {"ttft_s": 0.5, "e2e_s": 0.7, "total_tokens_per_s": 0.5, "requests_per_s": 0.3}
"""Figures that say what another of the row says already, or that repeat with more noise."""

Key = tuple[str, str, str]
BASE = "base"


class Part(NamedTuple):
    """Rows of one formula, as arrays, and where they stand among all."""

    kind: str
    setting: Setting
    load: Load
    rows: Any


class Problem(NamedTuple):
    """What is fitted: rows as arrays, and the tests with their observed logs."""

    lowered: Sequence[Lowered]
    parts: tuple[Part, ...]
    shares: Mapping[str, Any]
    test_row: Any
    test_quantity: Any
    test_figure: Any
    observed: Any
    weights: Any


def problem_of(lowered: Sequence[Lowered]) -> Problem:
    """Return the arrays of rows in lowered form."""
    parts = tuple(_part(kind, lowered) for kind in FORMULAS if any(x.kind == kind for x in lowered))
    shares = {n: np.array([x.shares.get(n, 1.0) for x in lowered]) for n in Costs._fields}
    tests = [
        (i, QUANTITIES.index(test), float(value))
        for i, x in enumerate(lowered)
        for test, value in x.row.expected.items()
        if test in QUANTITIES and value and value > 0 and unpredictable(x.row, test) is None
    ]
    rows = np.array([t[0] for t in tests])
    quantities = np.array([t[1] for t in tests])
    figures = np.array([
        Figures._fields.index(figure_of(lowered[i].row, QUANTITIES[q])) for i, q, _ in tests
    ])  # fmt: skip
    crowds = Counter((lowered[i].row.group, q) for i, q, _ in tests)
    weights = np.array([
        TEST_WEIGHTS.get(QUANTITIES[q], 1.0) * crowds[(lowered[i].row.group, q)] ** -CROWDING
        for i, q, _ in tests
    ])  # fmt: skip
    scale = np.mean(weights / np.array([TEST_WEIGHTS.get(QUANTITIES[q], 1.0) for q in quantities]))
    return Problem(lowered, parts, shares, rows, quantities, figures,
                   np.log([t[2] for t in tests]), weights / scale)  # fmt: skip


def _part(kind: str, lowered: Sequence[Lowered]) -> Part:
    rows = np.array([i for i, x in enumerate(lowered) if x.kind == kind])

    setting = setting_columns([lowered[i].setting for i in rows])
    return Part(kind, setting, load_columns([lowered[i].load for i in rows]), rows)


def predicted_logs(problem: Problem, costs: Mapping[str, Any]) -> Any:
    """Return the log of every test's prediction under coefficients by row."""
    table = np.empty((len(Figures._fields), len(problem.lowered)))
    for part in problem.parts:
        own = Costs(*(costs[n][part.rows] for n in Costs._fields))
        figures = FORMULAS[part.kind](part.setting._replace(costs=own), part.load)
        table[:, part.rows] = np.array(figures)
    return np.log(np.maximum(table[problem.test_figure, problem.test_row], 1e-12))


class Fit:
    """Parameters of a problem: log base values and offsets, solved for."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.keys: list[Key] = [(BASE, "", n) for n in Costs._fields]
        self.members: dict[tuple[str, str], Any] = {}
        for group, names in OFFSETS.items():
            labels = np.array([x.labels[group] for x in problem.lowered])
            for label in sorted({str(x) for x in labels}):
                self.members[(group, label)] = np.flatnonzero(labels == label)
                self.keys += [(group, label, n) for n in names]
        self.center = np.array([np.log(PRIORS[k[2]]) if k[0] == BASE else 0.0 for k in self.keys])
        self.precision = np.array([_sd(k) ** -2.0 for k in self.keys])
        self.tests = {k: np.flatnonzero(np.isin(problem.test_row, rows))
                      for k, rows in self.members.items()}  # fmt: skip

    def costs(self, values: Any) -> dict[str, Any]:
        """Return the coefficients by row."""
        logs = {n: np.log(s) for n, s in self.problem.shares.items()}
        for (group, label, name), value in zip(self.keys, values, strict=True):
            if group == BASE:
                logs[name] = logs[name] + value
            elif value:
                logs[name][self.members[(group, label)]] += value
        return {n: np.exp(v) for n, v in logs.items()}

    def solve(self, start: Any, mask: Any, rounds: int) -> Any:
        """Return the values after rounds of Gauss-Newton on the tests that the mask weighs."""
        values, p = np.array(start), self.problem
        for _ in range(rounds):
            costs = self.costs(values)
            logs = predicted_logs(p, costs)
            left = p.observed - logs
            robust = np.where(np.abs(left) < DELTA, 1, DELTA / np.maximum(np.abs(left), 1e-9))
            weights = robust * p.weights * mask * ROW_WEIGHT
            slopes = self._slopes(costs, logs)
            weighted = slopes * weights[:, None]
            normal = weighted.T @ slopes + np.diag(self.precision)
            side = weighted.T @ left - self.precision * (values - self.center)
            step = np.linalg.solve(normal, side)
            values = values + step * min(1.0, 0.5 / np.max(np.abs(step)))
        return values

    def _slopes(self, costs: Mapping[str, Any], logs: Any) -> Any:
        size = 0.02
        by_name = {
            n: (predicted_logs(self.problem, {**costs, n: costs[n] * np.exp(size)}) - logs) / size
            for n in Costs._fields
        }
        slopes = np.zeros((len(logs), len(self.keys)))
        for column, (group, label, name) in enumerate(self.keys):
            if group == BASE:
                slopes[:, column] = by_name[name]
            else:
                tests = self.tests[(group, label)]
                slopes[tests, column] = by_name[name][tests]
        return slopes


def _sd(key: Key) -> float:
    group, _, name = key
    if group == BASE:
        return PRIOR_SD
    return SDS[group] * FINER.get((group, name), 1.0)


def folds_of(problem: Problem, by: str, count: int) -> Any:
    """Return each test's fold: all rows of a device or a model stand in one, folds of like size."""
    names = [getattr(x.row, by) for x in problem.lowered]
    sizes = Counter(names[i] for i in problem.test_row)
    load, fold = [0] * count, {}
    for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        fold[name] = int(np.argmin(load))
        load[fold[name]] += size
    return np.array([fold[names[i]] for i in problem.test_row])


class LeftOut(NamedTuple):
    """Predictions of tests by fits that never saw their device or model, and these fits."""

    logs: Any
    names: tuple[tuple[str, ...], ...]
    values: tuple[Any, ...]


def left_out(fit: Fit, values: Any, by: str, count: int, rounds: int = 3) -> LeftOut:
    """Return each test's log prediction by a fit without its device (`gpu`) or its `model`.

    A fit starts from the values of all rows and takes some rounds away from them.
    """
    problem = fit.problem
    folds = folds_of(problem, by, count)
    logs = np.empty(len(folds))
    names, fits = [], []
    for fold in range(count):
        mine = fit.solve(values, (folds != fold).astype(float), rounds)
        rows = set(problem.test_row[folds == fold])
        if by == "gpu":
            unseen = {problem.lowered[i].labels["device"] for i in rows}
            mine = np.where([k[0] == "device" and k[1] in unseen for k in fit.keys], 0.0, mine)
        found = predicted_logs(problem, fit.costs(mine))
        logs[folds == fold] = found[folds == fold]
        names.append(tuple(sorted({getattr(problem.lowered[i].row, by) for i in rows})))
        fits.append(mine)
    return LeftOut(logs, tuple(names), tuple(fits))
