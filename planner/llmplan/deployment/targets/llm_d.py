"""llm-d: values of the llm-d-modelservice Helm chart."""

from __future__ import annotations

from typing import Any

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.pod import (
    SECRET,
    one_node,
    probes,
    secret_note,
    side_channel,
    weights_note,
)
from llmplan.deployment.quoting import kubernetes, label
from llmplan.deployment.reasons import head, reason_of
from llmplan.deployment.targets.kserve import hub_uri, vllm_arguments
from llmplan.deployment.yaml_text import Why, yaml_text
from llmplan.errors import InputError

ENGINES = ("vllm",)

OWN = ("--tensor-parallel-size", "--data-parallel-size")
"""Flags that the chart sets itself, from decode.parallelism (llm-d-modelservice 3051935
templates/_helpers.tpl)."""

SPARE_GIB = 10
"""Room on the chart's volume beside the weights (assumed)."""

VENDORS = {"nvidia": "nvidia", "amd": "amd", "intel": "intel-xe", "google": "google", "cpu": "cpu"}
"""accelerator.type by vendor (values.yaml of the chart)."""

TARGET_PORT = 8200
"""Port of vLLM behind the chart's routing proxy (routing.proxy.targetPort)."""


def files(d: Deployment) -> list[File]:
    """Return the chart's values."""
    one_node(d, "llm-d")
    if d.vendor not in VENDORS:
        raise InputError(f"llm-d's chart knows no {d.vendor} devices.", "Take --to command.")
    lines = [*head(d), secret_note(), *weights_note(d),
             "Install: helm upgrade --install RELEASE llm-d-modelservice/llm-d-modelservice "
             "-f values.yaml"]  # fmt: skip
    values = {"prefill": _part(d)} if d.role == "prefill" else _values(d)
    return [File("values.yaml", yaml_text([values], lines))]


def _values(d: Deployment) -> dict[str, Any]:
    size = SPARE_GIB + -(-d.weights_bytes // (1 << 30))
    return {
        "modelArtifacts": {
            "name": d.served_name,
            "uri": hub_uri(d),
            "size": Why(f"{size}Gi", f"the weights and {SPARE_GIB} GiB to spare"),
            "authSecretName": SECRET,
            "labels": {"app.kubernetes.io/name": label(d.request.model.id, d.setup.weight_format)},
        },
        "multinode": False,
        "accelerator": {"type": VENDORS[d.vendor]},
        "routing": {
            "proxy": {
                "enabled": Why(d.role is not None, "sends prompts to the prefill pods"
                               if d.role else "no prefill pods to route to"),
                "targetPort": TARGET_PORT,
            },
            "servicePort": d.port,
        },
        "decode": _part(d),
        **({} if d.role else {"prefill": {
            "create": Why(False, "the plan does not part prefill and decode")}}),
    }  # fmt: skip


def _part(d: Deployment) -> dict[str, Any]:
    """Return the pods of one kind."""
    return {
        "create": True,
        "replicas": 1,
        "parallelism": {
            "tensor": Why(d.setup.tp, "every layer is split over so many devices"),
            "data": d.setup.dp,
            "dataLocal": Why(d.setup.dp, "all replicas on one node"),
        },
        "containers": [_container(d)],
    }


def _container(d: Deployment) -> dict[str, Any]:
    arguments = vllm_arguments(d, without=OWN)
    _refuse_templates(d.served_name, *arguments)
    port = TARGET_PORT if d.role == "decode" else d.port  # the proxy has the other in front
    probe = {k: v for k, v in probes(d).items() if k == "startupProbe"}
    return {
        "name": "vllm",
        "image": Why(d.image_name(), d.image_reason()),
        "modelCommand": "vllmServe",
        "args": [
            Why(kubernetes(w), reason_of(w, d) if w.startswith("-") else "") for w in arguments
        ],
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        **({"env": side_channel(d)} if d.role else {}),
        "mountModelVolume": True,
        **probe,
    }


def _refuse_templates(*texts: str) -> None:
    """Refuse text that Helm would read as a template."""
    for text in texts:
        if "{{" in text:
            raise InputError(f"Helm would read {text[:60]!r} as a template.", "Take --to k8s.")
