"""What a plan names, found: model, stocks of devices, trace, with facts given for this run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from llmplan.catalog.asked import given_facts, named_model
from llmplan.catalog.stocks import MACHINE_DEVICES, find_stocks
from llmplan.errors import InputError
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.plan import Stock
from llmplan.specs.setup import Warning_
from llmplan.specs.traffic import Traffic


class AskedPlan(NamedTuple):
    """A model, the devices to choose from, a trace, the other options, what to say."""

    model: Model
    stocks: list[Stock]
    trace: Traffic | None
    options: dict[str, Any]
    warnings: tuple[Warning_, ...]


def asked_plan(model: Model | str, gpu: Any, options: Mapping[str, Any]) -> AskedPlan:
    """Return what a plan names; lists of names may be single ones."""
    rest = {k: v for k, v in options.items() if v is not None and v != ()}
    given, offline = given_facts(rest.pop("set", ())), bool(rest.pop("offline", False))
    providers, regions = _names(rest, "provider"), _names(rest, "region")
    for name in _names(rest, "engine", keep=True):
        from llmplan.catalog.serving import refuse_unplannable

        refuse_unplannable(name)
    trace = rest.pop("trace", None)
    notes: list[str] = []
    if isinstance(model, str):
        found: dict[str, Any] = {}
        model = named_model(model, found, notes, offline=offline)
        rest.setdefault("weight_format", found.get("weight_format"))
    if not isinstance(model, Model):
        raise InputError(f"The model must be a Model or a name, not {type(model).__name__}.")
    stocks, said = _stocks(gpu, providers, regions)
    warnings = [Warning_("resolved_name", n) for n in (*notes, *said)]
    if given:
        model, stocks, sentences = _with_facts(model, stocks, given)
        warnings += [Warning_("overridden_fact", s) for s in sentences]
    return AskedPlan(model, stocks, _trace(trace), rest, tuple(warnings))


def _stocks(gpu: Any, providers: list[str], regions: list[str]) -> tuple[list[Stock], list[str]]:
    if isinstance(gpu, Accelerator):
        return [Stock(gpu.id, gpu, (), None, MACHINE_DEVICES)], []
    names = [] if gpu is None else [gpu] if isinstance(gpu, str) else list(gpu)
    if not all(isinstance(n, str) for n in names):
        raise InputError("gpu must be an Accelerator, a name, or a list of names.")
    return find_stocks(names, providers=providers, regions=regions)


def _names(options: dict[str, Any], name: str, *, keep: bool = False) -> list[str]:
    value = options.get(name, ()) if keep else options.pop(name, ())
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or not all(isinstance(v, str) for v in value):
        raise InputError(f"{name} must be a name or a list of names.")
    return list(value)


def _trace(name: Any) -> Traffic | None:
    if name is None or isinstance(name, Traffic):
        return name
    from llmplan.sources.traces import read_trace

    return read_trace(str(name))


def _with_facts(
    model: Model, stocks: list[Stock], given: list[str]
) -> tuple[Model, list[Stock], list[str]]:
    from llmplan.specs.overrides import with_facts

    if len(stocks) != 1:
        raise InputError("--set changes one device, and several are planned.", "Give one --gpu.")
    model, gpu, sentences = with_facts(model, stocks[0].gpu, given)
    return model, [stocks[0]._replace(gpu=gpu)], list(sentences)
