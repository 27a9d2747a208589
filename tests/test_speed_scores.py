"""Scores of predicted speed: the rows, the fits that never saw them, the pages, the command."""

from __future__ import annotations

import json
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Cli

from llmplan.catalog.schema import validate_file
from llmplan.catalog.speed_table import open_speed_table
from llmplan.measured import conformal, fitting
from llmplan.measured.rows import own_measurements, speed_rows
from llmplan.measured.runs import RunSettings, published_settings
from llmplan.measured.speed_scores import IN_USE, WAYS, left_out, speed_scores
from llmplan.measured.speed_summary import errors_of
from llmplan.speed.work import Costs

ROOT = Path(__file__).parents[1]
ROWS = list(speed_rows([own_measurements("speed")]))


def test_rows_have_one_name_each_and_a_source() -> None:
    assert len({r.id for r in ROWS}) == len(ROWS)
    assert all(r.source.get("url_or_repo") and r.source.get("date") for r in ROWS)
    assert all(value is None or value >= 0 for r in ROWS for value in r.expected.values())


def test_every_row_is_in_a_fold_by_device_and_by_model() -> None:
    folds = json.loads((ROOT / "measurements/left_out.json").read_text())
    for by in ("device", "model"):
        names = Counter(n for f in folds if f["by"] == by for n in f["names"])
        assert set(names.values()) == {1}
    scored = [r for r in ROWS if not r.engine.startswith("other:") and not r.suspect]
    missing = [r.id for r in scored if ("device", r.gpu) not in left_out()]
    assert len(missing) < 0.01 * len(scored)


def test_coefficients_are_those_that_the_fit_knows() -> None:
    c = open_speed_table().coefficients
    assert set(c.base) == set(Costs._fields) == set(fitting.PRIORS)
    for group, labels in c.offsets.items():
        assert set(labels) <= set(c.rows[group])
        for found in labels.values():
            assert set(found) <= set(fitting.OFFSETS[group])
    assert not any("model" in group for group in c.offsets)


def test_runs_name_their_source_and_settings_that_exist() -> None:
    runs = yaml.safe_load((ROOT / "measurements/runs.yaml").read_text())["runs"]
    for run in runs:
        assert "@" in run["source"]
        assert set(run["set"]) <= set(RunSettings._fields)
    assert any(published_settings(r).recipe == "tuned" for r in ROWS)


@pytest.mark.parametrize("name", ["coefficients", "bands", "kernels-h100-sxm"])
def test_files_of_speed_are_checked(name: str, tmp_path: Path) -> None:
    path = ROOT / f"hardware/speed/{name}.yaml"
    validate_file(path)
    broken = tmp_path / path.name
    broken.write_text(path.read_text().replace("sources:", "sourcez:"))
    with pytest.raises(Exception, match="sourcez"):
        validate_file(broken)


def test_bands_hold_what_they_were_made_of() -> None:
    draw = np.random.default_rng(0)
    engines = np.repeat(["a", "b", "c"], [400, 300, 20])
    errors = draw.normal(0, np.where(engines == "a", 0.1, 0.5))
    bands = conformal.bands_of(errors, engines)
    assert set(bands) == {"all", "a", "b"}
    alone = engines == "a"
    only = conformal.bands_of(errors[alone], engines[alone])
    assert conformal.held(errors[alone], engines[alone], only).mean() == pytest.approx(0.8)
    assert bands["a"][1] < bands["b"][1]


def test_pages_show_the_scores_of_today() -> None:
    """`python tests/tools/write_docs.py` writes them; the same predictions give the same pages."""
    tools = runpy.run_path(str(ROOT / "tests/tools/write_docs.py"))
    for name, text in tools["speed_pages"]().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


def test_a_fit_that_never_saw_a_row_errs_more() -> None:
    """A tenth of the rows: the coefficients in use fit best, and skipped rows say why."""
    scores = list(speed_scores(ROWS[::10], open_speed_table()))
    for s in scores:
        assert (s.skipped is None) == bool(s.guesses)
        for guess in s.guesses.values():
            assert guess.low <= guess.value <= guess.high
    by_way = {way: errors_of(scores, way) for way in WAYS}
    assert all(by_way[IN_USE].median < by_way[way].median for way in WAYS[1:])  # type: ignore[operator]
    named = [s for s in scores if not s.engine.startswith("other:")]
    assert sum(s.skipped is not None for s in named) < 0.05 * len(named)


def test_validate_speed_of_a_file(cli: Cli, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.jsonl", tmp_path / "out.jsonl"
    lines = Path(own_measurements("speed")).read_text().splitlines()
    mine.write_text("\n".join(lines[:300:30]) + "\n")
    done = cli("validate", "--kind", "speed", "--measurements", str(mine), "--rows", str(out),
               "--left-out", "model", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"group", "rows", "skipped", "in_use", "device", "model"} <= json.loads(done.stdout)[
        0
    ].keys()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    keys = {"id", "test", "observed", "predicted", "low", "high", "basis", "error", "skipped"}
    assert all(keys <= r.keys() and r["coefficients"] == "model" for r in rows)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": 1}\n')
    for args in (("--measurements", str(broken)), ("--held-out",), ("--by", "nothing"),
                 ("--measurements", str(tmp_path / "no.jsonl"))):  # fmt: skip
        failed = cli("validate", "--kind", "speed", *args)
        assert failed.returncode == 2
        assert len(failed.stderr.strip().splitlines()) == 1
    assert cli("validate", "--by", "regime").returncode == 2
