"""The answer of `fit`: what was asked for, and the best setups of this hardware, best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from llmplan.engines import engine_names, get_engine
from llmplan.engines.base import Engine
from llmplan.engines.speed_load import lengths_of
from llmplan.errors import IllegalParallelism
from llmplan.memory.formats import weight_format
from llmplan.planning.describe import hardware_facts, model_facts
from llmplan.planning.estimate import estimate_setup, setup_of
from llmplan.planning.quality import quality_tier
from llmplan.planning.request import Options, make_request, split, workload_of
from llmplan.specs.formats import WeightFormat
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Answer, Parallelism, Setup, Warning_, Workload
from llmplan.specs.speed import SpeedTable
from llmplan.version import __version__

SCHEMA = "llmplan.fit/1"
ORDER = (
    "what holds the asked requests at once, then quality (own format and 8 bits, then 4, 3, 2)",
    "then continuous batching, published weights, output tokens a second, more bits, more room",
)
"""How setups are ranked; printed with every ranking."""


def fit_answer(
    model: Model,
    gpu: Accelerator,
    options: Options,
    *,
    accelerators: Iterable[Accelerator] = (),
    said: tuple[Warning_, ...] = (),
    speed: SpeedTable | None = None,
) -> Answer:
    """Return the full answer for one model on one kind of device.

    Parameters
    ----------
    model, gpu : Model, Accelerator
        What is to be served, and on what
    options : Options
        What the user asked for
    accelerators : iterable of Accelerator
        Devices to suggest when nothing fits here, the nearest first
    said : tuple of Warning_
        What was read into the names, and facts that are the user's
    speed : SpeedTable
        Measured kernels and fitted coefficients; without it speed is null

    """
    asked = estimate_setup(model, gpu, options, accelerators, said=said, speed=speed)
    return Answer(
        schema=SCHEMA,
        llmplan_version=__version__,
        model=model_facts(model),
        hardware=hardware_facts(gpu, max(options.devices, asked.gpus)),
        workload=_stated(model, options),
        requested=asked,
        setups=tuple(ranked_setups(model, gpu, options, speed)),
    )


def _stated(model: Model, options: Options) -> Workload:
    """Return the workload with the lengths and the load that speed is stated for."""
    workload = workload_of(model, options)
    if model.decoder is None:
        return workload
    prompt, output = lengths_of(workload)
    one = None if workload.rate_per_s else 1
    return replace(
        workload, input_tokens=prompt, output_tokens=output, concurrency=workload.concurrency or one
    )


def ranked_setups(
    model: Model, gpu: Accelerator, options: Options, speed: SpeedTable | None = None
) -> list[Setup]:
    """Return the supported setups that fit, best first; what the user fixed stays fixed."""
    rows = []
    for name in [options.engine] if options.engine else engine_names():
        engine = get_engine(name)
        for fmt in _formats(engine, model, gpu, options):
            for parallel in _splits(engine, model, fmt, options):
                request = make_request(
                    model, gpu, options, engine=engine, weights=fmt, parallel=parallel
                )
                if engine.unsupported(request) is None:
                    setup = setup_of(engine, request, explain=options.explain, speed=speed)
                    if setup.fits and setup.supported:
                        rows.append((_rank(model, fmt, engine, setup, options), setup))
    return [setup for _, setup in sorted(rows, key=lambda row: row[0])]


def best_splits(setups: Iterable[Setup]) -> list[Setup]:
    """Return the best split of each engine and format, in order: the numbers on the screen."""
    best: dict[tuple[str, str], Setup] = {}
    for setup in setups:
        best.setdefault((setup.engine, setup.weight_format), setup)
    return list(best.values())


def _formats(
    engine: Engine, model: Model, gpu: Accelerator, options: Options
) -> list[WeightFormat]:
    if options.weight_format:
        return [weight_format(options.weight_format)]
    return [weight_format(n) for n in engine.candidate_formats(model, gpu)]


def _splits(engine: Engine, model: Model, fmt: WeightFormat, options: Options) -> list[Parallelism]:
    """Return the asked split; else that of the request and all that use as many devices."""
    try:
        own = split(engine, model, fmt, options)
    except IllegalParallelism:
        return []
    if (options.tp, options.pp, options.dp, options.ep) != (None, None, None, None):
        return [own]
    legal = engine.splits(model, fmt, options.devices)
    return list(dict.fromkeys([*(p for p in legal if p.gpus == legal[0].gpus), own]))


def _rank(
    model: Model, fmt: WeightFormat, engine: Engine, setup: Setup, options: Options
) -> tuple[object, ...]:
    room, rate = setup.requests_at_once, setup.performance.output_tokens_per_s
    return (
        room < (options.concurrency or 1),
        quality_tier(model, fmt),
        not engine.batches_continuously,
        not (setup.launch and setup.launch.artifact_urls),
        -(rate.value if rate else 0.0),
        fmt.name != model.native_format,
        -fmt.bits,
        setup.pp,
        -room,
        engine.name,
        fmt.name,
        -setup.tp,
    )
