"""llmplan: what serves an open model, on which hardware, with how much room.

    >>> import llmplan
    >>> answer = llmplan.fit("mixtral-8x7b", "a100-40g")
    >>> answer.requested.fits, round(answer.requested.memory_per_gpu.weights_bytes / 2**30, 1)
    (False, 87.0)

`load_model` and `load_gpu` take the names and paths of the command line; `fit`, `estimate`,
`plan` and `deploy` take those records or the names themselves; `sweep` and `report` take a plan
file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from llmplan.deployment.run import Artefacts
    from llmplan.reporting.report import Report
    from llmplan.specs.hardware import Accelerator
    from llmplan.specs.model import Model
    from llmplan.specs.plan import PlanAnswer
    from llmplan.specs.setup import Answer, Setup

__all__ = [
    "__version__", "deploy", "estimate", "fit", "load_gpu", "load_model", "plan", "report", "sweep",
]  # fmt: skip


def load_model(name: str, *, offline: bool = False) -> Model:
    """Return a model by id, alias, Hub id, or path to a YAML or config.json.

    A Hub id that the catalogue does not know is read from the Hub, with `offline` from its cache.
    Raises UnknownName, AmbiguousName, CatalogFileError, or OutsideError (the Hub, its cache).
    """
    from llmplan.catalog.resolve import find_model

    return find_model(name, offline=offline).model


def load_gpu(name: str) -> Accelerator:
    """Return a device by id, alias, node or path to a YAML.

    Raises UnknownName, AmbiguousName (a name that means several devices) or CatalogFileError.
    """
    from llmplan.catalog.resolve import find_gpu

    return find_gpu(name).gpu


def fit(model: Model | str, gpu: Accelerator | str, **options: Any) -> Answer:
    """Return whether a model runs on this hardware, and the setups to use, best first.

    Parameters
    ----------
    model, gpu
        Records or names, as for `load_model` and `load_gpu` (a node or `a100-40g*8` counts)
    options
        gpus, tp, pp, dp, ep, engine, engine_version, weight_format, kv_format,
        context_tokens, input_tokens, output_tokens, concurrency, rate_per_s,
        prefix_hit_rate, acceptance_rate, disaggregated,
        gpu_memory_utilization, max_num_seqs, max_num_batched_tokens, block_size,
        kv_cache_memory_bytes, speculative_tokens, draft (a model or a name),
        offline_batch, flashinfer, role, explain;
        `set` (a list of "fact=value", or a mapping) gives facts
        for this run, `host_ram` [bytes] and `host_bandwidth` [bytes/s] those of a processor;
        `offline` keeps off the network

    Raises InputError for what is wrong with the request; "does not fit" is an answer.

    """
    from llmplan.catalog.asked import asked
    from llmplan.catalog.resolve import bigger_accelerators
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.planning.fit import fit_answer
    from llmplan.planning.request import make_options

    a = asked(model, gpu, options)
    answer = fit_answer(
        a.model,
        a.gpu,
        make_options(**a.options),
        accelerators=bigger_accelerators(a.gpu),
        said=a.warnings,
        speed=open_speed_table(),
    )
    if a.price is None:
        return answer
    from llmplan.planning.cost import priced_answer

    return priced_answer(answer, a.price)


def estimate(model: Model | str, gpu: Accelerator | str, **options: Any) -> Setup:
    """Return one setup exactly as the options say; options as for `fit`."""
    from llmplan.catalog.asked import asked
    from llmplan.catalog.resolve import bigger_accelerators
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.planning.estimate import estimate_setup
    from llmplan.planning.request import make_options

    a = asked(model, gpu, options)
    setup = estimate_setup(
        a.model,
        a.gpu,
        make_options(**a.options),
        bigger_accelerators(a.gpu),
        said=a.warnings,
        speed=open_speed_table(),
    )
    if a.price is None:
        return setup
    from llmplan.planning.cost import priced

    return priced(setup, a.price)


def deploy(
    model: Model | str,
    gpu: Accelerator | str,
    to: str = "command",
    *,
    pick: int = 1,
    devices_per_node: int | None = None,
    autoscaler: str = "hpa",
    **options: Any,
) -> Artefacts | None:
    """Return the files that start a setup, None where none fits; options as for `fit`.

    Parameters
    ----------
    model, gpu, **options
        As for `fit`
    to
        Target: command, docker, compose, systemd, k8s, lws, kserve, ray-serve, llm-d, ollama, bench
    pick
        Which setup, by its number on the screen of `fit`
    devices_per_node
        Devices of one machine (default: those of the machine that was named, else 8)
    autoscaler
        hpa, keda or none, for k8s

    Raises InputError for what is wrong with the request, or a target that cannot start it.

    """
    from llmplan.catalog.asked import asked
    from llmplan.catalog.serving import all_servers, devices_per_host
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.deployment.choose import choices, deployment_of
    from llmplan.deployment.run import artefacts_of, engine_for
    from llmplan.planning.request import make_options

    a = asked(model, gpu, options | {"engine": engine_for(to, options.get("engine"))})
    wanted = make_options(**a.options)
    setups = choices(a.model, a.gpu, wanted, open_speed_table())
    if not setups:
        return None
    if a.price is not None:
        from llmplan.planning.cost import priced

        setups = [priced(s, a.price) for s in setups]
    d = deployment_of(
        a.model,
        a.gpu,
        wanted,
        setups,
        all_servers(),
        pick=pick,
        said=a.warnings,
        devices_per_node=devices_per_node or devices_per_host(gpu),
        autoscaler=autoscaler,
    )
    return artefacts_of(to, d)


def plan(model: Model | str, gpu: Accelerator | str | list[str] | None = None,
         **options: Any) -> PlanAnswer:  # fmt: skip
    """Return which hardware, how many and which setup meet a load within limits, best first.

    Parameters
    ----------
    model
        A record or a name, as for `load_model`
    gpu
        Devices that may be used: a record, a name, or several (`rtx-3090*2,rtx-4090*1`: devices of
        your own by number); all of the catalogue where it is left out
    options
        rate_per_s, or concurrency, or users with requests_per_user (an hour); input_tokens,
        output_tokens, profile (chat, code, rag, agents, batch) or trace (a file); context_tokens,
        prefix_hit_rate, headroom; limits ttft_s, tpot_s, percentile (mean, p50, p90, p95, p99),
        budget [USD/hour], max_gpus; prefer (cheapest, fastest, fewest, quality); provider, region,
        engine, weight_format, kv_format, license (each one or several), commercial;
        api_price (USD per million input and output tokens); explain;
        `set` gives facts for this run; `offline` keeps off the network

    Raises InputError for what is wrong with the request; "nothing meets it" is an answer.

    """
    from llmplan.catalog.planning import asked_plan
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.planning.plan import plan_answer
    from llmplan.planning.wanted import make_wanted

    a = asked_plan(model, gpu, options)
    wanted = make_wanted(**a.options)
    return plan_answer(
        a.model,
        a.stocks,
        wanted,
        open_speed_table(),
        trace=a.trace,
        said=a.warnings,
        name=model if isinstance(model, str) else None,
    )


def sweep(plan: str | Path | Mapping[str, Any], *, offline: bool = False) -> pa.Table:
    """Return all rows of a grid as an Arrow table (`to_pandas()`, polars, DuckDB read it).

    Parameters
    ----------
    plan
        A plan file, or a mapping with the same keys: models, gpus, gpu_counts, engines,
        weight_formats, kv_formats, parallel, workload, limits, filter, columns, options
    offline
        Keep off the network

    Needs the extra `sweep`. Raises CatalogFileError for what is wrong with the plan, with its
    place; UnknownName for names that are not known; InputError for a grid too large for a table.

    """
    from collections.abc import Mapping
    from pathlib import Path

    from llmplan.catalog.plan_file import plan_of, read_plan
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.extras import require

    require("A sweep", "sweep", "numpy", "pyarrow")
    from llmplan.sweeping.run import sweep_table
    from llmplan.sweeping.space import space_of

    asked = plan_of(dict(plan)) if isinstance(plan, Mapping) else read_plan(Path(plan))
    return sweep_table(space_of(asked, offline=offline), open_speed_table())


def report(plan: str | Path | Mapping[str, Any], *, offline: bool = False) -> Report:
    """Return the capacity report of a plan: a file, or a mapping with the same keys.

    Parameters
    ----------
    plan
        models, gpus, workload, limits as `sweep` takes them, one load; `report` holds title, growth
        and the options of `plan` (prefer, headroom, profile, budget ...)
    offline
        Keep off the network

    `to_dict()` gives the data; render.report writes HTML and Markdown. Raises InputError for what
    is wrong with the plan; "nothing meets it" is an answer.

    """
    from llmplan.catalog.report_file import asked_report
    from llmplan.catalog.serving import all_servers
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.errors import InputError
    from llmplan.planning.wanted import make_wanted
    from llmplan.reporting.ask import Ask
    from llmplan.reporting.report import report_of

    a = asked_report(plan, offline=offline)
    try:
        wanted = make_wanted(**a.options)
    except InputError as e:
        raise type(e)(f"{a.where}: {e.message}", e.hint) from None
    texts = {"title": "Capacity report"} | a.texts
    ask = Ask(models=a.models, stocks=a.stocks, wanted=wanted, growth=a.growth, trace=a.trace,
              said=a.warnings, **texts)  # fmt: skip
    return report_of(ask, open_speed_table(), all_servers())
