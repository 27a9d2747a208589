"""Every candidate of a report planned on its own: what meets the load, best first, and what not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmplan.errors import InputError
from llmplan.planning.plan import plan_answer
from llmplan.planning.wanted import Wanted
from llmplan.reporting.ask import Ask, Option, Part, Rejected
from llmplan.specs.plan import Demand, PlanAnswer, Planned, Stock
from llmplan.specs.report import Named
from llmplan.specs.speed import SpeedTable

FEW = 2
"""Candidates up to which each shows more than its best setup."""

OF_FEW = 3
"""Setups that a candidate shows where there are few."""


class Found:
    """The options of a report, those that were turned down, the answers behind them."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.options: list[Option] = []
        self.rejected: list[Rejected] = []
        self.answers: list[PlanAnswer] = []


def options_of(ask: Ask, table: SpeedTable) -> Found:
    """Return the options for the load: a candidate is a model on one kind of device.

    Where none meets it alone, devices of the user's own are tried together.
    """
    found = Found(ask)
    each = OF_FEW if len(ask.models) * len(ask.stocks) <= FEW else 1
    parts: list[Part] = []
    for named in ask.models:
        for stock in ask.stocks:
            parts += _candidate(found, table, named, stock, each)
    parts.sort(key=lambda p: _key(ask.wanted.prefer, p.planned))
    found.options = [Option(i, (p,)) for i, p in enumerate(parts, 1)]
    if not parts and len(ask.stocks) > 1:
        found.options = list(_together(found, table))
    return found


def _candidate(
    found: Found, table: SpeedTable, named: Named, stock: Stock, each: int
) -> list[Part]:
    name, model, _ = named
    wanted = _wanted(found.ask, named)
    try:
        answer = plan_answer(model, (stock,), wanted, table, trace=found.ask.trace, name=name)
    except InputError as e:
        found.rejected.append(Rejected(model.name, stock.name, e.message))
        return []
    found.answers.append(answer)
    plans = (*answer.setups, *answer.unpriced)
    if not plans:
        found.rejected.append(Rejected(model.name, stock.name, _why(answer)))
    return [Part(model, name, stock, p, answer.load) for p in plans[:each]]


def _wanted(ask: Ask, named: Named) -> Wanted:
    """Return what is wanted of a model: the format that its name implies, unless others are."""
    if named.weight_format is None or ask.wanted.weight_format:
        return ask.wanted
    return replace(ask.wanted, weight_format=(named.weight_format,))


def _why(answer: PlanAnswer) -> str:
    skipped = answer.searched["skipped"]
    if not answer.searched["setups"] and skipped:
        return str(skipped[0])
    return " ".join(r.message for r in answer.binding)


def _together(found: Found, table: SpeedTable) -> Iterator[Option]:
    ask = found.ask
    for number, named in enumerate(ask.models, 1):
        name, model, _ = named
        try:
            answer = plan_answer(model, ask.stocks, _wanted(ask, named), table,
                                 trace=ask.trace, name=name)  # fmt: skip
        except InputError:
            continue
        if answer.mixed:
            found.answers.append(answer)
            of_gpu = {s.gpu.id: s for s in ask.stocks}
            parts = [
                Part(model, name, of_gpu[p.setup.gpu], p, _share(answer, p)) for p in answer.mixed
            ]
            yield Option(number, tuple(parts))


def _share(answer: PlanAnswer, planned: Planned) -> Demand:
    return replace(answer.load, peak=planned.utilization * planned.capacity)


def _key(prefer: str, p: Planned) -> tuple[object, ...]:
    """Return what options are ordered by: evidence, then the preference, then the rest."""
    usd = float("inf") if p.usd_per_hour is None else p.usd_per_hour
    tier, time = p.quality_tier, p.e2e_s.value
    first: dict[str, tuple[object, ...]] = {
        "cheapest": (usd, p.gpus, tier, time),
        "fastest": (time, usd),
        "fewest": (p.gpus, tier, time),
        "quality": (tier, usd, p.gpus, time),
    }
    rest = (usd, tier, time, p.gpus, p.setup.gpu, p.setup.weight_format)
    return (bool(p.evidence), *first[prefer], *rest)
