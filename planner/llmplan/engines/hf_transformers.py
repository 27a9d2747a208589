"""Hugging Face Transformers: one request at a time, whole prompts, memory as it is needed.

Nothing is reserved: the peak is the largest of three moments, each beside the weights: a layer's
forward pass over the whole prompt, the logits, and the last decoded token with the full cache.
"""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.base import (
    CONTEXT_BYTES,
    Overheads,
    Plan,
    Request,
    Stage,
)
from llmplan.engines.layered import (
    ACTIVATION_BYTES,
    HIDDEN_STATES_FITTED_ON,
    LayeredEngine,
    common_error,
    layer_stages,
    made_with,
    prefill_bytes,
    unpacked_matrix_bytes,
)
from llmplan.engines.local_architectures import TRANSFORMERS
from llmplan.engines.paged import capability_error, policy_of
from llmplan.engines.solving import longest_context, solve
from llmplan.engines.starting import Start, start_of
from llmplan.memory.mixers import Cache
from llmplan.memory.weights import stage_layers
from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.setup import Term, Warning_

LOGIT_BYTES = 4
"""Bytes of a float32 logit, made of one of 2 bytes. Source: logits.float() in modeling_qwen2.py of
transformers 4.38.2."""

SCORE_BYTES = 8
"""Bytes of an attention score with attn_implementation="eager": 16 bits, their float32 softmax,
and that in 16 bits again. Source: modeling_qwen2.py of transformers 4.46.0 (assumed: no row)."""

CUBLAS_BYTES = ((9.0, 32 << 20), (0.0, 8519680))
"""(capability from, bytes) of cuBLAS's workspace: 32 MiB from Hopper on, else 8 x 16 KiB and
2 x 4 MiB. Source: PyTorch 2.7 notes on CUBLAS_WORKSPACE_CONFIG; on H20 it is the whole rest of
Qwen3-8B (0.04 GiB at every length)."""

ROPE_TABLES = ("mistral", "mixtral", "qwen2")
"""model_type whose layers each keep cosines and sines of all positions (transformers 4.38.2)."""

CAPABILITY = {
    "bf16": 0, "fp16": 0, "fp32": 0, "gptq": 0, "awq": 0, "bnb": 0, "compressed": 0, "int8": 0,
    "hqq": 0, "quanto": 0, "torchao": 0, "bitnet": 0, "mxfp4": 7.5, "fp8": 8.9, "nvfp4": 10.0,
}  # fmt: skip
"""Lowest CUDA capability by format; 0 where Transformers itself does not ask for one.
Source: quantizers/ of transformers 5.23.0, read 2026-11."""

CUDA_ONLY = ("nvfp4", "fp8")
VENDORS = ("nvidia", "amd", "intel", "apple", "cpu")
"""Vendors with a PyTorch build: CUDA, ROCm, XPU, MPS, CPU. Source: pytorch.org, 2026-11."""

BNB_FLAGS = {"bnb-nf4": "bnb-4bit", "bnb-int8": "bnb-8bit"}
"""Values of --quantization: what is quantized while loading. Source: cli/serve.py 5.23.0."""

DTYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


class Policy(NamedTuple):
    """What a version keeps in memory, from the first version for which it was read.

    `prompt_logits`: logits of the whole prompt, not of its last token. `rope_tables`: see
    ROPE_TABLES. `windows`: sliding-window layers keep their window and not everything. `latent`:
    latent attention caches its latent. `gptq_buffer`: kernels unpack a whole matrix (ExLlama).
    """

    since: str
    prompt_logits: bool
    rope_tables: bool
    windows: bool
    latent: bool
    gptq_buffer: bool
    source: str


POLICIES = (
    Policy("4.38.0", True, True, False, False, True,
           "PyPI transformers 4.38.2 to 4.44.2, models/qwen2, read 2026-11"),
    Policy("4.45.0", False, False, False, False, True,
           "PyPI transformers 4.45.0: num_logits_to_keep, tables gone, read 2026-11"),
    Policy("4.56.0", False, False, True, False, True,
           "PyPI transformers 4.56.0: DynamicSlidingWindowLayer, read 2026-11"),
    Policy("5.0.0", False, False, True, False, False,
           "PyPI transformers 5.0.0: models/deepseek_v3 caches keys and values, read 2026-11"),
    Policy("5.23.0", False, False, True, True, False,
           "PyPI transformers 5.23.0: models/deepseek_v3 caches the latent, read 2026-11"),
)  # fmt: skip


