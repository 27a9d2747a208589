"""SGLang: what it runs where, how it sizes its pools, and the command that starts it.

Pool = free after weights - free before them x (1 - mem_fraction_static); what that share leaves
is for activations and CUDA graphs, unmeasured. The share by version stands in `sglang_versions`.
Source of the pools: SGLang 0.5.23 kv_cache_configurator.py, pool_configurator.py; 0.4.10.post2 and
0.5.3.post3 model_runner.py. Its logs gave the NCCL buffers alone (paged.LINKED_RANK_BYTES).
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from llmplan.engines import parting, sharding
from llmplan.engines.base import Overheads, Plan, Request, Stage, extension_error
from llmplan.engines.drafting import Drafter, draft_terms, drafter_error, drafter_of, method_of
from llmplan.engines.paged import (
    LINKED_RANKS_FITTED_ON,
    PagedEngine,
    capability_error,
    checkpoint_error,
    checkpoint_of,
    is_latent,
    layout_of,
    node_warning,
    pool_figures,
    start_bytes,
)
from llmplan.engines.sglang_architectures import ARCHITECTURES, WINDOW_POOLS
from llmplan.engines.sglang_versions import (
    DRAFTS_SINCE,
    MIB,
    POLICIES,
    Ask,
    Policy,
    Tier,
    policy,
    tier_of,
)
from llmplan.engines.solving import solve
from llmplan.engines.starting import Start, start_of
from llmplan.memory.kv_cache import cached_layers, layer_state_bytes, layer_token_bytes
from llmplan.memory.weights import stage_bytes, stage_layers, weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism, Term

WINDOW_RATIO = 0.8
"""Tokens of the window pool for each of the full pool (swa_full_tokens_ratio, 0.5.23)."""

WINDOW_RATIO_COMPRESSED = 0.1
"""The same for DeepSeek-V4 (DSV4_DEFAULT_SWA_FULL_TOKENS_RATIO, 0.5.23)."""

WINDOW_SLACK_TOKENS = 128
"""Tokens beyond its window that a request keeps before they are freed
(SGLANG_SWA_EVICTION_INTERVAL, 0.5.23)."""

STATE_RATIO = 0.9
"""Memory of recurrent states for each byte of KV pool (mamba_full_memory_ratio, 0.5.3 on)."""

STATE_BYTES = 4
"""Bytes of a state element that the model does not fix (mamba2_state_dtype: float32)."""

GRAPH_BYTES = 2 * MIB
"""CUDA graphs of one sequence of the largest decode batch, as the reserve counts them."""

VISION_CACHE_BYTES = 100 * MIB
"""Embedding cache of a multimodal server (SGLANG_VLM_CACHE_SIZE_MB, 0.5.23)."""

MAX_SEQUENCES = 2048
"""Sequences of a model without a cache: the floor of max_running_requests by default."""

MIN_CAPABILITY = {
    "bf16": 8.0, "fp16": 7.5, "fp32": 7.5, "awq": 7.5, "gptq": 7.5, "int8": 7.5, "bnb": 7.5,
    "compressed": 7.5, "fp8": 8.0, "mxfp4": 8.0, "nvfp4": 10.0, "mxfp8": 10.0,
}  # fmt: skip
"""Lowest CUDA capability by format: get_min_capability of layers/quantization, from 7.5, the
lowest device that arg_groups/memory_hook.py names (T4); nvfp4 and mxfp8 on Blackwell."""

KV_CAPABILITY = {"bf16": 7.5, "fp16": 7.5, "fp8": 8.0, "nvfp4": 10.0, "fp8_ds_mla": 9.0}
"""Lowest CUDA capability by KV format (--kv-cache-dtype of arg_groups/fields/model.py)."""

KV_FLAGS = {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}

AMD_CAPABILITIES = ("gfx942", "gfx950")
"""AMD targets of SGLang's ROCm images. Source: SGLang docs, AMD GPUs, read 2026-11."""


