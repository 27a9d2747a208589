"""The worked examples are what the tool writes of their plans today; all of them: `-m peer`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from llmplan.catalog.check import check_files
from llmplan.catalog.plan_schema import plan_schema
from llmplan.catalog.report_file import KEYS

TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tests/tools/write_examples.py"))
QUICK = "laptop"
"""The example of the default suite: it takes two seconds, the others up to eight."""


@pytest.mark.parametrize(
    "plan",
    [pytest.param(p, id=p.stem, marks=[] if p.stem == QUICK else [pytest.mark.peer])
     for p in TOOL["plans"]()],
)  # fmt: skip
def test_a_worked_example_is_what_its_plan_gives(plan: Path) -> None:
    found = TOOL["pages"](plan)
    assert plan.with_suffix(".md").read_text(encoding="utf-8") == found[".md"]
    assert f"| {found['']} |" in (plan.parent / "README.md").read_text(encoding="utf-8")
    assert plan.with_suffix(".html").is_file()


def test_the_readme_has_every_example() -> None:
    text = (ROOT / "docs/examples/README.md").read_text(encoding="utf-8")
    decided = {p.stem: line.split("|")[3].strip() for p in TOOL["plans"]()
               for line in text.splitlines() if f"]({p.name})" in line}  # fmt: skip
    assert TOOL["readme"](decided) == text


def test_schema_and_check_know_the_section_of_reports(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = plan_schema()
    section: dict[str, Any] = schema["properties"]["report"]["properties"]
    assert set(section) == set(KEYS)
    for plan in TOOL["plans"]():
        jsonschema.validate(yaml.safe_load(plan.read_text(encoding="utf-8")), schema)
    assert check_files(TOOL["plans"]()) == []
    wrong = tmp_path / "plan.yaml"
    wrong.write_text("models: all\ngpus: l4\nreport:\n  growth: {per_quarter: much}\n")
    (fault,) = check_files([wrong])
    assert str(fault).startswith(f"{wrong}:4:")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"models": "all", "gpus": "l4", "report": {"titel": "x"}}, schema)
