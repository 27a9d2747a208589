"""Fit the speed model and write what it found: `python tests/tools/fit_speed.py`, a minute.

Reads measurements/speed.jsonl and the kernel tables of hardware/speed; writes coefficients.yaml and
bands.yaml there, and measurements/left_out.json: the coefficients of each fit that never saw
some devices, or some models, with which `llmplan validate --kind speed` scores the rows of these.
Prints the errors. The same input gives the same files.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from catalogue_yaml import ROOT, write

from llmplan.catalog.files import read_kind
from llmplan.measured import conformal, fitting
from llmplan.measured.rows import speed_rows
from llmplan.measured.speed import QUANTITIES, Lowered, lowered_rows
from llmplan.planning.intervals import REGIMES, band_key, regime_of
from llmplan.specs.speed import SpeedTable, speed_table

COMMAND = "python tests/tools/fit_speed.py"
FOLDS = {"device": ("gpu", 16), "model": ("model", 16)}
SEEN_AS = {"device": "transferred", "model": "calibrated"}
"""What a prediction rests on that the residuals of each kind of fold stand for."""

UNSEEN_WIDTH = 1.5
"""How much wider the band of an engine on an unseen device class is, in logs (assumed)."""


def main() -> None:
    """Fit, cross-validate, write."""
    table = _prior_table()
    lowered, skipped = [], Counter[str]()
    for _, found, why in lowered_rows(speed_rows([str(ROOT / "measurements/speed.jsonl")]), table):
        if found is None:
            skipped[str(why)] += 1
        else:
            lowered.append(found)
    print(f"{len(lowered)} rows; skipped: {dict(skipped)}")
    problem = fitting.problem_of(lowered)
    fit = fitting.Fit(problem)
    everything = np.ones(len(problem.observed))
    values = fit.solve(fit.center, everything, 10)
    left_out = {by: fitting.left_out(fit, values, *FOLDS[by]) for by in FOLDS}
    in_use = fitting.predicted_logs(problem, fit.costs(values))
    _print_errors(problem, {"in use": in_use} | {by: f.logs for by, f in left_out.items()})
    _write_coefficients(fit, values, lowered)
    _write_bands(problem, left_out)
    _write_folds(fit, left_out)


def _prior_table() -> SpeedTable:
    entries = {e["id"]: e for e in read_kind(ROOT, "speed") if "gemm" in e}
    prior = {"id": "coefficients", "base": dict(fitting.PRIORS), "offsets": {}, "rows": {},
             "sources": (), "checked": "", "command": ""}  # fmt: skip
    return speed_table({**entries, "coefficients": prior})


def _print_errors(problem: fitting.Problem, logs: dict[str, Any]) -> None:
    for number, name in enumerate(QUANTITIES):
        mine = problem.test_quantity == number
        cells = [f"{name:24} {mine.sum():5d}"]
        for what, found in logs.items():
            error = np.abs(np.exp(found[mine] - problem.observed[mine]) - 1)
            middle, high = np.median(error), np.quantile(error, 0.9)
            cells.append(f"{what} {middle:6.1%} / {high:6.1%}")
        print("  ".join(cells))


def offsets_of(fit: fitting.Fit, values: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """Return base values and offsets as the catalogue has them: rounded, without zeros."""
    base, offsets = {}, defaultdict(lambda: defaultdict(dict))
    for (group, label, name), value in zip(fit.keys, values, strict=True):
        if group == fitting.BASE:
            base[name] = float(f"{np.exp(value):.5g}")
        elif abs(value) >= 0.0005:
            offsets[group][str(label)][name] = round(float(value), 4)
    return base, {g: {k: dict(v) for k, v in labels.items()} for g, labels in offsets.items()}


def _write_coefficients(fit: fitting.Fit, values: Any, lowered: list[Lowered]) -> None:
    base, offsets = offsets_of(fit, values)
    rows = {g: dict(sorted(Counter(x.labels[g] for x in lowered).items())) for g in offsets}
    pairs: Counter[str] = Counter()
    for x in lowered:
        pairs[f"{x.row.engine}|{x.labels['device']}"] += 1
        pairs[f"{x.row.engine}|{x.labels['device_class']}"] += 1
    _write("coefficients", {"base": base, "offsets": offsets, "rows": rows,
                            "pairs": dict(sorted(pairs.items()))})  # fmt: skip


def _write_bands(problem: fitting.Problem, left: dict[str, fitting.LeftOut]) -> None:
    """Write the bands by quantity, engine, regime and basis, and print how often they hold."""
    tests = [problem.lowered[i] for i in problem.test_row]
    engines = np.array([x.row.engine for x in tests])
    regimes = np.array([regime_of(x.load) for x in tests])
    keys = [band_key(QUANTITIES[q]) for q in problem.test_quantity]
    names, signs = np.array([k[0] for k in keys]), np.array([-1 if k[1] else 1 for k in keys])
    quantiles: dict[str, Any] = defaultdict(dict)
    counts: dict[str, Any] = defaultdict(dict)
    for by, fits in left.items():
        errors = signs * (problem.observed - fits.logs)
        folds = fitting.folds_of(problem, *FOLDS[by])
        for name in dict.fromkeys(map(str, names)):
            for regime in REGIMES:
                mine = (names == name) & (regimes == regime)
                if not mine.any():
                    continue
                bands = conformal.bands_of(errors[mine], engines[mine])
                _print_held(f"{name:20} {regime:6} {by:6}", errors[mine], engines[mine], bands,
                            folds[mine])  # fmt: skip
                pools = conformal.pools(engines[mine])
                for engine, (low, high) in bands.items():
                    key = f"{engine}|{regime}|{SEEN_AS[by]}"
                    quantiles[name][key] = [round(low, 4), round(high, 4)]
                    own = len(pools) if engine == conformal.ALL else (pools == engine).sum()
                    counts[name][key] = int(own)
                if SEEN_AS[by] == "transferred":
                    wide = [round(UNSEEN_WIDTH * x, 4) for x in bands[conformal.ALL]]
                    quantiles[name][f"all|{regime}|assumed"] = wide
    _write("bands", {"confidence": 0.8, "quantiles": dict(quantiles), "rows": dict(counts)})


def _print_held(what: str, errors: Any, engines: Any, bands: Any, folds: Any) -> None:
    inside = conformal.held(errors, engines, bands)
    across = conformal.held_across(errors, engines, folds)
    print(f"{what} {len(errors):5d}: held {inside.mean():.1%}, by bands of other folds "
          f"{across.mean():.1%}, width x{conformal.width(engines, bands):.2f}")  # fmt: skip


def _write(id: str, parts: dict[str, Any]) -> None:
    entry = {"id": id, **parts, "sources": ["measurements/speed.jsonl, hardware/speed/kernels-*"],
             "checked": "2026-11-26", "command": COMMAND}  # fmt: skip
    write(ROOT / f"hardware/speed/{id}.yaml", entry, None)


def _write_folds(fit: fitting.Fit, left_out: dict[str, fitting.LeftOut]) -> None:
    folds = []
    for by, found in left_out.items():
        for names, values in zip(found.names, found.values, strict=True):
            base, offsets = offsets_of(fit, values)
            folds.append({"by": by, "names": names, "base": base, "offsets": offsets})
    text = json.dumps(folds, separators=(",", ":"), sort_keys=True) + "\n"
    (ROOT / "measurements/left_out.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
