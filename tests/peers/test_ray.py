"""The same sweep on a local Ray cluster of two nodes, with a worker and a node lost on the way.

Opt-in: `bash tests/peers/setup.sh ray && pytest -m peer tests/peers/test_ray.py`.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from llmplan.catalog.plan_file import plan_of
from llmplan.catalog.speed_table import open_speed_table
from llmplan.sweeping.run import Summary, sweep_file, sweep_table
from llmplan.sweeping.space import space_of

pytestmark = [
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="setup.sh ray was not run"),
]
PLAN: dict[str, Any] = {
    "models": ["llama-3.1-8b", "mixtral-8x7b", "qwen3-32b"],
    "gpus": ["h100-sxm", "l4", "a100-80g-sxm", "h200"],
    "workload": {"input_tokens": "1..500 x1.02", "concurrency": "1..512"},
}


@pytest.fixture
def cluster() -> Iterator[Any]:
    os.environ["PYTHONPATH"] = str(ROOT / "planner")  # what the cluster's workers import
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield found
    found.shutdown()


def _workers() -> list[int]:
    """Return the processes that compute parts."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::_compute"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_lost_workers_and_nodes_lose_no_row(cluster: Any, tmp_path: Path) -> None:
    space, table = space_of(plan_of(PLAN)), open_speed_table()
    output, done = tmp_path / "parts", list[Summary]()
    node = cluster.add_node(num_cpus=1)
    run = threading.Thread(
        target=lambda: done.append(
            sweep_file(space, table, output, workers=1, ray=cluster.address, quiet=True)
        )
    )
    run.start()
    folder, deadline = tmp_path / "parts.sweep" / "parts", time.monotonic() + 120
    while not list(folder.glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    lost = _workers()
    os.kill(lost[0], signal.SIGKILL)
    cluster.remove_node(node)
    before = len(list(folder.glob("part-*")))
    cluster.add_node(num_cpus=1)
    run.join(300)
    assert not run.is_alive() and done[0].rows == space.points
    assert before < len(list(output.glob("part-*")))
    from pyarrow import parquet

    own = sweep_table(space, table)
    theirs = parquet.read_table(output).unify_dictionaries().combine_chunks()
    assert theirs.equals(own.combine_chunks())
