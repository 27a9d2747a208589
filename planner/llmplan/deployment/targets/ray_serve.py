"""Ray Serve LLM: the config that `serve run` or a RayService starts vLLM from."""

from __future__ import annotations

import json
from typing import Any

from llmplan.deployment.artefacts import File
from llmplan.deployment.chosen import Deployment
from llmplan.deployment.reasons import head, reason_of
from llmplan.deployment.targets.k8s import MAX_REPLICAS
from llmplan.deployment.targets.kserve import vllm_arguments
from llmplan.deployment.yaml_text import Why, yaml_text

ENGINES = ("vllm",)

ACCELERATORS = {
    "a100-40g": "A100-40G", "a100-80g": "A100-80G", "h100": "H100", "h200": "H200", "h20": "H20",
    "b200": "B200", "b300": "B300", "gb200": "GB200", "gb300": "GB300", "l40s": "L40S", "l4": "L4",
    "a10g": "A10G", "t4": "T4", "v100": "V100", "mi300x": "AMD-Instinct-MI300X-OAM",
}  # fmt: skip
"""accelerator_type by the beginning of a device id. Source: ray 2.60.0
util/accelerators/accelerators.py, read 2026-11-26."""


def files(d: Deployment) -> list[File]:
    """Return the Serve config."""
    lines = [*head(d),
             "Start it on a Ray cluster: pip install 'ray[serve,llm]' && serve run serve.yaml",
             "In a RayService, serveConfigV2 takes the same text. HF_TOKEN comes from the "
             "environment of the workers.",
             "Ray's image brings its own vLLM: where its version is not the planned one, plan "
             "again with --engine-version."]  # fmt: skip
    lines += [f"Put {m.host} at this path on every node." for m in d.mounts()]
    if d.nodes > 1:
        lines.append(f"Ray places the {d.setup.gpus} devices over {d.nodes} nodes.")
    application = {
        "name": "llm",
        "import_path": "ray.serve.llm:build_openai_app",
        "route_prefix": "/",
        "args": {"llm_configs": [_config(d)]},
    }
    return [File("serve.yaml", yaml_text([{"applications": [application]}], lines))]


def _config(d: Deployment) -> dict[str, Any]:
    at_once = max(1, int(d.setup.requests_at_once))
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": d.served_name, "model_source": d.start.target},
        "engine_kwargs": engine_kwargs(d),
        "deployment_config": {
            "autoscaling_config": {
                "min_replicas": 1,
                "max_replicas": Why(MAX_REPLICAS, "raise it to what the cluster holds"),
                "target_ongoing_requests": Why(at_once, "requests that one replica runs at once"),
            },
            "max_ongoing_requests": Why(2 * at_once, "as many again may wait in a replica"),
        },
    }
    id = d.setup.gpu
    found = next((v for k, v in ACCELERATORS.items() if id == k or id.startswith(f"{k}-")), None)
    if found and not d.request.gpu.part_of:
        config["accelerator_type"] = Why(found, "the device that was planned for")
    return config


def engine_kwargs(d: Deployment) -> dict[str, Any]:
    """Return vLLM's flags as the arguments of its engine."""
    found: dict[str, Any] = {}
    flag = ""
    for word in vllm_arguments(d):
        if word.startswith("--"):
            flag = word
            found[_name(flag)] = Why(True, reason_of(flag, d))
        else:
            found[_name(flag)] = Why(_value(word), reason_of(flag, d))
    return found


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _value(word: str) -> Any:
    """Return a value as its type: numbers and JSON objects as such, else text."""
    try:
        value = json.loads(word)
    except ValueError:
        return word
    return value if isinstance(value, (int, float, dict)) else word
