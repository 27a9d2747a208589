"""The space that a plan is searched in: device x size x engine x formats x split, lowered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from llmplan.engines import engine_names, get_engine
from llmplan.engines.base import Engine, Request
from llmplan.engines.speed_labels import format_class
from llmplan.engines.speed_setting import rates_of, serving_of
from llmplan.engines.work import work_of
from llmplan.errors import InputError
from llmplan.memory.formats import kv_format, weight_format
from llmplan.planning.performance import basis_of
from llmplan.planning.quality import quality_tier
from llmplan.planning.stock import unit_sizes
from llmplan.planning.wanted import Wanted
from llmplan.specs.formats import KvFormat, WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.plan import Demand, Stock
from llmplan.specs.setup import Limits, Parallelism, Workload
from llmplan.specs.speed import SpeedTable
from llmplan.speed.work import Costs, Habits, Rates, Setting, Work

CROWDED = 0.85
"""Share of a machine's memory from which setups of several machines are tried too (assumed)."""

LEAST_WEIGHTS = 0.9
"""Share of its average share of weights that the fullest stage holds at least: engines keep some
tensors (embeddings) on the host, which the lowered form counts."""


def stage_bytes(work: Any) -> Any:
    """Return the weights of a pipeline stage on average [bytes]."""
    return (work.dense_bytes + work.head_bytes + work.expert_bytes) / work.stages


class Split(NamedTuple):
    """A split of a replica, the place of its work, and the least weights of a stage [bytes]."""

    parallel: Parallelism
    work: int
    least_bytes: float


class Row(NamedTuple):
    """One setup that may be a replica; its lowered parts by their places in the space."""

    stock: int
    engine: str
    weights: WeightFormat
    kv: KvFormat
    parallel: Parallelism
    basis: str
    tier: int
    work: int
    rates: int
    habits: int


class Space(NamedTuple):
    """All setups to choose from, and the distinct parts that their lowered forms are made of."""

    model: Model
    stocks: tuple[Stock, ...]
    workload: Workload
    rows: list[Row]
    works: list[Work]
    rates: list[Rates]
    habits: list[tuple[Habits, Costs]]
    skipped: tuple[str, ...]

    def request(self, row: Row) -> Request:
        """Return the request of one setup, without load: the memory of a replica on its own."""
        engine = get_engine(row.engine)
        return Request(
            self.model, self.stocks[row.stock].gpu, row.weights, row.kv, row.parallel,
            self.workload, Limits(), engine.default_version,
        )  # fmt: skip

    def setting(self, row: Row) -> Setting:
        """Return the lowered form of one setup."""
        return Setting(self.works[row.work], self.rates[row.rates], *self.habits[row.habits])


def space_of(
    model: Model, stocks: Iterable[Stock], demand: Demand, wanted: Wanted, table: SpeedTable
) -> Space:
    """Return every setup that the options leave open, on every stock."""
    workload = Workload(
        demand.context_tokens, demand.input_tokens, demand.output_tokens,
        prefix_hit_rate=demand.prefix_hit_rate,
    )  # fmt: skip
    space = _Builder(model, tuple(stocks), workload, wanted, table)
    for name in wanted.engine or engine_names():
        engine = get_engine(name)
        for place, stock in enumerate(space.stocks):
            space.add(engine, place, stock)
    return space.built()


