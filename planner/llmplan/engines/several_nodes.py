"""What one server over several nodes adds to its words on each of them."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.vllm_versions import at_least
from llmplan.specs.setup import Parallelism

VLLM_NNODES_SINCE = "0.12.0"
"""vLLM with --nnodes, --node-rank, --master-addr; older ones need Ray. Found in the sdist of
0.12.0, not looked for in 0.11.x."""

SGLANG_PORT = 20000
"""Port by which SGLang's nodes find each other (LeaderWorkerSet 060ab4d docs/examples/sglang)."""


class Addresses(NamedTuple):
    """How a node reads the number of nodes, its own rank, and the address of the first."""

    size: str
    rank: str
    leader: str


class GroupWords(NamedTuple):
    """Words to add on every node and on all but the first; how ranks or Ray come into it.

    `ranks_per_node` data-parallel ranks start at rank x that number, which takes a shell.
    `needs_ray`: a Ray cluster over the nodes starts first, and only the first runs the words.
    """

    every: tuple[str, ...]
    followers: tuple[str, ...] = ()
    ranks_per_node: int = 0
    needs_ray: bool = False


def group_words(
    engine: str, version: str, p: Parallelism, nodes: int, at: Addresses
) -> GroupWords | str:
    """Return what an engine needs to span nodes, or one sentence why it cannot."""
    if engine == "sglang":
        init = f"{at.leader}:{SGLANG_PORT}"
        return GroupWords(("--dist-init-addr", init, "--nnodes", at.size, "--node-rank", at.rank))
    if engine != "vllm":
        return f"How {engine} spans several nodes of a cluster is not on record."
    if p.dp > 1:
        return _data_parallel(p, nodes, at)
    if not at_least(version, VLLM_NNODES_SINCE):
        return GroupWords(("--distributed-executor-backend", "ray"), needs_ray=True)
    every = ("--nnodes", at.size, "--node-rank", at.rank, "--master-addr", at.leader)
    return GroupWords(every, ("--headless",))


def _data_parallel(p: Parallelism, nodes: int, at: Addresses) -> GroupWords | str:
    """Return the words of replicas spread over nodes (vLLM 0.33.0 docs, data parallel)."""
    if p.dp % nodes:
        return f"{p.dp} data-parallel replicas do not divide over {nodes} nodes."
    local = p.dp // nodes
    every = ("--data-parallel-size-local", str(local), "--data-parallel-address", at.leader)
    return GroupWords(every, ("--headless",), ranks_per_node=local)
