"""The report of a plan: options, curves, growth, what moves it, how sure it is, how to start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from llmplan.errors import InputError
from llmplan.planning.describe import model_facts
from llmplan.planning.estimate import setup_of
from llmplan.planning.wanted import demand_of
from llmplan.reporting.ask import Ask, Option, Rejected
from llmplan.reporting.curves import Curves, curves_of
from llmplan.reporting.evidence import Figure, assumptions_of, figures_of, sources_of
from llmplan.reporting.growth import Growing, growing
from llmplan.reporting.lowered import request_of
from llmplan.reporting.options import options_of
from llmplan.reporting.recommend import Recommendation, recommendation
from llmplan.reporting.sensitivity import Effect, effects_of
from llmplan.reporting.start import Start, starts_of
from llmplan.specs.plan import Demand, OwnOrRent
from llmplan.specs.record import Record, record
from llmplan.specs.serving import Server
from llmplan.specs.setup import Term
from llmplan.specs.speed import SpeedTable
from llmplan.version import __version__

SCHEMA = "llmplan.report/1"

DRAWN = 4
"""Options whose curves are drawn, grown and changed: more lines cannot be told apart."""

BEYOND = 1.5
"""How far the cost is drawn, over the largest load of the plan."""


@record
class Report(Record):
    """Everything that a report says, as data; HTML and Markdown show the same."""

    ask: Ask
    load: Demand
    recommendation: Recommendation
    options: tuple[Option, ...]
    rejected: tuple[Rejected, ...]
    curves: Curves
    growing: Growing | None
    effects: tuple[Effect, ...]
    figures: tuple[Figure, ...]
    terms: tuple[Term, ...]
    assumptions: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    starts: tuple[Start, ...]
    own_or_rent: OwnOrRent | None

    @property
    def met(self) -> bool:
        """Whether some option meets load and limits."""
        return bool(self.options)

    @property
    def drawn(self) -> tuple[Option, ...]:
        """The options whose curves are drawn."""
        return self.options[:DRAWN]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `llmplan report --json`."""
        ask = self.ask
        return {
            "schema": SCHEMA,
            "llmplan_version": __version__,
            "title": ask.title,
            "date": ask.date,
            "models": [model_facts(m) for _, m, _ in ask.models],
            "devices": [s.name for s in ask.stocks],
            "load": self.load.to_dict(),
            "limits": ask.wanted.bounds.to_dict(),
            "prefer": ask.wanted.prefer,
            "recommendation": self.recommendation.to_dict(),
            "options": [o.to_dict() for o in self.options],
            "rejected": [r._asdict() for r in self.rejected],
            "curves": self.curves.to_dict(),
            "growth": None if self.growing is None else self.growing.to_dict(),
            "sensitivity": [e.to_dict() for e in self.effects],
            "figures": [f.to_dict() for f in self.figures],
            "assumptions": list(self.assumptions),
            "sources": [{"of": of, "ref": ref} for of, ref in self.sources],
            "start": [s.to_dict() for s in self.starts],
            "own_or_rent": None if self.own_or_rent is None else self.own_or_rent.to_dict(),
        }


def report_of(ask: Ask, table: SpeedTable, servers: Iterable[Server]) -> Report:
    """Return the report of a plan.

    Parameters
    ----------
    ask : Ask
        Models, devices, load, limits and growth
    table : SpeedTable
        Measured kernels and fitted coefficients
    servers : iterable of Server
        Engines as they are started, for the benchmark

    """
    found = options_of(ask, table)
    options, drawn = found.options, found.options[:DRAWN]
    load = options[0].first.demand if options else _load(ask)
    if options and len(options[0].parts) > 1:
        load = replace(load, peak=sum(p.demand.peak for p in options[0].parts))
    mean = load.rate_per_s or float(load.concurrency or 1)
    grown = None
    if ask.growth is not None and drawn:
        grown = growing(drawn, ask.growth, mean=mean, peak=load.peak)
    largest = max([load.peak, *(q.peak for q in grown.quarters)] if grown else [load.peak])
    first = options[0] if options else None
    terms = _terms(first, table) if first else ()
    return Report(
        ask=ask,
        load=load,
        recommendation=recommendation(ask, options, found.rejected, grown),
        options=tuple(options),
        rejected=tuple(found.rejected),
        curves=curves_of(drawn, table, most_load=largest if grown else BEYOND * largest),
        growing=grown,
        effects=tuple(effects_of(drawn, ask.wanted.bounds, table)) if drawn else (),
        figures=tuple(figures_of(first, terms, table)) if first else (),
        terms=terms,
        assumptions=tuple(assumptions_of(ask, first)),
        sources=tuple(sources_of(ask, first)),
        starts=tuple(starts_of(first, servers)) if first else (),
        own_or_rent=_own_or_rent(first, found.answers),
    )


def _load(ask: Ask) -> Demand:
    """Return the load of the first model that makes tokens, where nothing meets it."""
    problem: InputError | None = None
    for _, model, _ in ask.models:
        try:
            return demand_of(model, ask.wanted, ask.trace)[0]
        except InputError as e:
            problem = e
    raise problem or InputError("The plan names no model.")


def _terms(option: Option, table: SpeedTable) -> tuple[Term, ...]:
    engine, request = request_of(option.first, option.first.demand)
    setup = setup_of(engine, request, explain=True, speed=table)
    return tuple(t for t in setup.explanation or () if isinstance(t, Term))


def _own_or_rent(option: Option | None, answers: list[Any]) -> OwnOrRent | None:
    if option is None:
        return None
    planned = option.first.planned
    for answer in answers:
        if any(p is planned for p in answer.setups):
            found: OwnOrRent | None = answer.own_or_rent
            return found if answer.setups[0] is planned else None
    return None
