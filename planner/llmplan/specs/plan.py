"""A deployment plan: the load and limits asked, stocks of devices, what was chosen, what binds."""

from __future__ import annotations

from typing import Any, NamedTuple

from llmplan.specs.hardware import Accelerator
from llmplan.specs.record import Record, as_dict, record
from llmplan.specs.setup import Band, Setup, Warning_
from llmplan.specs.traffic import Traffic


@record
class Demand(Record):
    """The load to be met, all replicas together.

    `kind` is `rate` (requests arrive, `rate_per_s` on average) or `concurrency` (so many are in
    flight). `peak` is what the plan is sized for, `headroom` times the mean. Lengths are means,
    `input_ratio` the prompt's percentile over its mean.
    """

    kind: str
    rate_per_s: float | None
    concurrency: int | None
    headroom: float
    headroom_source: str
    peak: float
    input_tokens: int
    output_tokens: int
    context_tokens: int
    percentile: str = "mean"
    input_ratio: float = 1.0
    prefix_hit_rate: float | None = None
    users: int | None = None
    requests_per_user_per_hour: float | None = None
    traffic: Traffic | None = None


class Bounds(NamedTuple):
    """What a plan must keep: latencies [s], cost [USD/hour], devices in all; null where free."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    usd_per_hour: float | None = None
    gpus: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Offer(NamedTuple):
    """A machine that can be rented: its devices, its price [USD/hour], who sells it, how old."""

    devices: int
    usd_per_hour: float
    provider: str
    instance_type: str
    region: str | None
    price_date: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Stock(NamedTuple):
    """Devices of one kind that may be used: those there are (`limit`), or those offered.

    `machine`: devices of one machine where no offer says so.
    """

    name: str
    gpu: Accelerator
    offers: tuple[Offer, ...] = ()
    limit: int | None = None
    machine: int = 8


@record
class Rent(Record):
    """What the machines of a plan cost: one offer, so many of it."""

    usd_per_hour: float
    machines: int
    offer: Offer


@record
class Planned(Record):
    """One way to meet the load: `replicas` of one setup, sharing it evenly.

    Latencies are means at the peak that the plan is sized for; `ttft_limit_s` and `tpot_limit_s`
    are the values held against the limits (of the asked percentile). `capacity` is the most that
    all replicas serve within the limits, in the unit of the load; `batch_limit` the most requests
    that one replica runs at once within them, `max_num_seqs` what its ranks are started with for
    it, null where the engine runs no more anyway. `evidence`: what the plan lacks evidence for.
    """

    replicas: int
    gpus: int
    setup: Setup
    ttft_s: Band
    tpot_s: Band
    e2e_s: Band
    ttft_limit_s: float
    tpot_limit_s: float
    output_tokens_per_s: Band
    requests_per_s: Band
    capacity: float
    batch_limit: int
    max_num_seqs: int | None
    utilization: float
    rent: Rent | None
    usd_per_hour: float | None
    usd_per_million_output_tokens: float | None
    power_w: float | None
    power_basis: str
    quality_tier: int
    evidence: tuple[str, ...]
    deploy: str


@record
class Disaggregated(Record):
    """One way to meet the load with servers of two kinds: some read prompts, the others decode.

    Fields are those of `Planned`; `deploy` has the command of each kind. The setups' own speeds
    are null: that of the pair stands here.
    """

    prefill_replicas: int
    decode_replicas: int
    gpus: int
    prefill: Setup
    decode: Setup
    ttft_s: Band
    tpot_s: Band
    e2e_s: Band
    ttft_limit_s: float
    tpot_limit_s: float
    output_tokens_per_s: Band
    requests_per_s: Band
    capacity: float
    utilization: float
    rent: Rent | None
    usd_per_hour: float | None
    usd_per_million_output_tokens: float | None
    power_w: float | None
    power_basis: str
    quality_tier: int
    evidence: tuple[str, ...]
    deploy: tuple[str, str]


class Point(NamedTuple):
    """One plan on the Pareto front of cost against latency."""

    gpu: str
    gpus: int
    replicas: int
    engine: str
    weight_format: str
    kv_format: str
    tp: int
    pp: int
    dp: int
    ep: int
    usd_per_hour: float | None
    ttft_s: float
    tpot_s: float
    e2e_s: float
    capacity: float | None
    evidence: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class Relaxation(NamedTuple):
    """A limit that keeps plans away: what was asked, what is needed, and the plan that it buys."""

    limit: str
    asked: float | None
    needed: float | None
    message: str
    buys: Point | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


class OwnOrRent(NamedTuple):
    """The plan against a hosted API at the user's prices [USD, requests/s].

    `cross_at_requests_per_s`: the least mean load at which the plan costs no more;
    `always_from_requests_per_s`: the load from which it never costs more again, steps of replicas
    counted. Null where there is none.
    """

    input_usd_per_million: float
    output_usd_per_million: float
    plan_usd_per_month: float | None
    api_usd_per_month: float
    mean_requests_per_s: float
    cross_at_requests_per_s: float | None
    always_from_requests_per_s: float | None
    hours_per_month: float

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)


@record
class PlanAnswer(Record):
    """The answer of `plan`."""

    schema: str
    llmplan_version: str
    model: dict[str, Any]
    load: Demand
    limits: Bounds
    prefer: str
    searched: dict[str, Any]
    setups: tuple[Planned, ...]
    unpriced: tuple[Planned, ...]
    mixed: tuple[Planned, ...]
    disaggregated: tuple[Disaggregated, ...]
    pareto: tuple[Point, ...]
    binding: tuple[Relaxation, ...]
    own_or_rent: OwnOrRent | None
    warnings: tuple[Warning_, ...]

    @property
    def met(self) -> bool:
        """Whether some plan meets load and limits."""
        return bool(self.setups or self.unpriced or self.mixed or self.disaggregated)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `llmplan plan --json`."""
        result = super().to_dict()
        for name in ("setups", "unpriced", "mixed"):
            result[name] = [
                {**p.to_dict(), "setup": p.setup.to_dict()} for p in getattr(self, name)
            ]
        result["disaggregated"] = [
            {**p.to_dict(), "prefill": p.prefill.to_dict(), "decode": p.decode.to_dict()}
            for p in self.disaggregated
        ]
        return result
