"""Reports: their numbers agree with plan and estimate, their curves with what they must obey."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from reports import SMALL, reported

import llmplan
from llmplan.planning.own_or_rent import HOURS_PER_MONTH
from llmplan.reporting.ask import Option
from llmplan.reporting.curves import SpeedPoint
from llmplan.reporting.report import Report

ALL = ("SMALL", "FLIGHT", "TOGETHER")


@pytest.fixture(params=ALL)
def report(request: pytest.FixtureRequest) -> Report:
    return reported(request.param)


def test_the_options_are_what_plan_answers() -> None:
    """Each device's option is the best plan of `plan` for that device alone."""
    for option in reported("SMALL").options:
        gpu = option.first.stock.name
        answer = llmplan.plan(
            "llama-3.1-8b", gpu, rate_per_s=3.0, input_tokens=1000, output_tokens=200,
            ttft_s=1.0, tpot_s=0.06,
        )  # fmt: skip
        best = (*answer.setups, *answer.unpriced)[0]
        assert option.first.planned == replace(best, deploy=option.first.planned.deploy)


def test_the_first_option_costs_least() -> None:
    report = reported("SMALL")
    costs = [o.usd_per_month for o in report.options if o.usd_per_month and not o.evidence]
    assert len(costs) > 1
    assert costs == sorted(costs)
    assert report.recommendation.option == 1


def test_parts_of_memory_fill_the_device(report: Report) -> None:
    for option in report.options:
        for part in option.parts:
            m = part.planned.setup.memory_per_gpu
            parts = (m.weights_bytes + m.activation_peak_bytes + m.cuda_graph_bytes
                     + m.runtime_bytes + m.kv_cache_bytes + m.free_bytes)  # fmt: skip
            assert parts == pytest.approx(m.device_total_bytes, rel=1e-6)


def curves(report: Report) -> dict[tuple[int, str], list[SpeedPoint]]:
    found: dict[tuple[int, str], list[SpeedPoint]] = {}
    for point in report.curves.speed:
        found.setdefault((point.option, point.gpu), []).append(point)
    return found


def test_latency_rises_with_load_within_its_band(report: Report) -> None:
    for points in curves(report).values():
        assert len(points) > 5
        for p in points:
            assert 0 < p.tpot_low_s <= p.tpot_s <= p.tpot_high_s
            assert 0 < p.ttft_low_s <= p.ttft_s <= p.ttft_high_s
        for one, more in pairwise(points):
            assert more.load > one.load
            assert more.tpot_s >= one.tpot_s * (1 - 1e-6)


def test_the_peak_of_the_plan_lies_on_its_curve(report: Report) -> None:
    """The array formulas give what `plan` states at the load of the plan, bands included."""
    for option in report.drawn:
        for part in option.parts:
            points = curves(report)[option.number, part.planned.setup.gpu]
            near = min(points, key=lambda p: abs(p.load - part.demand.peak))
            assert near.load == pytest.approx(part.demand.peak, rel=1e-6)
            for name in ("ttft_s", "tpot_s"):
                band = getattr(part.planned, name)
                assert getattr(near, name) == pytest.approx(band.value, rel=1e-6)
                for end in ("low", "high"):
                    shown = getattr(near, f"{name[:-2]}_{end}_s")
                    assert shown == pytest.approx(getattr(band, end), rel=1e-6)


def test_steps_of_cost_hold_the_plan(report: Report) -> None:
    for option in report.drawn:
        steps = [p for p in report.curves.cost if p.option == option.number]
        if len(option.parts) > 1:
            assert not steps
            continue
        planned = option.first.planned
        at = next(p for p in steps if p.replicas == planned.replicas)
        assert at.gpus == planned.gpus
        assert at.serves == pytest.approx(option.capacity)
        assert at.serves >= option.first.demand.peak * (1 - 1e-9)
        if planned.usd_per_hour is not None:
            assert at.usd_per_month == pytest.approx(planned.usd_per_hour * HOURS_PER_MONTH)
        for one, more in pairwise(steps):
            assert more.serves > one.serves
            if one.usd_per_month is not None and more.usd_per_month is not None:
                assert more.usd_per_month >= one.usd_per_month


def test_requests_at_once_fall_with_their_length(report: Report) -> None:
    for option in report.drawn:
        points = [p for p in report.curves.lengths if p.option == option.number]
        for one, longer in pairwise(points):
            assert longer.context_tokens > one.context_tokens
            assert longer.requests <= one.requests * (1 + 1e-9)


@pytest.mark.parametrize("name", ["SMALL", "FLIGHT"])
def test_requests_at_once_are_those_of_estimate(name: str) -> None:
    report = reported(name)
    option = report.options[0]
    part, s = option.first, option.first.planned.setup
    point = next(p for p in report.curves.lengths if p.context_tokens == 16384)
    alone = llmplan.estimate(
        part.model, part.stock.gpu, engine=s.engine, weight_format=s.weight_format,
        kv_format=s.kv_format, tp=s.tp, pp=s.pp, dp=s.dp, gpus=s.gpus, context_tokens=16384,
        max_num_seqs=part.planned.max_num_seqs,
    )  # fmt: skip
    assert point.requests == pytest.approx(alone.requests_at_once * option.replicas)


