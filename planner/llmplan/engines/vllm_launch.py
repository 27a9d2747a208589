"""The command that starts vLLM, and the checkpoint that it loads."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.base import Request, word
from llmplan.engines.vllm_support import KV_FLAGS
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.specs.setup import Launch, Warning_

DTYPES = {"fp16": "half", "bf16": "bfloat16", "fp32": "float32"}
"""Value of --dtype for formats that are not the checkpoint's own."""


class Checkpoint(NamedTuple):
    """What the engine is pointed at, with its flags, its address, and what to know."""

    target: str
    flags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    warnings: tuple[Warning_, ...] = ()


def launch(request: Request, *, max_num_seqs: int | None) -> tuple[Launch, tuple[Warning_, ...]]:
    """Return the `vllm serve` line; `max_num_seqs` where it is not the default."""
    checkpoint = _checkpoint(request)
    p, limits = request.parallel, request.limits
    words = ["vllm", "serve", word(checkpoint.target), *checkpoint.flags]
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
    words += _stretched(request)
    if p.ep > 1:
        words.append("--enable-expert-parallel")
    if request.kv.name not in ("bf16", "fp16"):
        words += ["--kv-cache-dtype", KV_FLAGS.get(request.kv.name, request.kv.name)]
    if request.model.trust_remote_code:
        words.append("--trust-remote-code")
    return Launch(" ".join(words), checkpoint.urls), checkpoint.warnings


def _stretched(request: Request) -> list[str]:
    """Return the override that stretches RoPE with YaRN to the asked context.

    The length itself has to be overridden too: config/model.py does not scale it for YaRN.
    """
    if request.extension_factor == 1:
        return []
    rope = (
        f'{{"max_position_embeddings": {request.context_tokens}, '
        f'"rope_parameters": {{"rope_type": "yarn", "factor": {request.extension_factor}.0, '
        f'"original_max_position_embeddings": {request.model.context_tokens}, '
        f'"rope_theta": {request.model.rope_theta}}}}}'
    )
    return ["--hf-overrides", word(rope)]


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
    return Checkpoint(local, warnings=(Warning_("no_published_artifact", message),))
