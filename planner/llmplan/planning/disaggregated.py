"""The best pair of setups for a load: some replicas read prompts, the others decode.

Both kinds are sized apart: as few replicas as decode within the limits at the rate of the load, and
as few as read prompts at that rate. Its figures are `speed.disaggregated.pair_figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from llmplan.engines import get_engine
from llmplan.planning.bounds import GRID, SLACK, Bounder
from llmplan.planning.columns import load_columns, setting_columns, taken
from llmplan.planning.search import EPSILON, POOR, Search
from llmplan.planning.serving import EXACT, MANY, Replica, fewest
from llmplan.planning.stock import pair_rent
from llmplan.specs.plan import Bounds, Demand, Rent, Stock
from llmplan.speed.disaggregated import making_of, pair_figures, reading_of, step_of
from llmplan.speed.figures import Figures, Load
from llmplan.speed.percentiles import tpot_percentile_s, ttft_percentile_s
from llmplan.speed.work import Setting

NO_RATE = float("inf")


class Kind(NamedTuple):
    """So many replicas of one setup."""

    replica: Replica
    replicas: int

    @property
    def gpus(self) -> int:
        """Devices of all of them."""
        return self.replicas * self.replica.request.parallel.gpus

    @property
    def ranks(self) -> float:
        """Data-parallel ranks of all of them."""
        return self.replicas * float(self.replica.setting.work.replicas)


class Pair(NamedTuple):
    """Replicas for prompts and for decoding, which meet load and limits together."""

    prefill: Kind
    decode: Kind
    rent: Rent | None
    figures: Figures
    ttft_limit_s: float
    tpot_limit_s: float
    tier: int
    key: float

    @property
    def gpus(self) -> int:
        """Devices in all."""
        return self.prefill.gpus + self.decode.gpus

    @property
    def evidence(self) -> tuple[str, ...]:
        """What the plan lacks evidence for: no pair is among the measurements."""
        both = (*self.prefill.replica.evidence, *self.decode.replica.evidence)
        return tuple(dict.fromkeys(("speed of disaggregation not measured", *both)))


def best_pair(search: Search, demand: Demand, limits: Bounds) -> Pair | None:
    """Return the pair of setups that meets load and limits best by the preference, None without.

    Groups of setups that can hand a cache over (same device, engine and formats) are looked at
    while a bound of their cost could still win.
    """
    best: Pair | None = None
    if not search.space.rows:
        return None
    for key, rows in _Groups(search, demand, limits):
        if best is not None and key >= best.key * (1 + EPSILON):
            break
        for pair in _pairs(search, rows, demand, limits, np.inf if best is None else best.key):
            if best is None or _order(pair) < _order(best):
                proven = _proven(search, pair)
                if proven is not None and (best is None or _order(proven) < _order(best)):
                    best = proven
    return best


def _proven(search: Search, pair: Pair) -> Pair | None:
    """Return a pair with all that it lacks evidence for in its key; None if nothing starts it."""
    reads, makes = search.started(pair.prefill.replica), search.started(pair.decode.replica)
    if reads is None or makes is None:
        return None
    prefill, decode = pair.prefill._replace(replica=reads), pair.decode._replace(replica=makes)
    lacked = pair.prefill.replica.evidence or pair.decode.replica.evidence
    lacks = reads.evidence or makes.evidence
    key = pair.key + (POOR if lacks and not lacked else 0.0)
    return pair._replace(prefill=prefill, decode=decode, key=key)


def _order(p: Pair) -> tuple[Any, ...]:
    a, b = p.prefill.replica.request, p.decode.replica.request
    return (p.key, p.gpus, float(p.figures.e2e_s), a.gpu.id, a.weights.name, a.kv.name,
            a.parallel.tp, b.parallel.tp, a.parallel.dp, b.parallel.dp,
            a.parallel.ep, b.parallel.ep)  # fmt: skip


class _Groups:
    """Groups of rows with a bound of what their best pair costs, the most promising first."""

    def __init__(self, search: Search, demand: Demand, limits: Bounds) -> None:
        self.search, self.demand, self.limits = search, demand, limits
        self.bounder: Bounder = search.bounder(demand)
        parts = {n for n in {r.engine for r in search.space.rows} if get_engine(n).parts_since}
        self.rows = np.array(
            [i for i, r in enumerate(search.space.rows) if r.engine in parts and r.parallel.pp == 1
             and (search.space.stocks[r.stock].offers or not search.apart)],
            dtype=int,
        )  # fmt: skip

    def __iter__(self) -> Iterator[tuple[float, list[int]]]:
        """Yield bound and rows of each group that may meet the limits."""
        if not self.rows.size:
            return
        readers, makers = self._readers(), self._makers()
        groups: dict[Any, list[int]] = {}
        for place, i in enumerate(self.rows.tolist()):
            r = self.search.space.rows[i]
            groups.setdefault((r.stock, r.engine, r.weights.name, r.kv.name), []).append(place)
        found = []
        for places in groups.values():
            gpus = readers[places].min() + makers[places].min()
            if np.isfinite(gpus):
                rows = [int(self.rows[p]) for p in places]
                found.append((self._key(rows, float(gpus)), rows))
        yield from sorted(found)

    def _key(self, rows: list[int], gpus: float) -> float:
        search = self.search
        row = search.space.rows[rows[0]]
        usd = _least_usd(search.space.stocks[row.stock], gpus)
        b = self.bounder
        e2e = b.first[rows].min() + max(self.demand.output_tokens - 1, 0) * b.token[rows].min()
        key = search.key(usd, gpus, float(e2e) / SLACK, row.tier)
        return key + POOR * bool(np.all(search.poor[rows]))

    def _readers(self) -> Any:
        """Return the fewest devices that read the prompts, infinite where TTFT forbids it."""
        b, at = self.bounder, self.rows
        gpus = np.array([self.search.space.rows[i].parallel.gpus for i in at], dtype=float)
        count = np.ones(len(at))
        if self.demand.kind == "rate":
            count = np.ceil(self.demand.peak * b.alone[at] / b.setting.work.replicas[at] / SLACK)
        slow = self.limits.ttft_s is not None and (
            b.first[at] * self.demand.input_ratio > (self.limits.ttft_s or 0) * SLACK
        )
        return np.where(slow, np.inf, np.maximum(count, 1) * gpus)

    def _makers(self) -> Any:
        """Return the fewest devices that decode, from the steps of a grid of batches."""
        b, at, d = self.bounder, self.rows, self.demand
        setting, held = taken(b.setting, at), b.held[at]
        context = d.input_tokens + d.output_tokens / 2
        most, rate = np.zeros(len(at)), np.zeros(len(at))
        going = held > 0
        for low, high in zip(GRID, (*GRID[1:], GRID[-1]), strict=True):
            if not (going & (low <= held)).any():
                break
            step = step_of(setting, sequences=low, context=context)
            if self.limits.tpot_s is not None:
                going = going & (step / setting.habits.yielded <= self.limits.tpot_s * SLACK)
            now, reached = going & (low <= held), np.clip(held, 1, high)
            most = np.where(now, reached, most)
            rate = np.where(now, reached / (b.steps[at] * step), rate)
        each = (rate if d.kind == "rate" else most) * setting.work.replicas * SLACK
        gpus = np.array([self.search.space.rows[i].parallel.gpus for i in at], dtype=float)
        with np.errstate(divide="ignore"):
            return np.maximum(np.ceil(d.peak / each), 1) * gpus


class Sized(NamedTuple):
    """Two kinds whose replicas carry a load: places of both setups in their group, the offer."""

    reads: int
    prefill: Kind
    makes: int
    decode: Kind
    rent: Rent | None


def _pairs(
    search: Search, rows: list[int], demand: Demand, limits: Bounds, most: float
) -> Iterator[Pair]:
    """Yield the pairs of setups of a group that meet load and limits, and may have a key of `most`.

    By cost and devices alone: how fast they are is looked at for the rest.
    """
    replicas = [r for r in map(search.replica, rows) if r is not None]
    if not replicas:
        return
    sizer = Sizer(replicas, demand, limits)
    tier = search.space.rows[replicas[0].row].tier

    def may_win(usd: float | None, gpus: int) -> bool:
        return search.key(usd, gpus, 0.0, tier) <= most * (1 + EPSILON)

    sized = list(_sized(search, sizer, limits, may_win))
    if not sized:
        return
    f, ttft, tpot = sizer.figures(sized)
    for place, (_, prefill, _, decode, rent) in enumerate(sized):
        own = Figures(*(float(column[place]) for column in f))
        gpus = prefill.gpus + decode.gpus
        poor = bool(prefill.replica.evidence or decode.replica.evidence)
        key = search.key(_usd(rent), gpus, own.e2e_s, tier) + POOR * poor
        yield Pair(prefill, decode, rent, own, float(ttft[place]), float(tpot[place]), tier, key)


def _sized(
    search: Search, sizer: Sizer, limits: Bounds, may_win: Callable[[float | None, int], bool]
) -> Iterator[Sized]:
    """Yield pairs that engine, stock and budget allow.

    `may_win` is asked with a cost [USD/hour] and devices; what it refuses is left out.
    """
    replicas = sizer.replicas
    makers, reached = sizer.makers()
    rates = reached.tolist()
    readers = {rate: sizer.readers(rate) for rate in set(rates)}
    stock: Stock = search.space.stocks[search.space.rows[replicas[0].row].stock]
    most = min(n for n in (stock.limit, limits.gpus, MANY) if n is not None)
    error = get_engine(replicas[0].request_engine).pair_error
    for i, j in product(range(len(replicas)), repeat=2):
        making, reading = int(makers[i]), int(readers[rates[i]][j])
        if not making or not reading:
            continue
        prefill, decode = Kind(replicas[j], reading), Kind(replicas[i], making)
        gpus = prefill.gpus + decode.gpus
        if gpus > most or not may_win(_least_usd(stock, gpus), gpus):
            continue
        a, b = prefill.replica.request, decode.replica.request
        if error(a.model, a.parallel, b.parallel):
            continue
        kinds = [(k.replica.request.parallel, k.replicas) for k in (prefill, decode)]
        rent = pair_rent(stock, [(p.gpus, p.tp, n) for p, n in kinds])
        if (stock.offers and rent is None) or not may_win(_usd(rent), gpus):
            continue
        if limits.usd_per_hour is None or stock.limit is not None or (
            rent is not None and rent.usd_per_hour <= limits.usd_per_hour * (1 + EPSILON)
        ):  # fmt: skip
            yield Sized(j, prefill, i, decode, rent)


def _least_usd(stock: Stock, gpus: float) -> float | None:
    """Return the least cost of so many devices, in parts of machines; null without an offer."""
    offers = stock.offers
    return gpus * min(o.usd_per_hour / o.devices for o in offers) if offers else None


def _usd(rent: Rent | None) -> float | None:
    return None if rent is None else rent.usd_per_hour


class Sizer:
    """How many replicas of each setup a load takes for one half of its work."""

    def __init__(self, replicas: list[Replica], demand: Demand, limits: Bounds) -> None:
        self.replicas, self.demand, self.limits = replicas, demand, limits
        self.setting = setting_columns([r.setting for r in replicas])
        self.load = load_columns([r.load for r in replicas])
        self.ranks = self.setting.work.replicas
        opened = demand.kind == "rate"
        none = np.zeros(len(replicas))
        self.asked = self.load._replace(
            in_flight=none + (MANY if opened else demand.peak),
            rate_per_s=none + (demand.peak if opened else 0.0),
        )
        self.read = reading_of(self.setting, self.load)

    def makers(self) -> tuple[Any, Any]:
        """Return the fewest replicas of each that decode all, 0 where none do, and their rate.

        In a closed loop prompts are taken to need no time, so that no more than that arrives.
        """

        def making(count: Any) -> Any:
            return making_of(self.setting, self.asked, makers=count * self.ranks,
                             most_per_s=NO_RATE, before_s=0.0)  # fmt: skip

        def meets(count: Any) -> Any:
            made = making(count)
            tpot = tpot_of(made.tpot_s, made.running, self.setting, self.load, self.demand)
            fine = tpot <= (self.limits.tpot_s or NO_RATE) * (1 + EXACT)
            if self.demand.kind == "rate":
                return fine & (made.rate_per_s >= self.demand.peak * (1 - EXACT))
            return fine & (self.demand.peak <= self.load.held * count * self.ranks * (1 + EXACT))

        count = fewest(meets, np.ones(len(self.ranks)))
        return count, making(np.maximum(count, 1)).rate_per_s

    def readers(self, rate: float) -> Any:
        """Return the fewest replicas of each that read prompts at a rate, 0 where none do."""
        most = self.ranks * self.read.rate_per_s

        def meets(count: Any) -> Any:
            first = ttft_of(self.read.first_s(rate, count * self.ranks), self.read, self.demand)
            fine = rate <= count * most * (1 + EXACT)
            return fine & (first <= (self.limits.ttft_s or NO_RATE) * (1 + EXACT))

        return fewest(meets, np.maximum(np.ceil(rate / most), 1))

    def figures(self, pairs: Sequence[Sized]) -> tuple[Figures, Any, Any]:
        """Return figures of pairs at the load, times to first and per token held against limits."""
        ranks = [(p.reads, p.prefill.ranks, p.makes, p.decode.ranks) for p in pairs]
        reads, readers, makes, makers = map(np.array, zip(*ranks, strict=True))
        reading, making = taken(self.setting, reads), taken(self.setting, makes)
        load = Load(*(column[makes] for column in self.asked))
        f = pair_figures(reading, making, load, readers=readers, makers=makers)
        ttft = ttft_of(f.ttft_s, reading_of(reading, load), self.demand)
        return f, ttft, tpot_of(f.tpot_s, f.running, making, load, self.demand)


def ttft_of(mean_s: Any, read: Any, demand: Demand) -> Any:
    """Return the time to first token that is held against the limit [s]."""
    if demand.percentile == "mean":
        return mean_s
    return ttft_percentile_s(
        percentile=demand.percentile, mean_s=mean_s, idle_s=read.alone_s + read.sent_s,
        length_ratio=demand.input_ratio,
    )  # fmt: skip


def tpot_of(mean_s: Any, running: Any, setting: Setting, load: Load, demand: Demand) -> Any:
    """Return the time per token that is held against the limit [s]."""
    if demand.percentile == "mean":
        return mean_s
    context = load.past_tokens + load.input_tokens + load.output_tokens / 2
    alone = step_of(setting, sequences=1.0, context=context)
    return tpot_percentile_s(
        percentile=demand.percentile, mean_s=mean_s, idle_s=alone / setting.habits.yielded,
        sequences=running,
    )  # fmt: skip


def figures_at(prefill: Kind, decode: Kind, demand: Demand, amount: float) -> Figures:
    """Return the figures of a pair under an amount of load."""
    opened = demand.kind == "rate"
    load = decode.replica.load._replace(
        in_flight=MANY if opened else amount, rate_per_s=amount if opened else 0.0
    )
    return pair_figures(
        prefill.replica.setting, decode.replica.setting, load, readers=prefill.ranks,
        makers=decode.ranks,
    )  # fmt: skip


def held_against(f: Figures, prefill: Kind, decode: Kind, demand: Demand) -> tuple[float, float]:
    """Return time to first token and per token as limits are held against them [s]."""
    r = decode.replica
    read = reading_of(prefill.replica.setting, r.load)
    ttft = ttft_of(f.ttft_s, read, demand)
    return float(ttft), float(tpot_of(f.tpot_s, f.running, r.setting, r.load, demand))


def most_load(pair: Pair, demand: Demand, limits: Bounds) -> float:
    """Return the most load that a pair meets, by halving between what it meets and twice more."""

    def meets(amount: float) -> bool:
        f = figures_at(pair.prefill, pair.decode, demand, amount)
        ttft, tpot = held_against(f, pair.prefill, pair.decode, demand)
        served = amount <= pair.decode.replica.load.held * pair.decode.ranks * (1 + EXACT)
        if demand.kind == "rate":
            served = float(f.requests_per_s) >= amount * (1 - EXACT)
        ttft_fine = ttft <= (limits.ttft_s or NO_RATE) * (1 + EXACT)
        return served and ttft_fine and tpot <= (limits.tpot_s or NO_RATE) * (1 + EXACT)

    low, high = demand.peak, 2 * demand.peak
    while meets(high) and high < MANY:
        low, high = high, 2 * high
    while high - low > (1e-6 * high if demand.kind == "rate" else 1):
        middle = (low + high) / 2 if demand.kind == "rate" else float((low + high) // 2)
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low
