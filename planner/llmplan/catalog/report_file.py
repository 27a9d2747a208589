"""The plan file of a report: the keys of a sweep, one load, and a section `report:` beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llmplan.catalog.asked import named_model
from llmplan.catalog.names import close_names
from llmplan.catalog.plan_file import plan_of
from llmplan.catalog.resolve import store
from llmplan.catalog.stocks import find_stocks
from llmplan.catalog.yaml_reader import Lines, line_of, read_yaml
from llmplan.errors import CatalogFileError, InputError
from llmplan.sources.traces import read_trace
from llmplan.specs.plan import Stock
from llmplan.specs.plan_file import ALL, PlanFile
from llmplan.specs.report import GROWTH, OPTIONS, TEXTS, Growth, Named
from llmplan.specs.setup import Warning_
from llmplan.specs.traffic import Traffic
from llmplan.specs.units import parse_seconds

SECTION = "report"
KEYS = (*TEXTS, *OPTIONS, "growth")
MAX_TEXT = 500
MAX_QUARTERS = 40
MAX_GROWTH = 10.0
MAX_CANDIDATES = 500
"""Models x devices of one report: each is planned on its own, a fifth of a second."""

_PERCENT = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*%\s*")
_QUARTER = re.compile(r"(20[0-9]{2})-?Q([1-4])")
At = tuple[str | int, ...]


class AskedReport(NamedTuple):
    """What a plan file asks of a report: found models and devices, options of `plan`, texts."""

    where: str
    models: tuple[Named, ...]
    stocks: tuple[Stock, ...]
    options: dict[str, Any]
    texts: dict[str, str]
    growth: Growth | None
    trace: Traffic | None
    warnings: tuple[Warning_, ...]


def asked_report(source: str | Path | Mapping[str, Any], *, offline: bool = False) -> AskedReport:
    """Return what a plan asks, from a file or a mapping; its faults name the place."""
    if isinstance(source, Mapping):
        return _Reader("plan", None).asked(dict(source), offline=offline)
    data, lines = read_yaml(Path(source))
    return _Reader(str(source), lines).asked(data, offline=offline)


def check_section(data: Any, *, where: str, lines: Lines | None) -> None:
    """Raise CatalogFileError for a fault of the section `report` of a plan, if it has one."""
    if SECTION in data:
        _Reader(where, lines).section(data[SECTION])


class _Reader:
    """Reads one plan; knows where it stands, for its errors."""

    def __init__(self, where: str, lines: Lines | None) -> None:
        self.where, self.lines = where, lines

    def asked(self, data: Any, *, offline: bool) -> AskedReport:
        """Return the whole plan."""
        section = {} if not isinstance(data, dict) else data.get(SECTION, {})
        rest = data if not isinstance(data, dict) else _without(data, SECTION)
        plan = plan_of(rest, where=self.where, lines=self.lines)
        options, texts, growth = self.section(section)
        notes = list(_unused(plan))
        options = self.options(plan) | options
        models = self.models(plan, notes, offline=offline)
        names = () if plan.gpus == ALL else plan.gpus
        stocks, said = find_stocks(names, providers=_listed(options, "provider"),
                                   regions=_listed(options, "region"))  # fmt: skip
        if len(models) * len(stocks) > MAX_CANDIDATES:
            raise self.fault((), f"{len(models)} models on {len(stocks)} devices are more than "
                             f"{MAX_CANDIDATES} candidates: name fewer")  # fmt: skip
        trace = self.trace(options)
        warnings = tuple(Warning_("plan_file", n) for n in (*notes, *said))
        return AskedReport(self.where, models, tuple(stocks), options, texts, growth,
                           trace, warnings)  # fmt: skip

    def fault(self, at: At, problem: str) -> CatalogFileError:
        """Return the error of a place."""
        line = line_of(at, self.lines)
        field = ".".join(map(str, at)) or None
        column = None if line is None else line.column
        return CatalogFileError.at(self.where, line, field, problem, column=column)

    def section(self, data: Any) -> tuple[dict[str, Any], dict[str, str], Growth | None]:
        """Return options, texts and growth of the section `report`."""
        self.known(data, (SECTION,), KEYS)
        texts = {}
        for key in TEXTS:
            if data.get(key) is not None:
                text = str(data[key]).strip()
                if len(text) > MAX_TEXT or not text.isprintable():
                    raise self.fault((SECTION, key), f"one line of at most {MAX_TEXT} characters")
                texts[key] = text
        options = {k: data[k] for k in OPTIONS if data.get(k) is not None}
        if "api_price" in options:
            options["api_price"] = self.prices(options["api_price"])
        growth = None if data.get("growth") is None else self.growth(data["growth"])
        return options, texts, growth

    def known(self, data: Any, at: At, keys: tuple[str, ...]) -> None:
        """Refuse what is no mapping, and keys that there are not."""
        if not isinstance(data, Mapping):
            raise self.fault(at, "must be a mapping of keys to values")
        for key in data:
            if key not in keys:
                close = close_names(str(key)[:60], keys, 1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(keys)}"
                raise self.fault((*at, key), f"unknown key, {hint}")

    def trace(self, options: dict[str, Any]) -> Traffic | None:
        """Return the statistics of a trace, whose path is from the plan file's folder."""
        name = options.pop("trace", None)
        return None if name is None else read_trace(str(Path(self.where).parent / str(name)))

    def prices(self, value: Any) -> tuple[float, float]:
        """Return the two prices of a hosted API."""
        if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):
            return float(value[0]), float(value[1])
        problem = "two prices, in and out, in US dollars per million tokens: [0.5, 1.5]"
        raise self.fault((SECTION, "api_price"), problem)

    def growth(self, data: Any) -> Growth:
        """Return how the load grows."""
        at: At = (SECTION, "growth")
        self.known(data, at, tuple(GROWTH))
        share = _share(data.get("per_quarter"))
        if share is None or not -1 < share <= MAX_GROWTH:
            raise self.fault((*at, "per_quarter"), "a share such as 0.25 or 25%, above -100%")
        quarters = data.get("quarters", 8)
        whole = isinstance(quarters, int) and not isinstance(quarters, bool)
        if not whole or not 1 <= quarters <= MAX_QUARTERS:
            raise self.fault((*at, "quarters"), f"a whole number from 1 to {MAX_QUARTERS}")
        first = data.get("from")
        if first is None:
            return Growth(share, quarters)
        match = _QUARTER.fullmatch(str(first).strip())
        if match is None:
            raise self.fault((*at, "from"), "a quarter such as 2027-Q1")
        return Growth(share, quarters, int(match[1]), int(match[2]))

    def options(self, plan: PlanFile) -> dict[str, Any]:
        """Return the options of `plan` that the axes mean; a load has one value each."""
        found: dict[str, Any] = {}
        for key in ("input_tokens", "output_tokens", "context_tokens", "concurrency",
                    "rate_per_s"):  # fmt: skip
            values = getattr(plan, key)
            if len(values) > 1:
                problem = f"a report is of one load, and there are {len(values)} values"
                raise self.fault(("workload", key), problem)
            if values:
                found[key] = values[0]
        for key, limit in plan.limits.items():
            if key not in ("ttft_s", "tpot_s"):
                raise self.fault(("limits", key), "a report holds ttft_s and tpot_s")
            found[key] = parse_seconds(limit)
        for key, name in (("engines", "engine"), ("weight_formats", "weight_format"),
                          ("kv_formats", "kv_format")):  # fmt: skip
            if getattr(plan, key) not in ((), ALL):
                found[name] = getattr(plan, key)
        if plan.gpu_counts:
            found["max_gpus"] = max(plan.gpu_counts)
        hits = plan.options.get("prefix_hit_rate")
        return found if hits is None else found | {"prefix_hit_rate": hits}

    def models(self, plan: PlanFile, notes: list[str], *, offline: bool) -> tuple[Named, ...]:
        """Return the models by name; `all` are those of the catalogue."""
        names = store().ids("models") if plan.models == ALL else plan.models
        if len(names) > MAX_CANDIDATES:
            raise self.fault(("models",), f"{len(names)} models are too many for one report")
        found = []
        for name in names:
            given: dict[str, Any] = {}
            model = named_model(name, given, notes, offline=offline)
            found.append(Named(name, model, given.get("weight_format")))
        return tuple(found)


def _without(data: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k != key}


def _unused(plan: PlanFile) -> Iterable[str]:
    """Yield what a report does not take from a plan, in sentences."""
    if plan.splits or plan.tp or plan.pp or plan.dp or plan.ep:
        yield "parallel of the plan file is not used: each option has its best split."
    if plan.filter:
        yield "filter of the plan file is for sweeps: the report looks at every candidate."
    for name in plan.options:
        if name != "prefix_hit_rate":
            yield f"options.{name} of the plan file is for sweeps, and not used here."


def _listed(options: dict[str, Any], name: str) -> list[str]:
    value = options.pop(name, ())
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) for v in values):
        raise InputError(f"{SECTION}.{name} must be a name or a list of names.")
    return list(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _share(value: Any) -> float | None:
    if _is_number(value):
        return float(value)
    match = _PERCENT.fullmatch(value[:40]) if isinstance(value, str) else None
    return None if match is None else float(match[1]) / 100
