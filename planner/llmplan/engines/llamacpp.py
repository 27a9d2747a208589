"""llama.cpp's server: GGUF weights, layers spread over devices, KV reserved by slot."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from llmplan.engines import llama_cpp_fit
from llmplan.engines.base import Engine, Overheads, Plan, Request, extension_error
from llmplan.engines.llama_cpp_architectures import ARCHITECTURES, GGUF_ARCHITECTURES
from llmplan.engines.llama_cpp_memory import (
    FITTED_ON,
    Placement,
    compute_buffer_bytes,
    flash,
    host_bytes,
    micro_batch,
    place,
    slot_bytes,
    stages,
)
from llmplan.engines.llama_cpp_versions import NEWEST, Rules, build_on, check, rules_of
from llmplan.engines.solving import solve
from llmplan.engines.starting import NO_ARTIFACT, Start, start_of
from llmplan.memory.formats import WEIGHT_FORMATS
from llmplan.memory.weights import weight_bytes
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import GIB, Accelerator
from llmplan.specs.model import Model, MoE
from llmplan.specs.setup import Limits, Parallelism, Term, Warning_
from llmplan.specs.units import gib, tokens_text

FIT_MARGIN_BYTES = 1024 * 1024 * 1024
"""Memory that --fit leaves free on each device (--fit-target 1024 MiB).
Source: llama.cpp common.h fit_params_target at 0c1e57098 (2026-10-01)."""

BATCH = 2048
"""Tokens handed to the graph at once by default (-b). Source: llama.cpp common.h at 0c1e57098."""

CUDA_CONTEXT_BYTES = 0.45 * GIB
"""Memory of the CUDA context of one process.
Source: 0.3-0.6 GiB before any allocation in start-up logs, engine memory rules of 2026-11."""

MAX_SLOTS = 256
"""Most sequences of one context (LLAMA_MAX_SEQ). Source: llama-cparams.h at 0c1e57098."""

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

KV_UNQUANTIZED_BITS = 16
"""Bits of a value below which flash attention is needed. Source: llama-context.cpp, 0c1e57098."""

MIN_CUDA_CAPABILITY = 5.0
"""Lowest CUDA capability of the stock builds. Source: ggml-cuda CMakeLists.txt at 0c1e57098."""

SETTINGS = ("max_num_seqs", "max_num_batched_tokens", "flash_attention", "n_gpu_layers",
            "n_cpu_moe", "host_ram")  # fmt: skip
"""Limits that llama-server has a flag for (-np, -ub, -fa, -ngl, --n-cpu-moe), or that bound it."""


class LlamaCpp(Engine):
    """llama.cpp's server, with all layers on the devices where nothing else is asked."""

    name = "llama.cpp"
    versions: tuple[str, ...] = (NEWEST,)
    batches_continuously = False
    smaller_kv = "q8_0"
    fitted_on = FITTED_ON
    has_tensor_parallel = False

    def check_version(self, version: str | None) -> str:
        """Return a build (`b3609`, `3609`) or the newest state; anything else is refused."""
        return NEWEST if version is None else check(version, self.name)

    def version_on(self, date: str) -> str:
        """Return the build whose rules held on a day (2024-05-13)."""
        return build_on(date)

    def rules(self, request: Request) -> Rules:
        """Return the memory rules of the request's build."""
        return rules_of(request.version)

    def slots(self, request: Request) -> int:
        """Return the most slots that are reserved: as asked, else as many as fit [sequences]."""
        asked = request.limits.max_num_seqs or request.workload.concurrency
        return min(asked or MAX_SLOTS, MAX_SLOTS)

    def budget(self, request: Request) -> int:
        """Return what the engine may take of a device: all but the margin of --fit [bytes]."""
        margin = FIT_MARGIN_BYTES if self.rules(request).fit else 0
        return request.device_bytes - margin

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
        return self._without_setting(request)

    def _without_setting(self, request: Request) -> str | None:
        limits = request.limits
        unknown = [name for name, value in limits._asdict().items()
                   if value is not None and name not in SETTINGS]  # fmt: skip
        if unknown:
            return f"{self.name} has no setting like {', '.join(unknown)}."
        key, _, value = request.kv.name.partition("/V:")
        if any(part.removeprefix("K:") not in KV_KNOWN for part in (key, value or key)):
            return f"{self.name} has no {request.kv.name} KV cache."
        if request.kv.value_bits < KV_UNQUANTIZED_BITS and not flash(request, self.rules(request)):
            return f"{self.name} needs flash attention for values in {request.kv.name}."
        if limits.n_cpu_moe and not _has_experts(request.model):
            return f"{request.model.id} has no experts to keep on the host."
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
        rules = self.rules(request)
        placement, slots = place(request, rules), self.slots(request)
        if not rules.slots_apart:  # a micro-batch sees all slots: their number comes first
            slots = request.limits.max_num_seqs or request.workload.concurrency or 1
        overheads = self._overheads(request, rules, placement, slots)
        plan = solve(
            request,
            stages(request, rules, placement),
            overheads,
            budget=self.budget(request),
            pool_of=lambda left: left,
            slots=slots,
            sequences=(request.workload.concurrency or 1) if request.model.decoder else 1,
            terms=lambda: self._terms(request, overheads),
        )
        held = max(1, int(plan.kv_cache.max_concurrency))
        return _with_host(request, plan, host_bytes(request, rules, placement, held))

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return the sums of the buffers that the log names, and the largest compute buffer.

        A log is that of one context with as many sequences as asked for, one if none is.
        """
        rules = self.rules(request)
        placement, slots = place(request, rules), request.workload.concurrency or 1
        layers = range(len(request.model.main.layers))
        tokens = request.context_tokens
        cached = slot_bytes(request, rules, tokens, layers, states=False)
        cached = cached or slot_bytes(request, rules, tokens, layers)
        outputs = slots if rules.few_outputs else micro_batch(request)
        return {
            "gguf_model_size": weight_bytes(request.model, request.weights).text,
            "gguf_kv_buffer": slots * cached,
            "gguf_compute_buffer": compute_buffer_bytes(
                request, rules, placement, outputs=outputs, slots=slots
            ),
        }

    def offload_remedy(self, request: Request) -> str | None:
        """Return the fewest experts or layers on the host that make a request fit, or None.

        Where the memory of the host is not given, the remedy says what it takes of it.
        """
        layers = len(request.model.main.layers)
        if _has_experts(request.model):
            counts = [request.limits._replace(n_cpu_moe=n) for n in range(1, layers + 1)]
            found = self._first_that_fits(request, counts)
            if found:
                n = found.n_cpu_moe
                return f"the experts of {n} layers {self._where(request, found)} (--n-cpu-moe {n})"
        counts = [request.limits._replace(n_gpu_layers=n) for n in range(layers, 0, -1)]
        found = self._first_that_fits(request, counts)
        if not found:
            return None
        n = found.n_gpu_layers
        return (
            f"{n} of {layers + 1} layers on the device, the rest {self._where(request, found)} "
            f"(--n-gpu-layers {n})"
        )

    def own_choice(self, request: Request) -> str | None:
        """Return what llama-server takes without -c and -ngl, in builds that fit by themselves."""
        if self.name != "llama.cpp" or not self.rules(request).fit or not request.model.decoder:
            return None
        found = llama_cpp_fit.choice(
            request, measure=self._measured, fits=lambda r: self.plan(r).fits
        )
        if found is None:
            return None
        layers = len(request.model.main.layers) + 1
        where = "all layers" if found.n_gpu_layers == layers else f"{found.n_gpu_layers} layers"
        behind = f" but the experts of {found.n_cpu_moe}" if found.n_cpu_moe else ""
        return (
            f"started without -c and -ngl, llama-server fits itself: a context of "
            f"{tokens_text(found.context_tokens)} tokens, {where}{behind} on the device"
        )

    def _measured(self, request: Request) -> llama_cpp_fit.Measured:
        rules = self.rules(request)
        placed, context = place(request, rules), request.context_tokens
        overheads = self._overheads(request, rules, placed, 1)
        on = stages(request, rules, placed)
        weights = sum(s.weights_bytes for s in on)
        used = weights + sum(s.request_bytes(context) + overheads.total for s in on)
        return llama_cpp_fit.Measured(used, self.budget(request) * len(on), weights)

    def _first_that_fits(self, request: Request, ordered: list[Limits]) -> Limits | None:
        """Return the first of settings that leave ever less on the device."""

        def fits(limits: Limits) -> bool:
            return self.plan(replace(request, limits=limits._replace(host_ram=None))).fits

        at = bisect_left(ordered, True, key=fits)
        if at == len(ordered):
            return None
        return ordered[at] if self.plan(replace(request, limits=ordered[at])).fits else None

    def _where(self, request: Request, limits: Limits) -> str:
        if limits.host_ram is not None:
            return "on the host"
        other = replace(request, limits=limits)
        rules = self.rules(other)
        slots = int(self.plan(other).kv_cache.max_concurrency)
        size = host_bytes(other, rules, place(other, rules), slots)
        return f"in {gib(size)} of the host's memory"

    def _overheads(
        self, request: Request, rules: Rules, placement: Placement, slots: int
    ) -> Overheads:
        outputs = slots if rules.few_outputs else micro_batch(request)
        compute = compute_buffer_bytes(request, rules, placement, outputs=outputs, slots=slots)
        runtime = CUDA_CONTEXT_BYTES if request.gpu.vendor in ("nvidia", "amd") else 0.0
        return Overheads(compute, 0.0, runtime)

    def _terms(self, request: Request, overheads: Overheads) -> tuple[Term, ...]:
        logged = "calibrated" if request.gpu.vendor == "nvidia" else "transferred"
        rules, budget = self.rules(request), self.budget(request)
        kept = request.device_bytes - budget
        on = "on" if flash(request, rules) else "off"
        return (
            Term("budget", budget, f"usable memory - {kept >> 20} MiB kept free",
                 "exact" if request.gpu.usable_memory_observed else "assumed",
                 f"{self.name} {request.version}"),
            Term("compute buffer", overheads.activation_peak,
                 f"widest point of a graph of {micro_batch(request)} tokens, flash attention {on}",
                 logged, f"start-up logs of 2024-05 to 2025-07; rules of {rules.source}"),
            Term("runtime", overheads.runtime, "context of one process (none off CUDA and ROCm)",
                 logged if overheads.runtime else "assumed",
                 "0.3-0.6 GiB in start-up logs, engine memory rules of 2026-11"),
        )  # fmt: skip

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of `llama-server`."""
        slots = max(1, int(plan.kv_cache.max_concurrency))
        source, urls, warnings = _file(request)
        words = ["llama-server", *source, *_offload_flags(request)]
        if request.model.decoder:
            words += ["-c", str(request.context_tokens * slots), "-np", str(slots)]
            words += _flash_flags(request, self.rules(request))
        else:
            words.append("--embedding")
        if request.extension_factor > 1:
            trained = str(request.model.context_tokens)
            words += ["--rope-scaling", "yarn", "--rope-scale", str(request.extension_factor)]
            words += ["--yarn-orig-ctx", trained]
        if request.kv.name not in ("fp16",):
            key, _, value = request.kv.name.partition("/V:")
            names = [n.removeprefix("K:").replace("fp16", "f16") for n in (key, value or key)]
            words += ["-ctk", names[0], "-ctv", names[1]]
        if request.parallel.pp > 1:
            words += ["-sm", "layer"]
        adapter, more = _adapter(request)
        return start_of([*words, *adapter], source[1], urls, (*warnings, *more))


