"""ExLlamaV3 behind TabbyAPI: EXL3 weights, one cache of fixed size for all requests.

No public start-up log is at hand: sizes of weights and cache are exact, the rest is assumed.
"""

from __future__ import annotations

from llmplan.engines.base import CONTEXT_BYTES, Overheads, Plan, Request
from llmplan.engines.layered import (
    LayeredEngine,
    common_error,
    layer_stages,
    made_with,
    padded,
    prefill_bytes,
    unpacked_matrix_bytes,
)
from llmplan.engines.local_architectures import EXLLAMAV3
from llmplan.engines.paged import is_latent
from llmplan.engines.solving import solve
from llmplan.engines.starting import Start, start_of
from llmplan.memory.formats import weight_format
from llmplan.memory.kv_cache import cached_layers
from llmplan.memory.mixers import Cache
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Term, Warning_

PAGE_TOKENS = 256
"""Tokens of a page, and the step of --cache-size. Source: exllamav3 1.6.5 constants.py."""

CHUNK_TOKENS = 2048
"""Tokens of a prompt in one step (chunk_size). Source: TabbyAPI 004e837 config_sample.yml."""

MAX_BATCH = 32
MAX_BATCH_WITH_STATE = 4
"""Most requests at once, by default and where layers keep windows or states (max_batch_size).
Source: TabbyAPI 004e837 config_sample.yml."""

RESERVE_BYTES = 96 << 20
"""Memory left free on the first device (autosplit_reserve, 96 MB). Source: the same."""

MIN_CAPABILITY = 7.5
"""Lowest CUDA capability with paths of its own. Source: exllamav3 1.6.5 util/backend.py."""

CACHE_MODES = {"fp16": "FP16", "q8_0": "8,8", "q4_0": "4,4"}
"""Values of --cache-mode by the format of the same size: 8 and 4 bits with a 16-bit scale per 32
(8.5 and 4.5 bits). Source: exllamav3 1.6.5 cache/quant.py."""

SIXTEEN = ("bf16", "fp16")
USUAL = "exl3:4.0bpw"


class ExLlamaV3(LayeredEngine):
    """TabbyAPI with layers spread over devices by its automatic split."""

    name = "exllamav3"
    versions = ("1.6.5",)
    batches_continuously = True
    formats = ("exl3:8.0bpw", "exl3:6.0bpw", "exl3:5.0bpw", USUAL, "exl3:3.0bpw", "exl3:2.5bpw")
    architectures = EXLLAMAV3

    def native_format(self, model: Model, gpu: Accelerator) -> str:
        """Return EXL3 or 16 bits where the checkpoint has them, else EXL3 at 4 bits."""
        native = model.native_format
        return native if native.startswith("exl3:") or native in SIXTEEN else USUAL

    def candidate_formats(self, model: Model, gpu: Accelerator) -> list[str]:
        """Return the native format and EXL3 at fewer bits."""
        native = self.native_format(model, gpu)
        bits = weight_format(native).bits
        return [native, *(n for n in self.formats if weight_format(n).bits < bits)]

    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return 16 bits (cache_mode FP16)."""
        return "fp16"

    def unsupported(self, request: Request) -> str | None:
        """Return why ExLlamaV3 does not run this model, format or device."""
        gpu, name = request.gpu, request.weights.name
        if gpu.vendor != "nvidia":
            return f"ExLlamaV3 runs on NVIDIA devices only, and {gpu.id} is none."
        capability = gpu.cuda_capability
        if capability is not None and capability < MIN_CAPABILITY:
            return (
                f"ExLlamaV3 needs compute capability {MIN_CAPABILITY}, {gpu.id} has {capability}."
            )
        if name.startswith("exl2:"):
            return "ExLlamaV3 does not load EXL2, and TabbyAPI dropped ExLlamaV2: convert to EXL3."
        if name not in SIXTEEN and not name.startswith("exl3:"):
            return f"ExLlamaV3 loads 16-bit and EXL3 weights, not {name}."
        if request.kv.name not in CACHE_MODES:
            return f"ExLlamaV3 has no {request.kv.name} KV cache."
        if request.kv.name != "fp16" and is_latent(request.model):
            return "llmplan plans ExLlamaV3's latent attention with an FP16 cache only."
        return common_error(self, request, ("max_num_seqs", "max_num_batched_tokens"))

    def plan(self, request: Request) -> Plan:
        """Return weights, a cache of whole pages for the requests at once, one chunk of prefill."""
        tokens = min(_chunk(request), request.context_tokens)
        working = prefill_bytes(request.model, tokens)
        if request.weights.name.startswith("exl3:"):
            working += unpacked_matrix_bytes(request.model)
        overheads = Overheads(working, 0.0, CONTEXT_BYTES)
        return solve(
            request,
            layer_stages(request, kept=_kept),
            overheads,
            budget=request.device_bytes - RESERVE_BYTES,
            pool_of=lambda left: left,
            slots=_slots(request),
            terms=lambda: _terms(request, overheads, tokens),
        )

    def start(self, request: Request, plan: Plan) -> Start:
        """Return TabbyAPI's words, from its own folder; it loads from ./models."""
        found = made_with(request, SIXTEEN, "exllamav3 convert.py")
        folder = found.target.rstrip("/").rpartition("/")[2]
        slots = max(1, int(plan.kv_cache.max_concurrency))
        context = padded(request.context_tokens, PAGE_TOKENS)
        words = ["python", "main.py", "--model-name", folder]
        words += ["--max-seq-len", str(request.context_tokens)]
        words += ["--cache-size", str(context * slots), "--max-batch-size", str(slots)]
        if request.kv.name != "fp16":
            words += ["--cache-mode", CACHE_MODES[request.kv.name]]
        if request.limits.max_num_batched_tokens:
            words += ["--chunk-size", str(_chunk(request))]
        message = f"Start it in TabbyAPI's folder, with the checkpoint in models/{folder}."
        place = Warning_("local_checkpoint", message)
        return start_of(words, found.target, found.urls, (*found.warnings, place))


def _chunk(request: Request) -> int:
    return request.limits.max_num_batched_tokens or CHUNK_TOKENS


def _slots(request: Request) -> int:
    kept = (group.cache for group in cached_layers(request.model))
    state = any(cache.limit or cache.state_units for cache in kept)
    default = MAX_BATCH_WITH_STATE if state else MAX_BATCH
    return request.limits.max_num_seqs or request.workload.concurrency or default


def _kept(cache: Cache, tokens: int) -> float:
    pages = padded(tokens, PAGE_TOKENS)
    return float(min(pages, padded(cache.limit, PAGE_TOKENS)) if cache.limit else pages)


def _terms(request: Request, overheads: Overheads, tokens: int) -> tuple[Term, ...]:
    source = "exllamav3 1.6.5 (PyPI), TabbyAPI 004e837, read 2026-11"
    return (
        Term("budget", request.device_bytes - RESERVE_BYTES,
             "usable memory - the 96 MB that autosplit_reserve keeps free", "assumed", source),
        Term("activation peak", overheads.activation_peak,
             f"{tokens:,} tokens x (3 ffn + 4 hidden) x 2 B, and a matrix unpacked to 16 bits",
             "assumed", source),
        Term("runtime", overheads.runtime, "CUDA context of one process", "assumed",
             "0.3-0.6 GiB in start-up logs, engine memory rules of 2026-11"),
    )  # fmt: skip


ENGINE = ExLlamaV3()
