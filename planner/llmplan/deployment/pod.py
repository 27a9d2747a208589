"""Parts of Kubernetes objects that several targets share: container, probes, volumes, nodes."""

from __future__ import annotations

from typing import Any

from llmplan.deployment.chosen import CACHE, MODELS, PROBE_SECONDS, Deployment
from llmplan.deployment.quoting import file_name, kubernetes
from llmplan.deployment.reasons import reason_of, start_time
from llmplan.deployment.yaml_text import Why
from llmplan.errors import InputError
from llmplan.specs.units import gib

RESOURCES = {
    "nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/xe",
    "google": "google.com/tpu",
}  # fmt: skip
"""Extended resources of the vendors' device plugins. Source: llm-d-modelservice 3051935
values.yaml (2026-04-22)."""

SHM_GIB = 15
"""Shared memory of a server on several devices [GiB]. Source: LeaderWorkerSet 060ab4d
docs/examples/vllm (2026-08-21)."""

SHM_ALONE_GIB = 2
"""The same on one device. Source: vLLM docs/deployment/k8s.md at 0.33.0."""

SPARE_GIB = 10
"""Room on the volume of downloads beside the weights: tokenizer, compile cache (assumed)."""

SECRET = "hf-token"  # noqa: S105 - the name of the object, the token is nobody's here
SECRET_KEY = "HF_TOKEN"  # noqa: S105 - the key in it


SIDE_CHANNEL = "VLLM_NIXL_SIDE_CHANNEL_HOST"
"""Variable of vLLM's NIXL connector. Source: vLLM docs, NixlConnector usage (026c83f)."""


def secret_note() -> str:
    """Return how the secret is made."""
    return (
        f"Gated checkpoints: kubectl create secret generic {SECRET} "
        f"--from-literal={SECRET_KEY}=... (the files only refer to it)."
    )


def weights_note(d: Deployment) -> list[str]:
    """Return what to copy where, for weights that are files of the user's."""
    return [f"Copy {m.host} to {m.inside} of the claim {d.name}-weights." for m in d.mounts()]


def load_note(d: Deployment) -> list[str]:
    """Return how the model gets into a server that starts without one."""
    words = " ".join(d.load_words())
    return [f"Then load the model: kubectl exec deploy/{d.name} -- {words}"] if words else []


def resource_name(d: Deployment) -> str | None:
    """Return the resource that a pod asks for, None for processors."""
    gpu = d.request.gpu
    if gpu.vendor == "cpu":
        return None
    if gpu.part_of and "-mig-" in gpu.id:
        return f"nvidia.com/mig-{gpu.id.rpartition('-mig-')[2]}"
    name = RESOURCES.get(gpu.vendor)
    if name is None:
        raise InputError(
            f"No Kubernetes resource of {gpu.vendor} devices is on record.",
            "Take --to command or systemd.",
        )
    return name


def container(d: Deployment, words: list[str], *, name: str = "main") -> dict[str, Any]:
    """Return the container that runs words, with devices, volumes and the token by reference."""
    found: dict[str, Any] = {
        "name": name,
        "image": Why(d.image_name(), d.image_reason()),
        "command": [kubernetes(words[0])],
        "args": [argument(w, d) for w in words[1:]],
        "env": environment(d),
    }
    resource = resource_name(d)
    if resource:
        devices = {resource: str(d.devices_on_node)}
        found["resources"] = {"limits": Why(devices, f"{d.setup.gpu}, as planned")}
    return found | {"volumeMounts": _volume_mounts(d)}


def argument(word: str, d: Deployment) -> Why:
    """Return one argument, with the reason above a flag that has one on record."""
    return Why(kubernetes(word), reason_of(word, d) if word.startswith("-") else "")


def environment(d: Deployment) -> list[dict[str, Any]]:
    """Return variables; the token comes from a secret that may be missing."""
    reference = {"name": SECRET, "key": SECRET_KEY, "optional": True}
    token = {"name": SECRET_KEY, "valueFrom": {"secretKeyRef": reference}}
    variables = [{"name": n, "value": kubernetes(v)} for n, v in d.variables()]
    return [*variables, *side_channel(d), token]


