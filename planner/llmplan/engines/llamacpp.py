"""llama.cpp's server: GGUF weights, layers spread over devices, KV reserved by slot."""

from __future__ import annotations

from math import ceil

from llmplan.engines.base import (
    Engine,
    Overheads,
    Plan,
    Request,
    Stage,
    extension_error,
    solve,
    word,
)
from llmplan.engines.llama_cpp_architectures import ARCHITECTURES, GGUF_ARCHITECTURES
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.kv_cache import cached_layers, request_bytes
from llmplan.memory.mixers import Cache
from llmplan.memory.weights import WeightBytes, weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import GIB, Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Launch, Parallelism, Term, Warning_

FIT_MARGIN_BYTES = 1024 * 1024 * 1024
"""Memory that --fit leaves free on each device (--fit-target 1024 MiB).
Source: llama.cpp common.h fit_params_target at 0c1e57098 (2026-10-01)."""

MICRO_BATCH = 512
"""Tokens of one micro-batch by default (-ub). Source: llama.cpp common.h at 0c1e57098."""

CONTEXT_PADDING = 256
"""Cells to which the KV cache is padded (GGML_PAD). Source: llama-context.cpp at 0c1e57098."""

COMPUTE_MARGIN_BYTES = 32 * 1024 * 1024
"""What the compute buffer takes beside the logits of a micro-batch with flash attention.
Source: 8-45 MiB over logged buffers, engine memory rules of 2026-11 (calibrated)."""

CUDA_CONTEXT_BYTES = 0.45 * GIB
"""Memory of the CUDA context of one process.
Source: 0.3-0.6 GiB before any allocation in start-up logs, engine memory rules of 2026-11."""

MAX_SLOTS = 256
"""Most sequences of one context (LLAMA_MAX_SEQ). Source: llama-cparams.h at 0c1e57098."""

STATE_BYTES = 4
"""Bytes of a recurrent or convolution state element. Source: llama-memory-recurrent.cpp (F32)."""

FORMATS = (
    "gguf:F16", "gguf:Q8_0", "gguf:Q6_K", "gguf:Q5_K_M", "gguf:Q4_K_M", "gguf:IQ4_XS",
    "gguf:Q3_K_M", "gguf:IQ2_M",
)  # fmt: skip
"""Presets that are tried unasked: a choice of ours, the usual one of each size, 16 to 2 bits."""

