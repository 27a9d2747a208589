"""From options to one engine request: defaults filled, nonsense refused, the split made legal."""

from __future__ import annotations

from typing import Any

from llmplan.engines import get_engine
from llmplan.engines.base import Engine, Request
from llmplan.errors import IllegalParallelism, InputError
from llmplan.memory.formats import kv_format, weight_format
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.record import Record, record
from llmplan.specs.setup import Limits, Parallelism, Workload

MAX_GPUS = 4096
MAX_COUNT = 1 << 50
"""Beyond any count of tokens, requests or bytes that a device could hold."""
DEFAULT_CONTEXT_TOKENS = 8192
DEFAULT_ENCODER_TOKENS = 512

ROLES = ("prefill", "decode")
"""What a server of a disaggregated pair does."""


@record
class Options(Record):
    """What a user asked for; null where the choice is left to llmplan."""

    gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None
    engine: str | None = None
    engine_version: str | None = None
    weight_format: str | None = None
    kv_format: str | None = None
    context_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None
    rate_per_s: float | None = None
    prefix_hit_rate: float | None = None
    acceptance_rate: float | None = None
    disaggregated: bool | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    kv_cache_memory_bytes: int | None = None
    enforce_eager: bool | None = None
    flash_attention: bool | None = None
    n_gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    host_ram: int | None = None
    host_bandwidth: float | None = None
    speculative_tokens: int | None = None
    draft: Model | None = None
    offline_batch: bool | None = None
    flashinfer: bool | None = None
    role: str | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        for name, field in self.__dataclass_fields__.items():
            _check_type(name, getattr(self, name), str(field.type))
        if self.gpus is not None and not 1 <= self.gpus <= MAX_GPUS:
            raise InputError(
                f"gpus must be between 1 and {MAX_GPUS:,}, not {self.gpus:,}.", "Give --gpus N."
            )
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_COUNT:
                raise InputError(f"{name} must be between 1 and {MAX_COUNT:,}, not {value}.")
        for name in _FROM_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_COUNT:
                raise InputError(f"{name} must be at least 0, not {value}.")
        if self.rate_per_s is not None and not 0 < self.rate_per_s < 1e9:
            raise InputError("rate_per_s must be above 0 and finite.")
        for name in ("prefix_hit_rate", "acceptance_rate"):
            part = getattr(self, name)
            if part is not None and not 0 <= part < 1:
                raise InputError(f"{name} must be at least 0 and below 1, not {part}.")
        if self.role not in (None, *ROLES):
            raise InputError(
                f"There is no role {str(self.role)[:40]!r}.", f"Known: {', '.join(ROLES)}."
            )
        share = self.gpu_memory_utilization
        if share is not None and not 0 < share <= 1:
            raise InputError(f"gpu_memory_utilization must be above 0 and at most 1, not {share}.")
        lengths = (self.input_tokens or 0) + (self.output_tokens or 0)
        if self.context_tokens is not None and lengths > self.context_tokens:
            raise InputError(
                f"Prompt and output are {lengths:,} tokens, more than the context of "
                f"{self.context_tokens:,}.",
                f"Give --context {lengths} or less input.",
            )

    @property
    def devices(self) -> int:
        """Devices there are: those given, else as many as the given split needs."""
        if self.gpus is not None:
            return self.gpus
        return min(MAX_GPUS, (self.tp or 1) * (self.pp or 1) * (self.dp or 1))


_COUNTS = (
    "tp", "pp", "dp", "ep", "context_tokens", "input_tokens", "output_tokens", "concurrency",
    "max_num_seqs", "max_num_batched_tokens", "block_size", "kv_cache_memory_bytes", "host_ram",
    "speculative_tokens",
)  # fmt: skip
_FROM_ZERO = ("n_gpu_layers", "n_cpu_moe")


def _check_type(name: str, value: object, declared: str) -> None:
    if value is None:
        return
    wanted: dict[str, tuple[type, ...]] = {
        "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "Model": (Model,),
    }  # fmt: skip
    kind = declared.partition(" ")[0]
    if not isinstance(value, wanted[kind]) or (kind != "bool" and isinstance(value, bool)):
        raise InputError(f"{name} must be {_WORDS[kind]}, not {str(value)[:40]!r}.")
    if value == "":
        raise InputError(f"{name} is empty.", "Leave it out or give a value.")


_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "True or False",
          "Model": "a Model or a name"}  # fmt: skip


def make_options(**given: Any) -> Options:
    """Return options; an unknown keyword is refused with the known ones."""
    unknown = sorted(set(given) - set(Options.__dataclass_fields__))
    if unknown:
        known = ", ".join(Options.__dataclass_fields__)
        raise InputError(f"Unknown option {unknown[0]!r}.", f"Known: {known}.")
    return Options(**given)


