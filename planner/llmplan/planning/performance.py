"""How fast a setup is: the lowered request through the formulas, with bands and their basis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmplan.engines.base import Engine, Plan, Request
from llmplan.engines.speed_labels import device_class
from llmplan.engines.speed_load import load_of
from llmplan.engines.speed_setting import setting_of
from llmplan.errors import InputError
from llmplan.planning.intervals import REGIMES, interval, regime_of
from llmplan.specs.number import Number, chosen, larger, smaller, some
from llmplan.specs.setup import Band, Performance, Warning_
from llmplan.specs.speed import SpeedTable
from llmplan.speed.disaggregated import disaggregated_figures
from llmplan.speed.figures import Figures, Load, loop_figures, prefill_figures
from llmplan.speed.step import decode_parts, limit_of
from llmplan.speed.work import Setting

POOL_DOUBT = 0.15
"""How far the KV pool may be off, which near its end moves speed most.
Source: 90th percentile of the pool's error on public logs, docs/memory/vllm.md (2026-11)."""

NEAR_FULL = 0.7
"""Share of the pool in use from which its doubt is looked at (assumed)."""


class NoSpeed(Exception):
    """Why the speed of a setup is not predicted; one sentence."""


def performance_of(
    engine: Engine, request: Request, plan: Plan, table: SpeedTable
) -> tuple[Performance, tuple[Warning_, ...]]:
    """Return the speed of a request under its workload, or none with the reason as a warning."""
    try:
        setting, load = speed_setting(engine, request, plan, table)
    except (NoSpeed, InputError) as e:
        why = e.one_line() if isinstance(e, InputError) else str(e)
        return Performance(), (Warning_("speed_unknown", f"No speed is predicted: {why}"),)
    figures = figures_of(request, setting, load)
    basis = basis_of(request, engine, table)
    bands = _bands(request, engine, table, figures, setting, load, basis)
    running, context = running_context(load, figures)
    parts = decode_parts(setting, sequences=running, context=context)
    performance = Performance(
        **{n: bands[n] for n in SHOWN},
        output_tokens_per_s_per_user=_inverted(bands["tpot_s"]),
        limited_by=limit_of(setting, parts, sequences=running, context=context),
        output_tokens_per_s_per_gpu=_scaled(
            bands["output_tokens_per_s"], 1 / request.parallel.gpus
        ),
        prefill_tokens_per_s=_alone(engine, table, setting, load, basis),
        utilization=float(utilization(load, figures)) if load.rate_per_s else None,
    )
    return performance, _warnings(load, figures)


SHOWN = ("ttft_s", "tpot_s", "output_tokens_per_s", "total_tokens_per_s", "requests_per_s",
         "e2e_s")  # fmt: skip


def speed_setting(
    engine: Engine, request: Request, plan: Plan, table: SpeedTable
) -> tuple[Setting, Load]:
    """Return a request in lowered form; NoSpeed or InputError say what is missing."""
    return lowered(engine, request, table), load_of(engine, request, plan)


def lowered(engine: Engine, request: Request, table: SpeedTable) -> Setting:
    """Return what the formulas take of a request but its load; raises as `speed_setting` does."""
    model = request.model
    if model.decoder is None or not model.head:
        raise NoSpeed(f"{model.id} makes no tokens; llmplan predicts generation.")
    if model.encoder is not None:
        raise NoSpeed(f"{model.id} reads prompts with an encoder of its own.")
    if request.gpu.vendor == "cpu" and request.gpu.memory_bandwidth_bytes_per_s is None:
        raise NoSpeed("Give --host-bandwidth 100GB/s for the processor.")
    if request.limits.role is not None:
        raise NoSpeed("A server for prompts or decoding alone is half of a pair: see llmplan plan.")
    return setting_of(
        request, table, engine=engine.name, version=request.version,
        chunk_tokens=engine.chunk_tokens(request),
    )  # fmt: skip


def figures_of(request: Request, setting: Setting, load: Load) -> Figures:
    """Return the figures of a lowered request by how it is served: together, or disaggregated."""
    if request.workload.disaggregated:
        if request.parallel.dp < 2:
            raise InputError(
                "Disaggregated serving needs replicas for prompts and for decoding.",
                "Give --dp 2 or more.",
            )
        return disaggregated_figures(setting, load)
    return loop_figures(setting, load)


