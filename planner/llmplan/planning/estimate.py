"""One setup: its memory, its KV pool, whether it fits and is supported, its command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from llmplan.engines.base import Engine, Plan, Request, extension_error
from llmplan.planning.describe import guess_range
from llmplan.planning.performance import performance_of
from llmplan.planning.quality import quality_of
from llmplan.planning.remedies import remedies_for
from llmplan.planning.request import Options, check_drafts, requested
from llmplan.planning.stored import engine_warnings, stored_warnings
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Launch, Performance, Setup, StepTerm, Warning_
from llmplan.specs.speed import SpeedTable
from llmplan.specs.units import count_text, gib, tokens_text


def estimate_setup(
    model: Model,
    gpu: Accelerator,
    options: Options,
    accelerators: Iterable[Accelerator] = (),
    said: tuple[Warning_, ...] = (),
    speed: SpeedTable | None = None,
) -> Setup:
    """Return the setup that the options describe, with what would make it fit if it does not.

    `said` comes before the other warnings.
    """
    check_drafts(model, options)
    engine, request = requested(model, gpu, options)
    setup = setup_of(engine, request, explain=options.explain, speed=speed)
    said = (*said, *engine_warnings(model, options))
    setup = replace(setup, warnings=(*said, *setup.warnings))
    if setup.gpus < options.devices:
        message = f"{setup.gpus} of {options.devices} devices are used, the rest stay idle."
        setup = replace(setup, warnings=(*setup.warnings, Warning_("devices_idle", message)))
    if setup.fits:
        return setup
    return replace(setup, remedies=remedies_for(engine, request, accelerators))


def setup_of(
    engine: Engine,
    request: Request,
    *,
    explain: bool = False,
    speed: SpeedTable | None = None,
) -> Setup:
    """Return the SETUP record of one request; without a table of speed, its fields are null."""
    plan = engine.plan(request)
    performance, speed_warnings, steps = _speed(engine, request, plan, speed, explain=explain)
    unsupported = engine.unsupported(request) or engine.role_error(request)
    launch = Launch(None)
    launch_warnings: tuple[Warning_, ...] = ()
    if plan.fits and unsupported is None:
        launch, launch_warnings = engine.launch(request, plan)
        if launch.command is None:
            unsupported = launch_warnings[-1].message
    p = request.parallel
    return Setup(
        engine=engine.name,
        engine_version=request.version,
        weight_format=request.weights.name,
        kv_format=request.kv.name,
        gpu=request.gpu.id,
        gpus=p.gpus,
        tp=p.tp,
        pp=p.pp,
        dp=p.dp,
        ep=p.ep,
        fits=plan.fits,
        supported=unsupported is None,
        reason=unsupported if plan.fits else _misfit(request, plan),
        remedies=(),
        memory_per_gpu=plan.memory,
        kv_cache=plan.kv_cache,
        max_context_tokens=plan.max_context_tokens,
        max_num_seqs=plan.max_num_seqs,
        performance=performance,
        quality=quality_of(request.model, request.weights),
        launch=launch,
        warnings=(*_model_warnings(request), *stored_warnings(request),
                  *_load_warnings(request, plan), *plan.warnings,
                  *launch_warnings, *speed_warnings, *_unsupported_warning(unsupported, plan)),
        explanation=(*plan.terms, *steps) if explain else None,
    )  # fmt: skip


def _speed(
    engine: Engine, request: Request, plan: Plan, table: SpeedTable | None, *, explain: bool
) -> tuple[Performance, tuple[Warning_, ...], tuple[StepTerm, ...]]:
    if table is None:
        return Performance(), (), ()
    performance, warnings = performance_of(engine, request, plan, table)
    if not explain or performance.tpot_s is None:
        return performance, warnings, ()
    from llmplan.planning.step_terms import step_terms

    return performance, warnings, step_terms(engine, request, plan, table)


def _misfit(request: Request, plan: Plan) -> str:
    if plan.shortage:
        return plan.shortage
    m = plan.memory
    where = "" if request.parallel.gpus == 1 else " per device"
    run_time = m.activation_peak_bytes + m.cuda_graph_bytes + m.runtime_bytes
    if m.weights_bytes > m.device_total_bytes:
        return (
            f"{gib(m.weights_bytes)} of weights{where} against "
            f"{gib(m.device_total_bytes)} usable on {request.gpu.id}."
        )
    if m.weights_bytes + run_time > m.budget_bytes:
        return (
            f"{gib(m.weights_bytes)} of weights{where} and {gib(run_time)} of run-time memory "
            f"against the {gib(m.budget_bytes)} that the engine may take of {request.gpu.id}."
        )
    left = m.budget_bytes - m.weights_bytes - run_time
    return (
        f"One request of {tokens_text(request.context_tokens)} tokens needs "
        f"{gib(plan.request_bytes)} of KV cache{where}, and {gib(left)} is left for it."
    )


def _model_warnings(request: Request) -> tuple[Warning_, ...]:
    model, found = request.model, []
    if request.extension_factor > 1:
        found.append(Warning_("context_beyond_model", _extension(request)))
    if model.guessed:
        low, high = guess_range(model)
        message = (
            f"The architecture of {model.id} is not known and its figures are a guess: between "
            f"{count_text(low)} and {count_text(high)} parameters by its usual keys."
        )
        found.append(Warning_("unknown_architecture", message))
    elif model.unverified:
        what = ", ".join(model.unverified)
        found.append(
            Warning_(
                "unverified_facts", f"Unverified facts of {model.id}: {what} (see models show)."
            )
        )
    if not request.gpu.usable_memory_observed:
        found.append(
            Warning_(
                "usable_memory_assumed",
                f"Usable memory of {request.gpu.id} is not observed: {_assumed(request)}.",
            )
        )
    if request.gpu.unified_memory:
        message = f"{request.gpu.id} shares its memory with the system, which needs some of it too."
        found.append(Warning_("unified_memory", message))
    gpu, p = request.gpu, request.parallel
    if gpu.part_of and p.tp * p.pp > 1:
        message = (
            f"Parts of {gpu.part_of} have no link to each other: expect NCCL to refuse {gpu.id}."
        )
        found.append(Warning_("unlinked_parts", message))
    return tuple(found)


def _assumed(request: Request) -> str:
    gpu = request.gpu
    return gpu.usable_memory_note or f"{gpu.assumed_share:.1%} of nominal is taken"


def _extension(request: Request) -> str:
    model = request.model
    impossible = extension_error(request)
    if impossible:
        return impossible
    return (
        f"{tokens_text(request.context_tokens)} tokens is beyond the "
        f"{tokens_text(model.context_tokens or 0)} of {model.id}: extend it with RoPE scaling "
        f"(YaRN, factor {request.extension_factor}) and check the quality."
    )


def _load_warnings(request: Request, plan: Plan) -> tuple[Warning_, ...]:
    asked = request.workload.concurrency
    fits_at_once = min(plan.kv_cache.max_concurrency, plan.max_num_seqs) * request.parallel.dp
    if asked is None or not plan.fits or asked <= fits_at_once:
        return ()
    message = (
        f"{asked} requests of {tokens_text(request.context_tokens)} tokens do not fit at once: "
        f"{int(fits_at_once)} run, the rest queue."
    )
    return (Warning_("requests_queue", message),)


def _unsupported_warning(unsupported: str | None, plan: Plan) -> tuple[Warning_, ...]:
    if unsupported is None or plan.fits:
        return ()
    return (Warning_("unsupported", unsupported),)
