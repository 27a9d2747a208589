"""Which setup is deployed: what the options fix, else the best that `fit` ranks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from llmplan.deployment.chosen import Deployment
from llmplan.engines import get_engine
from llmplan.errors import InputError
from llmplan.memory.formats import weight_format
from llmplan.planning.fit import best_splits, ranked_setups
from llmplan.planning.request import Options, check_drafts, make_request
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.serving import Server
from llmplan.specs.setup import Parallelism, Setup, Warning_
from llmplan.specs.speed import SpeedTable

NODE_DEVICES = 8
"""Devices of a machine that was not named: the largest common node (nodes of 2026-11)."""


def choices(
    model: Model, gpu: Accelerator, options: Options, speed: SpeedTable | None = None
) -> list[Setup]:
    """Return the setups to pick from, in the order and with the numbers of `fit`'s screen."""
    check_drafts(model, options)
    return best_splits(ranked_setups(model, gpu, options, speed))


def picked(setups: list[Setup], pick: int) -> Setup:
    """Return a setup by its number."""
    if not 1 <= pick <= len(setups):
        raise InputError(
            f"There is no setup {pick}: {len(setups)} fit.",
            "llmplan fit with the same options lists them.",
        )
    return setups[pick - 1]


def deployment_of(
    model: Model,
    gpu: Accelerator,
    options: Options,
    setups: list[Setup],
    servers: Iterable[Server],
    *,
    pick: int = 1,
    said: tuple[Warning_, ...] = (),
    devices_per_node: int | None = None,
    autoscaler: str = "hpa",
) -> Deployment:
    """Return the picked setup with the request, the plan and the words that start it.

    `said` is what was read into the names; it comes before the other warnings.
    """
    setup = picked(setups, pick)
    setup = replace(setup, warnings=(*said, *setup.warnings))
    engine = get_engine(setup.engine)
    fixed = replace(
        options, engine=setup.engine, engine_version=setup.engine_version, kv_format=setup.kv_format
    )
    request = make_request(
        model,
        gpu,
        fixed,
        engine=engine,
        weights=weight_format(setup.weight_format),
        parallel=Parallelism(setup.tp, setup.pp, setup.dp, setup.ep),
    )
    plan = engine.plan(request)
    return Deployment(
        setup=setup,
        request=request,
        plan=plan,
        start=engine.start(request, plan),
        server=next(s for s in servers if s.id == setup.engine),
        rank=pick,
        of=len(setups),
        devices_per_node=devices_per_node or NODE_DEVICES,
        autoscaler=autoscaler,
    )
