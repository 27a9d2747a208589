"""TensorRT-LLM with its PyTorch back end: what it runs where, its pool, its command.

Pool = free_gpu_memory_fraction x what is free after weights and a profiled forward pass; CUDA
graphs come out of the rest. No public start-up log states its inputs, so all but the layout
of weights and cache is assumed. Sources: NVIDIA/TensorRT-LLM commands/serve.py,
_torch/pyexecutor/_util.py, llmapi/llm_args.py (KvCacheConfig), read 2026-11-21.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from llmplan.engines import sharding
from llmplan.engines.base import Overheads, Plan, Request, Stage
from llmplan.engines.paged import (
    Kept,
    PagedEngine,
    capability_error,
    checkpoint_error,
    checkpoint_of,
    forward_bytes,
    kept_on,
    layout_of,
    node_warning,
    policy_of,
    pool_figures,
    start_bytes,
)
from llmplan.engines.solving import solve
from llmplan.engines.starting import Start, start_of
from llmplan.engines.tensorrt_llm_architectures import ARCHITECTURES
from llmplan.memory.weights import stage_bytes, stage_layers, weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism, Term


class Policy(NamedTuple):
    """Defaults of one release: share of free memory, tokens of a block and of a batch."""

    since: str
    share: float
    block_tokens: int
    batch_tokens: int
    batch: int
    source: str


POLICIES = (
    Policy("0.12.0", 0.9, 64, 8192, 2048, "plugin.py (tokens_per_block 64), KvCacheConfig"),
    Policy("1.0.0", 0.9, 32, 8192, 2048, "llm_args.py KvCacheConfig, BuildConfig, serve.py"),
    Policy("1.3.0rc27", 0.9, 32, 8192, 2048, "docs of 1.3.0rc27, KvCacheConfig"),
)
"""The share has been 0.9 of what is free after the load in every release that was read."""

MIN_CAPABILITY = {
    "bf16": 8.0, "fp16": 8.0, "awq": 8.0, "gptq": 8.0, "fp8": 8.9, "mxfp4": 9.0, "nvfp4": 10.0,
}  # fmt: skip
ENDS_AT = {"awq": 10.0, "gptq": 10.0}
"""Hardware by format, from the first and before the second table's capability. Source:
docs/source/features/quantization.md; MXFP4 on Hopper by the gpt-oss deployment guide."""

BLOCK_FP8 = (9.0, 12.0)
"""FP8 by 128 x 128 blocks: from the first capability, before the second (same table)."""

KV_CAPABILITY = {"bf16": 8.0, "fp16": 8.0, "fp8": 8.0, "nvfp4": 10.0, "fp8_ds_mla": 9.0}
"""Lowest CUDA capability by KV format (the same table; KvCacheConfig.dtype)."""

STATE_BYTES = 2
"""Bytes of a state element that the model does not fix (mamba_ssm_cache_dtype auto)."""

NO_OPTION = ("kv_cache_memory_bytes", "block_size", "enforce_eager")
"""Limits that trtllm-serve takes in a --config file alone, not as an option of the line."""


class TensorRtLlm(PagedEngine):
    """TensorRT-LLM as `trtllm-serve`, PyTorch back end."""

    name = "tensorrt-llm"
    versions = tuple(row.since for row in POLICIES)
    formats = ("fp8", "nvfp4", "awq-int4", "gptq-int4")
    architectures = ARCHITECTURES
    plan_reads_load = False

    def unsupported(self, request: Request) -> str | None:
        """Return why TensorRT-LLM does not run this model, format or device."""
        if request.gpu.vendor != "nvidia":
            return f"TensorRT-LLM runs on NVIDIA devices alone, not on {request.gpu.id}."
        return (
            checkpoint_error(self, request)
            or capability_error(self, request, MIN_CAPABILITY, KV_CAPABILITY, ENDS_AT)
            or _block_error(request)
            or _limits_error(request)
        )

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what TensorRT-LLM cannot divide; dp is attention beside shared experts."""
        if parallel.dp > 1 and not (model.is_moe and parallel.tp == 1):
            return "dp is attention data parallelism here: experts and tp 1 are needed for it"
        return sharding.parallel_error(model, weights, parallel)

    def plan(self, request: Request) -> Plan:
        """Return the pool: a share of what weights and one forward pass leave free."""
        rules = policy_of(POLICIES, request.version)
        share = request.limits.gpu_memory_utilization or rules.share
        fixed = request.limits.kv_cache_memory_bytes
        batch = request.limits.max_num_batched_tokens or rules.batch_tokens
        ranks = request.parallel.tp * request.parallel.dp
        overheads = Overheads(
            forward_bytes(request.model, tokens=batch, tp=request.parallel.tp),
            0.0,
            start_bytes(request.gpu, ranks),
        )

        def pool_of(left: float) -> float:
            return left * share if fixed is None else float(fixed)

        block = request.limits.block_size or rules.block_tokens
        return solve(
            request,
            [_stage(size, kept, block) for size, kept in _by_stage(request)],
            overheads,
            budget=request.device_bytes,
            pool_of=pool_of,
            sequences=request.limits.max_num_seqs or rules.batch,
            terms=lambda: _terms(request, overheads, rules, share, batch),
            warnings=node_warning(request, "start trtllm-serve under mpirun or srun"),
        )

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return weights and pool ("Allocated ... for max tokens in paged KV cache").

        Hybrids keep states in the same pool; what is printed for them is not known.
        """
        rules = policy_of(POLICIES, request.version)
        share = request.limits.gpu_memory_utilization or rules.share
        fixed = request.limits.kv_cache_memory_bytes
        pools = []
        for size, kept in _by_stage(request):
            left = plan.memory.budget_bytes - size - plan.overheads.total
            pool = max(0.0, left) * share if fixed is None else float(fixed)
            pools.append((pool, 0.0 if kept.state else kept.token))
        block = request.limits.block_size or rules.block_tokens
        return pool_figures(request, plan, pools, block)

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `trtllm-serve`."""
        checkpoint = checkpoint_of(request, ())
        p, limits = request.parallel, request.limits
        words = ["trtllm-serve", checkpoint.target, "--backend", "pytorch"]
        for flag, value, default in (
            ("--tp_size", p.tp * p.dp, 1),
            ("--pp_size", p.pp, 1),
            ("--ep_size", p.ep, 1),
            ("--max_seq_len", request.context_tokens, None),
            ("--max_batch_size", limits.max_num_seqs, None),
            ("--max_num_tokens", limits.max_num_batched_tokens, None),
            ("--kv_cache_free_gpu_memory_fraction", limits.gpu_memory_utilization, None),
        ):
            if value is not None and value != default:
                words += [flag, str(value)]
        if p.dp > 1:
            words.append("--enable_attention_dp")
        if request.kv.name in ("fp8", "nvfp4"):
            words += ["--kv_cache_dtype", request.kv.name]
        if request.model.trust_remote_code:
            words.append("--trust_remote_code")
        return start_of(words, checkpoint.target, checkpoint.urls, checkpoint.warnings)


