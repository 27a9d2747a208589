"""Each figure of measured speed, predicted three ways: in use, and by fits that never saw it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from llmplan.engines.speed_setting import costs_of
from llmplan.measured.rows import SpeedRow, own_measurements
from llmplan.measured.speed import (
    FORMULAS,
    QUANTITIES,
    Lowered,
    figure_of,
    lowered_rows,
    unpredictable,
)
from llmplan.planning.intervals import interval, regime_of
from llmplan.specs.speed import Coefficients, SpeedTable
from llmplan.speed.figures import Figures

IN_USE, DEVICE, MODEL = "in use", "device", "model"
WAYS = (IN_USE, DEVICE, MODEL)
"""Coefficients in use; those of a fit without the row's device; those of one without its model."""


class Guess(NamedTuple):
    """A prediction with its 80 % band and what it rests on."""

    value: float
    low: float
    high: float
    basis: str


class SpeedScore(NamedTuple):
    """One figure of a row: what was observed, what each way predicts, or why it is skipped."""

    id: str
    test: str
    observed: float
    guesses: Mapping[str, Guess]
    skipped: str | None
    engine: str
    engine_version: str | None
    gpu: str
    device_class: str | None
    model: str
    scenario: str

    def error(self, way: str) -> float | None:
        """Return (predicted - observed) / observed."""
        guess = self.guesses.get(way)
        return None if guess is None else (guess.value - self.observed) / self.observed

    def to_dict(self, way: str = IN_USE) -> dict[str, Any]:
        """Return the row as the contract says, of one way of predicting it."""
        guess = self.guesses.get(way)
        value, low, high, basis = guess or (None, None, None, None)
        return {
            "id": self.id, "test": self.test, "observed": self.observed, "predicted": value,
            "low": low, "high": high, "basis": basis, "error": self.error(way),
            "skipped": self.skipped, "engine": self.engine,
            "engine_version": self.engine_version, "gpu": self.gpu, "model": self.model,
            "scenario": self.scenario, "coefficients": way,
        }  # fmt: skip


def speed_scores(rows: Iterable[SpeedRow], table: SpeedTable) -> Iterator[SpeedScore]:
    """Yield a score for each figure of each row, in their order: nothing is dropped."""
    for row, found, why in lowered_rows(rows, table):
        ways = {} if found is None else _figures(found, table)
        regime = "" if found is None else regime_of(found.load)
        for test, observed in row.expected.items():
            skipped = why or _unscored(row, test, observed)
            guesses = {} if skipped else {
                way: _guess(figures, row, test, basis, table, regime)
                for way, (figures, basis) in ways.items()
            }  # fmt: skip
            yield SpeedScore(
                row.id, test, float(observed), guesses, skipped, row.engine, row.engine_version,
                row.gpu, found and found.labels["device_class"], row.model, row.scenario,
            )  # fmt: skip


def _unscored(row: SpeedRow, test: str, observed: float) -> str | None:
    if test not in QUANTITIES:
        return f"{test} is no figure that is predicted: {', '.join(QUANTITIES)}"
    if not observed or observed <= 0:
        return "the figure is not above 0"
    return unpredictable(row, test)


def _figures(found: Lowered, table: SpeedTable) -> dict[str, tuple[Figures, str]]:
    """Return the figures of a row by way, and what each rests on."""
    formula = FORMULAS[found.kind]
    ways = {IN_USE: (table.coefficients, _basis(found, table.coefficients))}
    for way, name, basis in (
        (DEVICE, found.row.gpu, "transferred"),
        (MODEL, found.row.model, "calibrated"),
    ):
        fold = left_out().get((way, name))
        if fold is not None:
            ways[way] = (fold, basis)
    made = {}
    for way, (coefficients, basis) in ways.items():
        costs = costs_of(replace(table, coefficients=coefficients), found.labels, found.shares)
        made[way] = formula(found.setting._replace(costs=costs), found.load), basis
    return made


def _basis(found: Lowered, coefficients: Coefficients) -> str:
    engine, pairs = found.row.engine, coefficients.pairs
    if pairs.get(f"{engine}|{found.labels['device']}"):
        return "calibrated"
    return "transferred" if pairs.get(f"{engine}|{found.labels['device_class']}") else "assumed"


def _guess(
    figures: Figures, row: SpeedRow, test: str, basis: str, table: SpeedTable, regime: str
) -> Guess:
    value = float(getattr(figures, figure_of(row, test)))
    low, high = interval(table, test, row.engine, basis, regime)
    return Guess(value, value * low, value * high, basis)


@cache
def left_out() -> dict[tuple[str, str], Coefficients]:
    """Return the coefficients of the fit that never saw a device or a model, by way and name."""
    path = os.path.join(os.path.dirname(own_measurements("speed")), "left_out.json")
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        folds = json.load(file)
    found = {}
    for number, fold in enumerate(folds):
        coefficients = Coefficients(
            id=f"left-out-{number}", base=fold["base"], offsets=fold["offsets"], rows={},
            sources=(), checked="", command="",
        )  # fmt: skip
        for name in fold["names"]:
            found[(fold["by"], name)] = coefficients
    return found
