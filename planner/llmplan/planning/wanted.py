"""What a user asks of a plan: options checked, and the load that they mean."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Any

from llmplan.engines.speed_load import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS
from llmplan.errors import InputError
from llmplan.planning.profiles import (
    DEFAULT_HEADROOM,
    DEFAULT_HEADROOM_SOURCE,
    find_profile,
)
from llmplan.planning.request import DEFAULT_CONTEXT_TOKENS, MAX_COUNT, MAX_GPUS
from llmplan.specs.model import Model
from llmplan.specs.plan import Bounds, Demand
from llmplan.specs.record import Record, record
from llmplan.specs.setup import Warning_
from llmplan.specs.traffic import Traffic
from llmplan.speed.percentiles import SHARES

PREFERENCES = ("cheapest", "fastest", "fewest", "quality")
SECONDS_PER_HOUR = 3600
MAX_RATE = 1e7
MAX_HEADROOM = 100.0
CONTEXT_PERCENTILE = "p99"
"""Percentile of a trace's lengths that the longest request is taken from."""


@record
class Wanted(Record):
    """The options of `plan` but for model and devices; null where the choice is left open."""

    rate_per_s: float | None = None
    concurrency: int | None = None
    users: int | None = None
    requests_per_user: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    profile: str | None = None
    context_tokens: int | None = None
    prefix_hit_rate: float | None = None
    headroom: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: str = "mean"
    prefer: str = "cheapest"
    budget: float | None = None
    max_gpus: int | None = None
    engine: tuple[str, ...] = ()
    weight_format: tuple[str, ...] = ()
    kv_format: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    commercial: bool = False
    api_price: tuple[float, float] | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        _check_numbers(self)
        _check_loads(self)
        for name, known in (("prefer", PREFERENCES), ("percentile", ("mean", *SHARES))):
            if getattr(self, name) not in known:
                raise InputError(
                    f"There is no {name} {str(getattr(self, name))[:40]!r}.",
                    f"Known: {', '.join(known)}.",
                )

    @property
    def bounds(self) -> Bounds:
        """What a plan must keep."""
        return Bounds(self.ttft_s, self.tpot_s, self.budget, self.max_gpus)


_WHOLE = {"concurrency": MAX_COUNT, "users": MAX_COUNT, "input_tokens": MAX_COUNT,
          "output_tokens": MAX_COUNT, "context_tokens": MAX_COUNT,
          "max_gpus": MAX_GPUS}  # fmt: skip
_REAL = {"rate_per_s": (0, MAX_RATE), "requests_per_user": (0, MAX_RATE), "budget": (0, 1e9),
         "headroom": (1, MAX_HEADROOM), "ttft_s": (0, 1e6), "tpot_s": (0, 1e6)}  # fmt: skip


def _check_numbers(w: Wanted) -> None:
    for name, most in _WHOLE.items():
        value = getattr(w, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InputError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}.")
    for name, (low, high) in _REAL.items():
        value = getattr(w, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name} must be a number, not {str(value)[:40]!r}.")
        if not (low < value <= high or value == low == 1):
            word = "at least 1" if low else "above 0"
            raise InputError(f"{name} must be {word} and at most {high:,.0f}, not {value}.")
    hit = w.prefix_hit_rate
    if hit is not None and not 0 <= hit < 1:
        raise InputError(f"prefix_hit_rate must be at least 0 and below 1, not {hit}.")
    if w.api_price is not None and not all(isfinite(p) and 0 <= p < 1e6 for p in w.api_price):
        raise InputError("api_price is two prices from 0 up, in USD per million tokens.")


def _check_loads(w: Wanted) -> None:
    given = [n for n in ("rate_per_s", "concurrency", "users") if getattr(w, n) is not None]
    if len(given) > 1:
        raise InputError(
            f"The load is given twice: {' and '.join(given)}.",
            "Give one of --rate, --concurrency and --users.",
        )
    if (w.users is None) != (w.requests_per_user is None):
        raise InputError(
            "--users needs --requests-per-user, requests an hour of one user."
            if w.users is not None
            else "--requests-per-user needs --users.",
        )


def make_wanted(**given: Any) -> Wanted:
    """Return checked options; lists may be single values, an unknown keyword is refused."""
    unknown = sorted(set(given) - set(Wanted.__dataclass_fields__))
    if unknown:
        known = ", ".join(Wanted.__dataclass_fields__)
        raise InputError(f"Unknown option {unknown[0]!r}.", f"Known: {known}.")
    for name in ("engine", "weight_format", "kv_format", "license"):
        value = given.get(name)
        if value is not None:
            given[name] = (value,) if isinstance(value, str) else tuple(value)
    return Wanted(**{k: v for k, v in given.items() if v is not None})


