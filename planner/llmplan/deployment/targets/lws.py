"""LeaderWorkerSet: one server over several nodes, with Ray inside where the engine wants it."""

from __future__ import annotations

from typing import Any

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.pod import (
    container,
    labels,
    pod_spec,
    probes,
    secret_note,
    service,
    weights_note,
)
from llmplan.deployment.reasons import head, reason_of
from llmplan.deployment.yaml_text import Why, yaml_text
from llmplan.engines.several_nodes import Addresses, GroupWords, group_words
from llmplan.errors import InputError
from llmplan.specs.setup import Parallelism

ENGINES = ("vllm", "sglang")

VARIABLES = Addresses("$(LWS_GROUP_SIZE)", "$(LWS_WORKER_INDEX)", "$(LWS_LEADER_ADDRESS)")
"""Variables that LeaderWorkerSet sets in every pod of a group; Kubernetes puts them in."""

RANK = "LWS_WORKER_INDEX"
"""The same variable as a shell counts with it."""

RAY_SCRIPT = "/vllm-workspace/examples/online_serving/multi-node-serving.sh"
"""Script of vLLM's image that starts Ray on a node (LeaderWorkerSet 060ab4d docs/examples)."""

ROLE = {"role": "leader"}


def files(d: Deployment) -> list[File]:
    """Return the LeaderWorkerSet and the service of its first pod."""
    if d.nodes == 1:
        raise InputError(
            f"{d.setup.gpus} x {d.setup.gpu} are one node of {d.devices_per_node}.",
            "Take --to k8s, or say --devices-per-node where your nodes are smaller.",
        )
    if d.setup.gpus % d.nodes:
        raise InputError(
            f"{d.setup.gpus} devices do not divide over {d.nodes} equal nodes.",
            "Give --gpus a multiple of --devices-per-node.",
        )
    s = d.setup
    split = Parallelism(s.tp, s.pp, s.dp, s.ep)
    group = group_words(s.engine, s.engine_version, split, d.nodes, VARIABLES)
    if isinstance(group, str):
        raise InputError(group, f"Take --engine {' or '.join(ENGINES)}.")
    lines = [*head(d), secret_note(), *weights_note(d),
             f"The cluster needs LeaderWorkerSet, and {d.nodes} nodes with "
             f"{d.devices_on_node} devices each."]  # fmt: skip
    selector = {"leaderworkerset.sigs.k8s.io/name": d.name, **ROLE}
    documents = [_group(d, group), service(d, selector, f"{d.name}-leader")]
    return [File("lws.yaml", yaml_text(documents, lines))]


def _group(d: Deployment, group: GroupWords) -> dict[str, Any]:
    reason = f"{d.setup.gpus} devices on nodes of {d.devices_per_node}"
    leader = _container(d, group, "leader") | {"ports": [_port(d)]} | probes(d)
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": d.name, "labels": labels(d)},
        "spec": {
            "replicas": 1,
            "leaderWorkerTemplate": {
                "size": Why(d.nodes, reason),
                "restartPolicy": Why("RecreateGroupOnPodRestart", "no node can go on alone"),
                "leaderTemplate": {
                    "metadata": {"labels": {**labels(d), **ROLE}},
                    "spec": pod_spec(d, [leader]),
                },
                "workerTemplate": {
                    "metadata": {"labels": labels(d)},
                    "spec": pod_spec(d, [_container(d, group, "worker")]),
                },
            },
        },
    }


def _port(d: Deployment) -> dict[str, Any]:
    return {"name": "http", "containerPort": d.port}


def _container(d: Deployment, group: GroupWords, role: str) -> dict[str, Any]:
    """Return the container of a role: the same words, and what the group adds."""
    leads = role == "leader"
    words = d.words()
    if not leads:  # only the first node answers requests
        words = words[: len(words) - len(d.reachable())]
    found = container(d, words, name=role)
    if group.needs_ray:
        return _with_ray(found, group, leads=leads)
    added = [*group.every, *(() if leads else group.followers)]
    found["args"] = [*found["args"], *(Why(w, reason_of(w, d)) for w in added)]
    if group.ranks_per_node:
        rank = f"$(({RANK} * {group.ranks_per_node}))"
        start = f'exec "$@" --data-parallel-start-rank {rank}'
        return _in_shell(found, start.replace("$", "$$"))
    return found


def _with_ray(found: dict[str, Any], group: GroupWords, *, leads: bool) -> dict[str, Any]:
    if not leads:
        script = f"exec bash {RAY_SCRIPT} worker --ray_address={VARIABLES.leader}"
        return {**found, "command": ["sh", "-c"], "args": [script]}
    found["args"] = [*found["args"], *group.every]
    size = f"--ray_cluster_size={VARIABLES.size}"
    return _in_shell(found, f'bash {RAY_SCRIPT} leader {size} && exec "$$@"')


def _in_shell(found: dict[str, Any], script: str) -> dict[str, Any]:
    """Return the container with its words handed to a script as they are, as "$@"."""
    words = [*found["command"], *found["args"]]
    return {**found, "command": ["sh", "-c", script, "serve"], "args": words}
