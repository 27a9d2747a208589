"""`llmplan report`: files, exit codes, what is refused and how, the missing extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from conftest import Cli
from reports import FLIGHT, NOTHING, SMALL

import llmplan
from llmplan.catalog.report_file import asked_report
from llmplan.cli.main import run
from llmplan.errors import CatalogFileError, InputError


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(FLIGHT), encoding="utf-8")
    return path


def code(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        run(["report", *args])
    assert isinstance(done.value.code, int)
    return done.value.code


def test_an_installed_llmplan_writes_html(cli: Cli, plan: Path, tmp_path: Path) -> None:
    """The template and the style are in the package."""
    done = cli("report", str(plan), "-o", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Wrote ")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.lstrip().lower().startswith("<!doctype html>")


def test_markdown_is_the_default_and_json_is_alone(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code(str(plan)) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Capacity report")
    assert code(str(plan), "-o", str(tmp_path / "r.md"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "llmplan.report/1"
    assert (tmp_path / "r.md").read_text(encoding="utf-8").rstrip() == text.rstrip()
    assert code(str(plan), "-o", str(tmp_path / "r.json"), "-q") == 0
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["options"]


def test_nothing_meets_it_is_code_1_and_a_report(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(NOTHING), encoding="utf-8")
    assert code(str(path), "-o", str(tmp_path / "r.md"), "-q") == 1
    assert "No candidate meets the load" in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_a_file_that_is_there_stays(plan: Path, tmp_path: Path, capfd: object) -> None:
    out = tmp_path / "r.md"
    out.write_text("mine", encoding="utf-8")
    assert code(str(plan), "-o", str(out)) == 2
    assert out.read_text(encoding="utf-8") == "mine"
    assert code(str(plan), "-o", str(out), "--force", "-q") == 0
    assert out.read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-o", "report.pdf"], "End it in .html, .md or .json"),
        (["--format", "csv"], "A report has no CSV"),
        (["-o", "."], "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_first(
    plan: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if args[1] == ".":
        args = ["-o", f"{plan.parent}/x.md"]
        (plan.parent / "x.md").mkdir()
    assert code(str(plan), *args) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_missing_extra_is_one_line_before_the_work(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from llmplan.render.report import html

    monkeypatch.setattr(html, "find_spec", lambda name: None)
    monkeypatch.setattr(llmplan, "report", lambda *a, **k: pytest.fail("worked first"))
    assert code(str(plan), "-o", str(plan.parent / "r.html")) == 2
    error = capsys.readouterr().err
    assert "pip install 'llmplan[report]'" in error
    assert error.count("\n") == 1


def test_no_such_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("/nowhere/plan.yaml", "--json") == 2
    assert "plan.yaml" in json.loads(capsys.readouterr().out)["error"]["message"]


FAULTS = [
    ("workload: {rate_per_s: [1, 2]}", "workload.rate_per_s", "one load"),
    ("limits: {e2e_s: 5}", "limits.e2e_s", "ttft_s and tpot_s"),
    ("report: {growt: 1}", "report.growt", "did you mean growth?"),
    ("report: [1]", "report", "mapping"),
    ("report: {growth: {per_quarter: lots}}", "report.growth.per_quarter", "25%"),
    ("report: {growth: {per_quarter: -2}}", "report.growth.per_quarter", "25%"),
    ("report: {growth: {per_quarter: 0.1, quarters: 0}}", "report.growth.quarters", "1 to 40"),
    ("report: {growth: {per_quarter: 0.1, from: spring}}", "report.growth.from", "2027-Q1"),
    ("report: {api_price: 3}", "report.api_price", "two prices"),
    ('report: {title: "a\\nb"}', "report.title", "one line"),
    ("report: {prefer: best}", "plan.yaml", "cheapest"),
    ("report: {headroom: 0.5}", "plan.yaml", "headroom"),
]


@pytest.mark.parametrize(("line", "field", "said"), FAULTS, ids=[f[0] for f in FAULTS])
def test_faults_of_a_plan_name_their_place(
    tmp_path: Path, line: str, field: str, said: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"models: llama-3.1-8b\ngpus: l4\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError) as fault:
        llmplan.report(path)
    text = fault.value.one_line()
    assert field in text
    assert said in text
    if isinstance(fault.value, CatalogFileError):
        assert fault.value.line == 3


def test_too_many_candidates_are_refused() -> None:
    with pytest.raises(InputError, match="candidates"):
        asked_report({"models": "all", "gpus": "all"})


def test_what_a_report_does_not_take_is_said() -> None:
    plan = SMALL | {
        "parallel": {"tp": [1, 2]}, "filter": "tpot_s < 1", "options": {"max_num_seqs": 8},
    }  # fmt: skip
    said = " ".join(w.message for w in asked_report(plan).warnings)
    for word in ("parallel", "filter", "max_num_seqs"):
        assert word in said


def test_options_of_the_section_reach_the_plan() -> None:
    report = llmplan.report(
        FLIGHT | {"gpu_counts": [1, 8], "report": {"prefer": "fewest", "headroom": 1.5}}
    )
    assert report.ask.wanted.max_gpus == 8
    assert report.load.peak == 36
    assert report.load.headroom_source == "asked"