def test_growth_starts_at_the_plan_and_tells_when_more_is_due() -> None:
    report = reported("SMALL")
    grown = report.growing
    assert grown is not None
    assert [q.name for q in grown.quarters][:4] == ["2027-Q3", "2027-Q4", "2028-Q1", "2028-Q2"]
    for option in report.drawn:
        first = next(n for n in grown.quarters[0].needs if n.option == option.number)
        assert (first.replicas, first.gpus) == (option.replicas, option.gpus)
        assert first.usd_per_month == pytest.approx(option.usd_per_month)
        due = next(d for d in grown.due if d.option == option.number)
        assert due.quarters is not None
        assert report.load.peak * 1.3**due.quarters == pytest.approx(due.holds)
        rent = option.first.planned.rent
        if rent is None:
            continue
        for q in grown.quarters:
            need = next(n for n in q.needs if n.option == option.number)
            assert need.machines is not None
            if q.peak <= due.holds:
                assert need.machines <= rent.machines
            else:
                assert need.replicas is not None
                assert need.replicas > option.replicas


def _keeps(option: Option, peak: float, replicas: int) -> bool:
    """Return whether `estimate` says that so many replicas keep the limits of SMALL."""
    part, s = option.first, option.first.planned.setup
    setup = llmplan.estimate(
        part.model, part.stock.gpu, engine=s.engine, weight_format=s.weight_format,
        kv_format=s.kv_format, tp=s.tp, pp=s.pp, dp=s.dp, gpus=s.gpus, context_tokens=8192,
        input_tokens=1000, output_tokens=200, rate_per_s=peak / replicas,
    )  # fmt: skip
    p = setup.performance
    assert p.ttft_s and p.tpot_s and p.utilization is not None
    fast = p.ttft_s.value <= 1.0 * (1 + 1e-6) and p.tpot_s.value <= 0.06 * (1 + 1e-6)
    return fast and p.utilization < 1


def test_twice_the_load_takes_the_fewest_replicas_that_keep_the_limits() -> None:
    report = reported("SMALL")
    effect = next(e for e in report.effects if e.change == "twice the load")
    assert effect.replicas is not None
    peak = 2 * report.load.peak
    assert _keeps(report.options[0], peak, effect.replicas)
    assert effect.replicas == 1 or not _keeps(report.options[0], peak, effect.replicas - 1)


def test_changes_move_the_way_they_must() -> None:
    report = reported("SMALL")
    effects = {e.change: e for e in report.effects}
    device, cost = report.options[0].first.stock.name, report.options[0].usd_per_month
    assert cost is not None
    assert effects[f"price of {device} 20 % up"].usd_per_month == pytest.approx(1.2 * cost)
    assert effects[f"price of {device} 20 % down"].usd_per_month == pytest.approx(0.8 * cost)
    plan = report.options[0].replicas
    for more in ("answers twice as long", "twice the load", "speed at the low end of its band"):
        assert effects[more].replicas is None or (effects[more].replicas or 0) >= plan
    for less in ("half of each prompt cached", "half the load"):
        assert effects[less].replicas is not None
        assert (effects[less].replicas or 0) <= plan


def test_own_devices_together_meet_what_none_meets_alone() -> None:
    report = reported("TOGETHER")
    assert len(report.options[0].parts) > 1
    assert {r.device for r in report.rejected} == {"rtx-3090", "t4"}
    shares = sum(p.demand.peak for p in report.options[0].parts)
    assert shares == pytest.approx(report.load.peak)
    assert report.options[0].usd_per_month is None


def test_what_nothing_meets_is_an_answer_with_reasons() -> None:
    report = reported("NOTHING")
    assert not report.met
    assert report.recommendation.option is None
    assert len(report.rejected) == 2
    assert all(r.why for r in report.rejected)


def test_every_number_has_a_basis_and_a_source(report: Report) -> None:
    assert len(report.figures) > 6
    for figure in report.figures:
        assert figure.basis in {
            "exact", "measured", "calibrated", "transferred", "assumed", "price list",
        }  # fmt: skip
        assert figure.error
        assert figure.source
        if figure.unit in ("s", "tokens/s"):
            assert figure.low is not None and figure.high is not None and figure.value is not None
            assert figure.low <= figure.value <= figure.high


def test_the_data_is_json(report: Report) -> None:
    import json

    data: dict[str, Any] = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["schema"] == "llmplan.report/1"
    assert len(data["options"]) == len(report.options)
    assert data["options"][0]["parts"][0]["setup"]["engine"]


def test_a_tight_band_is_named_as_a_risk() -> None:
    """A limit within the band of the best option is said, not hidden."""
    found = reported("SMALL")
    limit = found.options[0].first.planned.tpot_s.high * 0.99
    plan = SMALL | {"gpus": found.options[0].first.stock.name}
    tight = llmplan.report(plan | {"limits": {"ttft_s": 1, "tpot_s": limit}})
    tpot = tight.options[0].first.planned.tpot_s
    said = any("80 % band of TPOT" in r for r in tight.recommendation.risks)
    assert said is (tpot.high > limit)
