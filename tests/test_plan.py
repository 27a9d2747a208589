"""The search for a plan: equal to brute force, never unfit, monotone in what it is given."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from plans import Brute, brute_force, planned, stock

import llmplan
from llmplan.catalog.speed_table import open_speed_table
from llmplan.engines import get_engine
from llmplan.planning.bounds import Bounder
from llmplan.planning.performance import speed_setting
from llmplan.planning.planned import deploy_line
from llmplan.planning.serving import Crowd, planned_replica
from llmplan.planning.space import space_of
from llmplan.planning.stock import cheapest_rent
from llmplan.planning.wanted import demand_of, make_wanted
from llmplan.specs.plan import PlanAnswer, Planned

FEW = settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
L4 = stock("l4", (1, 0.8), (4, 3.0))
A10G = stock("a10g", (1, 1.0), (4, 5.6))
H100 = stock("h100-sxm", (1, 3.0), (2, 5.5))
SHORT = {"input_tokens": 800, "output_tokens": 200, "context_tokens": 2048}
SPACE = {"sizes": (1, 2, 4), "formats": ("bf16", "fp8", "awq-int4"), "kvs": ("bf16", "fp8")}
OPEN = {"engine": "vllm", "weight_format": SPACE["formats"], "kv_format": SPACE["kvs"]}


def best(answer: PlanAnswer) -> Planned | None:
    return next(iter(answer.setups), None)


def same(p: Planned | None, found: list[Brute]) -> None:
    proven = [f for f in found if not f.lacks] or found
    assert (p is None) == (not proven)
    if p is not None:
        least = min(f.usd for f in proven if f.usd is not None)
        assert p.usd_per_hour == pytest.approx(least)


@pytest.mark.parametrize(
    "asked",
    [
        {"rate_per_s": 4.0, "headroom": 1.5, "tpot_s": 0.06},
        {"rate_per_s": 1.0, "headroom": 1.0, "tpot_s": 0.02, "ttft_s": 0.4},
        {"rate_per_s": 12.0, "headroom": 1.2},
        {"concurrency": 40, "tpot_s": 0.05},
        {"concurrency": 7, "tpot_s": 0.013, "ttft_s": 0.5},
        {"concurrency": 3, "tpot_s": 0.0005},
    ],
    ids=str,
)
def test_the_search_equals_brute_force(asked: dict[str, Any]) -> None:
    """Cost of the best plan, and every point of the front, by trying one replica more at a time."""
    stocks = [L4, A10G]
    found = brute_force("llama-3.1-8b", stocks, **SPACE, **SHORT, **asked)
    answer = planned("llama-3.1-8b", stocks, **OPEN, **SHORT, **asked)
    same(best(answer), found)
    proven = [f for f in found if not f.lacks] or found
    for point in answer.pareto:
        assert point.usd_per_hour is not None
        assert not [f for f in proven if f.usd is not None and f.usd < point.usd_per_hour * 0.9999
                    and f.e2e_s < point.e2e_s * 0.9999]  # fmt: skip
    for f in proven:  # and nothing that brute force found stands outside the front
        assert f.usd is not None
        assert [p for p in answer.pareto if (p.usd_per_hour or 0) <= f.usd * 1.0001
                and p.e2e_s <= f.e2e_s * 1.0001]  # fmt: skip


@FEW
@given(
    rate=st.floats(0.2, 10), tpot=st.floats(0.012, 0.1), ttft=st.floats(0.1, 3),
    model=st.sampled_from(["llama-3.1-8b", "qwen2.5-7b"]),
)  # fmt: skip
def test_the_search_equals_brute_force_at_any_load(
    rate: float, tpot: float, ttft: float, model: str
) -> None:
    asked = {"rate_per_s": rate, "headroom": 1.0, "tpot_s": tpot, "ttft_s": ttft}
    small = {"sizes": (1, 2), "formats": ("fp8", "awq-int4"), "kvs": ("bf16",)}
    stocks = [stock("l4", (1, 0.8), (2, 1.5))]
    found = brute_force(model, stocks, **small, **SHORT, **asked, most=100)
    answer = planned(model, stocks, engine="vllm", weight_format=("fp8", "awq-int4"),
                     kv_format="bf16", **SHORT, **asked)  # fmt: skip
    same(best(answer), found)


def cost(answer: PlanAnswer) -> tuple[bool, float]:
    """Return what must not grow where more is allowed: evidence first, then cost."""
    p = best(answer)
    return (True, float("inf")) if p is None else (bool(p.evidence), p.usd_per_hour or 0.0)


LOADS = st.fixed_dictionaries(
    {"rate_per_s": st.floats(0.5, 20), "headroom": st.just(1.3), "tpot_s": st.floats(0.012, 0.08),
     "ttft_s": st.floats(0.2, 3)}
)  # fmt: skip


@FEW
@given(load=LOADS, wider=st.floats(1.0, 3.0), name=st.sampled_from(["tpot_s", "ttft_s"]))
def test_relaxing_a_limit_never_raises_the_cost(
    load: dict[str, float], wider: float, name: str
) -> None:
    tight = planned("llama-3.1-8b", [L4, H100], **OPEN, **SHORT, **load)
    load = {**load, name: load[name] * wider}
    loose = planned("llama-3.1-8b", [L4, H100], **OPEN, **SHORT, **load)
    assert cost(loose) <= cost(tight)


@FEW
@given(load=LOADS)
def test_another_device_never_makes_the_answer_worse(load: dict[str, float]) -> None:
    few = planned("llama-3.1-8b", [L4], **OPEN, **SHORT, **load)
    more = planned("llama-3.1-8b", [L4, H100], **OPEN, **SHORT, **load)
    assert cost(more) <= cost(few)
    assert not few.setups or more.setups


@FEW
@given(load=LOADS, times=st.floats(1.0, 4.0))
def test_more_load_never_costs_less(load: dict[str, float], times: float) -> None:
    one = planned("llama-3.1-8b", [L4, H100], **OPEN, **SHORT, **load)
    load = {**load, "rate_per_s": load["rate_per_s"] * times}
    more = planned("llama-3.1-8b", [L4, H100], **OPEN, **SHORT, **load)
    assert cost(one) <= cost(more)


@FEW
@given(
    model=st.sampled_from(["llama-3.1-8b", "mixtral-8x7b", "gemma-2-9b", "deepseek-v2-lite"]),
    load=LOADS, prefer=st.sampled_from(["cheapest", "fastest", "fewest", "quality"]),
)  # fmt: skip
def test_every_plan_fits_is_legal_and_meets_its_limits(
    model: str, load: dict[str, float], prefer: str
) -> None:
    answer = planned(model, [L4, H100, stock("rtx-3090", limit=3)], prefer=prefer, **SHORT, **load)
    assert answer.met or answer.binding
    for p in (*answer.setups, *answer.unpriced, *answer.mixed):
        s = p.setup
        assert s.fits and s.supported and s.launch and s.launch.command
        assert s.gpus == s.tp * s.pp * s.dp and p.gpus == p.replicas * s.gpus
        e, m = get_engine(s.engine), llmplan.load_model(model)
        from llmplan.memory.formats import weight_format
        from llmplan.specs.setup import Parallelism

        split = Parallelism(s.tp, s.pp, s.dp, s.ep)
        assert e.illegal(m, weight_format(s.weight_format), split) is None
        assert p.ttft_s.value <= load["ttft_s"] * 1.0001
        assert p.tpot_s.value <= load["tpot_s"] * 1.0001
        assert p.utilization <= 1
        assert s.performance.utilization is None or s.performance.utilization < 1
        # the full record says what the search found
        assert p.ttft_s.value == pytest.approx(p.ttft_limit_s, rel=1e-6)
        if s.gpu == "rtx-3090":
            assert p.gpus <= 3 and p.usd_per_hour is None


@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v2-lite"])
def test_shared_parts_are_those_of_each_setup_lowered_alone(model: str) -> None:
    m, table = llmplan.load_model(model), open_speed_table()
    wanted = make_wanted(concurrency=1, engine=("vllm", "llama.cpp", "sglang"), **SHORT)
    demand, _ = demand_of(m, wanted)
    space = space_of(m, [L4, H100, stock("t4"), stock("mi300x")], demand, wanted, table)
    assert len(space.rows) > 100
    for row in space.rows:
        request, engine = space.request(row), get_engine(row.engine)
        alone, _ = speed_setting(engine, request, engine.plan(request), table)
        assert space.setting(row) == alone


@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    load=st.sampled_from([{"rate_per_s": 1.0}, {"rate_per_s": 30.0}, {"concurrency": 1},
                          {"concurrency": 9}, {"concurrency": 300}]),
    lengths=st.sampled_from([(2048, 28), (800, 200), (50, 900), (15000, 150)]),
    limits=st.fixed_dictionaries({}, optional={"tpot_s": st.floats(0.008, 0.1),
                                               "ttft_s": st.floats(0.05, 5)}),
    percentile=st.sampled_from(["mean", "p95"]),
    model=st.sampled_from(["llama-3.1-8b", "deepseek-v2-lite"]),
)  # fmt: skip
def test_bounds_never_undersell(
    load: dict[str, Any], lengths: tuple[int, int], limits: dict[str, float], percentile: str,
    model: str,
) -> None:  # fmt: skip
    """What meets load and limits is possible by the bounds, with no fewer replicas, no faster."""
    prompt, output = lengths
    wanted = make_wanted(**load, **limits, input_tokens=prompt, output_tokens=output,
                         context_tokens=16384, percentile=percentile)  # fmt: skip
    m = llmplan.load_model(model)
    demand, _ = demand_of(m, wanted)
    space = space_of(m, [L4, H100, stock("rtx-3090")], demand, wanted, open_speed_table())
    bounds = Bounder(space, demand).under(wanted.bounds)
    replicas = [r for i in range(len(space.rows)) for r in [planned_replica(space, i)] if r]
    crowd = Crowd(replicas, demand, wanted.bounds)
    counts = crowd.replicas(np.ones(len(replicas)))
    at = crowd.latency(crowd.share(counts))
    for i, r in enumerate(replicas):
        if counts[i]:
            assert bounds.possible[r.row], space.rows[r.row]
            assert bounds.replicas[r.row] <= counts[i]
            n, e2e = counts[i] / bounds.replicas[r.row], at.figures.e2e_s[i]
            step = 0 if n <= 1 else 1 if n <= 2 else 2
            assert bounds.steps[step][1][r.row] <= e2e * (1 + 1e-9), space.rows[r.row]


def test_what_lacks_evidence_is_marked_and_never_first() -> None:
    """A cheaper device whose speed is assumed stands behind a dearer one with results."""
    cheap = stock("t4", (1, 0.01))
    answer = planned("llama-3.1-8b", [cheap, L4], engine="vllm", concurrency=2, **SHORT)
    lacking = [bool(p.evidence) for p in answer.setups]
    assert lacking == sorted(lacking)
    assert {p.setup.gpu for p in answer.setups if not p.evidence} == {"l4"}
    alone = planned("llama-3.1-8b", [cheap], engine="vllm", concurrency=2, **SHORT)
    assert alone.setups and all(p.evidence for p in alone.setups)


def test_devices_without_a_price_stand_apart() -> None:
    answer = planned("llama-3.1-8b", [L4, stock("rtx-4090")], concurrency=2, **SHORT)
    assert {p.setup.gpu for p in answer.setups} == {"l4"}
    assert {p.setup.gpu for p in answer.unpriced} == {"rtx-4090"}
    assert all(p.usd_per_hour is None and p.rent is None for p in answer.unpriced)


def test_preferences_rank_by_what_they_say() -> None:
    asked = {"rate_per_s": 8.0, "tpot_s": 0.05, **SHORT}
    by = {p: planned("llama-3.1-8b", [L4, H100], prefer=p, **asked).setups
          for p in ("cheapest", "fastest", "fewest", "quality")}  # fmt: skip
    assert by["cheapest"][0].usd_per_hour == min(p.usd_per_hour or 0 for p in by["cheapest"])
    assert by["fastest"][0].e2e_s.value <= min(s[0].e2e_s.value for s in by.values())
    assert by["fewest"][0].gpus <= min(s[0].gpus for s in by.values())
    assert by["quality"][0].quality_tier == 0


def test_budget_and_devices_limit_the_plan() -> None:
    asked = {"rate_per_s": 20.0, "tpot_s": 0.05, **SHORT}
    free = planned("llama-3.1-8b", [L4, H100], **asked)
    least = free.setups[0].usd_per_hour or 0.0
    assert planned("llama-3.1-8b", [L4, H100], budget=least, **asked).setups
    poor = planned("llama-3.1-8b", [L4, H100], budget=least * 0.99, **asked)
    assert not poor.met
    needed = [r.needed for r in poor.binding if r.limit == "usd_per_hour"]
    assert needed == [pytest.approx(least)]
    fewest = planned("llama-3.1-8b", [L4], prefer="fewest", **asked).setups[0].gpus
    short = planned("llama-3.1-8b", [L4], max_gpus=fewest - 1, **asked)
    assert not short.setups
    assert [r.needed for r in short.binding if r.limit == "gpus"] == [fewest]


def test_the_limit_that_binds_is_named_and_its_relaxation_works() -> None:
    asked = {"rate_per_s": 2.0, "ttft_s": 2.0, **SHORT}
    answer = planned("llama-3.1-8b", [L4], tpot_s=0.004, **asked)
    assert not answer.met
    (binds,) = answer.binding
    assert binds.limit == "tpot_s" and binds.needed and binds.buys
    assert planned("llama-3.1-8b", [L4], tpot_s=binds.needed, **asked).met
    factors = sorted(f for f in (1.05, 1.1, 1.25, 1.5, 2, 3, 5, 10) if 0.004 * f < binds.needed)
    if factors:
        assert not planned("llama-3.1-8b", [L4], tpot_s=0.004 * factors[-1], **asked).met


def test_two_limits_that_bind_together_are_named_together() -> None:
    answer = planned("llama-3.1-8b", [L4], tpot_s=0.004, ttft_s=0.01, rate_per_s=1.0, **SHORT)
    assert [r.limit for r in answer.binding] == ["ttft_s+tpot_s"]


def test_a_model_that_no_device_holds_says_what_would() -> None:
    answer = planned("llama-3.1-405b", [stock("t4", limit=1)], concurrency=1, **SHORT)
    assert not answer.met
    assert [r.limit for r in answer.binding] == ["memory"]


def test_devices_of_several_kinds_each_run_their_own() -> None:
    """13 GiB of weights fit neither 12 GiB card, whatever their sum."""
    two = [stock("rtx-3060-12g", limit=1), stock("rtx-3080-12g", limit=1)]
    whole = planned("llama-3.1-8b", two, weight_format="bf16", concurrency=1, **SHORT)
    assert not whole.met
    mixed = planned("llama-3.1-8b", [stock("rtx-3090", limit=2), stock("rtx-4090", limit=1)],
                    concurrency=60, tpot_s=0.03, **SHORT)  # fmt: skip
    assert not mixed.setups and len(mixed.mixed) == 2
    for p in mixed.mixed:
        assert p.gpus <= {"rtx-3090": 2, "rtx-4090": 1}[p.setup.gpu]
        assert p.tpot_s.value <= 0.03 * 1.0001
    held = sum(p.capacity for p in mixed.mixed)
    assert held >= 60
    one = planned("llama-3.1-8b", [stock("rtx-4090", limit=1)], concurrency=60, tpot_s=0.03,
                  **SHORT)  # fmt: skip
    assert not one.met


def test_whole_machines_are_paid() -> None:
    s = stock("h100-sxm", (1, 3.0), (8, 20.0))
    rents = [cheapest_rent(s, gpus=2, tp=2, replicas=n) for n in (1, 4, 5)]
    assert [(r.usd_per_hour, r.machines) for r in rents if r] == [(20.0, 1), (20.0, 1), (40.0, 2)]
    single = cheapest_rent(s, gpus=1, tp=1, replicas=6)
    assert single and (single.usd_per_hour, single.offer.devices) == (18.0, 1)
    two = cheapest_rent(s, gpus=16, tp=8, replicas=3)
    assert two and (two.usd_per_hour, two.machines) == (120.0, 6)
    assert cheapest_rent(stock("l4", (1, 1.0)), gpus=2, tp=2, replicas=1) is None


def test_names_are_quoted_in_the_command_that_is_shown() -> None:
    answer = planned("llama-3.1-8b", [L4], concurrency=1, **SHORT)
    setup, demand = answer.setups[0].setup, answer.load
    line = deploy_line(setup, L4, demand, 1, "./a; rm -rf $(x)\n'")
    assert shlex.split(line)[2] == "./a; rm -rf $(x)\n'"


@FEW
@given(load=LOADS, model=st.sampled_from(["llama-3.1-8b", "deepseek-v2-lite"]))
def test_the_command_that_is_shown_keeps_the_limits(load: dict[str, float], model: str) -> None:
    """Its own prediction is the plan's, and a burst waits: what runs at once keeps the limit."""
    for p in planned(model, [L4, H100], engine=("vllm", "sglang"), **SHORT, **load).setups:
        words = shlex.split(p.deploy)
        flags = dict(zip(words[3::2], words[4::2], strict=True))
        asked = {
            "engine": flags["--engine"], "weight_format": flags["--quant"],
            "kv_format": flags["--kv-dtype"], "tp": int(flags["--tp"]),
            "dp": int(flags.get("--dp", 1)), "ep": int(flags.get("--ep", 1)),
            "gpus": p.setup.gpus, **SHORT,
        }  # fmt: skip
        most = flags.get("--max-num-seqs")
        assert most == (None if p.max_num_seqs is None else str(p.max_num_seqs))
        if most is not None:
            asked["max_num_seqs"] = int(most)
        one = llmplan.estimate(model, p.setup.gpu, rate_per_s=float(flags["--rate"]), **asked)
        assert one.performance.ttft_s and one.performance.tpot_s
        assert one.performance.ttft_s.value == pytest.approx(p.ttft_s.value, rel=1e-4)
        assert one.performance.tpot_s.value == pytest.approx(p.tpot_s.value, rel=1e-4)
        assert p.batch_limit >= 1
        burst = llmplan.estimate(model, p.setup.gpu, concurrency=p.batch_limit, **asked)
        assert burst.performance.tpot_s
        assert burst.performance.tpot_s.value <= load["tpot_s"] * 1.0001