class Transformers(LayeredEngine):
    """Transformers' own server: single use, not for load."""

    name = "transformers"
    versions = tuple(p.since for p in POLICIES)
    fitted_on = (HIDDEN_STATES_FITTED_ON,)
    smaller_kv = "fp8"
    plan_reads_prompt = True
    formats = ("bnb-int8", "awq-int4", "gptq-int4", "bnb-nf4")
    architectures = TRANSFORMERS
    plan_reads_load = False

    def knows(self, model: Model) -> bool:
        """Return whether Transformers has the architecture, or the checkpoint brings its code."""
        return super().knows(model) or model.trust_remote_code

    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return the model's own type: the cache is not quantized unless code asks for it."""
        return {"fp16": "fp16", "fp32": "f32"}.get(weights.name, "bf16")

    def unsupported(self, request: Request) -> str | None:
        """Return why Transformers does not run this model, format or device."""
        gpu, family = request.gpu, request.weights.name.partition("-")[0]
        if gpu.vendor not in VENDORS:
            return f"Transformers has no stock PyTorch for {gpu.id}."
        if family in CUDA_ONLY and gpu.vendor in ("apple", "cpu"):
            return f"Transformers has no {request.weights.name} kernels for {gpu.id}."
        kv = dict.fromkeys(("bf16", "fp16", "f32"), 0.0)
        error = common_error(self, request, ("flash_attention",))
        return error or capability_error(self, request, CAPABILITY, kv)

    def plan(self, request: Request) -> Plan:
        """Return weights, cache of one request, and what its peak takes beside them."""
        policy = policy_of(POLICIES, request.version)
        stages = _stages(request, policy)
        context = request.context_tokens
        working = max(_working(request, policy, stages, i, context) for i in range(len(stages)))
        fixed = max(_fixed(request, policy))
        driver = CONTEXT_BYTES if request.gpu.vendor in ("nvidia", "amd") else 0.0
        overheads = Overheads(working, 0.0, fixed + driver)
        plan = solve(
            request,
            stages,
            overheads,
            budget=request.device_bytes,
            pool_of=lambda left: left,
            slots=1,
            terms=lambda: _terms(request, policy, overheads),
        )
        return plan._replace(longest=lambda: _longest(request, policy, stages, fixed + driver))

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return torch.cuda.max_memory_allocated() over all devices: without CUDA contexts.

        Public rows: median error 0.5 %, p90 4.8 %, n 128. What was fitted, the hidden states of
        `prefill_bytes`, was read off Qwen2.5-3B alone; the 112 rows of other models are held
        out (the same median). Misses: Qwen3-8B on 4.51.3 shows no prefill memory (to +21 %).
        """
        policy = policy_of(POLICIES, request.version)
        stages, context = _stages(request, policy), request.context_tokens
        total = sum(_fixed(request, policy))
        for i, stage in enumerate(stages):
            total += stage.weights_bytes + stage.request_bytes(context)
            total += _working(request, policy, stages, i, context)
        return {"total_used": total}

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `transformers serve`."""
        model, name = request.model, request.weights.name
        found = made_with(request, (*DTYPES, *BNB_FLAGS), "AutoModelForCausalLM, save_pretrained")
        words = ["transformers", "serve", found.target]
        loads_as = name != model.native_format and not found.warnings
        if name in BNB_FLAGS and loads_as:
            words += ["--quantization", BNB_FLAGS[name]]
        if name in DTYPES and loads_as:
            words += ["--dtype", DTYPES[name]]
        if request.limits.flash_attention is not None:
            kernel = "flash_attention_2" if request.limits.flash_attention else "eager"
            words += ["--attn-implementation", kernel]
        if model.trust_remote_code:
            words.append("--trust-remote-code")
        message = "transformers serve answers one request after another: for single use."
        single = Warning_("single_request", message)
        return start_of(words, found.target, found.urls, (*found.warnings, single))


