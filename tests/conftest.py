"""What several tests share: the repository, the shared facts, a laid-out installation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hub_server import Hub

collect_ignore = [
    "peers/vllm_towers.py",
    "peers/vllm_towers_more.py",
    "peers/timm_tower.py",
    "peers/allocations.py",
]  # run by itself, beside torch

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


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a running Hub that huggingface_hub is pointed at, with an empty cache."""
    from hub_server import CONFIG, WEIGHTS, Hub, address, serve
    from huggingface_hub import constants

    hub = Hub()
    hub.put({"config.json": json.dumps(CONFIG).encode(), "model.safetensors": WEIGHTS})
    server = serve(hub)
    hub.url = address(server)  # type: ignore[attr-defined]
    monkeypatch.setattr(constants, "ENDPOINT", address(server))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    yield hub
    server.shutdown()
    server.server_close()
