"""KServe: LLMInferenceService for vLLM, InferenceService with its own container for others."""

from __future__ import annotations

import re
from shlex import join
from typing import Any

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.pod import (
    argument,
    container,
    environment,
    labels,
    one_node,
    pod_spec,
    probes,
    pvc_path,
    resource_name,
    secret_note,
    weights_note,
)
from llmplan.deployment.quoting import kubernetes
from llmplan.deployment.reasons import head, start_time
from llmplan.deployment.targets.k8s import MAX_REPLICAS
from llmplan.deployment.yaml_text import Why, yaml_text
from llmplan.errors import InputError

ENGINES: tuple[str, ...] = ()

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")

OWN = ("--tensor-parallel-size",)
"""Flags that KServe's template sets itself, from spec.parallelism (kserve aaac4e2
config/llmisvcconfig/config-llm-template.yaml)."""


def files(d: Deployment) -> list[File]:
    """Return the resource that KServe publishes for the engine."""
    one_node(d, "kserve")
    lines = [*head(d), secret_note(), *weights_note(d)]
    if d.server.id == "vllm":
        lines.append(
            "KServe starts vLLM of its own image: where its version is not the planned one, "
            "plan again with --engine-version."
        )
        return [File("llminferenceservice.yaml", yaml_text([_llm(d)], lines))]
    return [File("inferenceservice.yaml", yaml_text([_custom(d)], lines))]


def hub_uri(d: Deployment) -> str:
    """Return where the weights are, as hf:// or pvc://."""
    if d.is_local:
        return pvc_path(d)
    target = d.start.target
    if not _HUB_ID.fullmatch(target):
        raise InputError(f"{target[:80]!r} is no Hub id.", "Take --to k8s.")
    return f"hf://{target}"


def vllm_arguments(d: Deployment, *, without: tuple[str, ...] = ()) -> list[str]:
    """Return vLLM's words behind the checkpoint, less flags that a template sets."""
    words, kept, skip = list(d.start.words), [], False
    for word in words[words.index(d.start.target) + 1 :]:
        if skip and not word.startswith("-"):
            continue
        skip = word in without
        if not skip:
            kept.append(word)
    return kept


def _llm(d: Deployment) -> dict[str, Any]:
    # the template evaluates the variable in a shell: each word is quoted for it
    arguments = join(vllm_arguments(d, without=OWN))
    env = [e for e in environment(d) if e["name"] == "HF_TOKEN"]
    main: dict[str, Any] = {
        "name": "main",
        "env": [*env, Why({"name": "VLLM_ADDITIONAL_ARGS", "value": kubernetes(arguments)},
                          "the rest of the plan, after what spec.parallelism says")],
    }  # fmt: skip
    resource = resource_name(d)
    if resource:
        main["resources"] = {"limits": Why({resource: str(d.devices_on_node)}, d.setup.gpu)}
    get = {"path": "/health", "port": d.port, "scheme": "HTTPS"}
    failures = -(-d.start_seconds // 10)
    main["startupProbe"] = Why(
        {"httpGet": get, "periodSeconds": 10, "failureThreshold": failures},
        f"{start_time(d)}; HTTP where KServe's TLS is off",
    )
    pod = pod_spec(d, [main])
    del pod["volumes"]
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": d.name, "labels": labels(d)},
        "spec": {
            "model": {"uri": hub_uri(d), "name": d.served_name},
            "replicas": 1,
            "parallelism": {"tensor": Why(d.setup.tp, "every layer is split over so many devices")},
            "router": {"route": {}, "gateway": {}, "scheduler": {}},
            "template": pod,
        },
    }


def _custom(d: Deployment) -> dict[str, Any]:
    words = d.words()
    main = container(d, words, name="kserve-container")
    main["args"] = [argument(w, d) for w in words[1:]]
    main["ports"] = [{"name": "http", "containerPort": d.port, "protocol": "TCP"}]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": d.name,
            "labels": labels(d),
            "annotations": {"serving.kserve.io/deploymentMode": "RawDeployment"},
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "maxReplicas": Why(MAX_REPLICAS, "raise it to what the cluster holds"),
                **pod_spec(d, [main | probes(d)]),
            }
        },
    }
