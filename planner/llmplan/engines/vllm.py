"""vLLM: what it runs where, how it budgets memory, and the command that starts it.

Version by version rules belong here; this module holds those of the newest version.
"""

from __future__ import annotations

from llmplan.engines import sharding
from llmplan.engines.base import Engine, Overheads, Plan, Request, Stage, solve, word
from llmplan.engines.vllm_architectures import ARCHITECTURES, LAST_VERSION
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
from llmplan.specs.mixers import LatentAttention
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

MIN_CAPABILITY = {
    "awq": 7.5, "gptq": 7.5, "fp8": 7.5, "int8": 7.5, "compressed": 7.5, "nvfp4": 10.0,
    "mxfp4": 8.0, "mxfp8": 8.0, "bf16": 8.0, "fp16": 7.5, "fp32": 7.5,
}  # fmt: skip
"""Lowest CUDA capability by format; NVFP4 only where it is native.
Source: vLLM 0.33.0 quantization modules and wheel, engine notes of 2026-11."""

INT8_BELOW_CAPABILITY = 10.0
"""W8A8 int8 kernels run from Turing to Hopper. Source: docs.vllm.ai/quantization, 2026-11."""

NATIVE_FP8_CAPABILITY = 8.9
"""Below it FP8 weights run through Marlin with 16-bit arithmetic. Source: vLLM 0.33.0 fp8.py."""

AMD_CAPABILITIES = ("gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1200", "gfx1201")
"""AMD targets of vLLM's ROCm build. Source: vLLM docs, installation on ROCm, read 2026-11."""

PORT = 8000


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
            has_bf16 = gpu.cuda_capability is None or gpu.cuda_capability >= MIN_CAPABILITY["bf16"]
            return "bf16" if has_bf16 else "fp16"
        return native

    def candidate_formats(self, model: Model, gpu: Accelerator) -> list[str]:
        """Return the native format and those with fewer bits, best quality first."""
        sixteen = "fp16" if model.native_format == "fp16" else "bf16"
        if gpu.cuda_capability is not None and gpu.cuda_capability < MIN_CAPABILITY["bf16"]:
            sixteen = "fp16"
        native = self.native_format(model, gpu)
        smaller = ["fp8", "int8-w8a8", "nvfp4", "awq-int4", "gptq-int4"]
        bits = WEIGHT_FORMATS[native].bits
        if bits >= 16:
            return list(dict.fromkeys([native, sixteen, *smaller]))
        return [native, *(n for n in smaller if WEIGHT_FORMATS[n].bits < bits)]

    def default_kv(self, weights: WeightFormat) -> str:
        """Return 16 bits: `auto` is the model's own type."""
        return "fp16" if weights.name == "fp16" else "bf16"

    def knows(self, model: Model) -> bool:
        """Return whether vLLM's registry has the architecture."""
        return model.architecture in ARCHITECTURES

    def unsupported(self, request: Request) -> str | None:
        """Return why vLLM does not run this model, format or device."""
        model, gpu = request.model, request.gpu
        if not self.knows(model):
            last = LAST_VERSION.get(model.architecture)
            if last:
                return f"vLLM dropped {model.architecture} after {last}."
            return f"vLLM {request.version} does not know {model.architecture}."
        return (
            _device_error(gpu, request.version)
            or _format_error(request)
            or sharding.format_error(model, request.weights)
        )

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what vLLM cannot divide."""
        return sharding.parallel_error(model, weights, parallel)

    def splits(self, model: Model, weights: WeightFormat, gpus: int) -> list[Parallelism]:
        """Return legal tp x pp x dp."""
        return sharding.legal_splits(model, weights, gpus)

    def plan(self, request: Request) -> Plan:
        """Return vLLM's budget: total x utilisation - weights - profile peak - graphs - rest."""
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
        target, extra, urls, warnings = _checkpoint(request)
        stretch = _context_extension(request)
        if stretch is None:
            message = (
                f"vLLM would refuse more than the {request.model.context_tokens:,} trained tokens."
            )
            return Launch(None, urls), (*warnings, Warning_("context_refused", message))
        p, limits = request.parallel, request.limits
        words = ["vllm", "serve", word(target), *extra]
        for flag, value, default in (
            ("--tensor-parallel-size", p.tp, 1),
            ("--pipeline-parallel-size", p.pp, 1),
            ("--data-parallel-size", p.dp, 1),
            ("--max-model-len", request.context_tokens if request.model.decoder else None, None),
            ("--gpu-memory-utilization", limits.gpu_memory_utilization, None),
            ("--max-num-seqs", limits.max_num_seqs, None),
            ("--max-num-batched-tokens", limits.max_num_batched_tokens, None),
            ("--block-size", limits.block_size, None),
            ("--kv-cache-memory-bytes", limits.kv_cache_memory_bytes, None),
        ):
            if value is not None and value != default:
                words += [flag, str(value)]
        words += stretch
        if p.ep > 1:
            words.append("--enable-expert-parallel")
        if request.kv.name not in ("bf16", "fp16"):
            words += ["--kv-cache-dtype", KV_FLAGS.get(request.kv.name, request.kv.name)]
        if request.weights.name == "fp16":
            words += ["--dtype", "half"]
        return Launch(" ".join(words), urls), warnings


KV_FLAGS = {"int8": "int8_per_token_head"}
"""Value of --kv-cache-dtype where it differs from the format's name (vLLM 0.33.0)."""

KV_KNOWN = ("bf16", "fp16", "fp8", "int8", "nvfp4", "fp8_ds_mla")