class _Builder:
    """Collects rows; parts that many rows share are lowered once."""

    def __init__(
        self, model: Model, stocks: tuple[Stock, ...], workload: Workload, wanted: Wanted,
        table: SpeedTable,
    ) -> None:  # fmt: skip
        self.model, self.stocks, self.workload = model, stocks, workload
        self.wanted, self.table = wanted, table
        self.rows: list[Row] = []
        self.skipped: dict[str, None] = {}
        self._works: dict[Any, int] = {}
        self._rates: dict[Any, int] = {}
        self._habits: dict[Any, int] = {}
        self._splits: dict[Any, list[Split]] = {}
        self.works: list[Work] = []
        self.rates: list[Rates] = []
        self.habits: list[tuple[Habits, Costs]] = []

    def built(self) -> Space:
        """Return what was collected."""
        return Space(
            self.model, self.stocks, self.workload, self.rows, self.works, self.rates, self.habits,
            tuple(self.skipped),
        )  # fmt: skip

    def add(self, engine: Engine, place: int, stock: Stock) -> None:
        """Add every setup of an engine on a stock."""
        if stock.gpu.usable_memory_bytes is None:
            self.skipped[f"{stock.gpu.id}: its memory is not known"] = None
            return
        for fmt in self._formats(engine, stock):
            for kv in self._kv_formats(engine, fmt):
                request = Request(
                    self.model, stock.gpu, fmt, kv, Parallelism(), self.workload, Limits(),
                    engine.default_version,
                )  # fmt: skip
                if engine.unsupported(request) is None:
                    self._add_splits(engine, place, stock, request)

    def _add_splits(self, engine: Engine, place: int, stock: Stock, request: Request) -> None:
        try:
            habits = self._habits_of(engine, request)
        except InputError as e:
            self.skipped[f"{stock.gpu.id}: {e.message}"] = None
            return
        basis = basis_of(request, engine, self.table)
        tier = quality_tier(self.model, request.weights)
        name, weights, kv = engine.name, request.weights, request.kv
        rates: dict[int, int] = {}
        for gpus in self._sizes(engine, stock, request):
            for p, work, least_bytes in self._legal(engine, request, gpus):
                if least_bytes >= request.device_bytes:
                    continue
                if p.tp not in rates:
                    rates[p.tp] = self._rates_of(engine, request, p)
                self.rows.append(
                    Row(place, name, weights, kv, p, basis, tier, work, rates[p.tp], habits)
                )

    def _formats(self, engine: Engine, stock: Stock) -> list[WeightFormat]:
        known = engine.candidate_formats(self.model, stock.gpu)
        return [weight_format(n) for n in dict.fromkeys(self.wanted.weight_format or known)]

    def _kv_formats(self, engine: Engine, fmt: WeightFormat) -> list[KvFormat]:
        own = (engine.default_kv(self.model, fmt), engine.smaller_kv)
        return [kv_format(n) for n in dict.fromkeys(self.wanted.kv_format or own)]

    def _sizes(self, engine: Engine, stock: Stock, request: Request) -> list[int]:
        """Return the devices of a setup: more than a machine only where one would be crowded."""
        sizes = unit_sizes(stock, most_gpus=self.wanted.max_gpus)
        if stock.limit is not None:
            return sizes
        machine = max((o.devices for o in stock.offers), default=stock.machine)
        work = self.works[self._work_of(request, Parallelism())]
        held = work.dense_bytes + work.head_bytes + work.expert_bytes
        held += work.token_bytes * (self.workload.context_tokens or 0)
        crowded = held > CROWDED * machine * request.device_bytes
        if crowded and engine.has_tensor_parallel:
            return sizes
        return [n for n in sizes if n <= machine]

    def _legal(self, engine: Engine, request: Request, gpus: int) -> list[Split]:
        key = (engine.name, request.weights.name, request.kv.name, gpus)
        if key not in self._splits:
            works = [
                (p, self._work_of(request, p))
                for p in unit_splits(engine, self.model, request.weights, gpus)
            ]
            self._splits[key] = [
                Split(p, work, LEAST_WEIGHTS * stage_bytes(self.works[work])) for p, work in works
            ]
        return self._splits[key]

    def _work_of(self, request: Request, p: Parallelism) -> int:
        key = (request.weights.name, request.kv.name, p.tp, p.pp, p.dp, p.ep)
        if key not in self._works:
            self._works[key] = len(self.works)
            self.works.append(work_of(self.model, request.weights, request.kv, p))
        return self._works[key]

    def _rates_of(self, engine: Engine, request: Request, p: Parallelism) -> int:
        key = (engine.name, request.gpu.id, format_class(request.weights), p.tp)
        if key not in self._rates:
            self._rates[key] = len(self.rates)
            self.rates.append(rates_of(request.gpu, request.weights, p.tp, engine.name))
        return self._rates[key]

    def _habits_of(self, engine: Engine, request: Request) -> int:
        key = (engine.name, request.gpu.id, format_class(request.weights), request.kv.name,
               engine.name == "transformers" and request.weights.is_quantized)  # fmt: skip
        if key not in self._habits:
            rates_of(request.gpu, request.weights, 1, engine.name)  # InputError where unknown
            found = serving_of(
                request, self.table, engine=engine.name, version=request.version,
                chunk_tokens=engine.chunk_tokens(request),
            )  # fmt: skip
            self._habits[key] = len(self.habits)
            self.habits.append(found)
        return self._habits[key]


def unit_splits(
    engine: Engine, model: Model, fmt: WeightFormat, gpus: int
) -> Iterator[Parallelism]:
    """Yield the splits of one replica over just so many devices.

    Data parallelism inside it only where replicas share experts: else it is more replicas.
    """
    for p in engine.splits(model, fmt, gpus):
        if p.gpus != gpus or (p.dp > 1 and not model.is_moe):
            continue
        yield p
        if model.is_moe and p.ep == 1 and p.tp * p.dp > 1:
            shared = Parallelism(p.tp, p.pp, p.dp, p.tp * p.dp)
            if engine.illegal(model, fmt, shared) is None:
                yield shared
