"""vLLM: what it runs where, how it budgets memory, and the command that starts it.

What differs by version is in vllm_versions.py; this module holds the equation that all share.
"""

from __future__ import annotations

from dataclasses import replace

from llmplan.engines import (
    parting,
    sharding,
    vllm_images,
    vllm_launch,
    vllm_printed,
    vllm_support,
    vllm_versions,
)
from llmplan.engines.base import (
    CONTEXT_BYTES,
    Engine,
    Overheads,
    Plan,
    Request,
)
from llmplan.engines.drafting import draft_terms
from llmplan.engines.solving import longest_context, solve
from llmplan.engines.starting import Start
from llmplan.engines.vllm_batch import batch_limits, default_batch
from llmplan.engines.vllm_measured import (
    CUDA_GRAPH_BYTES,
    FITTED_ON,
    KEPT_BYTES,
    NON_TORCH_BYTES,
    ROCM_LOADING_BYTES,
    SAMPLER_COPIES,
)
from llmplan.engines.vllm_stages import pools_of, stages_of
from llmplan.engines.vllm_versions import Policy, policy_of
from llmplan.errors import InputError
from llmplan.memory.activations import (
    all_reduce_inputs_bytes,
    forward_peak_bytes,
    sampler_peak_bytes,
)
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.tensor import rank_units
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model, MoE
from llmplan.specs.setup import Parallelism, Term, Warning_

NODE_DEVICES = 8
"""Devices of the largest common node where no wider link is on record (nodes of 2026-11)."""