def workload_of(model: Model, o: Options) -> Workload:
    """Return the workload: the asked context, else the model's own up to 8192 tokens."""
    default = DEFAULT_CONTEXT_TOKENS if model.decoder else DEFAULT_ENCODER_TOKENS
    context = o.context_tokens
    if context is None:
        context = min(model.context_tokens or default, DEFAULT_CONTEXT_TOKENS)
        context = max(context, (o.input_tokens or 0) + (o.output_tokens or 0))
    return Workload(
        context, o.input_tokens, o.output_tokens, o.concurrency, o.rate_per_s,
        o.prefix_hit_rate, o.acceptance_rate, o.disaggregated,
    )  # fmt: skip


def limits_of(o: Options) -> Limits:
    """Return the engine settings that the user gave."""
    return Limits(**{name: getattr(o, name) for name in Limits._fields})


def make_request(
    model: Model,
    gpu: Accelerator,
    o: Options,
    *,
    engine: Engine,
    weights: WeightFormat,
    parallel: Parallelism,
) -> Request:
    """Return the request of one setup."""
    kv = kv_format(o.kv_format or engine.default_kv(model, weights))
    named = engine.name == get_engine(o.engine or default_engine(model)).name
    version = engine.check_version(o.engine_version if named else None)
    workload, limits = workload_of(model, o), limits_of(o)
    return Request(model, gpu, weights, kv, parallel, workload, limits, version, o.draft)


def check_drafts(model: Model, o: Options) -> None:
    """Refuse to draft with nothing that drafts, or no number of tokens."""
    if o.draft is not None:
        if o.speculative_tokens is None:
            raise InputError(
                f"How many tokens does {o.draft.id} draft?", "Give --speculative-tokens N."
            )
        if o.draft.decoder is None:
            raise InputError(f"{o.draft.id} generates no text, so that it cannot draft.")
    elif o.speculative_tokens is not None and model.draft is None:
        raise InputError(
            f"{model.id} has no MTP layers of its own to draft with.", "Give --draft MODEL."
        )


def default_engine(model: Model) -> str:
    """Return the engine of a request that names none: vLLM, and llama.cpp for a GGUF file."""
    return "llama.cpp" if model.native_format.startswith("gguf:") else "vllm"


def requested(model: Model, gpu: Accelerator, o: Options) -> tuple[Engine, Request]:
    """Return exactly what the options say: native weights, vLLM, tp = gpus where silent."""
    engine = get_engine(o.engine or default_engine(model))
    weights = weight_format(o.weight_format or engine.native_format(model, gpu))
    parallel = split(engine, model, weights, o)
    return engine, make_request(model, gpu, o, engine=engine, weights=weights, parallel=parallel)


def split(engine: Engine, model: Model, weights: WeightFormat, o: Options) -> Parallelism:
    """Return the asked split, checked, or the largest legal one over the devices."""
    asked = (o.tp, o.pp, o.dp)
    if asked == (None, None, None):
        legal = [p for p in engine.splits(model, weights, o.devices) if p.dp == 1]
        p = legal[0] if legal else Parallelism()
    else:
        free = o.devices // ((o.tp or 1) * (o.pp or 1) * (o.dp or 1))
        p = Parallelism(tp=o.tp or 1, pp=o.pp or 1, dp=o.dp or 1)
        if o.tp is None and free > 1:
            p = _widest(engine, model, weights, p, free)
        if p.gpus > o.devices:
            raise IllegalParallelism(
                f"tp {p.tp} x pp {p.pp} x dp {p.dp} needs {p.gpus} devices, not {o.devices}.",
                f"Give --gpus {p.gpus}.",
            )
    if o.ep is not None and o.ep > 1:
        p = Parallelism(p.tp, p.pp, p.dp, o.ep)
    error = engine.illegal(model, weights, p)
    if error:
        raise IllegalParallelism(
            f"This split cannot be started: {error}.", _nearest(engine, model, weights, o, p)
        )
    return p


def _widest(
    engine: Engine, model: Model, weights: WeightFormat, p: Parallelism, free: int
) -> Parallelism:
    for tp in range(free, 1, -1):
        wider = Parallelism(tp=tp, pp=p.pp, dp=p.dp)
        if engine.illegal(model, weights, wider) is None:
            return wider
    return p


def _nearest(
    engine: Engine, model: Model, weights: WeightFormat, o: Options, p: Parallelism
) -> str:
    limit = max(2 * p.tp, o.devices, 8)
    legal = sorted({x.tp for n in range(1, min(limit, 64) + 1)
                    for x in engine.splits(model, weights, n) if x.pp == x.dp == 1})  # fmt: skip
    if p.tp in legal or len(legal) < 2:
        return "Leave the split out to take the largest legal one."
    near = sorted(legal, key=lambda n: abs(n - p.tp))[:3]
    return f"Legal tp near it: {', '.join(str(n) for n in sorted(near))}."
