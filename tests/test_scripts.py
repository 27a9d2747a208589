"""The scripts that the docs show: each runs, and says what the program says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import llmplan

SCRIPTS = Path(__file__).parents[1] / "docs" / "scripts"


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_the_loop_prints_a_table_of_what_fit_says(tmp_path: Path) -> None:
    done = _bash(tmp_path, "8k")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()]
    assert len(rows) == 2 + 9
    assert {len(row) for row in rows} == {6}
    cells = {(row[0].strip(), row[1].strip()): [c.strip() for c in row] for row in rows[2:]}
    fits = llmplan.fit("qwen3-8b", "l4", context_tokens=8192).setups[0]
    assert fits.launch is not None
    assert cells["qwen3-8b", "l4"][5] == f"`{fits.launch.command}`"
    assert cells["gpt-oss-120b", "l4"][3] == "none"
    assert "GiB usable on l4" in cells["gpt-oss-120b", "l4"][5]


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_the_loop_stops_at_a_wrong_request_and_says_why(tmp_path: Path) -> None:
    done = _bash(tmp_path, "lots")
    assert done.returncode == 2
    assert "lots" in done.stderr


def _bash(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    own = folder / "llmplan"
    own.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llmplan "$@"\n', encoding="utf-8")
    own.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(["bash", str(SCRIPTS / "fits.sh"), *args], capture_output=True,
                          text=True, env=os.environ | {"PATH": path})  # fmt: skip


def test_the_sweep_finds_the_cheapest_that_keeps_the_limit(tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    done = subprocess.run([sys.executable, str(SCRIPTS / "cheapest.py"), str(output)],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in done.stdout.splitlines()][2:]
    assert {row[0] for row in rows} == {"qwen3-8b", "qwen3-32b"}
    costs = [float(row[3]) for row in rows if row[0] == "qwen3-8b"]
    assert costs == sorted(costs)  # more users never cost less
    assert all(float(row[4].split()[0]) <= 40 for row in rows)
    assert len(output.read_text(encoding="utf-8").splitlines()) > len(rows)


def test_the_notebook_runs_from_its_first_cell_to_its_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[Any] = []
    module = ModuleType("IPython.display")
    vars(module).update(Markdown=str, display=lambda value, raw=False: shown.append(value))
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    notebook = json.loads((SCRIPTS / "users.ipynb").read_text(encoding="utf-8"))
    assert not any(c.get("outputs") for c in notebook["cells"])  # outputs are not committed
    space: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "users.ipynb", "exec"), space)
    text, chart, knee = shown
    assert "USD an hour" in text
    assert len(chart["application/vnd.vegalite.v5+json"]["data"]["values"]) == len(space["rows"])
    promised = [space["promised"][tp] for tp in sorted(space["promised"])]
    assert promised == sorted(promised)  # more devices hold no fewer
    assert len(knee.splitlines()) == len(promised)


def test_the_page_names_every_script() -> None:
    page = (SCRIPTS / "README.md").read_text(encoding="utf-8")
    for path in SCRIPTS.iterdir():
        assert path.name == "README.md" or f"]({path.name})" in page
