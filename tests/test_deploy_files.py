"""Files of `deploy` against what is published: Kubernetes, custom resources, compose, flags."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployments import check_object, documents, faults, flags, made, schema
from jsonschema import Draft7Validator

import llmplan
from llmplan.deployment.chosen import DISK_BYTES_PER_S, START_SECONDS
from llmplan.deployment.run import Artefacts, target_names
from llmplan.engines import known_engines
from llmplan.errors import InputError

ONE_NODE = [
    ("llama-3.1-8b", "a100-40g", {}),
    ("mixtral-8x7b", "a100-40g", {"gpus": 4, "concurrency": 8}),
    ("llama-3.1-8b", "rtx-4090", {"engine": "llama.cpp", "weight_format": "Q4_K_M"}),
    ("qwen3-30b-a3b", "h100-sxm", {"engine": "sglang", "gpus": 2}),
    ("llama-3.1-8b", "mi300x", {}),
    ("llama-3.1-8b", "h200", {"engine": "lmdeploy"}),
    ("llama-3.1-8b", "h200", {"engine": "tensorrt-llm"}),
    ("llama-3.1-8b", "a100-80g-sxm-mig-3g.40gb", {}),
    ("mixtral-8x7b", "a100-40g", {"weight_format": "gptq-int4"}),
]  # fmt: skip
SEVERAL = [
    ("llama-3.1-405b", "h100-sxm", {"gpus": 16, "tp": 8, "pp": 2}),
    ("deepseek-v3", "h100-sxm", {"gpus": 16, "dp": 16, "ep": 16}),
    ("deepseek-v3", "h100-sxm", {"gpus": 16, "engine": "sglang"}),
    ("llama-3.1-405b", "h100-sxm",
     {"gpus": 16, "tp": 8, "pp": 2, "engine_version": "0.9.2", "engine": "vllm"}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "gpu", "options"), ONE_NODE)
@pytest.mark.parametrize("autoscaler", ["hpa", "keda", "none"])
def test_kubernetes_objects(model: str, gpu: str, options: Any, autoscaler: str) -> None:
    found = documents(made(model, gpu, "k8s", autoscaler=autoscaler, **options))
    kinds = [d["kind"] for d in found]
    assert kinds[:2] == ["Deployment", "Service"]
    for document in found:
        custom = "scaledobject" if document["kind"] == "ScaledObject" else None
        check_object(document, custom)
    deployment, service = found[:2]
    template = deployment["spec"]["template"]
    assert template["metadata"]["labels"].items() >= service["spec"]["selector"].items()
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    for scaler in found[2:]:
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    main = template["spec"]["containers"][0]
    mounts = {m["name"] for m in main["volumeMounts"]}
    assert mounts == {v["name"] for v in template["spec"]["volumes"]}


@pytest.mark.parametrize(("model", "gpu", "options"), SEVERAL)
def test_leader_worker_sets(model: str, gpu: str, options: Any) -> None:
    group, service = documents(made(model, gpu, "lws", **options))
    check_object(group, "leaderworkerset")
    check_object(service)
    template = group["spec"]["leaderWorkerTemplate"]
    assert template["size"] == 2
    leader, worker = (template[f"{r}Template"]["spec"]["containers"][0]
                      for r in ("leader", "worker"))  # fmt: skip
    for container in (leader, worker):
        assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    selector = service["spec"]["selector"]
    assert template["leaderTemplate"]["metadata"]["labels"]["role"] == selector["role"]
    assert selector["leaderworkerset.sigs.k8s.io/name"] == group["metadata"]["name"]
    assert "readinessProbe" in leader
    assert "readinessProbe" not in worker


def test_ray_starts_inside_where_the_version_needs_it() -> None:
    """vLLM before --nnodes runs over nodes on Ray alone; newer ones need none."""
    old, new = (
        made("llama-3.1-405b", "h100-sxm", "lws", gpus=16, tp=8, pp=2, engine="vllm",
             engine_version=v).files[0].text
        for v in ("0.9.2", "0.33.0")
    )  # fmt: skip
    assert "--distributed-executor-backend" in old
    assert "multi-node-serving.sh worker" in old
    assert "--nnodes" not in old
    assert "ray" not in new.lower()
    assert "--headless" in new


def test_ranks_start_at_the_index_of_the_pod(tmp_path: Path) -> None:
    """The shell around data-parallel ranks hands the words on as they are, and counts."""
    group = documents(made("deepseek-v3", "h100-sxm", "lws", gpus=16, dp=16, ep=16))[0]["spec"]
    template = group["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]
    words = [w.replace("$$", "$") for w in (*template["command"], *template["args"])]
    stub = tmp_path / "vllm"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LWS_WORKER_INDEX": "1"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    got = done.stdout.splitlines()
    assert got[:2] == ["serve", "deepseek-ai/DeepSeek-V3"]
    assert got[-2:] == ["--data-parallel-start-rank", "8"]
    assert got[got.index("--data-parallel-size-local") + 1] == "8"
    assert "--headless" in got


@pytest.mark.parametrize(("model", "gpu", "options"), ONE_NODE)
def test_kserve_resources(model: str, gpu: str, options: Any) -> None:
    (document,) = documents(made(model, gpu, "kserve", **options))
    name = document["kind"].lower()
    check_object(document, name)
    vllm = options.get("engine", "vllm") == "vllm"
    assert name == ("llminferenceservice" if vllm else "inferenceservice")


@pytest.mark.parametrize(("model", "gpu", "options"), ONE_NODE)
def test_compose_files(model: str, gpu: str, options: Any) -> None:
    document = documents(made(model, gpu, "compose", **options))[0]
    errors = [e.message for e in Draft7Validator(schema("compose")["schema"]).iter_errors(document)]
    assert errors == []
    assert "server" in document["services"]
    text = json.dumps(document)
    assert "HF_TOKEN" not in text  # it is in the file beside this one


def test_llm_d_values() -> None:
    (document,) = documents(made("mixtral-8x7b", "a100-40g", "llm-d", gpus=4))
    assert list(faults(document, schema("llm-d-values")["schema"])) == []
    assert document["decode"]["parallelism"]["tensor"] == 4
    arguments = document["decode"]["containers"][0]["args"]
    assert "--tensor-parallel-size" not in arguments  # the chart sets it


RAY_FIELDS = {
    "model_loading_config": {"model_id", "model_source", "tokenizer_source"},
    "deployment_config": {"autoscaling_config", "max_ongoing_requests", "num_replicas"},
}
"""Fields of LLMConfig and what is in them (ray 2.60.0 llm/_internal/serve/core/configs)."""


def test_ray_serve_config() -> None:
    (document,) = documents(
        made("mixtral-8x7b", "a100-40g", "ray-serve", gpus=4, gpu_memory_utilization=0.85)
    )
    (application,) = document["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (config,) = application["args"]["llm_configs"]
    assert config["engine_kwargs"] == {
        "tensor_parallel_size": 4, "max_model_len": 8192, "gpu_memory_utilization": 0.85,
    }  # fmt: skip
    assert config["accelerator_type"] == "A100-40G"
    for name, fields in RAY_FIELDS.items():
        assert config[name].keys() <= fields
    assert {f"--{n.replace('_', '-')}" for n in config["engine_kwargs"]} <= flags("vllm")


def test_modelfile() -> None:
    artefacts = made("llama-3.1-8b", "rtx-4090", "ollama", weight_format="Q4_K_M",
                     context_tokens=16384, n_gpu_layers=20)  # fmt: skip
    lines = [x for x in artefacts.files[0].text.splitlines() if not x.startswith("#")]
    assert lines == [
        "FROM hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M",
        "PARAMETER num_ctx 16384",
        "PARAMETER num_gpu 20",
    ]
    script = artefacts.files[1].text
    assert "export OLLAMA_CONTEXT_LENGTH=16384" in script


PINNED_ENGINES = {"vllm": ("h200", 14), "sglang": ("h200", 12), "llama.cpp": ("h200", 8),
                  "lmdeploy": ("h200", 8), "mlx-lm": ("m3-ultra-512g", 4)}  # fmt: skip
"""A device for each, and how many different flags the test has to see at least."""

OPTIONS: list[dict[str, Any]] = [
    {}, {"gpus": 4}, {"context_tokens": 65536}, {"max_num_seqs": 8, "enforce_eager": True},
    {"gpu_memory_utilization": 0.7, "max_num_batched_tokens": 4096}, {"kv_format": "fp8"},
    {"block_size": 32}, {"concurrency": 2}, {"kv_format": "q8_0"},
    {"kv_cache_memory_bytes": 4 << 30}, {"gpus": 8, "dp": 2, "tp": 4},
    {"speculative_tokens": 2, "gpus": 8}, {"speculative_tokens": 3, "draft": "llama-3.2-1b"},
]  # fmt: skip
MODELS = ("llama-3.1-8b", "deepseek-v3", "mixtral-8x7b", "deepseek-v2-lite", "gemma-3-12b",
          "bge-m3", "phi-3.5-moe", "alpaca-lora-7b")  # fmt: skip


@pytest.mark.parametrize("engine", PINNED_ENGINES)
def test_flags_are_those_of_the_newest_release(engine: str) -> None:
    """Every flag that a file gives to a server is one that its release knows."""
    known, seen = flags(engine), set()
    gpu, least = PINNED_ENGINES[engine]
    for model in MODELS:
        for options in OPTIONS:
            try:
                found = llmplan.deploy(model, gpu, "bench", engine=engine, **options)
            except InputError:
                continue
            if found is None:
                continue
            d = found.deployment
            words = [*d.start.words, *d.reachable(), *_group(found)]
            used = {w for w in words if re.match(r"--?[a-zA-Z]", w)} - {"-m"}  # python -m
            assert used <= known, (model, options, used - known)
            seen |= used
    assert len(seen) >= least, sorted(seen)


def _group(found: Artefacts) -> list[str]:
    from llmplan.engines.several_nodes import Addresses, group_words

    s = found.deployment.setup
    p = found.deployment.request.parallel
    words = group_words(s.engine, s.engine_version, p, 2, Addresses("2", "0", "host"))
    return [] if isinstance(words, str) else [*words.every, *words.followers]


@pytest.mark.parametrize(
    ("engine", "names", "own"),
    [
        ("vllm", "vllm-bench", set()),
        ("ollama", "vllm-bench", set()),
        ("sglang", "sglang-bench", {"-m"}),
        ("llama.cpp", "llama.cpp", {"-npp", "-ntg", "-npl"}),  # tools/batched-bench/README.md
    ],
)
def test_bench_flags_are_known(engine: str, names: str, own: set[str]) -> None:
    """llama-batched-bench shares the parser of llama-server; python has its -m."""
    made_ = made("llama-3.1-8b", "rtx-4090", "bench", engine=engine, rate_per_s=2.0, concurrency=4)
    words = made_.files[0].text.split("exec ")[1].split()
    used = {w for w in words if w.startswith("-")} - own
    assert len(used) >= 4
    assert used <= flags(names)


def test_flags_that_make_checkpoints_are_known() -> None:
    from llmplan.deployment.checkpoints import checkpoint_files

    model = llmplan.load_model("llama-3.1-8b")
    text = checkpoint_files(model, "mlx-4bit", "mlx-lm", "./out")[0].text
    used = {w for w in text.split() if w.startswith("--")}
    assert used == {"--hf-path", "--mlx-path", "--quantize", "--q-bits", "--q-group-size"}
    assert used <= flags("mlx-convert")


@pytest.mark.parametrize("gpus", [2, 4])
def test_probes_outlast_the_load(gpus: int) -> None:
    """The start-up probe allows for the whole checkpoint, written and read at the stated rate."""
    artefacts = made("llama-3.1-70b", "h200", "k8s", gpus=gpus, weight_format="bf16")
    size = 70_553_706_496 * 2  # published parameters, 2 bytes each: bf16
    least = 2 * size / DISK_BYTES_PER_S + START_SECONDS
    main = documents(artefacts)[0]["spec"]["template"]["spec"]["containers"][0]
    probe = main["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] >= least


@pytest.mark.parametrize("to", [t for t in target_names() if t not in ("lws", "ollama")])
@pytest.mark.parametrize(("model", "gpu", "options"), ONE_NODE[:3])
def test_files_are_the_same_every_time(to: str, model: str, gpu: str, options: Any) -> None:
    try:
        first, second = (made(model, gpu, to, **options) for _ in range(2))
    except InputError:
        return
    assert first.files == second.files


def test_scripts_are_shell() -> None:
    for to in ("command", "docker", "bench", "ollama"):
        artefacts = made("llama-3.1-8b", "rtx-4090", to)
        for file in artefacts.files:
            if file.name.endswith(".sh"):
                done = subprocess.run(["bash", "-n"], input=file.text, text=True, check=False,
                                      capture_output=True)  # fmt: skip
                assert done.returncode == 0, done.stderr


def test_secrets_are_only_referred_to() -> None:
    for to in target_names():
        if to in ("lws",):
            continue
        for file in made("llama-3.1-8b", "a100-40g", to).files:
            values = re.findall(r"HF_TOKEN\s*[=:]\s*(\S+)", file.text)
            assert set(values) <= {"..."}, (to, values)


def test_every_engine_reaches_a_file() -> None:
    """Every planned engine has a command; those with images have pods too."""
    gpus = {"mlx-lm": "m4-max-40c-64g"}
    for engine in known_engines():
        artefacts = made("llama-3.1-8b", gpus.get(engine, "rtx-4090"), "command", engine=engine)
        assert artefacts.deployment.server.id == engine
        if artefacts.deployment.server.images:
            asked = {"weight_format": "Q4_K_M"} if engine == "ollama" else {}
            image = documents(made("llama-3.1-8b", "rtx-4090", "k8s", engine=engine, **asked))[0]
            main = image["spec"]["template"]["spec"]["containers"][0]
            assert re.fullmatch(r"[a-z0-9./_-]+:[A-Za-z0-9._-]+", main["image"])


def test_yaml_of_keda_reads_the_engines_own_queue() -> None:
    scaled = documents(made("llama-3.1-8b", "a100-40g", "k8s", autoscaler="keda"))[2]
    (trigger,) = scaled["spec"]["triggers"]
    assert "vllm:num_requests_waiting" in trigger["metadata"]["query"]
    assert yaml.safe_dump(trigger)
