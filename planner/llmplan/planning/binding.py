"""When nothing meets the limits: which one binds, what is needed, and what that buys."""

from __future__ import annotations

from llmplan.planning.planned import point_of
from llmplan.planning.search import Found, Result, Search
from llmplan.specs.plan import Bounds, Demand, Relaxation

FACTORS = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""Multiples of a latency limit that are tried, the least that helps is told."""

NAMES = {"ttft_s": "TTFT", "tpot_s": "TPOT", "usd_per_hour": "the budget", "gpus": "--max-gpus"}


def relaxations(search: Search, demand: Demand, limits: Bounds) -> list[Relaxation]:
    """Return each limit that would let plans through if it alone were wider, then two at once."""
    found = [r for n in NAMES for r in [_alone(search, demand, limits, n)] if r is not None]
    if found:
        return found
    both = limits.ttft_s is not None and limits.tpot_s is not None
    if both:
        together = _factor(search, demand, limits, ("ttft_s", "tpot_s"))
        if together is not None:
            return [together]
    free = _best(search.run(demand, Bounds()))
    if free is None:
        return []
    message = "No single limit is enough; without any limit there is a plan."
    return [Relaxation("all", None, None, message, point_of(free))]


def _alone(search: Search, demand: Demand, limits: Bounds, name: str) -> Relaxation | None:
    asked = getattr(limits, name)
    if asked is None:
        return None
    if name in ("ttft_s", "tpot_s"):
        return _factor(search, demand, limits, (name,))
    best = _best(search.run(demand, limits._replace(**{name: None})), least=name)
    if best is None:
        return None
    needed = float(best.gpus) if name == "gpus" else best.usd_per_hour
    what = f"{best.gpus:,} devices" if name == "gpus" else f"${needed or 0:,.2f} an hour"
    given = f"{asked:,}" if name == "gpus" else f"${asked:,.2f}"
    message = f"{NAMES[name]} of {given} binds: {what} would do."
    return Relaxation(name, float(asked), needed, message, point_of(best))


def _factor(
    search: Search, demand: Demand, limits: Bounds, names: tuple[str, ...]
) -> Relaxation | None:
    """Return the least factor by which latency limits have to be wider, found by bisection."""

    def at(factor: float, *, any_will_do: bool = True) -> Found | None:
        wider = {n: getattr(limits, n) * factor for n in names}
        return _best(search.run(demand, limits._replace(**wider), any_will_do=any_will_do))

    low, high = 0, len(FACTORS) - 1
    if at(FACTORS[high]) is None:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if at(FACTORS[middle]) else (middle + 1, high)
    factor = FACTORS[high]
    best = at(factor, any_will_do=False)
    assert best is not None
    what = " and ".join(
        f"{NAMES[n]} of {getattr(limits, n) * 1e3:,.4g} ms" for n in names
    )  # fmt: skip
    wide = " and ".join(f"{getattr(limits, n) * factor * 1e3:,.4g} ms" for n in names)
    asked = getattr(limits, names[0])
    binds = "binds" if len(names) == 1 else "bind together"
    message = f"{what} {binds}: {wide} ({factor:g} times) would do."
    return Relaxation("+".join(names), asked, asked * factor, message, point_of(best))


def _best(result: Result, *, least: str | None = None) -> Found | None:
    """Return the best plan, or that with the least cost or fewest devices."""
    found = [*result.priced, *result.unpriced]
    if least == "gpus":
        return min([*found, *result.front], key=lambda f: f.gpus, default=None)
    if least == "usd_per_hour":
        priced = [f for f in [*found, *result.front] if f.rent is not None]
        return min(priced, key=lambda f: f.cost, default=None)
    return found[0] if found else None
