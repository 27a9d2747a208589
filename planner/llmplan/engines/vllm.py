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
    vllm_profile,
    vllm_support,
    vllm_versions,
)
from llmplan.engines.base import (
    CONTEXT_BYTES,
    Engine,
    Plan,
    Request,
)
from llmplan.engines.drafting import draft_terms
from llmplan.engines.solving import longest_context, solve
from llmplan.engines.starting import Start
from llmplan.engines.vllm_batch import batch_limits, default_batch
from llmplan.engines.vllm_measured import FITTED_ON
from llmplan.engines.vllm_stages import pools_of, stages_of
from llmplan.engines.vllm_versions import policy_of
from llmplan.errors import InputError
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism, Warning_

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
        parts = vllm_profile.overheads(request, policy, batched, seqs)
        fixed = limits.kv_cache_memory_bytes

        def pool_of(left: float) -> float:
            return left if fixed is None else float(fixed)

        if fixed is not None:
            budget = float(request.device_bytes)
        plan = solve(
            request,
            stages_of(request, batched),
            parts,
            budget=budget,
            pool_of=pool_of,
            sequences=seqs,
            terms=lambda: (
                *vllm_profile.terms(request, policy, parts, share, (batched, seqs)),
                *draft_terms(request),
            ),
            warnings=_warnings(request),
        )
        if vllm_images.grows(request) and vllm_profile.encodes(request, policy):
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
        figures["weights"] += vllm_profile.loading_bytes(request)
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
    if vllm_profile.encodes(request, policy_of(request.version)):
        found.append(vllm_images.warning(request, *batch_limits(request)))
    without_arithmetic = vllm_support.weights_warning(request)
    return tuple([*found, without_arithmetic] if without_arithmetic else found)


ENGINE = Vllm()
