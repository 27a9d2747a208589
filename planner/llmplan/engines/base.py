"""What every engine module provides, and the arithmetic that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from llmplan.engines.starting import Start
from llmplan.errors import InputError
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.hardware import GIB, Accelerator
from llmplan.specs.model import Model
from llmplan.specs.record import Record, record
from llmplan.specs.setup import (
    KvCache,
    Launch,
    Limits,
    MemoryPerGpu,
    Parallelism,
    Term,
    Warning_,
    Workload,
)


@record
class Request(Record):
    """One setup to be planned: everything an engine's memory policy may look at.

    `draft` is another model that drafts for `limits.speculative_tokens`; null where the model's
    own MTP layers do.
    """

    model: Model
    gpu: Accelerator
    weights: WeightFormat
    kv: KvFormat
    parallel: Parallelism
    workload: Workload
    limits: Limits
    version: str
    draft: Model | None = None

    @property
    def context_tokens(self) -> int:
        """Length of the longest request [tokens]; encoders without a limit count 512."""
        return self.workload.context_tokens or self.model.context_tokens or 512

    @property
    def extension_factor(self) -> int:
        """How many times the model's trained context is asked for, rounded up (1: within it)."""
        trained = self.model.context_tokens or self.context_tokens
        return max(1, -(-self.context_tokens // trained))

    @property
    def device_bytes(self) -> int:
        """Memory that driver and engine see on one device [bytes]."""
        usable = self.gpu.usable_memory_bytes
        if usable is None:
            raise InputError(
                f"The memory of {self.gpu.id} is not known.",
                "Give --host-ram 256GiB."
                if self.gpu.vendor == "cpu"
                else "Give --set memory=24GiB, or choose a device whose memory is.",
            )
        return usable


CONTEXT_BYTES = 0.5 * GIB
"""Memory of the CUDA context and libraries of one process before it loads anything.
Source: 0.3-0.6 GiB over start-up logs, engine memory rules of 2026-11 (calibrated)."""

UNLIMITED_CONTEXT_TOKENS = 1 << 20
"""Where the search for the longest context stops for models that state no limit of their own."""


class Stage(NamedTuple):
    """One pipeline stage: its weights, and what a request of some length takes on it."""

    weights_bytes: float
    request_bytes: Callable[[int], float]


class Overheads(NamedTuple):
    """Run-time parts of a device beside weights and KV cache [bytes]."""

    activation_peak: float
    cuda_graph: float
    runtime: float

    @property
    def total(self) -> float:
        """Sum of the parts [bytes]."""
        return self.activation_peak + self.cuda_graph + self.runtime


class Plan(NamedTuple):
    """What an engine's memory policy makes of a request.

    What few ask for is found where it is asked: `longest`, `explained`.
    """

    memory: MemoryPerGpu
    kv_cache: KvCache
    longest: Callable[[], int]
    fits: bool
    request_bytes: float
    overheads: Overheads
    max_num_seqs: int
    explained: Callable[[], tuple[Term, ...]]
    warnings: tuple[Warning_, ...]
    shortage: str | None = None
    """What else is too small, where it is not the device: one sentence."""

    @property
    def max_context_tokens(self) -> int:
        """Length of the longest request that fits [tokens]."""
        return self.longest()

    @property
    def terms(self) -> tuple[Term, ...]:
        """Each part of the memory with its basis and source."""
        return self.explained()


POOL_TESTS = ("kv_pool", "kv_tokens")
"""Figures of measurements/ that a constant of run-time memory moves."""


class Fitted(NamedTuple):
    """A constant read off logs: which figures it moves, off which rows of measurements/."""

    constant: str
    tests: tuple[str, ...]
    rows: tuple[str, ...]


class Engine(ABC):
    """An engine: stateless, one instance a module, named `ENGINE`."""

    name: str
    versions: tuple[str, ...]
    batches_continuously: bool
    smaller_kv: str
    has_tensor_parallel: bool
    plans_drafts: bool = False
    plan_reads_load: bool = True
    """Whether memory depends on the requests in flight."""
    plan_reads_prompt: bool = False
    """Whether memory depends on the prompt's length beside the context, in decoders too."""
    parts_since: str | None = None
    """First version that reads prompts and decodes in servers of their own; null where none is."""
    fitted_on: tuple[Fitted, ...] = ()

    @property
    def default_version(self) -> str:
        """Newest version whose policy is known."""
        return self.versions[-1]

    def check_version(self, version: str | None) -> str:
        """Return the version to plan for; one that is not known is refused, not guessed."""
        if version is None:
            return self.default_version
        if version not in self.versions:
            raise InputError(
                f"{version[:40]!r} is not a version of {self.name} that llmplan knows.",
                f"Known: {', '.join(self.versions)}.",
            )
        return version

    def is_at_least(self, version: str, since: str) -> bool:
        """Return whether a checked version is `since`, one of the known ones, or newer."""
        return self.versions.index(version) >= self.versions.index(since)

    def version_on(self, date: str) -> str:
        """Return the version of a day (YYYY-MM-DD): the newest where days are not known."""
        return self.default_version

    @abstractmethod
    def native_format(self, model: Model, gpu: Accelerator) -> str:
        """Return the weight format this engine loads the model in when none is asked for."""

    @abstractmethod
    def candidate_formats(self, model: Model, gpu: Accelerator) -> list[str]:
        """Return the weight formats worth trying on this device, best quality first."""

    @abstractmethod
    def default_kv(self, model: Model, weights: WeightFormat) -> str:
        """Return the KV format the engine takes when none is asked for."""

    @abstractmethod
    def knows(self, model: Model) -> bool:
        """Return whether the engine has this architecture at all."""

    @abstractmethod
    def unsupported(self, request: Request) -> str | None:
        """Return why engine, device, architecture and formats do not go together, or None."""

    @abstractmethod
    def illegal(self, model: Model, weights: WeightFormat, parallel: Parallelism) -> str | None:
        """Return why this split cannot be started, or None."""

    @abstractmethod
    def splits(self, model: Model, weights: WeightFormat, gpus: int) -> list[Parallelism]:
        """Return the legal splits over at most `gpus` devices, fullest use and widest tp first."""

    @abstractmethod
    def plan(self, request: Request) -> Plan:
        """Return the memory of the fullest device, the KV pool and what it holds."""

    def same_plan_up_to(self, request: Request) -> int | None:
        """Return the requests in flight up to which the plan is that of one; null: any.

        For whoever plans one setup under many loads: those that share a plan need it once.
        """
        return 0 if self.plan_reads_load else None

    def chunk_tokens(self, request: Request) -> float | None:
        """Return the prompt tokens of a step by default, None where speed's table has them."""
        return None

    def role_error(self, request: Request) -> str | None:
        """Return why prompts, or decoding, cannot have a server of their own, or None."""
        if request.limits.role is None:
            return None
        if self.parts_since is None:
            return f"{self.name} has no servers for prompts or decoding alone: vllm and sglang have"
        if not self.is_at_least(request.version, self.parts_since):
            return f"{self.name} parts prompts from decoding from {self.parts_since} on"
        return None

    @staticmethod
    def pair_error(model: Model, prefill: Parallelism, decode: Parallelism) -> str | None:
        """Return why a cache read with one split cannot be decoded with another, or None."""
        return "no engine but vllm and sglang parts prompts from decoding"

    def printed(self, request: Request, plan: Plan) -> dict[str, float]:
        """Return what the engine prints at start-up, by the names of measurements/ [base units]."""
        return {}

    def highest_utilization(self, request: Request) -> float | None:
        """Return the highest share of memory that it starts with, where one may be set."""
        return None

    def offload_remedy(self, request: Request) -> str | None:
        """Return the smallest part to keep on the host that makes a request fit, or None."""
        return None

    def own_choice(self, request: Request) -> str | None:
        """Return what the engine takes by itself where it is left to choose, if it does."""
        return None

    @abstractmethod
    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words that start the setup, and what to know before running them."""

    def launch(self, request: Request, plan: Plan) -> tuple[Launch, tuple[Warning_, ...]]:
        """Return the one-line command that starts the setup, and what to know first."""
        start = self.start(request, plan)
        return Launch(start.line, start.urls), start.warnings


def extension_error(request: Request) -> str | None:
    """Return why the asked context cannot be stretched beyond the trained one, or None."""
    model = request.model
    if request.extension_factor == 1:
        return None
    start = (
        f"{request.context_tokens:,} tokens is beyond the {model.context_tokens:,} of {model.id}"
    )
    if model.learned_positions or model.decoder is None:
        return f"{start}: its learned positions end there."
    if model.rope_scaling:
        return f"{start}, which its own {model.rope_scaling} scaling already reaches."
    if model.rope_theta is None:
        return f"{start}, and no RoPE base is on record to stretch."
    return None
