"""Kubernetes: Deployment, Service, probes, shared memory, and an autoscaler on the queue."""

from __future__ import annotations

from typing import Any

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.pod import (
    container,
    labels,
    load_note,
    one_node,
    pod_spec,
    probes,
    secret_note,
    service,
    weights_note,
)
from llmplan.deployment.reasons import head
from llmplan.deployment.yaml_text import Why, yaml_text

ENGINES: tuple[str, ...] = ()

QUEUE_TARGET = 5
"""Waiting requests a pod at which another one starts. Source: vllm-project/production-stack
a6c01db tutorials/assets/keda-scaled-object.yaml (2026-08-05)."""

MAX_REPLICAS = 2
"""Replicas at most: the same sample; raise it to what the cluster holds."""

COOLDOWN_SECONDS = 360
"""Seconds without load before a pod goes: the same sample."""

PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
"""Address of Prometheus as its operator names it: the same sample."""


def files(d: Deployment) -> list[File]:
    """Return one file with all objects, as `kubectl apply -f` takes it."""
    one_node(d, "k8s")
    lines = [*head(d), secret_note(), *weights_note(d), *load_note(d)]
    documents = [_deployment(d), service(d, labels(d)), *autoscaler(d, lines)]
    return [File("k8s.yaml", yaml_text(documents, lines))]


def _deployment(d: Deployment) -> dict[str, Any]:
    main = container(d, d.words())
    main["ports"] = [{"name": "http", "containerPort": d.port}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": d.name, "labels": labels(d)},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels(d)},
            "strategy": Why(
                {"type": "Recreate"}, "a rolling update would need the devices a second time"
            ),
            "template": {
                "metadata": {"labels": labels(d), "annotations": scraped(d)},
                "spec": pod_spec(d, [main | probes(d)]),
            },
        },
    }


def scraped(d: Deployment) -> dict[str, str]:
    """Return the annotations by which Prometheus finds the metrics."""
    if not d.server.metrics_path:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(d.port),
        "prometheus.io/path": d.server.metrics_path,
    }


def autoscaler(d: Deployment, lines: list[str]) -> list[dict[str, Any]]:
    """Return the autoscaler on the engine's own queue, none where it publishes no queue."""
    metric = d.server.queue_metric
    if d.autoscaler == "none":
        return []
    if metric is None:
        lines.append(f"No autoscaler: {d.server.name} publishes no queue length.")
        return []
    if d.autoscaler == "keda":
        return [_scaled_object(d, metric)]
    lines.append(
        f"The autoscaler needs prometheus-adapter to offer {metric} as {metric.replace(':', '_')}; "
        "--autoscaler keda reads Prometheus itself."
    )
    return [_hpa(d, metric.replace(":", "_"))]


def _hpa(d: Deployment, metric: str) -> dict[str, Any]:
    pods = {"metric": {"name": metric},
            "target": {"type": "AverageValue", "averageValue": str(QUEUE_TARGET)}}  # fmt: skip
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": d.name, "labels": labels(d)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": d.name},
            "minReplicas": 1,
            "maxReplicas": Why(MAX_REPLICAS, "raise it to what the cluster holds"),
            "metrics": Why([{"type": "Pods", "pods": pods}],
                           "requests that wait: the batch is full before they do"),
            "behavior": Why({"scaleDown": {"stabilizationWindowSeconds": COOLDOWN_SECONDS}},
                            "a new pod has to load its weights: let go slowly"),
        },
    }  # fmt: skip


def _scaled_object(d: Deployment, metric: str) -> dict[str, Any]:
    trigger = {
        "type": "prometheus",
        "metadata": {
            "serverAddress": Why(PROMETHEUS, "where your Prometheus is"),
            "query": f'sum({{__name__="{metric}",pod=~"{d.name}-.*"}})',
            "threshold": Why(str(QUEUE_TARGET), "waiting requests for each pod"),
        },
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": d.name, "labels": labels(d)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": d.name},
            "minReplicaCount": 1,
            "maxReplicaCount": Why(MAX_REPLICAS, "raise it to what the cluster holds"),
            "cooldownPeriod": COOLDOWN_SECONDS,
            "triggers": [trigger],
        },
    }
