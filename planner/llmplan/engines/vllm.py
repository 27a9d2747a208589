"""vLLM: what it runs where, how it budgets memory, and the command that starts it.

Version by version rules belong here; this module holds those of the newest version.
"""

from __future__ import annotations

from llmplan.engines import sharding, vllm_launch, vllm_support
from llmplan.engines.base import Engine, Overheads, Plan, Request, Stage, solve
from llmplan.engines.vllm_paging import (
    BLOCK_TOKENS,
    CONCURRENT_BATCHES,
    Kind,
    kinds_on_device,
    request_page_bytes,
)
from llmplan.memory.activations import forward_peak_bytes, sampler_peak_bytes
from llmplan.memory.formats import KV_FORMATS, WEIGHT_FORMATS
from llmplan.memory.kv_cache import cached_layers
from llmplan.memory.tensor import rank_units
from llmplan.memory.weights import stage_bytes, stage_layers, weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import GIB, Accelerator
from llmplan.specs.model import Model, MoE
from llmplan.specs.setup import Launch, Parallelism, Term, Warning_

GPU_MEMORY_UTILIZATION = 0.92
"""Default share of the device that vLLM takes. Source: vLLM 0.33.0 config/cache.py (since 0.20)."""

SAMPLER_COPIES = 9.8
"""Live float32 copies of the logits at the sampler's profiling peak.
Source: 9.6-10.3 over CUDA start-up logs, engine memory rules of 2026-11 (calibrated)."""

CUDA_GRAPH_BYTES = 0.35 * GIB
"""CUDA graphs, counted inside the budget since 0.20.
Source: median of the 14 positive NVIDIA figures logged by vLLM 0.7-0.23 (0.06-1.81 GiB)."""

NON_TORCH_BYTES = {1: 0.16 * GIB, 2: 0.54 * GIB, 4: 0.63 * GIB}
"""Memory outside PyTorch by tp: NCCL buffers, workspaces. Wider than 4 takes the last figure.
Source: medians of 16, 5 and 2 start-up logs, public memory measurements of 2026-11."""

BATCH_DEFAULTS = ((160 * GIB, 16384, 1024), (70 * GIB, 8192, 1024), (0, 2048, 256))
"""(device memory from, max_num_batched_tokens, max_num_seqs) of the API server. A100 and GB10
take the last row whatever their size. Source: vLLM 0.33.0 arg_utils.get_batch_defaults."""

GB10_CAPABILITY = "sm_121"

NODE_DEVICES = 8
"""Devices of the largest common node where no wider link is on record (nodes of 2026-11)."""


class Vllm(Engine):
    """vLLM as its OpenAI-compatible server, defaults of the newest version."""

    name = "vllm"
    versions = ("0.33.0",)
    batches_continuously = True
    smaller_kv = "fp8"
    has_tensor_parallel = True

    def native_format(self, model: Model, gpu: Accelerator) -> str:
        """Return the checkpoint's own format; bf16 becomes fp16 where the device has no bf16."""
        native = model.native_format
        if native in ("bf16", "fp32"):
            return "bf16" if vllm_support.has_bf16(gpu) else "fp16"
        return native

    def candidate_formats(self, model: Model, gpu: Accelerator) -> list[str]:
        """Return the native format and those with fewer bits, best quality first."""
        sixteen = "fp16" if model.native_format == "fp16" else "bf16"
        if not vllm_support.has_bf16(gpu):
            sixteen = "fp16"
        native = self.native_format(model, gpu)
        smaller = ["fp8", "int8-w8a8", "awq-int4", "gptq-int4"]
        if (gpu.cuda_capability or 0) >= vllm_support.NATIVE_CAPABILITY["nvfp4"]:
            smaller.insert(2, "nvfp4")
        bits = WEIGHT_FORMATS[native].bits
        if bits >= 16:
            return list(dict.fromkeys([native, sixteen, *smaller]))
        return [native, *(n for n in smaller if WEIGHT_FORMATS[n].bits < bits)]

    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return 16 bits, `auto` being the model's own type; the packed rows of DeepSeek-V4."""
        if vllm_support.is_compressed(model):
            return "fp8_ds_mla"
        return "fp16" if weights.name == "fp16" else "bf16"

    def knows(self, model: Model) -> bool:
        """Return whether vLLM's registry has the architecture."""
        return vllm_support.knows(model)

    def unsupported(self, request: Request) -> str | None:
        """Return why vLLM does not run this model, format or device."""
        return vllm_support.unsupported(request)

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what vLLM cannot divide."""
        return sharding.parallel_error(model, weights, parallel)

    def splits(self, model: Model, weights: WeightFormat, gpus: int) -> list[Parallelism]:
        """Return legal tp x pp x dp."""
        return sharding.legal_splits(model, weights, gpus)

    def plan(self, request: Request) -> Plan:
        """Return vLLM's budget: total x utilisation - weights - profile peak - graphs - rest."""
        request = vllm_launch.with_slots(request)
        limits = request.limits
        batched, seqs = batch_limits(request)
        share = limits.gpu_memory_utilization or GPU_MEMORY_UTILIZATION
        budget = request.device_bytes * share
        overheads = _overheads(request, batched, seqs)
        fixed = limits.kv_cache_memory_bytes

        def pool_of(left: float) -> float:
            return left if fixed is None else float(fixed)

        if fixed is not None:
            budget = float(request.device_bytes)
        return solve(
            request,
            _stages(request, batched),
            overheads,
            budget=budget,
            pool_of=pool_of,
            sequences=seqs,
            terms=_terms(request, overheads, batched, seqs, share),
            warnings=_warnings(request),
        )

    def launch(self, request: Request, plan: Plan) -> tuple[Launch, tuple[Warning_, ...]]:
        """Return the `vllm serve` line."""
        seqs = batch_limits(request)[1]
        default = _default_batch(request)[1]
        return vllm_launch.launch(request, max_num_seqs=None if seqs == default else seqs)


