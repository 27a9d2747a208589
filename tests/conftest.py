"""What several tests share: the repository, the shared facts, a laid-out installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared facts, which a clone of this repository alone lacks."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared facts are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder laid out as the wheel installs: the package with its compiled index."""
    sys.path.insert(0, str(ROOT / "planner"))
    try:
        from build_catalog import compile_index
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("site")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "planner/llmplan", folder / "llmplan", ignore=ignore)
    (folder / "llmplan/catalog.jsonl").write_bytes(compile_index(ROOT))
    return folder


class Cli:
    """Runs the command line of a laid-out installation in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, *args: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llmplan", *args],
            capture_output=True,
            text=True,
            cwd=cwd or self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), **(env or {})},
            timeout=60,
            check=False,
        )

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script against the installation, in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def cli(installed: Path) -> Cli:
    """Return a runner of the installed command line."""
    return Cli(installed)