KV_KNOWN = ("fp16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""Types of -ctk and -ctv. Source: llama.cpp common/arg.cpp kv_cache_types at 0c1e57098."""

VENDORS = ("nvidia", "amd", "apple", "intel", "cpu", "huawei", "mthreads")
"""Vendors with a backend: CUDA, ROCm, Metal, SYCL and Vulkan (Xe alone), CPU, CANN, MUSA.
Source: llama.cpp docs/build.md at 0c1e57098."""

MIN_CUDA_CAPABILITY = 5.0
"""Lowest CUDA capability of the stock builds. Source: ggml-cuda CMakeLists.txt at 0c1e57098."""


class LlamaCpp(Engine):
    """llama.cpp's server with all layers on the devices."""

    name = "llama.cpp"
    versions = ("0c1e57098",)
    batches_continuously = False
    smaller_kv = "q8_0"
    has_tensor_parallel = False

    def native_format(self, model: Model, gpu: Accelerator) -> str:
        """Return 16-bit GGUF, or MXFP4 where the checkpoint ships in it."""
        if model.native_format.startswith("gguf:"):
            return model.native_format
        return "gguf:MXFP4" if model.native_format == "mxfp4" else "gguf:F16"

    def candidate_formats(self, model: Model, gpu: Accelerator) -> list[str]:
        """Return the usual presets; a GGUF file keeps its own, models shipped in MXFP4 too."""
        if model.native_format.startswith("gguf:"):
            return [model.native_format]
        if model.native_format == "mxfp4":
            return ["gguf:MXFP4"]
        return list(FORMATS if WEIGHT_FORMATS[model.native_format].bits >= 16 else FORMATS[1:])

    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return 16 bits (-ctk f16 -ctv f16)."""
        return "fp16"

    def knows(self, model: Model) -> bool:
        """Return whether llama.cpp converts the architecture, or loads it from a GGUF file."""
        known = GGUF_ARCHITECTURES if model.native_format.startswith("gguf:") else ARCHITECTURES
        return model.architecture in known

    def unsupported(self, request: Request) -> str | None:
        """Return why llama.cpp does not run this model, format or device."""
        model, gpu = request.model, request.gpu
        if not self.knows(model):
            return f"llama.cpp does not know {model.architecture}."
        xe = gpu.vendor != "intel" or "xe" in (gpu.architecture or "").lower()
        if gpu.vendor not in VENDORS or not xe:
            return f"llama.cpp has no backend for {gpu.id}."
        capability = gpu.cuda_capability
        if capability is not None and capability < MIN_CUDA_CAPABILITY:
            return f"llama.cpp needs compute capability {MIN_CUDA_CAPABILITY}."
        if not request.weights.gguf_preset:
            return f"llama.cpp loads GGUF, not {request.weights.name}."
        if model.encoder is not None and model.decoder is not None:
            return "llama-server does not run encoder-decoder models."
        extension = extension_error(request)
        if extension:
            return extension
        unknown = [name for name, value in request.limits._asdict().items() if value is not None]
        if unknown:
            return f"llama.cpp has no setting like {', '.join(unknown)}."
        if request.kv.name not in KV_KNOWN:
            return f"llama.cpp has no {request.kv.name} KV cache."
        return None

    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return what llama.cpp's layer split cannot do."""
        if parallel.tp > 1 or parallel.ep > 1:
            return f"llama.cpp spreads whole layers, not tensors: use pp {parallel.tp}, tp 1, ep 1"
        if parallel.dp > 1:
            return "llama.cpp has no data parallelism: start one server a device"
        layers = len(model.main.layers)
        if not 1 <= parallel.pp <= layers:
            return f"pp must be between 1 and the {layers} layers"
        return None

    def splits(self, model: Model, weights: WeightFormat, gpus: int) -> list[Parallelism]:
        """Return the layer split over all devices."""
        return [Parallelism(pp=min(gpus, len(model.main.layers)))]

    def plan(self, request: Request) -> Plan:
        """Return model, KV and compute buffers of the fullest device."""
        budget = request.device_bytes - FIT_MARGIN_BYTES
        overheads = _overheads(request)
        return solve(
            request,
            _stages(request),
            overheads,
            budget=budget,
            pool_of=lambda left: left,
            slots=request.workload.concurrency or MAX_SLOTS,
            terms=_terms(request, overheads),
        )

    def launch(self, request: Request, plan: Plan) -> tuple[Launch, tuple[Warning_, ...]]:
        """Return the `llama-server` line."""
        slots = max(1, int(plan.kv_cache.max_concurrency))
        source, urls, warnings = _file(request)
        words = ["llama-server", *source, "-ngl", "999"]
        if request.model.decoder:
            words += ["-c", str(request.context_tokens * slots), "-np", str(slots), "-fa", "on"]
        else:
            words.append("--embedding")
        if request.extension_factor > 1:
            trained = str(request.model.context_tokens)
            words += ["--rope-scaling", "yarn", "--rope-scale", str(request.extension_factor)]
            words += ["--yarn-orig-ctx", trained]
        if request.kv.name not in ("fp16",):
            words += ["-ctk", request.kv.name, "-ctv", request.kv.name]
        if request.parallel.pp > 1:
            words += ["-sm", "layer"]
        adapter, more = _adapter(request)
        return Launch(" ".join([*words, *adapter]), urls), (*warnings, *more)


def _overheads(request: Request) -> Overheads:
    vocabulary = request.model.vocab_size if request.model.head else 0
    compute = vocabulary * MICRO_BATCH * 4 + COMPUTE_MARGIN_BYTES
    runtime = CUDA_CONTEXT_BYTES if request.gpu.vendor in ("nvidia", "amd") else 0.0
    return Overheads(compute, 0.0, runtime)


def padded_cells(tokens: int) -> int:
    """Return the KV cells of a slot: the context rounded up to 256.

    >>> padded_cells(1000)
    1024
    """
    return ceil(tokens / CONTEXT_PADDING) * CONTEXT_PADDING


def _kept(cache: Cache, tokens: int) -> float:
    cells = padded_cells(tokens)
    if not cache.limit:
        return float(cells)
    return float(min(cells, padded_cells(cache.limit + MICRO_BATCH)))


def device_layers(layers: int, devices: int) -> list[int]:
    """Return the layers of each of several equal devices; the output counts as one more.

    Source: llama.cpp src/llama-model.cpp load_tensors at 0c1e57098 (upper bound over shares).
    The log of Llama-3-70B on two devices has 41 and 39 layers.

    >>> device_layers(80, 2), device_layers(32, 4)
    ([41, 39], [9, 8, 8, 7])
    """
    counts = [0] * devices
    for layer in range(layers):
        counts[layer * devices // (layers + 1)] += 1
    return counts


def device_weights(weights: WeightBytes, pp: int) -> list[float]:
    """Return weight bytes of each device: the token embedding stays on the host.

    A tied embedding is loaded once more on the last device, as the output matrix. A vision
    tower is a file of its own (mmproj, 16 bits), on the first device.
    """
    sizes, start = [], 0
    for count in device_layers(len(weights.layers), pp):
        sizes.append(sum(weights.layers[start : start + count]))
        start += count
    sizes[0] += weights.encoder + weights.vision
    sizes[-1] += weights.head + weights.tied_head
    return sizes


def _stages(request: Request) -> list[Stage]:
    model, pp = request.model, request.parallel.pp
    sizes = device_weights(weight_bytes(model, request.weights), pp)
    groups = cached_layers(model)
    prompt = request.workload.input_tokens
    stages, start = [], 0
    for size, count in zip(sizes, device_layers(len(model.main.layers), pp), strict=True):
        layers = range(start, start + count)

        def one(tokens: int, layers: range = layers) -> float:
            return request_bytes(
                groups, request.kv, tokens=tokens, kept=_kept, encoder_tokens=prompt or tokens,
                state_bytes=STATE_BYTES, conv_bytes=STATE_BYTES, layers=layers,
            )  # fmt: skip

        stages.append(Stage(size, one))
        start += count
    return stages


def _terms(request: Request, overheads: Overheads) -> tuple[Term, ...]:
    logged = "calibrated" if request.gpu.vendor == "nvidia" else "transferred"
    return (
        Term("budget", request.device_bytes - FIT_MARGIN_BYTES,
             "usable memory - the 1024 MiB that --fit keeps free",
             "exact" if request.gpu.usable_memory_observed else "assumed",
             "llama.cpp --fit-target at 0c1e57098"),
        Term("compute buffer", overheads.activation_peak,
             f"vocabulary x {MICRO_BATCH} x 4 B + 32 MiB, flash attention on",
             logged, "logged compute buffers, engine memory rules of 2026-11"),
        Term("runtime", overheads.runtime, "context of one process (none off CUDA and ROCm)",
             logged if overheads.runtime else "assumed",
             "0.3-0.6 GiB in start-up logs, engine memory rules of 2026-11"),
    )  # fmt: skip


def _adapter(request: Request) -> tuple[list[str], tuple[Warning_, ...]]:
    adapter = request.model.adapter
    if adapter is None:
        return [], ()
    name = (adapter.hub_id or f"{request.model.id}-adapter").rpartition("/")[2]
    message = f"Make ./{name}.gguf of the adapter {adapter.hub_id or ''} (convert_lora_to_gguf.py)."
    return ["--lora", word(f"./{name}.gguf")], (Warning_("no_published_artifact", message),)


def _file(request: Request) -> tuple[list[str], tuple[str, ...], tuple[Warning_, ...]]:
    model, preset = request.model, request.weights.gguf_preset
    if model.path and model.native_format == request.weights.name:
        return ["-m", word(model.path)], (), ()
    published = next((a for a in model.artifacts if a.format == "gguf"), None)
    if published and preset in published.presets:
        url = f"https://huggingface.co/{published.hub_id}"
        return ["-hf", word(f"{published.hub_id}:{preset}")], (url,), ()
    local = f"./{model.id}-{preset}.gguf"
    where = f"; {published.hub_id} has others" if published else ""
    message = (
        f"No published {preset} GGUF on record{where}: "
        f"make {local} (convert_hf_to_gguf.py, llama-quantize)."
    )
    return ["-m", word(local)], (), (Warning_("no_published_artifact", message),)


ENGINE = LlamaCpp()