class Cells(NamedTuple):
    """What one token takes on a device by pool, and one running request's states [bytes]."""

    full: float
    windowed: float
    window: int
    ratio: float
    state: float
    slots: int
    page: int

    @property
    def token(self) -> float:
        """Bytes of pool for each token that the server prints [bytes/token]."""
        return self.full + self.ratio * self.windowed if self.full else self.windowed

    @property
    def pool_share(self) -> float:
        """Share of what is left that holds keys and values; states have the rest."""
        return 1 / (1 + STATE_RATIO) if self.state and self.token else 1.0

    def request(self, tokens: int) -> float:
        """Return what a request of `tokens` takes: the pool that it fills first decides."""
        padded = ceil(tokens / self.page) * self.page
        need = float(padded)
        if self.windowed:
            kept = min(padded, self.window + WINDOW_SLACK_TOKENS + 2 * self.page)
            need = max(padded, kept / self.ratio) if self.full else kept
        keys = need * self.token / self.pool_share
        if not self.state:
            return keys
        states = self.slots * self.state
        return max(keys, states / (1 - self.pool_share)) if self.token else states


class Sglang(PagedEngine):
    """SGLang's OpenAI-compatible server."""

    name = "sglang"
    versions = tuple(row.since for row in POLICIES)
    formats = ("fp8", "int8-w8a8", "nvfp4", "awq-int4", "gptq-int4")
    architectures = ARCHITECTURES
    plan_reads_load = False
    plans_drafts = True
    parts_since = parting.SGLANG_SINCE
    pair_error = staticmethod(parting.sglang_error)
    fitted_on = (LINKED_RANKS_FITTED_ON,)

    def unsupported(self, request: Request) -> str | None:
        """Return why SGLang does not run this model, format or device."""
        return (
            _device_error(request.gpu, request.version)
            or checkpoint_error(self, request)
            or capability_error(self, request, MIN_CAPABILITY, KV_CAPABILITY)
            or extension_error(request)
            or _draft_error(request)
        )

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what SGLang cannot divide."""
        return sharding.parallel_error(model, weights, parallel)

    def plan(self, request: Request) -> Plan:
        """Return SGLang's pools: free before load x share - weights.

        A pool that is given is that of keys and values, which states stand beside.
        """
        rules = policy(request.version)
        free = request.device_bytes - start_bytes(request.gpu, request.parallel.tp)
        share = request.limits.gpu_memory_utilization or rules.share(_ask(request, rules))
        share *= rules.vision_share if request.model.vision is not None else 1.0
        overheads = _overheads(request, rules, free, share)
        fixed = request.limits.kv_cache_memory_bytes
        sizes, cells = _by_stage(request)
        keys_share = min(c.pool_share for c in cells)

        def pool_of(left: float) -> float:
            return left if fixed is None else fixed / keys_share

        stages = [Stage(size, c.request) for size, c in zip(sizes, cells, strict=True)]
        return solve(
            request,
            stages,
            overheads,
            budget=request.device_bytes,
            pool_of=pool_of,
            sequences=request.limits.max_num_seqs or MAX_SEQUENCES,
            terms=lambda: (*_terms(request, overheads, free, share), *draft_terms(request)),
            warnings=node_warning(request, "start SGLang on each with --nnodes and --node-rank"),
        )

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return weights, pool and tokens as the start-up log has them ("KV Cache is allocated").

        The stage with the fewest tokens decides; a page is never split.
        """
        fixed = request.limits.kv_cache_memory_bytes
        pools, page = [], request.limits.block_size or 1
        for size, cells in zip(*_by_stage(request), strict=True):
            left = plan.memory.budget_bytes - size - plan.overheads.total
            pool = fixed if fixed is not None else max(0.0, left) * cells.pool_share
            pools.append((float(pool), cells.token))
        return pool_figures(request, plan, pools, page)

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `python -m sglang.launch_server`."""
        checkpoint = checkpoint_of(request, ("bf16", "fp16", "fp32", "fp8"))
        limits = request.limits
        words = ["python", "-m", "sglang.launch_server", "--model-path", checkpoint.target]
        words += _format_flags(request) + _split_flags(request) + _draft_flags(request)
        tokens = None
        if limits.kv_cache_memory_bytes is not None:
            tokens = int(self.printed(request, plan).get("kv_tokens", 0))
        for flag, value in (
            ("--context-length", request.context_tokens if request.model.decoder else None),
            ("--mem-fraction-static", limits.gpu_memory_utilization),
            ("--max-running-requests", limits.max_num_seqs),
            ("--chunked-prefill-size", limits.max_num_batched_tokens),
            ("--page-size", limits.block_size),
            ("--max-total-tokens", tokens),
        ):
            if value is not None:
                words += [flag, str(value)]
        words += ["--disable-cuda-graph"] * bool(limits.enforce_eager)
        words += ["--is-embedding"] * (request.model.decoder is None)
        words += ["--trust-remote-code"] * request.model.trust_remote_code
        return start_of(words, checkpoint.target, checkpoint.urls, checkpoint.warnings)


def _device_error(gpu: Accelerator, version: str) -> str | None:
    capability = gpu.cuda_capability
    if capability is not None:
        lowest = MIN_CAPABILITY["fp16"]
        if capability >= lowest:
            return None
        return f"SGLang {version} needs compute capability {lowest}, {gpu.id} has {capability}."
    if gpu.vendor == "amd" and gpu.compute_capability in AMD_CAPABILITIES:
        return None
    if gpu.vendor == "intel" and gpu.architecture and "xe" in gpu.architecture.lower():
        return None
    return f"SGLang {version} has no build for {gpu.id}."


def _draft_error(request: Request) -> str | None:
    if request.limits.speculative_tokens is None:
        return None
    if not policy(request.version).counts_drafts:
        return f"llmplan plans speculative decoding with SGLang {DRAFTS_SINCE}, not before."
    if request.parallel.pp > 1:
        return "SGLang does not draft over pipeline stages."
    return drafter_error(request)


def _attention_groups(request: Request) -> int:
    """Return the attention groups within tp: data parallelism that shares the experts."""
    return request.parallel.dp if request.model.is_moe else 1


def _tier(request: Request, rules: Policy) -> Tier:
    """Return chunk and graph batch: the user's, else those of the device's tier."""
    tier, limits = tier_of(rules, request.device_bytes), request.limits
    groups = _attention_groups(request)
    batch = tier.batch if request.parallel.tp * groups < 4 else tier.batch_tp4
    batch = min(batch, limits.max_num_seqs or batch)
    return Tier(tier.below, limits.max_num_batched_tokens or tier.chunk, batch, batch)


def _ask(request: Request, rules: Policy) -> Ask:
    tier, groups = _tier(request, rules), _attention_groups(request)
    return Ask(
        device_bytes=request.device_bytes,
        tp=request.parallel.tp * groups,
        pp=request.parallel.pp,
        attention_dp=groups,
        chunk=tier.chunk,
        batch=tier.batch,
        eager=bool(request.limits.enforce_eager),
        latent=is_latent(request.model),
        vision=request.model.vision,
    )


def _overheads(request: Request, rules: Policy, free: float, share: float) -> Overheads:
    """Return the reserve as activations and graphs, and what start-up takes."""
    reserve = free * (1 - share)
    graphs = 0.0
    if not request.limits.enforce_eager and request.gpu.vendor in ("nvidia", "amd"):
        graphs = min(reserve, _tier(request, rules).batch * GRAPH_BYTES)
    runtime = request.device_bytes - free
    if rules.window_pools and request.model.vision is not None:
        runtime += VISION_CACHE_BYTES
    return Overheads(reserve - graphs, graphs, runtime)


def _by_stage(request: Request) -> tuple[list[float], list[Cells]]:
    """Return weights and cells of each pipeline stage."""
    model, p = request.model, request.parallel
    weights = weight_bytes(model, request.weights, tp=p.tp, dp=p.dp, ep=p.ep, pad_vocab=True)
    drafter = drafter_of(request)
    cells, start = [], 0
    for count in stage_layers(len(model.main.layers), p.pp):
        cells.append(_cells(request, range(start, start + count), drafter))
        start += count
    sizes = stage_bytes(weights, p.pp)
    sizes[-1] += drafter.weights_bytes if drafter else 0
    return sizes, cells


def _cells(request: Request, layers: range, drafter: Drafter | None) -> Cells:
    model, rules, tp = request.model, policy(request.version), request.parallel.tp
    pools = rules.window_pools and model.architecture in WINDOW_POOLS
    kv = layout_of(request)
    full = windowed = state = 0.0
    window = 0
    for cache, positions in cached_layers(model):
        count = sum(p in layers for p in positions)
        token = count * layer_token_bytes(cache, kv, tp=tp)
        if pools and cache.limit:
            windowed, window = windowed + token, max(window, cache.limit)
        else:
            full += token
        state += count * layer_state_bytes(cache, tp=tp, state_bytes=STATE_BYTES)
    if drafter and full:  # counted as so many more layers like those of the model
        own = sum(p in layers for c, positions in cached_layers(model) for p in positions
                   if c.heads and not (pools and c.limit))  # fmt: skip
        full *= 1 + len(drafter.stack.layers) / own
    ratio = WINDOW_RATIO_COMPRESSED if kv.name == "fp8_ds_mla" and pools else WINDOW_RATIO
    page = request.limits.block_size or 1
    return Cells(full, windowed, window, ratio, state, rules.state_slots, page)


def _format_flags(request: Request) -> list[str]:
    """Return --dtype, --quantization and --kv-cache-dtype where they are not the checkpoint's."""
    model, name = request.model, request.weights.name
    words = []
    if name != model.native_format:
        dtype = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}.get(name)
        if dtype:
            words += ["--dtype", dtype]
        published = any(a.format == name for a in model.artifacts)
        if name == "fp8" and not published:
            words += ["--quantization", "fp8"]
    if request.kv.name in KV_FLAGS:
        words += ["--kv-cache-dtype", KV_FLAGS[request.kv.name]]
    if request.extension_factor > 1:
        rope = (
            f'{{"rope_scaling": {{"rope_type": "yarn", "factor": {request.extension_factor}.0, '
            f'"original_max_position_embeddings": {model.context_tokens}}}}}'
        )
        words += ["--json-model-override-args", rope]
    return words