def batch_limits(request: Request) -> tuple[int, int]:
    """Return max_num_batched_tokens and max_num_seqs of one replica.

    The user's, else the version's defaults; the asked concurrency widens the latter.
    """
    tokens, seqs = _default_batch(request)
    asked = -(-(request.workload.concurrency or 1) // request.parallel.dp)
    limits = request.limits
    seqs = limits.max_num_seqs or max(seqs, asked)
    return limits.max_num_batched_tokens or max(tokens, seqs), seqs


def _default_batch(request: Request) -> tuple[int, int]:
    gpu, memory = request.gpu, request.device_bytes
    small = "a100" in gpu.name.lower() or gpu.compute_capability == GB10_CAPABILITY
    return next((t, s) for m, t, s in BATCH_DEFAULTS if m == 0 or (memory >= m and not small))


def _overheads(request: Request, batched: int, seqs: int) -> Overheads:
    model, tp = request.model, request.parallel.tp
    width = max((_ffn_width(b.mlp, tp) for b in model.main.blocks.values()), default=0)
    forward = forward_peak_bytes(
        tokens=batched, hidden_size=model.main.hidden_size, ffn_width=width, element_bytes=2
    )
    sampler = 0.0
    if model.head:
        sampler = sampler_peak_bytes(
            sequences=seqs, vocab_size=model.vocab_size, copies=SAMPLER_COPIES
        )
    runtime = NON_TORCH_BYTES[max(n for n in NON_TORCH_BYTES if n <= tp)]
    return Overheads(max(forward, sampler), CUDA_GRAPH_BYTES, runtime)


def _ffn_width(mlp: object, tp: int) -> int:
    if isinstance(mlp, MoE):
        routed = mlp.intermediate_size * mlp.experts_per_token
        return rank_units(units=routed + mlp.shared_experts_size, tp=tp)
    return rank_units(units=getattr(mlp, "intermediate_size", 0), tp=tp)


def _stages(request: Request, batched: int) -> list[Stage]:
    model, p = request.model, request.parallel
    weights = weight_bytes(model, request.weights, tp=p.tp, dp=p.dp, ep=p.ep, pad_vocab=True)
    groups = cached_layers(model)
    kv = request.kv
    # For sparse latent attention vLLM reads fp8 as its own layout: flashmla_sparse.py
    if kv.name == "fp8" and vllm_support.is_sparse_latent(model):
        kv = KV_FORMATS["fp8_ds_mla"]
    block = request.limits.block_size or BLOCK_TOKENS
    prompt = request.workload.input_tokens
    stages, start = [], 0
    counts = stage_layers(len(model.main.layers), p.pp)
    for size, count in zip(stage_bytes(weights, p.pp), counts, strict=True):
        kinds = kinds_on_device(
            groups, kv, tp=p.tp, block_tokens=block, layers=range(start, start + count)
        )
        in_flight = batched * (p.pp + CONCURRENT_BATCHES - 1)

        def one(tokens: int, kinds: list[Kind] = kinds, in_flight: int = in_flight) -> float:
            return request_page_bytes(
                kinds, tokens=tokens, in_flight=in_flight, encoder_tokens=prompt or tokens
            )

        stages.append(Stage(size, one))
        start += count
    return stages


def _terms(
    request: Request, overheads: Overheads, batched: int, seqs: int, share: float
) -> tuple[Term, ...]:
    observed = "exact" if request.gpu.usable_memory_observed else "assumed"
    measured = "calibrated" if request.gpu.vendor == "nvidia" else "transferred"
    budget = ("usable memory", request.device_bytes)
    if request.limits.kv_cache_memory_bytes is None:
        budget = (f"usable memory x {share}", round(request.device_bytes * share))
    return (
        Term("budget", budget[1], budget[0], observed, "vLLM 0.33.0 config/cache.py"),
        Term(
            "activation peak", overheads.activation_peak,
            f"max(sampler: {SAMPLER_COPIES} x {seqs} x vocabulary x 4 B, "
            f"forward: {batched} tokens x (3 ffn + 3 hidden) x 2 B)",
            measured, "vLLM start-up logs, engine memory rules of 2026-11",
        ),
        Term(
            "CUDA graphs", overheads.cuda_graph, "median of logged sizes", measured,
            "14 NVIDIA start-up logs, vLLM 0.7-0.23",
        ),
        Term(
            "runtime", overheads.runtime, f"memory outside PyTorch at tp {request.parallel.tp}",
            measured if request.parallel.tp <= 4 else "assumed",
            "medians of 16, 5 and 2 start-up logs for tp 1, 2, 4",
        ),
    )  # fmt: skip


def _warnings(request: Request) -> tuple[Warning_, ...]:
    found = []
    p, gpu = request.parallel, request.gpu
    node = max(gpu.scale_up_devices, NODE_DEVICES)
    if p.gpus > node:
        message = (
            f"{p.gpus} devices are more than a node of {node}: "
            "start vLLM on Ray or with --nnodes, this line alone is not enough."
        )
        found.append(Warning_("several_nodes", message))
    without_arithmetic = vllm_support.weights_warning(request)
    return tuple([*found, without_arithmetic] if without_arithmetic else found)


ENGINE = Vllm()
