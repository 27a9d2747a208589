"""Workload, setup and answer: what is asked, what is planned, what comes back."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

from llmplan.specs.record import Record, as_dict, record


@record
class Workload(Record):
    """What is asked of the server: lengths in tokens, load as concurrency or rate.

    `prefix_hit_rate` is the share of a prompt that the prefix cache holds already,
    `acceptance_rate` that of drafted tokens that are accepted. `disaggregated`: prompts are read
    by some of the replicas, tokens made by the others.
    """

    context_tokens: int | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None
    rate_per_s: float | None = None
    prefix_hit_rate: float | None = None
    acceptance_rate: float | None = None
    disaggregated: bool | None = None


@record
class Parallelism(Record):
    """How a model is split: tensor, pipeline, data and expert parallel ranks."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1

    @property
    def gpus(self) -> int:
        """Devices used [devices]."""
        return self.tp * self.pp * self.dp


class Limits(NamedTuple):
    """Engine settings that a user may set; null means the engine's own default.

    `n_gpu_layers` and `n_cpu_moe` keep layers, or the experts of layers, on the host, which
    has `host_ram` bytes, read at `host_bandwidth` [bytes/s]. `speculative_tokens` are drafted
    before each step that checks them. `offline_batch` is vLLM's `LLM(...)`, whose batches are
    larger, in place of its server; `flashinfer` says that FlashInfer is installed, whose sampler
    vLLM 0.8 to 0.11.0 took if it was. `role`: `prefill` reads prompts alone, `decode` makes tokens
    alone, for a disaggregated pair of servers.
    """

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
    offline_batch: bool | None = None
    flashinfer: bool | None = None
    role: str | None = None


class MemoryPerGpu(NamedTuple):
    """Memory of the fullest device, by part [bytes]."""

    device_total_bytes: int
    budget_bytes: int
    weights_bytes: int
    activation_peak_bytes: int
    cuda_graph_bytes: int
    runtime_bytes: int
    kv_cache_bytes: int
    free_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class KvCache(NamedTuple):
    """The KV pool: what a token takes, and how much fits."""

    bytes_per_token_per_gpu: float
    capacity_tokens: int
    max_concurrency: float
    max_concurrency_measured_at_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Band(NamedTuple):
    """A value with its interval and what it rests on."""

    value: float
    low: float
    high: float
    confidence: float = 0.8
    basis: str = "assumed"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Performance(NamedTuple):
    """Speed of a setup under the workload; null where llmplan does not predict it.

    Latencies are means over requests. `prefill_tokens_per_s` is that of one prompt read alone.
    `utilization` is the share of the server's capacity that a rate takes, null in a closed loop.
    `limited_by` names what takes most of a decode step.
    """

    ttft_s: Band | None = None
    tpot_s: Band | None = None
    output_tokens_per_s: Band | None = None
    total_tokens_per_s: Band | None = None
    requests_per_s: Band | None = None
    output_tokens_per_s_per_user: Band | None = None
    limited_by: str | None = None
    e2e_s: Band | None = None
    output_tokens_per_s_per_gpu: Band | None = None
    prefill_tokens_per_s: Band | None = None
    utilization: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Cost(NamedTuple):
    """What the rented machines of a setup cost, on demand; `price_date` says how old that is."""

    usd_per_hour: float
    usd_per_million_output_tokens: float | None
    provider: str
    instance_type: str
    price_date: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Quality(NamedTuple):
    """What is known of the weight format's effect on quality."""

    note: str
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Launch(NamedTuple):
    """The command that starts the setup, and where its weights are published."""

    command: str | None
    artifact_urls: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Warning_(NamedTuple):
    """Something the reader must know, with a stable code."""

    code: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class StepTerm(NamedTuple):
    """One part of a decode step: its time, its share of the step, what limits it, its formula."""

    name: str
    value_s: float
    share: float
    limited_by: str
    formula: str
    basis: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Term(NamedTuple):
    """One term of an explanation: what it is, how it is computed, what it rests on."""

    name: str
    value_bytes: float
    formula: str
    basis: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


@record
class Setup(Record):
    """One way to serve the model on the hardware, with its memory and its command."""

    engine: str
    engine_version: str
    weight_format: str
    kv_format: str
    gpu: str
    gpus: int
    tp: int
    pp: int
    dp: int
    ep: int
    fits: bool
    supported: bool
    reason: str | None
    remedies: tuple[str, ...]
    memory_per_gpu: MemoryPerGpu
    kv_cache: KvCache
    max_context_tokens: int
    max_num_seqs: int
    performance: Performance = field(default_factory=Performance)
    quality: Quality | None = None
    cost: Cost | None = None
    launch: Launch | None = None
    warnings: tuple[Warning_, ...] = ()
    explanation: tuple[Term | StepTerm, ...] | None = None

    @property
    def requests_at_once(self) -> float:
        """Requests that run at once on all data-parallel replicas together [requests]."""
        return min(self.kv_cache.max_concurrency, self.max_num_seqs) * self.dp

    def to_dict(self) -> dict[str, Any]:
        """Return the SETUP object of the contract; `explanation` only when asked for."""
        result = super().to_dict()
        if self.explanation is None:
            del result["explanation"]
        return result


@record
class Answer(Record):
    """The answer of `fit`."""

    schema: str
    llmplan_version: str
    model: dict[str, Any]
    hardware: dict[str, Any]
    workload: Workload
    requested: Setup
    setups: tuple[Setup, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `llmplan fit --json`."""
        result = super().to_dict()
        result["requested"] = self.requested.to_dict()
        result["setups"] = [s.to_dict() for s in self.setups]
        return result