class Vllm(Engine):
    """vLLM as its OpenAI-compatible server; policies by version, the newest is the default."""

    name = "vllm"
    versions = tuple(version for version, _ in vllm_versions.releases())
    batches_continuously = True
    smaller_kv = "fp8"
    has_tensor_parallel = True
    plans_drafts = True
    parts_since = parting.NIXL_SINCE
    pair_error = staticmethod(parting.nixl_connector_error)
    fitted_on = FITTED_ON

    def check_version(self, version: str | None) -> str:
        """Return the version to plan for: any build between the oldest and the newest known."""
        if version is None:
            return self.default_version
        wanted = vllm_versions.number(version)
        first, last = self.versions[0], self.default_version
        if not vllm_versions.number(first) <= wanted <= vllm_versions.number(last):
            raise InputError(
                f"{version[:40]!r} is not a version of vllm that llmplan knows.",
                f"Known: {first} to {last}.",
            )
        return version.strip()

    def is_at_least(self, version: str, since: str) -> bool:
        """Return whether a version, builds on the way to one included, is `since` or newer."""
        return vllm_versions.at_least(version, since)

    def version_on(self, date: str) -> str:
        """Return the newest release on a day (YYYY-MM-DD)."""
        return vllm_versions.version_on(date)

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
        return self._settled(vllm_launch.with_slots(request))[1]

    def highest_utilization(self, request: Request) -> float | None:
        """Return the share, in hundredths, that is free when the server starts.

        Source: request_memory of v1/worker/utils.py, 0.33.0, refuses to start on less.
        """
        total = request.device_bytes
        return int(100 * (total - CONTEXT_BYTES) / total) / 100

    def _settled(self, request: Request) -> tuple[Request, Plan]:
        """Return the request with the sequences that it runs with, and its plan.

        Beyond the default the asked concurrency widens max_num_seqs, where the pool holds more
        requests than the default and than the wider profile run takes away; else they queue.
        """
        plan = self._plan(request)
        asked = -(-(request.workload.concurrency or 1) // request.parallel.dp)
        default = plan.max_num_seqs
        if request.limits.max_num_seqs or not asked > default <= plan.kv_cache.max_concurrency:
            return request, plan
        wider = replace(request, limits=request.limits._replace(max_num_seqs=asked))
        widened = self._plan(wider)
        gains = widened.fits and widened.kv_cache.max_concurrency > default
        return (wider, widened) if gains else (request, plan)

    def _plan(self, request: Request) -> Plan:
        policy = policy_of(request.version)
        limits = request.limits
        batched, seqs = batch_limits(request)
        share = limits.gpu_memory_utilization or policy.utilization
        budget = request.device_bytes * share
        overheads = _overheads(request, policy, batched, seqs)
        fixed = limits.kv_cache_memory_bytes

        def pool_of(left: float) -> float:
            return left if fixed is None else float(fixed)

        if fixed is not None:
            budget = float(request.device_bytes)
        plan = solve(
            request,
            stages_of(request, batched),
            overheads,
            budget=budget,
            pool_of=pool_of,
            sequences=seqs,
            terms=lambda: (*_terms(request, policy, overheads, share), *draft_terms(request)),
            warnings=_warnings(request),
        )
        if vllm_images.grows(request) and _encodes(request, policy):
            return plan._replace(longest=lambda: self._longest(request))
        return plan

    def _longest(self, request: Request) -> int:
        """Return the longest context that fits where longer ones are profiled with more images."""

        def fits(tokens: int) -> bool:
            workload = replace(request.workload, context_tokens=tokens)
            return self._plan(replace(request, workload=workload)).fits

        return longest_context(request, fits)

    def same_plan_up_to(self, request: Request) -> int | None:
        """Return the requests that max_num_seqs is not widened for, over all replicas."""
        given = request.limits.max_num_seqs
        return None if given else batch_limits(request)[1] * request.parallel.dp

    def chunk_tokens(self, request: Request) -> float | None:
        """Return max_num_batched_tokens of the version and device."""
        return float(batch_limits(request)[0])

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return what this version prints at start-up for the request, per device."""
        request = self._settled(vllm_launch.with_slots(request))[0]
        batched = batch_limits(request)[0]
        pools = pools_of(request, batched)
        context = request.context_tokens
        # The stage that decided the plan is the one whose request takes what the plan says.
        decided = min(pools, key=lambda p: abs(p.request_bytes(context) - plan.request_bytes))
        figures = vllm_printed.printed(plan, decided, context)
        figures["weights"] += _loading_bytes(request)
        return figures

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `vllm serve`."""
        request = self._settled(request)[0]
        tokens, seqs = batch_limits(request)
        if request.limits.offline_batch:
            limits = request.limits._replace(max_num_batched_tokens=tokens)
            request = replace(request, limits=limits)
        default = default_batch(request)[1]
        return vllm_launch.start(request, max_num_seqs=None if seqs == default else seqs)


def _overheads(request: Request, policy: Policy, batched: int, seqs: int) -> Overheads:
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
    held = KEPT_BYTES if policy.counts_kept else 0.0
    if policy.counts_reduced and tp > 1:
        held += all_reduce_inputs_bytes(
            layers=len(model.main.layers), tokens=batched, hidden_size=model.main.hidden_size
        )
    graphs = CUDA_GRAPH_BYTES if policy.counts_graphs and _captures(request) else 0.0
    runtime = 0.0
    if policy.counts_runtime:
        runtime = NON_TORCH_BYTES[max(n for n in NON_TORCH_BYTES if n <= tp)]
        runtime += _loading_bytes(request)
    encoder = kept = 0.0
    if _encodes(request, policy):
        encoder, kept = vllm_images.encoder_bytes(request, batched)
    return Overheads(max(max(forward, sampler) + kept, encoder) + held, graphs, runtime)


def _loading_bytes(request: Request) -> float:
    return ROCM_LOADING_BYTES if request.gpu.vendor == "amd" else 0.0


def _captures(request: Request) -> bool:
    """Return whether the profile run measures graphs: not on ROCm or XPU, nor when eager."""
    return request.gpu.vendor == "nvidia" and not request.limits.enforce_eager


def _ffn_width(mlp: object, tp: int) -> int:
    if isinstance(mlp, MoE):
        routed = mlp.intermediate_size * mlp.experts_per_token
        return rank_units(units=routed + mlp.shared_experts_size, tp=tp)
    return rank_units(units=getattr(mlp, "intermediate_size", 0), tp=tp)


def _terms(
    request: Request, policy: Policy, overheads: Overheads, share: float
) -> tuple[Term, ...]:
    batched, seqs = batch_limits(request)
    observed = "exact" if request.gpu.usable_memory_observed else "assumed"
    measured = "calibrated" if request.gpu.vendor == "nvidia" else "transferred"
    encodes = _encodes(request, policy)
    budget = ("usable memory", request.device_bytes)
    if request.limits.kv_cache_memory_bytes is None:
        budget = (f"usable memory x {share}", round(request.device_bytes * share))
    graphs = ("median of logged sizes", measured, "12 NVIDIA start-up logs, vLLM 0.7-0.12")
    if not policy.counts_graphs:
        source = "envs.py VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, off before 0.20.0"
        graphs = ("captured beside the budget before 0.20: not counted", "exact", source)
    elif not _captures(request):
        graphs = (
            "not profiled: eager, or no NVIDIA device",
            "exact",
            "engine memory rules of 2026-11: skipped on ROCm and XPU",
        )
    tp = request.parallel.tp
    return (
        Term("budget", budget[1], budget[0], observed,
             f"vLLM {request.version}, rules since {policy.since}: {policy.source}"),
        Term(
            "activation peak", overheads.activation_peak,
            f"max(sampler: {SAMPLER_COPIES} x {seqs} x vocabulary x 4 B, "
            f"forward: {batched} tokens x (3 ffn + 3 hidden) x 2 B)"
            + (vllm_images.in_words(request, batched) if encodes else ""),
            "assumed" if encodes else measured,
            "vLLM start-up logs, engine memory rules of 2026-11",
        ),
        Term(
            "CUDA graphs", overheads.cuda_graph, *graphs,
        ),
        Term(
            "runtime", overheads.runtime, f"memory outside PyTorch at tp {tp}",
            measured if tp <= max(NON_TORCH_BYTES) else "assumed",
            "medians of 16, 5 and 2 start-up logs for tp 1, 2, 4",
        ),
    )  # fmt: skip


def _encodes(request: Request, policy: Policy) -> bool:
    """Return whether the profile run encodes the largest image: the second engine's does."""
    return request.model.vision is not None and bool(policy.tiers)


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
    newest = ENGINE.default_version
    if not vllm_versions.at_least(request.version, newest):
        message = f"Which models and formats vLLM {request.version} runs is read off {newest}."
        found.append(Warning_("older_version", message))
    if _encodes(request, policy_of(request.version)):
        found.append(vllm_images.warning(request, batch_limits(request)[0]))
    without_arithmetic = vllm_support.weights_warning(request)
    return tuple([*found, without_arithmetic] if without_arithmetic else found)


ENGINE = Vllm()