def test_own_or_rent_crosses_where_the_arithmetic_says() -> None:
    """1 L4 at $0.8 an hour against 0.001 USD a request: they meet at 0.8 / 3.6 requests/s."""
    answer = planned("llama-3.1-8b", [stock("l4", (1, 0.8))], rate_per_s=0.2, headroom=1.0,
                     input_tokens=1000, output_tokens=100, context_tokens=2048,
                     api_price=(0.9, 1.0))  # fmt: skip
    o = answer.own_or_rent
    assert o is not None
    assert o.api_usd_per_month == pytest.approx(0.001 * 0.2 * 3600 * 730)
    assert o.plan_usd_per_month == pytest.approx(0.8 * 730)
    assert o.cross_at_requests_per_s == pytest.approx(0.8 / 3.6)


@FEW
@given(
    rate=st.floats(0.1, 5), usd=st.floats(0.1, 10),
    price=st.tuples(st.floats(0.01, 5), st.floats(0.01, 5)),
)  # fmt: skip
def test_at_the_crossing_both_cost_the_same(
    rate: float, usd: float, price: tuple[float, float]
) -> None:
    asked = {"input_tokens": 500, "output_tokens": 100, "context_tokens": 2048, "headroom": 1.0,
             "engine": "vllm", "weight_format": "fp8", "kv_format": "bf16",
             "max_gpus": 64}  # fmt: skip
    s = [stock("l4", (1, usd))]
    o = planned("llama-3.1-8b", s, rate_per_s=rate, api_price=price, **asked).own_or_rent
    assume(o is not None and o.cross_at_requests_per_s is not None)
    assert o is not None and o.cross_at_requests_per_s is not None
    assume(o.cross_at_requests_per_s < 20)
    at = planned("llama-3.1-8b", s, rate_per_s=o.cross_at_requests_per_s * 1.0001, api_price=price,
                 **asked).own_or_rent  # fmt: skip
    assert at is not None and at.plan_usd_per_month is not None
    assert at.plan_usd_per_month <= at.api_usd_per_month * 1.001