def _stages(request: Request, policy: Policy) -> list[Stage]:
    def everything(cache: Cache, tokens: int) -> float:
        return float(tokens)

    kept = None if policy.windows else everything
    return layer_stages(request, kept=kept, latent=policy.latent)


def _working(request: Request, policy: Policy, stages: list[Stage], i: int, tokens: int) -> float:
    """Return what the peak of device i takes beyond the cache of a request of `tokens` [bytes]."""
    model, kv = request.model, stages[i].request_bytes
    prompt = min(request.workload.input_tokens or tokens, tokens)
    scale = 2 if request.weights.name == "fp32" else 1
    forward = prefill_bytes(model, prompt) * scale
    if request.limits.flash_attention is False:
        heads = max((a.heads for a in model.attention_layers()), default=0)
        forward = max(forward, float(heads) * prompt * prompt * SCORE_BYTES)
    logits = 0.0
    if policy.prompt_logits and i == len(stages) - 1:
        logits = prompt * model.vocab_size * (LOGIT_BYTES + ACTIVATION_BYTES)
        logits += prompt * model.main.hidden_size * ACTIVATION_BYTES
    elif policy.prompt_logits and i == 0:  # Accelerate hands the result back to the first device
        logits = prompt * model.vocab_size * LOGIT_BYTES
    return max(kv(prompt) + max(forward, logits), kv(tokens)) - kv(tokens)


def _fixed(request: Request, policy: Policy) -> list[float]:
    """Return what each device holds at any length: tables, workspace, unpacked matrix [bytes]."""
    model, pp = request.model, request.parallel.pp
    capability = request.gpu.cuda_capability
    always = 0.0
    if capability is not None:
        always += next(size for since, size in CUBLAS_BYTES if capability >= since)
    if policy.gptq_buffer and request.weights.name.startswith("gptq"):
        always += unpacked_matrix_bytes(model)
    table = 0.0
    if policy.rope_tables and model.model_type in ROPE_TABLES:
        width = max((m.head_dim for m in model.attention_layers()), default=0)
        table = 2 * width * (model.context_tokens or 0) * ACTIVATION_BYTES
    return [always + table * count for count in stage_layers(len(model.main.layers), pp)]


def _longest(request: Request, policy: Policy, stages: list[Stage], fixed: float) -> int:
    """Return the longest request that fits: its prefill grows with it, unlike a server's batch."""

    def fits(tokens: int) -> bool:
        used = (
            s.weights_bytes + s.request_bytes(tokens) + _working(request, policy, stages, i, tokens)
            for i, s in enumerate(stages)
        )
        return max(used) + fixed <= request.device_bytes

    return longest_context(request, fits)


def _terms(request: Request, policy: Policy, overheads: Overheads) -> tuple[Term, ...]:
    prompt = min(request.workload.input_tokens or request.context_tokens, request.context_tokens)
    seen = request.gpu.vendor == "nvidia" and not request.model.is_moe
    basis = "calibrated" if seen else "transferred"
    if request.limits.flash_attention is False:
        basis = "assumed"
    parts = "the whole prompt's logits in 6 B, or " if policy.prompt_logits else ""
    return (
        Term("budget", request.device_bytes, "usable memory, nothing kept back",
             "exact" if request.gpu.usable_memory_observed else "assumed", "PyTorch's allocator"),
        Term("activation peak", overheads.activation_peak,
             f"{parts}{prompt:,} tokens x (3 ffn + 4 hidden) x 2 B, less the cache not yet filled",
             basis, f"Qwen2.5-3B on transformers 4.46.0, 2024-11; {policy.source}"),
        Term("runtime", overheads.runtime,
             "CUDA context, cuBLAS workspace, kernels' and RoPE tables of the version", "assumed",
             "0.3-0.6 GiB in start-up logs, engine memory rules of 2026-11"),
    )  # fmt: skip


ENGINE = Transformers()