def _block_error(request: Request) -> str | None:
    capability = request.gpu.cuda_capability
    if request.weights.name != "fp8-block" or capability is None:
        return None
    low, end = BLOCK_FP8
    if low <= capability < end:
        return None
    return (
        f"TensorRT-LLM has fp8-block kernels from compute capability {low} to below {end}, "
        f"{request.gpu.id} has {capability}."
    )


def _limits_error(request: Request) -> str | None:
    given = [n for n in NO_OPTION if getattr(request.limits, n)]
    if given:
        return f"trtllm-serve has no option for {', '.join(given)}: it reads them from --config."
    if request.extension_factor > 1:
        return (
            f"trtllm-serve does not stretch {request.model.id} beyond its "
            f"{request.model.context_tokens:,} tokens."
        )
    return None


def _by_stage(request: Request) -> list[tuple[float, Kept]]:
    """Return weights and cache of each pipeline stage; windows pay full length."""
    model, p = request.model, request.parallel
    weights = weight_bytes(model, request.weights, tp=p.tp, dp=p.dp, ep=p.ep, pad_vocab=True)
    kv, start, found = layout_of(request), 0, []
    counts = stage_layers(len(model.main.layers), p.pp)
    for size, count in zip(stage_bytes(weights, p.pp), counts, strict=True):
        layers = range(start, start + count)
        found.append((size, kept_on(request, kv, layers, state_bytes=STATE_BYTES)))
        start += count
    return found


def _stage(size: float, kept: Kept, block: int) -> Stage:
    def one(tokens: int) -> float:
        return ceil(tokens / block) * block * kept.token + kept.state

    return Stage(size, one)


def _terms(
    request: Request, overheads: Overheads, rules: Policy, share: float, batch: int
) -> tuple[Term, ...]:
    observed = "exact" if request.gpu.usable_memory_observed else "assumed"
    return (
        Term("budget", request.device_bytes, "usable memory", observed, "hardware catalogue"),
        Term(
            "activation peak", overheads.activation_peak,
            f"forward: {batch} tokens x (3 ffn + 3 hidden) x 2 B", "assumed",
            "slope of vLLM logs, see memory/activations.py",
        ),
        Term(
            "runtime", overheads.runtime,
            f"CUDA context and NCCL; {share} of the rest is KV pool", "assumed", rules.source,
        ),
    )  # fmt: skip


ENGINE = TensorRtLlm()
