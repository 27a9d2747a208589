"""MLX-LM: Apple silicon, one machine, caches that grow with their requests.

No public start-up log is at hand: sizes of weights and cache are exact, the rest is assumed.
"""

from __future__ import annotations

from llmplan.engines.base import Overheads, Plan, Request
from llmplan.engines.layered import (
    LayeredEngine,
    common_error,
    layer_stages,
    made_with,
    padded,
    prefill_bytes,
)
from llmplan.engines.local_architectures import MLX_LM
from llmplan.engines.paged import is_latent
from llmplan.engines.solving import solve
from llmplan.engines.starting import Start, start_of
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.mixers import Cache
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Term, Warning_

CACHE_STEP = 256
"""Tokens by which a cache grows (KVCache.step). Source: mlx-lm 0.32.2 models/cache.py."""

PREFILL_TOKENS = 2048
"""Tokens of a prompt in one step (--prefill-step-size). Source: mlx-lm 0.32.2 server.py."""

PROMPT_CONCURRENCY = 8
"""Prompts read at once (--prompt-concurrency). Source: mlx-lm 0.32.2 server.py."""

DECODE_CONCURRENCY = 32
"""Requests decoded at once (--decode-concurrency). Source: mlx-lm 0.32.2 server.py."""

PROMPT_CACHES = 10
"""Caches of finished requests that are kept (--prompt-cache-size). Source: the same."""

KV_BITS = {"q8_0": 8, "q4_0": 4}
"""Values of --kv-bits by the format of the same size: groups of 64 with a 16-bit scale and offset
(8.5 and 4.5 bits). Source: mlx-lm 0.32.2 models/cache.py QuantizedKVCache."""

SIXTEEN = ("bf16", "fp16")


class MlxLm(LayeredEngine):
    """mlx_lm.server on one machine."""

    name = "mlx-lm"
    versions = ("0.32.2",)
    formats = ("mlx-8bit", "mlx-6bit", "mlx-5bit", "mlx-4bit", "mlx-3bit")
    architectures = MLX_LM
    max_devices = 1

    def native_format(self, model: Model, gpu: Accelerator) -> str:
        """Return 16 bits, MLX's own format where the checkpoint has it, else the nearest."""
        native = model.native_format
        if native.startswith("mlx-") or native in SIXTEEN:
            return native
        bits = WEIGHT_FORMATS[native].bits if native in WEIGHT_FORMATS else 0
        return "bf16" if bits >= 16 else "mlx-8bit" if bits >= 8 else "mlx-4bit"

    def knows(self, model: Model) -> bool:
        """Return whether MLX-LM has a module for the model_type."""
        return model.model_type in self.architectures

    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return 16 bits, the model's own type."""
        return "fp16" if weights.name == "fp16" else "bf16"

    def unsupported(self, request: Request) -> str | None:
        """Return why MLX-LM does not run this model, format or device."""
        name = request.weights.name
        if request.gpu.vendor != "apple":
            return f"llmplan plans MLX-LM on Apple silicon, and {request.gpu.id} is none."
        if name not in SIXTEEN and not name.startswith("mlx-"):
            return f"MLX-LM loads 16-bit and MLX weights, not {name}."
        if request.kv.name not in (*SIXTEEN, *KV_BITS):
            return f"MLX-LM has no {request.kv.name} KV cache."
        if request.kv.name in KV_BITS and is_latent(request.model):
            return "llmplan plans MLX-LM's latent attention with a 16-bit cache only."
        return common_error(self, request, ("max_num_seqs", "max_num_batched_tokens"))

    def plan(self, request: Request) -> Plan:
        """Return weights, caches of the requests at once, and one step of prefill."""
        slots = _slots(request)
        tokens = min(_step(request), request.context_tokens)
        tokens *= min(slots, PROMPT_CONCURRENCY, request.workload.concurrency or 1)
        overheads = Overheads(prefill_bytes(request.model, tokens), 0.0, 0.0)
        return solve(
            request,
            layer_stages(request, kept=_kept),
            overheads,
            budget=request.device_bytes,
            pool_of=lambda left: left,
            slots=slots,
            terms=lambda: _terms(request, overheads, tokens),
        )

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `mlx_lm.server`."""
        found = made_with(request, SIXTEEN, "mlx_lm.convert --quantize")
        words = ["mlx_lm.server", "--model", found.target]
        slots = max(1, int(plan.kv_cache.max_concurrency))
        if slots != DECODE_CONCURRENCY:
            words += ["--decode-concurrency", str(slots)]
        if slots < PROMPT_CONCURRENCY:
            words += ["--prompt-concurrency", str(slots)]
        if request.limits.max_num_batched_tokens:
            words += ["--prefill-step-size", str(request.limits.max_num_batched_tokens)]
        if request.kv.name in KV_BITS:
            words += ["--kv-bits", str(KV_BITS[request.kv.name])]
        if request.model.trust_remote_code:
            words.append("--trust-remote-code")
        message = (
            f"mlx_lm.server keeps up to {PROMPT_CACHES} caches of finished requests: "
            "bound them with --prompt-cache-bytes."
        )
        kept = Warning_("kept_caches", message)
        return start_of(words, found.target, found.urls, (*found.warnings, kept))


def _step(request: Request) -> int:
    return request.limits.max_num_batched_tokens or PREFILL_TOKENS


def _slots(request: Request) -> int:
    """Return the requests at once; a quantized cache is not batched (server.py)."""
    if request.kv.name in KV_BITS:
        return 1
    asked = request.workload.concurrency or DECODE_CONCURRENCY
    return min(asked, request.limits.max_num_seqs or asked)


def _kept(cache: Cache, tokens: int) -> float:
    cells = padded(tokens, CACHE_STEP)
    return float(min(cells, cache.limit) if cache.limit else cells)


def _terms(request: Request, overheads: Overheads, tokens: int) -> tuple[Term, ...]:
    source = "mlx-lm 0.32.2 (PyPI sdist), read 2026-11"
    return (
        Term("budget", request.device_bytes,
             "the wired limit: recommendedMaxWorkingSetSize of Metal",
             "exact" if request.gpu.usable_memory_observed else "assumed", source),
        Term("activation peak", overheads.activation_peak,
             f"{tokens:,} tokens x (3 ffn + 4 hidden) x 2 B, as PyTorch would hold them",
             "assumed", source),
        Term("runtime", 0.0, "none: the limit is the process's own share", "assumed", source),
    )  # fmt: skip


ENGINE = MlxLm()
