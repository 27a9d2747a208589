"""Outputs of a sweep: the same rows in every format, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli

import llmplan

pa = pytest.importorskip("pyarrow")

PLAN = """
models: [llama-3.1-8b, mixtral-8x7b]
gpus: [h100-sxm, l4]
workload:
  concurrency: [1, 8, 64]
filter: max_concurrency > 1
columns: [model, gpu, fits, weights_bytes, tpot_s, basis, utilization]
"""
LONG = """
models: [llama-3.1-8b, mixtral-8x7b]
gpus: [h100-sxm, l4, a100-80g-sxm]
workload:
  input_tokens: 1..500 x1.02
  concurrency: 1..256
"""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an output as plain values."""
    if path.suffix == ".csv":
        from pyarrow import csv

        return list(csv.read_csv(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".sqlite":
        base = sqlite3.connect(path)
        base.row_factory = sqlite3.Row
        return [dict(r) for r in base.execute("SELECT * FROM sweep")]
    if path.suffix == ".duckdb":
        import duckdb

        found = duckdb.connect(str(path)).execute("SELECT * FROM sweep")
        names = [d[0] for d in found.description]
        return [dict(zip(names, r, strict=True)) for r in found.fetchall()]
    from pyarrow import parquet

    return list(parquet.read_table(path).to_pylist())


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.jsonl", "o.sqlite", "o.duckdb", "o"])
def test_formats_hold_the_same_rows(cli: Cli, tmp_path: Path, name: str) -> None:
    if name == "o.duckdb":
        pytest.importorskip("duckdb")
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = cli("sweep", "plan.yaml", "-o", name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    want = llmplan.sweep(tmp_path / "plan.yaml").to_pylist()
    found = rows_of(tmp_path / name)
    assert found == want and len(found) > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["plan.yaml", name])


def test_exit_codes_and_faults(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("models: [mixtral-8x7b]\ngpus: [l4]\n")
    assert cli("sweep", "none.yaml", "-o", "o.csv", cwd=tmp_path).returncode == 1
    for args, says in (
        (("missing.yaml", "-o", "o.csv"), "missing.yaml"),
        (("none.yaml", "-o", "o.xlsx"), "no format goes by .xlsx"),
        (("none.yaml", "-o", "o.csv", "--ray", "auto"), "folder of Parquet parts"),
    ):
        done = cli("sweep", *args, cwd=tmp_path)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    done = cli("sweep", "none.yaml", "-o", "no/such/o.csv", cwd=tmp_path)
    assert done.returncode in (0, 1, 3) and "Traceback" not in done.stderr


def test_a_missing_extra_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    script = (
        "import sys\nsys.modules['pyarrow'] = None\n"
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'pyarrow' else find(n, *a)\n"
        "from llmplan.cli.main import run\n"
        f"run(['sweep', {str(tmp_path / 'plan.yaml')!r}, '-o', {str(tmp_path / 'o.csv')!r}])\n"
    )
    done = cli.python(script)
    assert done.returncode == 2
    assert done.stderr == "llmplan: A sweep needs pyarrow. pip install 'llmplan[sweep]'.\n"


def started(
    folder: Path, cli: Cli, *options: str, output: str = "o.parquet", stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start the long sweep in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "llmplan", "sweep", "long.yaml", "-o", output, *options],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(cli.folder)}, start_new_session=True,
        text=True, stdout=subprocess.DEVNULL, stderr=stderr,
    )  # fmt: skip


def test_killed_sweeps_go_on_without_a_lost_or_doubled_row(cli: Cli, tmp_path: Path) -> None:
    """Killed after the first part; while it ran, another sweep to the same file is refused."""
    (tmp_path / "long.yaml").write_text(LONG)
    run = started(tmp_path, cli, "-q", "--workers", "1")
    state = tmp_path / "o.parquet.sweep" / "state.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and run.poll() is None:
        if state.exists() and state.read_text() and json.loads(state.read_text())["next"]:
            break
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGSTOP)  # it stays where it is, and keeps the output locked
    second = cli("sweep", "long.yaml", "-o", "o.parquet", cwd=tmp_path)
    assert second.returncode == 2 and "Another sweep writes o.parquet" in second.stderr
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    done_before = json.loads(state.read_text())["next"]
    assert done_before and not (tmp_path / "o.parquet").exists()
    other = tmp_path / "other.yaml"
    other.write_text(PLAN)
    refused = cli("sweep", "other.yaml", "-o", "o.parquet", cwd=tmp_path)
    assert refused.returncode == 2 and "--restart" in refused.stderr
    assert cli("sweep", "long.yaml", "-o", "o.parquet", "-q", cwd=tmp_path).returncode == 0
    assert cli("sweep", "long.yaml", "-o", "whole.parquet", "-q", cwd=tmp_path).returncode == 0
    from pyarrow import parquet

    a, b = (parquet.read_table(tmp_path / n).unify_dictionaries().combine_chunks()
            for n in ("o.parquet", "whole.parquet"))  # fmt: skip
    assert a.num_rows > 131_072 and a.equals(b)
    assert not (tmp_path / "o.parquet.sweep").exists()