def side_channel(d: Deployment) -> list[dict[str, Any]]:
    """Return the address at which the other part of a pair asks vLLM for a cache: the pod's."""
    if d.role is None or d.server.id != "vllm":
        return []
    address = {"fieldRef": {"fieldPath": "status.podIP"}}
    return [{"name": SIDE_CHANNEL, "valueFrom": address}]


def probes(d: Deployment) -> dict[str, Any]:
    """Return start-up, readiness and liveness probes; the first waits for the weights."""
    path = d.server.health_path or "/"
    get = {"httpGet": {"path": path, "port": "http"}, "periodSeconds": PROBE_SECONDS}
    failures = -(-d.start_seconds // PROBE_SECONDS)
    return {
        "startupProbe": Why({**get, "failureThreshold": failures}, start_time(d)),
        "readinessProbe": {**get, "failureThreshold": 3},
        "livenessProbe": {**get, "failureThreshold": 6, "timeoutSeconds": 5},
    }


def _volume_mounts(d: Deployment) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a mount in the container
        {"name": "cache", "mountPath": CACHE},
    ]
    if d.mounts():
        mounts.append({"name": "weights", "mountPath": MODELS, "readOnly": True})
    return mounts


def volumes(d: Deployment) -> list[Any]:
    """Return shared memory, a disk of downloads for each pod, and the user's weights."""
    shm = SHM_GIB if d.setup.gpus > 1 else SHM_ALONE_GIB
    size = SPARE_GIB + (0 if d.is_local else -(-d.weights_bytes // (1 << 30)))
    claim = {"accessModes": ["ReadWriteOnce"],
             "resources": {"requests": {"storage": f"{size}Gi"}}}  # fmt: skip
    found: list[Any] = [
        Why({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm}Gi"}},
            "shared memory between the processes of the server"),
        Why({"name": "cache", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
            f"{'caches' if d.is_local else gib(d.weights_bytes) + ' of weights'} and "
            f"{SPARE_GIB} GiB to spare; goes with the pod"),
    ]  # fmt: skip
    if d.mounts():
        name = f"{d.name}-weights"
        claimed = {"claimName": name, "readOnly": True}
        found.append({"name": "weights", "persistentVolumeClaim": claimed})
    return found


def pod_spec(d: Deployment, containers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod: containers, volumes, and the nodes that have the planned device."""
    spec: dict[str, Any] = {"containers": containers, "volumes": volumes(d)}
    names = [n.replace(" ", "-") for n in d.request.gpu.driver_names]
    if d.vendor == "nvidia" and names and not d.request.gpu.part_of:
        term = {"key": "nvidia.com/gpu.product", "operator": "In", "values": names}
        required = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
        spec["affinity"] = Why(
            {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
            "the device that was planned for, by the label of GPU feature discovery",
        )
    return spec


def service(d: Deployment, selector: dict[str, str], name: str | None = None) -> dict[str, Any]:
    """Return the service in front of the pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name or d.name, "labels": labels(d)},
        "spec": {
            "selector": selector,
            "ports": [{"name": "http", "port": d.port, "targetPort": "http"}],
        },
    }


def labels(d: Deployment) -> dict[str, str]:
    """Return the labels by which pods are found."""
    return {"app.kubernetes.io/name": d.name}


def pvc_path(d: Deployment) -> str:
    """Return the user's weights as a pvc:// address."""
    return f"pvc://{d.name}-weights/{file_name(d.start.target)}"


def one_node(d: Deployment, target: str) -> None:
    """Refuse a setup that spans several nodes for a target that starts one pod a replica."""
    if d.nodes > 1:
        raise InputError(
            f"{d.setup.gpus} devices are more than a node of {d.devices_per_node}: "
            f"--to {target} starts servers of one node.",
            "Take --to lws or ray-serve, or say --devices-per-node.",
        )