ALGORITHMS = {"mtp": "NEXTN", "eagle": "EAGLE", "eagle3": "EAGLE3", "draft_model": "STANDALONE"}
"""Value of --speculative-algorithm. Source: arg_groups/fields/spec.py, 0.5.23."""


def _draft_flags(request: Request) -> list[str]:
    """Return the flags of a chain of drafts: one candidate a step, one more token is checked."""
    tokens, draft = request.limits.speculative_tokens, request.draft
    if tokens is None:
        return []
    words = ["--speculative-algorithm", ALGORITHMS[method_of(draft)]]
    if draft is not None:
        target = draft.path or draft.hub_id or f"./{draft.id}"
        words += ["--speculative-draft-model-path", target]
    words += ["--speculative-num-steps", str(tokens), "--speculative-eagle-topk", "1"]
    return [*words, "--speculative-num-draft-tokens", str(tokens + 1)]


def _split_flags(request: Request) -> list[str]:
    """Return the role and the parallel sizes; attention groups are ranks of one wider tp."""
    p, groups = request.parallel, _attention_groups(request)
    words = parting.sglang_flags(request.limits.role)
    if p.tp * groups > 1:
        words += ["--tp-size", str(p.tp * groups)]
    if p.pp > 1:
        words += ["--pp-size", str(p.pp)]
    if groups > 1:
        flag = policy(request.version).attention_dp_flag
        old = flag == "--enable-dp-attention"
        words += ["--dp-size", str(groups), flag] if old else [flag, str(groups)]
    elif p.dp > 1:
        words += ["--dp-size", str(p.dp)]
    if p.ep > 1:
        words += ["--ep-size", str(p.ep)]
    return words


def _terms(request: Request, overheads: Overheads, free: float, share: float) -> tuple[Term, ...]:
    version = request.version
    given = request.limits.gpu_memory_utilization is not None
    named = "as asked" if given else f"default of {policy(version).since}"
    observed = "exact" if request.gpu.usable_memory_observed else "assumed"
    return (
        Term("budget", request.device_bytes, "usable memory", observed, "hardware catalogue"),
        Term(
            "reserve", overheads.activation_peak + overheads.cuda_graph,
            f"free before load x (1 - mem_fraction_static {share:.3f}, {named}): "
            "activations and CUDA graphs",
            "exact" if given else "assumed", f"SGLang {version} server_args",
        ),
        Term(
            "runtime", overheads.runtime,
            f"usable memory less {free:,.0f} B free: CUDA context, NCCL of {request.parallel.tp}",
            "assumed", "0.3-0.6 GiB and 0.25 GiB a linked rank over start-up logs",
        ),
    )  # fmt: skip


ENGINE = Sglang()
