"""The command that starts vLLM, and the checkpoint that it loads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

from llmplan.engines import parting
from llmplan.engines.base import Request
from llmplan.engines.drafting import method_of
from llmplan.engines.starting import NO_ARTIFACT, Start, start_of
from llmplan.engines.vllm_support import KV_FLAGS
from llmplan.engines.vllm_versions import FLAGS_SINCE, ROPE_PARAMETERS_SINCE, SERVE_SINCE, at_least
from llmplan.memory.adapters import slot_adapter
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.specs.model import Model
from llmplan.specs.setup import Warning_

DTYPES = {"fp16": "half", "bf16": "bfloat16", "fp32": "float32"}
"""Value of --dtype for formats that are not the checkpoint's own."""


MODULE = "python -m vllm.entrypoints.openai.api_server --model"
"""How the API server starts before 0.5.4. Source: vLLM 0.4.2 docs, serving."""


class Checkpoint(NamedTuple):
    """What the engine is pointed at, with its flags, its address, and what to know."""

    target: str
    flags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    warnings: tuple[Warning_, ...] = ()


def start(request: Request, *, max_num_seqs: int | None) -> Start:
    """Return the words of `vllm serve`; `max_num_seqs` where it is not the default.

    Versions without that command are run as a module.
    """
    checkpoint = _checkpoint(request)
    p, limits = request.parallel, request.limits
    serve = at_least(request.version, SERVE_SINCE)
    words = ["vllm", "serve"] if serve else MODULE.split()
    words += [checkpoint.target, *checkpoint.flags]
    for flag, value, default in (
        ("--tensor-parallel-size", p.tp, 1),
        ("--pipeline-parallel-size", p.pp, 1),
        ("--data-parallel-size", p.dp, 1),
        ("--max-model-len", request.context_tokens if request.model.decoder else None, None),
        ("--gpu-memory-utilization", limits.gpu_memory_utilization, None),
        ("--max-num-seqs", max_num_seqs, None),
        ("--max-num-batched-tokens", limits.max_num_batched_tokens, None),
        ("--block-size", limits.block_size, None),
        ("--kv-cache-memory-bytes", limits.kv_cache_memory_bytes, None),
    ):
        if value is not None and value != default:
            words += [flag, str(value)]
    words += _stretched(request) + _adapter_flags(request.model)
    if limits.enforce_eager and at_least(request.version, FLAGS_SINCE["--enforce-eager"]):
        words.append("--enforce-eager")
    words += _draft_flags(request) + parting.nixl_connector_flags(limits.role)
    if p.ep > 1:
        words.append("--enable-expert-parallel")
    if request.kv.name not in ("bf16", "fp16"):
        words += ["--kv-cache-dtype", KV_FLAGS.get(request.kv.name, request.kv.name)]
    if request.model.trust_remote_code:
        words.append("--trust-remote-code")
    return start_of(words, checkpoint.target, checkpoint.urls, checkpoint.warnings)


LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of --max-lora-rank. Source: vLLM 0.33.0 config/lora.py MaxLoRARanks."""


def with_slots(request: Request) -> Request:
    """Return the request with what vLLM reserves for its adapter: one slot on every layer."""
    adapter = request.model.adapter
    if adapter is None:
        return request
    slots = slot_adapter(adapter, LORA_RANKS)
    return replace(request, model=replace(request.model, adapter=slots))


def _adapter_flags(model: Model) -> list[str]:
    if model.adapter is None:
        return []
    rank = slot_adapter(model.adapter, LORA_RANKS).rank
    source = model.adapter.hub_id or f"./{model.id}-adapter"
    name = (model.adapter.hub_id or "adapter").rpartition("/")[2]
    return ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules",
            f"{name}={source}"]  # fmt: skip


def _draft_flags(request: Request) -> list[str]:
    tokens, draft = request.limits.speculative_tokens, request.draft
    if tokens is None:
        return []
    config: dict[str, Any] = {"method": method_of(draft), "num_speculative_tokens": tokens}
    if draft is not None:
        config["model"] = draft.path or draft.hub_id or f"./{draft.id}"
    return ["--speculative-config", json.dumps(config)]


def _stretched(request: Request) -> list[str]:
    """Return the override that stretches RoPE with YaRN to the asked context.

    The length itself has to be overridden too: config/model.py does not scale it for YaRN.
    """
    if request.extension_factor == 1:
        return []
    newer = at_least(request.version, ROPE_PARAMETERS_SINCE)
    rope = (
        f'{{"max_position_embeddings": {request.context_tokens}, '
        f'"{"rope_parameters" if newer else "rope_scaling"}": '
        f'{{"rope_type": "yarn", "factor": {request.extension_factor}.0, '
        f'"original_max_position_embeddings": {request.model.context_tokens}'
        + (f', "rope_theta": {request.model.rope_theta}}}}}' if newer else "}}")
    )
    return ["--hf-overrides", rope]


def _checkpoint(request: Request) -> Checkpoint:
    model, fmt = request.model, request.weights
    base = model.path or model.hub_id or f"./{model.id}"
    urls = (f"https://huggingface.co/{model.hub_id}",) if model.hub_id and not model.path else ()
    if fmt.name == model.native_format:
        return Checkpoint(base, urls=urls)
    native = WEIGHT_FORMATS[model.native_format]
    if fmt.name in DTYPES and not native.is_quantized:
        return Checkpoint(base, ("--dtype", DTYPES[fmt.name]), urls)
    published = next((a for a in model.artifacts if a.format == fmt.name), None)
    if published:
        url = f"https://huggingface.co/{published.hub_id}"
        return Checkpoint(published.hub_id, urls=(url,))
    if fmt.name == "fp8" and not native.is_quantized:
        return Checkpoint(base, ("--quantization", "fp8"), urls)
    local = f"./{model.id}-{fmt.name}"
    message = f"No published {fmt.name} checkpoint on record: make one in {local} (llm-compressor)."
    return Checkpoint(local, warnings=(Warning_(NO_ARTIFACT, message),))
