"""Why each value was chosen: the comment lines of every file."""

from __future__ import annotations

from llmplan.deployment.chosen import DISK_BYTES_PER_S, START_SECONDS, Deployment
from llmplan.specs.setup import Band
from llmplan.specs.units import gib, tokens_text
from llmplan.version import __version__


def head(d: Deployment) -> list[str]:
    """Return what the file is, which setup it starts, what to know first."""
    s = d.setup
    split = ", ".join(f"{n} {getattr(s, n)}" for n in ("tp", "pp", "dp", "ep") if getattr(s, n) > 1)
    lines = [
        f"{d.request.model.name} in {s.weight_format} on {s.gpus} x {s.gpu}"
        f"{f' ({split})' if split else ''} with {s.engine} {s.engine_version}.",
        f"Written by llmplan {__version__} deploy. {choice(d)}",
        f"One device: {memory(d)}.",
        *speed(d),
    ]
    # what a line alone cannot start, the file around it does
    notes = (w.message for w in s.warnings if w.code != "several_nodes")
    return [*lines, *(f"Note: {message}" for message in notes)]


def choice(d: Deployment) -> str:
    """Return which setup this is, and how to take another."""
    what = f"Setup {d.rank} of {d.of} in the order of llmplan fit"
    return f"{what}; another one: --pick N." if d.of > 1 else f"{what}."


def memory(d: Deployment) -> str:
    """Return the memory of the fullest device in a phrase."""
    m, kv = d.setup.memory_per_gpu, d.setup.kv_cache
    run_time = m.activation_peak_bytes + m.cuda_graph_bytes + m.runtime_bytes
    at = tokens_text(kv.max_concurrency_measured_at_tokens)
    return (
        f"{gib(m.weights_bytes)} of weights, {gib(m.kv_cache_bytes)} of KV cache "
        f"({d.setup.requests_at_once:.1f} requests of {at} tokens at once), "
        f"{gib(run_time)} run-time, of {gib(m.device_total_bytes)}"
    )


def speed(d: Deployment) -> list[str]:
    """Return the predicted speed where it is known: what `--to bench` would measure."""
    p = d.setup.performance
    parts = [
        f"{name} {_band(band)}{unit}"
        for name, band, unit in (
            ("time to first token", p.ttft_s, " s"),
            ("time per output token", p.tpot_s, " s"),
            ("output", p.output_tokens_per_s, " tokens/s"),
        )
        if band is not None
    ]
    return [f"Predicted: {', '.join(parts)}; --to bench measures it."] if parts else []


def _band(band: Band) -> str:
    return f"{band.value:.4g} ({band.low:.4g} to {band.high:.4g}, {band.basis})"


def start_time(d: Deployment) -> str:
    """Return how the longest start is counted."""
    passes = "read once" if d.is_local else "downloaded and read"
    return (
        f"up to {d.start_seconds} s to start: {gib(d.weights_bytes)} of weights {passes} at "
        f"{DISK_BYTES_PER_S >> 20} MiB/s (AWS gp3 baseline), and {START_SECONDS} s for the rest"
    )


FLAGS: dict[str, str] = {
    "--tensor-parallel-size": "every layer is split over {tp} devices",
    "--tp-size": "every layer is split over {tp_and_dp} ranks",
    "--tp_size": "every layer is split over {tp_and_dp} ranks",
    "--tp": "every layer is split over {tp} devices",
    "--pipeline-parallel-size": "the layers are cut in {pp} stages",
    "--pp-size": "the layers are cut in {pp} stages",
    "--pp_size": "the layers are cut in {pp} stages",
    "--data-parallel-size": "{dp} replicas share the load",
    "--dp-size": "{dp} replicas of attention or of the whole share the load",
    "--attn-dp-size": "{dp} replicas of attention share the experts",
    "--ep-size": "experts are spread over {ep} devices",
    "--ep_size": "experts are spread over {ep} devices",
    "--enable-expert-parallel": "experts are spread over {ep} devices",
    "--max-model-len": "the longest request that was planned",
    "--context-length": "the longest request that was planned",
    "--max_seq_len": "the longest request that was planned",
    "--session-len": "the longest request that was planned",
    "--max-seq-len": "the longest request that was planned",
    "-c": "{context} tokens for each of the requests at once",
    "-np": "as many requests at once as the cache holds",
    "-ngl": "all layers on the devices, unless the plan keeps some on the host",
    "--n-cpu-moe": "the experts of so many layers stay on the host, as asked",
    "-fa": "flash attention, as the plan counts its buffers",
    "--gpu-memory-utilization": "share of the device that was asked for",
    "--mem-fraction-static": "share of the device that was asked for",
    "--kv_cache_free_gpu_memory_fraction": "share of the free memory that was asked for",
    "--cache-max-entry-count": "share of the free memory that was asked for",
    "--max-num-seqs": "sequences in one step, as planned",
    "--max-running-requests": "sequences in one step, as planned",
    "--max_batch_size": "sequences in one step, as planned",
    "--max-num-batched-tokens": "tokens in one step: bounds the activations that were planned",
    "--kv-cache-memory-bytes": "the KV pool that was asked for",
    "--kv-cache-dtype": "format of the KV cache that was planned ({kv})",
    "--kv_cache_dtype": "format of the KV cache that was planned ({kv})",
    "-ctk": "format of the KV cache that was planned ({kv})",
    "--quantization": "weights are quantized to {weights} while they load",
    "--dtype": "weights are loaded as {weights}",
    "--speculative-config": "tokens are drafted before each step, as asked",
    "--speculative-algorithm": "tokens are drafted before each step, as asked",
    "--hf-overrides": "the context is stretched by YaRN beyond what the model was trained on",
    "--nnodes": "the pods of the group, and this one's place among them",
    "--dist-init-addr": "the first pod of the group",
    "--master-addr": "the first pod of the group",
    "--headless": "the first pod answers requests",
    "--data-parallel-size-local": "replicas on this machine",
    "--data-parallel-address": "the first pod of the group",
    "--kv-transfer-config": "the cache goes from servers for prompts to those that decode",
    "--disaggregation-mode": "one part of a pair: prompts, or decoding",
    "--disaggregation-transfer-backend": "the cache goes over NIXL",
    "--trust-remote-code": "the checkpoint brings code of its own: read it first",
    "--enforce-eager": "no CUDA graphs, as asked",
    "--host": "reachable from other machines",
    "--server-name": "reachable from other machines",
    "--enable-metrics": "metrics for the autoscaler",
    "--metrics": "metrics for the autoscaler",
    "--served-model-name": "the name that requests give",
    "--alias": "the name that requests give",
}
"""Why a flag has its value, by the flags of the engines' own modules."""


def reason_of(flag: str, d: Deployment) -> str:
    """Return why a flag is there, empty where nothing is on record."""
    s = d.setup
    return FLAGS.get(flag, "").format(
        tp=s.tp, pp=s.pp, dp=s.dp, ep=s.ep, tp_and_dp=s.tp * s.dp, kv=s.kv_format,
        weights=s.weight_format, context=tokens_text(d.request.context_tokens),
    )  # fmt: skip


def flag_lines(words: list[str], d: Deployment) -> list[str]:
    """Return one line for each flag whose reason is on record."""
    found = [(w, reason_of(w, d)) for w in words if w.startswith("-")]
    return [f"  {flag}: {reason}" for flag, reason in found if reason]