def demand_of(
    model: Model, w: Wanted, trace: Traffic | None = None
) -> tuple[Demand, tuple[Warning_, ...]]:
    """Return the load that the options mean, and what was assumed for it."""
    if trace is not None and w.profile is not None:
        raise InputError("The load has a profile and a trace.", "Give one of them.")
    traffic = trace or (find_profile(w.profile) if w.profile else None)
    notes = [] if traffic is None or traffic.note is None else [traffic.note]
    prompt, output = _lengths(w, traffic)
    context = _context(model, w, traffic, prompt, output, notes)
    if prompt + output > context:
        raise InputError(
            f"Prompt and output are {prompt + output:,} tokens, more than the context of "
            f"{context:,}.", f"Give --context {prompt + output} or shorter requests.",
        )  # fmt: skip
    kind, rate, concurrency = _amount(w, traffic, notes)
    headroom, source = _headroom(w, traffic, kind)
    mean = rate if rate is not None else float(concurrency or 1)
    peak = mean * headroom
    percentile = w.percentile
    demand = Demand(
        kind, rate, concurrency, headroom, source,
        float(ceil(peak - 1e-9)) if kind == "concurrency" else peak,
        prompt, output, context, percentile, _input_ratio(w, traffic, prompt),
        w.prefix_hit_rate, w.users, w.requests_per_user, traffic,
    )  # fmt: skip
    if percentile != "mean":
        notes.append(
            f"{percentile} latencies are derived from means (exponential waiting, Poisson batch"
            f"{', prompt lengths of the trace' if demand.input_ratio > 1 else ''}): assumed."
        )
    return demand, tuple(Warning_("load", n) for n in notes)


def _lengths(w: Wanted, traffic: Traffic | None) -> tuple[int, int]:
    prompt, output = w.input_tokens, w.output_tokens
    if traffic is not None:
        prompt = prompt or max(1, round(traffic.input_tokens))
        output = output or max(1, round(traffic.output_tokens))
    return prompt or DEFAULT_INPUT_TOKENS, output or DEFAULT_OUTPUT_TOKENS


def _context(
    model: Model, w: Wanted, traffic: Traffic | None, prompt: int, output: int, notes: list[str]
) -> int:
    """Return the longest request: asked, else the 99th percentile of the lengths, else 8,192."""
    if w.context_tokens is not None:
        return w.context_tokens
    longest = max(prompt + output, DEFAULT_CONTEXT_TOKENS)
    own = w.input_tokens is not None and w.output_tokens is not None
    if traffic is not None and not own and CONTEXT_PERCENTILE in traffic.input_percentiles:
        longest = ceil(
            traffic.input_percentiles[CONTEXT_PERCENTILE]
            + traffic.output_percentiles[CONTEXT_PERCENTILE]
        )
        longest = max(longest, prompt + output)
    trained = model.context_tokens
    if trained is not None and longest > trained:
        if traffic is not None and longest > prompt + output:
            notes.append(
                f"{CONTEXT_PERCENTILE} of the trace is {longest:,} tokens, beyond the {trained:,} "
                f"of {model.id}: longer requests have to be cut."
            )
        longest = max(trained, prompt + output)
    return longest


def _amount(
    w: Wanted, traffic: Traffic | None, notes: list[str]
) -> tuple[str, float | None, int | None]:
    """Return kind of load, mean rate and concurrency."""
    if w.rate_per_s is not None:
        return "rate", float(w.rate_per_s), None
    if w.users is not None and w.requests_per_user is not None:
        return "rate", w.users * w.requests_per_user / SECONDS_PER_HOUR, None
    if w.concurrency is not None:
        return "concurrency", None, w.concurrency
    if traffic is not None and w.profile is None and traffic.rate_per_s:
        notes.append(f"The load is the trace's own: {traffic.rate_per_s:.3g} requests a second.")
        return "rate", traffic.rate_per_s, None
    notes.append("No load was given: one request at a time (--rate, --concurrency, --users).")
    return "concurrency", None, 1


def _headroom(w: Wanted, traffic: Traffic | None, kind: str) -> tuple[float, str]:
    if w.headroom is not None:
        return float(w.headroom), "asked"
    if kind == "concurrency":
        return 1.0, "requests in flight are taken as the most there are"
    if traffic is not None and traffic.peak_over_mean is not None:
        return max(1.0, traffic.peak_over_mean), f"busiest minute over mean: {traffic.source}"
    return DEFAULT_HEADROOM, DEFAULT_HEADROOM_SOURCE


def _input_ratio(w: Wanted, traffic: Traffic | None, prompt: int) -> float:
    if traffic is None or w.input_tokens is not None:
        return 1.0
    at = traffic.input_percentiles.get(w.percentile)
    return 1.0 if at is None else max(1.0, at / prompt)