@pytest.mark.parametrize("output", ["o.parquet", "o.csv", "o.sqlite", "parts"])
def test_killed_at_random_points(cli: Cli, tmp_path: Path, output: str) -> None:
    """However often, whenever: in the end the rows are those of a run that nobody disturbed."""
    columns = "columns: [gpu, input_tokens, concurrency, tpot_s]\n"
    (tmp_path / "long.yaml").write_text(LONG + columns)
    delays = [random.uniform(0.3, 1.5) for _ in range(4)]
    for delay in delays:
        run = started(tmp_path, cli, "-q", "--workers", "2", output=output,
                      stderr=subprocess.DEVNULL)  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(delay)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        if (tmp_path / output).exists():
            break  # it is whole, if only just: what follows would start anew
    if not (tmp_path / output).exists():
        assert cli("sweep", "long.yaml", "-o", output, "-q", cwd=tmp_path).returncode == 0, delays
    whole = f"whole{Path(output).suffix}"
    assert cli("sweep", "long.yaml", "-o", whole, "-q", cwd=tmp_path).returncode == 0
    assert numbers_of(tmp_path / output) == numbers_of(tmp_path / whole), delays


def numbers_of(path: Path) -> list[tuple[Any, ...]]:
    """Return some columns of all rows in order, fast: there are many."""
    columns = ["gpu", "input_tokens", "concurrency", "tpot_s"]
    if path.suffix == ".sqlite":
        return sqlite3.connect(path).execute(f"SELECT {', '.join(columns)} FROM sweep").fetchall()
    if path.suffix == ".csv":
        from pyarrow import csv

        table = csv.read_csv(path)
    else:
        from pyarrow import parquet

        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        table = pa.concat_tables([parquet.read_table(f) for f in files], promote_options="default")
    return list(zip(*(table[c].to_pylist() for c in columns), strict=True))


def test_a_killed_worker_loses_nothing(cli: Cli, tmp_path: Path) -> None:
    """The run ends with code 3 and says what to do; the same command then ends it."""
    (tmp_path / "long.yaml").write_text(LONG.replace("1..256", "1..512"))
    run = started(tmp_path, cli, "-q", "--workers", "2")
    tasks = Path(f"/proc/{run.pid}/task")
    deadline = time.monotonic() + 60
    workers: list[int] = []
    while not workers and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        for child in (tasks / str(run.pid) / "children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes()
            workers += [int(child)] if b"spawn_main" in words else []
    os.kill(workers[0], signal.SIGKILL)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 3 and "the same command goes on from there" in said
    assert not (tmp_path / "o.parquet").exists()
    again = cli("sweep", "long.yaml", "-o", "o.parquet", "--json", cwd=tmp_path)
    found = json.loads(again.stdout)
    assert again.returncode == 0 and found["rows"] == found["points"]


def test_progress_is_for_terminals(cli: Cli, tmp_path: Path) -> None:
    """A terminal sees points, rate and the time that is left; a pipe sees nothing of it."""
    pty = pytest.importorskip("pty")
    (tmp_path / "long.yaml").write_text(LONG)
    ours, theirs = pty.openpty()
    run = started(tmp_path, cli, "--workers", "1", stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says once its other end is closed
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert run.wait(60) == 0
    assert re.search(rb"[0-9,]+ of [0-9,]+ points \([0-9]+%\), [0-9,]+/s, .* left", shown)
    piped = started(tmp_path, cli, "--workers", "2")
    assert piped.communicate(timeout=60)[1] == "" and piped.returncode == 0


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmplan.catalog.plan_file import plan_of
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.errors import OutsideError
    from llmplan.sweeping import run
    from llmplan.sweeping.outputs import AppendedFile
    from llmplan.sweeping.space import space_of

    monkeypatch.setattr(run, "PART_POINTS", 2)
    monkeypatch.setattr("llmplan.sweeping.workers.PART_POINTS", 2)
    space = space_of(plan_of({"models": ["llama-3.1-8b"], "gpus": ["h100-sxm"],
                              "workload": {"concurrency": "1..9"}}))  # fmt: skip
    append, left = AppendedFile.append, [2]

    def full(self: AppendedFile, data: bytes, state: dict[str, Any]) -> None:
        if not left[0]:
            self.file.write(data[: len(data) // 2])  # half of it reached the disk
            raise OSError(28, "No space left on device")
        left[0] -= 1
        append(self, data, state)

    monkeypatch.setattr(AppendedFile, "append", full)
    for name in ("o.csv", "o.parquet"):
        left[0] = 2
        with pytest.raises(OutsideError, match="no space left on device"):
            run.sweep_file(space, open_speed_table(), tmp_path / name, workers=1, quiet=True)
        assert not (tmp_path / name).exists()
        left[0] = 99
        run.sweep_file(space, open_speed_table(), tmp_path / name, workers=1, quiet=True)
        assert [r["concurrency"] for r in rows_of(tmp_path / name)] == list(range(1, 10))