def batch_limits(request: Request) -> tuple[int, int]:
    """Return max_num_batched_tokens and max_num_seqs: the user's, or the version's defaults."""
    gpu, memory = request.gpu, request.device_bytes
    small = "a100" in gpu.name.lower() or gpu.compute_capability == GB10_CAPABILITY
    tokens, seqs = next(
        (t, s) for m, t, s in BATCH_DEFAULTS if m == 0 or (memory >= m and not small)
    )
    limits = request.limits
    return limits.max_num_batched_tokens or tokens, limits.max_num_seqs or seqs


def _family(name: str) -> str:
    return name.partition("-")[0]


def _device_error(gpu: Accelerator, version: str) -> str | None:
    capability = gpu.cuda_capability
    if capability is not None:
        if capability >= MIN_CAPABILITY["fp16"]:
            return None
        return (
            f"vLLM {version} has no kernels for compute capability {capability} "
            f"of {gpu.id}: it starts at {MIN_CAPABILITY['fp16']}."
        )
    if gpu.vendor == "amd" and gpu.compute_capability in AMD_CAPABILITIES:
        return None
    if gpu.vendor == "intel" and gpu.architecture and "xe" in gpu.architecture.lower():
        return None
    return f"vLLM {version} has no stock build for {gpu.id}."


def _format_error(request: Request) -> str | None:
    fmt, gpu, capability = request.weights, request.gpu, request.gpu.cuda_capability
    family = _family(fmt.name)
    if family not in MIN_CAPABILITY:
        return f"vLLM {request.version} does not load {fmt.name} weights."
    if family == "mxfp4" and not request.model.is_moe:
        return "MXFP4 quantizes experts only, and this model has none."
    if capability is not None and capability < MIN_CAPABILITY[family]:
        needed = MIN_CAPABILITY[family]
        return f"{fmt.name} needs compute capability {needed}, {gpu.id} has {capability}."
    if family == "int8" and capability is not None and capability >= INT8_BELOW_CAPABILITY:
        return f"vLLM's int8 kernels end before compute capability {INT8_BELOW_CAPABILITY}."
    if gpu.vendor != "nvidia" and family == "nvfp4":
        return f"{gpu.id} has no NVFP4 arithmetic."
    if request.kv.name not in KV_KNOWN:
        return f"vLLM has no {request.kv.name} KV cache."
    if request.kv.name == "fp8" and capability is not None and capability < NATIVE_FP8_CAPABILITY:
        return f"An fp8 KV cache needs compute capability {NATIVE_FP8_CAPABILITY}."
    if request.kv.name == "fp8_ds_mla" and not _is_sparse_latent(request.model):
        return "The fp8_ds_mla cache is for sparse latent attention (DeepSeek-V3.2, GLM-5)."
    if (request.limits.block_size or BLOCK_TOKENS) % BLOCK_TOKENS:
        return f"vLLM's attention kernels take blocks of a multiple of {BLOCK_TOKENS} tokens."
    return None


def _is_sparse_latent(model: Model) -> bool:
    mixers = (m for b in model.main.blocks.values() for m in b.mixers)
    return any(isinstance(m, LatentAttention) and m.indexer_heads for m in mixers)


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
    if kv.name == "fp8" and _is_sparse_latent(model):  # an alias there: flashmla_sparse.py
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


def _context_extension(request: Request) -> list[str] | None:
    """Return the override that stretches RoPE with YaRN, or None where nothing would start.

    Source: vLLM 0.33.0 docs/features/context_extension.md.
    """
    model, factor = request.model, request.extension_factor
    if factor == 1 or model.decoder is None:
        return [] if factor == 1 else None
    if model.learned_positions or model.rope_theta is None:
        return None
    rope = (
        f'{{"rope_parameters": {{"rope_type": "yarn", "factor": {factor}.0, '
        f'"original_max_position_embeddings": {model.context_tokens}, '
        f'"rope_theta": {model.rope_theta}}}}}'
    )
    return ["--hf-overrides", word(rope)]


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
    if p.tp > gpu.scale_up_devices and p.tp > 1 and gpu.scale_up_devices > 1:
        found.append(
            Warning_(
                "tp_across_nodes",
                f"tp {p.tp} is wider than the {gpu.scale_up_devices} devices with fast links.",
            )
        )
    capability = gpu.cuda_capability
    if (
        request.weights.name.startswith("fp8")
        and capability is not None
        and capability < NATIVE_FP8_CAPABILITY
    ):
        found.append(
            Warning_(
                "fp8_weight_only", f"{gpu.id} has no FP8 arithmetic: weights only, via Marlin."
            )
        )
    return tuple(found)


def _checkpoint(
    request: Request,
) -> tuple[str, list[str], tuple[str, ...], tuple[Warning_, ...]]:
    model, fmt = request.model, request.weights
    base = model.hub_id or f"./{model.id}"
    if fmt.name in (model.native_format, "bf16", "fp16", "fp32"):
        urls = (f"https://huggingface.co/{model.hub_id}",) if model.hub_id else ()
        return base, [], urls, ()
    published = next((a for a in model.artifacts if a.format == fmt.name), None)
    if published:
        return published.hub_id, [], (f"https://huggingface.co/{published.hub_id}",), ()
    if fmt.name == "fp8" and model.native_format in ("bf16", "fp16"):
        urls = (f"https://huggingface.co/{model.hub_id}",) if model.hub_id else ()
        return base, ["--quantization", "fp8"], urls, ()
    local = f"./{model.id}-{fmt.name}"
    message = f"No published {fmt.name} checkpoint on record: make one in {local} (llm-compressor)."
    return local, [], (), (Warning_("no_published_artifact", message),)


ENGINE = Vllm()