def running_context(load: Load, figures: Figures) -> tuple[Number, Number]:
    """Return the sequences that a replica's steps hold, and their mean context [tokens]."""
    return figures.running, load.past_tokens + load.input_tokens + load.output_tokens / 2


def basis_of(request: Request, engine: Engine, table: SpeedTable) -> str:
    """Return what a prediction rests on: results of this engine on this device, or its class.

    No result of disaggregated serving is among the measurements.
    """
    if request.workload.disaggregated:
        return "assumed"
    pairs = table.coefficients.pairs
    device = request.gpu.part_of or request.gpu.id
    if pairs.get(f"{engine.name}|{device}") and not request.gpu.part_of:
        return "calibrated"
    return "transferred" if pairs.get(f"{engine.name}|{device_class(request.gpu)}") else "assumed"


def _bands(
    request: Request, engine: Engine, table: SpeedTable, figures: Figures, setting: Setting,
    load: Load, basis: str,
) -> dict[str, Band]:  # fmt: skip
    least, most = spread(lambda other: figures_of(request, setting, other), figures, load)
    bands, regime = {}, regime_of(load)
    for name in SHOWN:
        value = float(getattr(figures, name))
        low, high = interval(table, name, engine.name, basis, regime)
        ends = float(getattr(least, name)) * low, float(getattr(most, name)) * high
        bands[name] = Band(value, *ends, CONFIDENCE, basis)
    return bands


def spread(
    figures_of: Callable[[Load], Figures], figures: Figures, load: Load
) -> tuple[Figures, Figures]:
    """Return the least and the most of the figures over the doubt of a pool that is nearly full.

    `figures_of` gives those of a load; numbers or arrays.
    """
    least = most = figures
    near = nearly_full(load)
    if some(near):
        for share in (1 - POOL_DOUBT, 1 + POOL_DOUBT):
            other = figures_of(load._replace(held=larger(1.0, load.held * share)))
            least = _where(near, smaller, least, other)
            most = _where(near, larger, most, other)
    return least, most


def nearly_full(load: Load) -> Any:
    """Return whether so much of the pool is in use that its doubt is looked at."""
    return (smaller(load.in_flight, load.held) > NEAR_FULL * load.held) & (load.rate_per_s == 0)


def _where(
    near: Any, pick: Callable[[Number, Number], Number], ours: Figures, others: Figures
) -> Figures:
    rows = zip(ours, others, strict=True)
    return Figures(*(chosen(near, pick(a, b), a) for a, b in rows))


CONFIDENCE = 0.8
"""Share of results that a band is to hold; that of hardware/speed/bands.yaml."""


def _inverted(band: Band) -> Band:
    return band._replace(value=1 / band.value, low=1 / band.high, high=1 / band.low)


def _scaled(band: Band, factor: float) -> Band:
    return band._replace(value=band.value * factor, low=band.low * factor, high=band.high * factor)


def _alone(
    engine: Engine, table: SpeedTable, setting: Setting, load: Load, basis: str
) -> Band:  # fmt: skip
    value = float(read_alone(setting, load))
    low, high = interval(table, "prefill_tokens_per_s", engine.name, basis, REGIMES[0])
    return Band(value, value * low, value * high, CONFIDENCE, basis)


def read_alone(setting: Setting, load: Load) -> Number:
    """Return how fast one prompt is read that has the setup for itself, as llama-bench does.

    [tokens/s]; numbers or arrays.
    """
    return prefill_figures(setting, load._replace(in_flight=1.0)).prefill_tokens_per_s


def utilization(load: Load, figures: Figures) -> Number:
    """Return the share of the capacity that a rate takes; numbers or arrays."""
    return load.rate_per_s / figures.capacity_per_s


def _warnings(load: Load, figures: Figures) -> tuple[Warning_, ...]:
    used = float(utilization(load, figures))
    if used < 1:
        return ()
    message = (
        f"{load.rate_per_s:g} requests a second are {used:.1f} times what it serves "
        f"({load.rate_per_s / used:.2g}): the queue grows, latencies have no limit."
    )
    return (Warning_("overloaded", message),)