def _has_experts(model: Model) -> bool:
    return any(isinstance(b.mlp, MoE) for b in model.main.blocks.values())


def _with_host(request: Request, plan: Plan, on_host: float) -> Plan:
    """Return the plan, which does not fit where the host cannot hold its part."""
    limits = request.limits
    if limits.host_ram is None or on_host <= limits.host_ram:
        return plan
    shortage = f"{gib(on_host)} stay on the host, which has {gib(limits.host_ram)}."
    return plan._replace(fits=False, shortage=shortage)


def _offload_flags(request: Request) -> list[str]:
    limits = request.limits
    flags = ["-ngl", str(999 if limits.n_gpu_layers is None else limits.n_gpu_layers)]
    if limits.n_cpu_moe:
        flags += ["--n-cpu-moe", str(limits.n_cpu_moe)]
    batch = limits.max_num_batched_tokens
    if batch:
        flags += ["-b", str(max(batch, BATCH)), "-ub", str(batch)]
    return flags


def _flash_flags(request: Request, rules: Rules) -> list[str]:
    """Return -fa: a switch until builds that choose by themselves (2025-08), then on or off."""
    on = flash(request, rules)
    if rules.flash:
        return ["-fa", "on" if on else "off"]
    return ["-fa"] if on else []


def _adapter(request: Request) -> tuple[list[str], tuple[Warning_, ...]]:
    adapter = request.model.adapter
    if adapter is None:
        return [], ()
    name = (adapter.hub_id or f"{request.model.id}-adapter").rpartition("/")[2]
    message = f"Make ./{name}.gguf of the adapter {adapter.hub_id or ''} (convert_lora_to_gguf.py)."
    return ["--lora", f"./{name}.gguf"], (Warning_(NO_ARTIFACT, message),)


def _file(request: Request) -> tuple[list[str], tuple[str, ...], tuple[Warning_, ...]]:
    model, preset = request.model, request.weights.gguf_preset
    if model.path and model.native_format == request.weights.name:
        return ["-m", model.path], (), ()
    published = next((a for a in model.artifacts if a.format == "gguf"), None)
    if published and preset in published.presets:
        url = f"https://huggingface.co/{published.hub_id}"
        return ["-hf", f"{published.hub_id}:{preset}"], (url,), ()
    local = f"./{model.id}-{preset}.gguf"
    where = f"; {published.hub_id} has others" if published else ""
    message = (
        f"No published {preset} GGUF on record{where}: "
        f"make {local} (convert_hf_to_gguf.py, llama-quantize)."
    )
    return ["-m", local], (), (Warning_(NO_ARTIFACT, message),)


ENGINE = LlamaCpp()
