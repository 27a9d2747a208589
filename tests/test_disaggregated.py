"""Prompts and decoding apart: the formulas, the search for a pair, the files of its two parts."""

from __future__ import annotations

import json
import shlex
from itertools import product
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from deployments import check_object, documents, faults, flags, made, schema
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from plans import planned, splits, stock

import llmplan
from llmplan.catalog.speed_table import open_speed_table
from llmplan.cli.main import cli
from llmplan.engines import get_engine
from llmplan.errors import InputError
from llmplan.memory.formats import weight_format
from llmplan.planning.performance import speed_setting
from llmplan.planning.request import Options, make_request
from llmplan.planning.stock import pair_rent
from llmplan.specs.plan import PlanAnswer, Stock
from llmplan.specs.setup import Parallelism
from llmplan.speed.disaggregated import Reading, pair_figures
from llmplan.speed.figures import Load
from llmplan.speed.work import Setting

FEW = settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
H100 = stock("h100-sxm", (1, 3.0), (8, 20.0))
LONG = {"input_tokens": 4000, "output_tokens": 200, "context_tokens": 8192}
LOAD = {"headroom": 1.0, **LONG}


def lowered(model: str, gpu: Any, fmt: str, p: Parallelism) -> tuple[Setting, Load]:
    """Return a setup and the load of one replica, without the search."""
    m, engine = llmplan.load_model(model), get_engine("vllm")
    options = Options(engine="vllm", kv_format="bf16", **LONG)
    request = make_request(m, gpu, options, engine=engine, weights=weight_format(fmt), parallel=p)
    plan = engine.plan(request)
    assert plan.fits
    return speed_setting(engine, request, plan, open_speed_table())


ONE = lowered("llama-3.1-8b", llmplan.load_gpu("h100-sxm"), "fp8", Parallelism())


def test_waiting_for_a_prompt_is_that_of_one_server_with_equal_jobs() -> None:
    """M/D/1 at half its capacity: half a job of waiting (Kleinrock, Queueing Systems 1, 5.6)."""
    read = Reading(alone_s=0.1, sent_s=0.02, rate_per_s=10.0)
    assert read.first_s(10.0, 2) == pytest.approx(0.1 * 1.5 + 0.02)
    assert read.first_s(0.0, 1) == pytest.approx(0.12)


@FEW
@given(
    rate=st.floats(0.1, 40), readers=st.integers(1, 6), makers=st.integers(1, 6),
    more=st.integers(1, 4),
)  # fmt: skip
def test_more_replicas_never_slow_a_rate_down(
    rate: float, readers: int, makers: int, more: int
) -> None:
    setting, load = ONE
    load = load._replace(rate_per_s=rate, in_flight=1e6)

    def at(x: int, y: int) -> Any:
        return pair_figures(setting, setting, load, readers=x, makers=y)

    least = at(readers, makers)
    assert at(readers + more, makers).ttft_s <= least.ttft_s * (1 + 1e-9)
    # damped rounds find the batch to some thousandths
    assert at(readers, makers + more).tpot_s <= least.tpot_s * 1.005
    assert at(readers + more, makers + more).capacity_per_s >= least.capacity_per_s
    assert least.requests_per_s <= min(rate, least.capacity_per_s) * (1 + 1e-9)


@FEW
@given(flying=st.integers(1, 300), readers=st.integers(1, 4), makers=st.integers(1, 4))
def test_a_closed_loop_keeps_its_requests(flying: int, readers: int, makers: int) -> None:
    setting, load = ONE
    load = load._replace(in_flight=float(flying), rate_per_s=0.0)
    f = pair_figures(setting, setting, load, readers=readers, makers=makers)
    assert f.requests_per_s * f.e2e_s == pytest.approx(flying)
    assert f.requests_per_s <= f.capacity_per_s * (1 + 1e-9)


def test_arrays_say_what_numbers_say() -> None:
    setting, load = ONE
    load = load._replace(in_flight=1e6)
    rates = np.array([0.5, 5.0, 20.0])
    both = pair_figures(setting, setting, load._replace(rate_per_s=rates), readers=2, makers=3)
    for i, rate in enumerate(rates.tolist()):
        one = pair_figures(setting, setting, load._replace(rate_per_s=rate), readers=2, makers=3)
        assert [float(np.broadcast_to(v, 3)[i]) for v in both] == pytest.approx(list(one))


def rent_of(s: Stock, kinds: list[tuple[int, int]]) -> float:
    """Return the least rent of whole machines for (devices, replicas), packed one by one."""
    costs = []
    for o in s.offers:
        machines: list[int] = []
        for size, count in sorted(kinds, reverse=True):
            for _ in range(count):
                free = [i for i, left in enumerate(machines) if left >= size]
                if size > o.devices:
                    break
                if free:
                    machines[free[0]] -= size
                else:
                    machines.append(o.devices - size)
        if all(size <= o.devices for size, _ in kinds):
            costs.append(len(machines) * o.usd_per_hour)
    return min(costs)


def cheapest_pair(model: str, s: Stock, rate: float, ttft: float, tpot: float) -> float | None:
    """Return the least rent of a pair, found by trying every number of replicas of every setup."""
    engine, m = get_engine("vllm"), llmplan.load_model(model)
    setups = [
        (p, *lowered(model, s.gpu, "fp8", p))
        for n in (1, 2, 4, 8) for p in splits("vllm", n)
        if p.pp == 1 and engine.illegal(m, weight_format("fp8"), p) is None
    ]  # fmt: skip
    best = None
    for (a, reading, _), (b, making, load) in product(setups, repeat=2):
        for x, y in product(range(1, 13), repeat=2):
            usd = rent_of(s, [(a.gpus, x), (b.gpus, y)])
            if best is not None and usd >= best:
                continue
            f = pair_figures(reading, making, load._replace(rate_per_s=rate, in_flight=1e6),
                             readers=x, makers=y)  # fmt: skip
            if f.requests_per_s >= rate * (1 - 1e-6) and f.ttft_s <= ttft and f.tpot_s <= tpot:
                best = usd
    return best


@pytest.mark.parametrize(
    ("model", "rate", "ttft", "tpot"),
    [("llama-3.1-8b", 12.0, 0.5, 0.008), ("llama-3.1-8b", 40.0, 0.3, 0.02),
     ("qwen2.5-32b", 6.0, 1.0, 0.02), ("llama-3.1-8b", 3.0, 0.05, 0.02)],
)  # fmt: skip
def test_the_pair_equals_brute_force(model: str, rate: float, ttft: float, tpot: float) -> None:
    found = cheapest_pair(model, H100, rate, ttft, tpot)
    answer = planned(model, [H100], engine="vllm", weight_format="fp8", kv_format="bf16",
                     max_gpus=48, rate_per_s=rate, ttft_s=ttft, tpot_s=tpot, **LOAD)  # fmt: skip
    assert (found is None) == (not answer.disaggregated)
    if found is not None:
        assert answer.disaggregated[0].usd_per_hour == pytest.approx(found)


def cost(answer: PlanAnswer) -> float:
    return min((d.usd_per_hour or 0.0 for d in answer.disaggregated), default=float("inf"))


LIMITS = st.fixed_dictionaries(
    {"rate_per_s": st.floats(1, 30), "tpot_s": st.floats(0.008, 0.05), "ttft_s": st.floats(0.2, 3)}
)


@FEW
@given(load=LIMITS, wider=st.floats(1.0, 3.0), name=st.sampled_from(["tpot_s", "ttft_s"]))
def test_relaxing_a_limit_never_raises_the_cost_of_a_pair(
    load: dict[str, float], wider: float, name: str
) -> None:
    tight = planned("llama-3.1-8b", [H100], engine="vllm", **LOAD, **load)
    loose = planned("llama-3.1-8b", [H100], engine="vllm", **LOAD,
                    **{**load, name: load[name] * wider})  # fmt: skip
    assert cost(loose) <= cost(tight)


@FEW
@given(
    model=st.sampled_from(["llama-3.1-8b", "deepseek-v2-lite", "nemotron-3-nano-30b-a3b"]),
    load=st.sampled_from([{"rate_per_s": 8.0}, {"concurrency": 60}, {"concurrency": 1}]),
    tpot=st.floats(0.006, 0.05), percentile=st.sampled_from(["mean", "p95"]),
)  # fmt: skip
def test_every_pair_fits_is_legal_and_meets_its_limits(
    model: str, load: dict[str, Any], tpot: float, percentile: str
) -> None:
    own = stock("a100-80g-sxm", limit=8)
    answer = planned(model, [own], engine=("vllm", "sglang"), tpot_s=tpot, ttft_s=4.0,
                     percentile=percentile, **LONG, **load)  # fmt: skip
    m = llmplan.load_model(model)
    for d in answer.disaggregated:
        assert d.gpus <= 8 and d.evidence and d.tpot_s.basis == "assumed"
        assert d.ttft_limit_s <= 4.0 * 1.0001 and d.tpot_limit_s <= tpot * 1.005
        assert d.capacity >= answer.load.peak
        e = get_engine(d.prefill.engine)
        both = [Parallelism(s.tp, s.pp, s.dp, s.ep) for s in (d.prefill, d.decode)]
        assert e.pair_error(m, *both) is None
        for role, s, line in zip(("prefill", "decode"), (d.prefill, d.decode), d.deploy,
                                 strict=True):  # fmt: skip
            assert s.fits and s.supported and s.launch and s.launch.command
            assert (s.engine, s.weight_format, s.kv_format) == (
                d.prefill.engine, d.prefill.weight_format, d.prefill.kv_format)  # fmt: skip
            words = shlex.split(line)
            assert words[words.index("--role") + 1] == role
            done = CliRunner().invoke(cli, [*words[1:], "--json"])
            assert done.exit_code == 0, done.output
            assert json.loads(done.output)["setup"]["launch"] == s.launch.to_dict()


def test_recurrent_states_are_taken_over_at_the_same_tp_only() -> None:
    two, four = Parallelism(tp=2), Parallelism(tp=4)
    hybrid, dense = (
        llmplan.load_model("nemotron-3-nano-30b-a3b"),
        llmplan.load_model("llama-3.1-8b"),
    )
    latent = llmplan.load_model("deepseek-v2-lite")
    vllm, sglang = get_engine("vllm"), get_engine("sglang")
    assert vllm.pair_error(hybrid, two, four) and not vllm.pair_error(hybrid, two, two)
    assert not vllm.pair_error(dense, two, four)
    assert sglang.pair_error(dense, two, four) and not sglang.pair_error(latent, two, four)
    assert get_engine("llama.cpp").pair_error(dense, two, two)


def test_both_kinds_share_machines_where_they_fit() -> None:
    rents = [pair_rent(H100, kinds) for kinds in ([(2, 2, 3), (2, 2, 1)], [(3, 3, 2), (2, 2, 1)],
                                                  [(8, 8, 1), (4, 4, 1)])]  # fmt: skip
    assert [(r.machines, r.usd_per_hour) for r in rents if r] == [(1, 20.0), (2, 40.0), (2, 40.0)]
    assert pair_rent(stock("l4", (1, 1.0)), [(2, 2, 1), (1, 1, 1)]) is None


def test_the_screen_and_the_rows_tell_of_a_pair() -> None:
    words = ["plan", "llama-3.1-8b", "--gpu", "h100-sxm", "--rate", "40", "--input", "6000",
             "--output", "200", "--tpot", "9ms", "--ttft", "1s", "--headroom", "1"]  # fmt: skip
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0 and "Disaggregated: " in done.output
    assert "assumed: no result of a pair" in done.output
    rows = CliRunner().invoke(cli, [*words, "--format", "csv"]).output.splitlines()
    kinds = [r.split(",")[:2] for r in rows if r.startswith("disaggregated")]
    assert kinds == [["disaggregated", "prefill"], ["disaggregated", "decode"]]


@pytest.mark.parametrize("role", ["prefill", "decode"])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_files_of_each_part(engine: str, role: str) -> None:
    asked = {"engine": engine, "role": role, "gpus": 2, "weight_format": "fp8"}
    found = made("llama-3.1-8b", "h100-sxm", "k8s", **asked)
    deployment = documents(found)[0]
    check_object(deployment)
    assert deployment["metadata"]["name"].startswith(role)
    main = deployment["spec"]["template"]["spec"]["containers"][0]
    used = {w.partition("=")[0] for w in main["args"] if w.startswith("--")}
    assert used <= flags(engine)
    part = {"vllm": "--kv-transfer-config", "sglang": "--disaggregation-mode"}[engine]
    value = main["args"][main["args"].index(part) + 1]
    if engine == "vllm":
        kind = {"prefill": "kv_producer", "decode": "kv_consumer"}[role]
        assert json.loads(value) == {"kv_connector": "NixlConnector", "kv_role": kind}
        (address,) = [e for e in main["env"] if e["name"] == "VLLM_NIXL_SIDE_CHANNEL_HOST"]
        assert address["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    else:
        assert value == role
    assert any("router" in n for n in found.notes)
    whole = documents(made("llama-3.1-8b", "h100-sxm", "k8s", engine=engine, gpus=2,
                           weight_format="fp8"))[0]  # fmt: skip
    assert whole["metadata"]["name"] != deployment["metadata"]["name"]


def test_values_of_llm_d_come_in_two_files() -> None:
    """Helm merges them: one holds the chart's settings and decode, the other prefill alone."""
    asked = {"gpus": 4, "weight_format": "fp8"}
    decode, prefill = (
        documents(made("llama-3.3-70b", "h100-sxm", "llm-d", role=r, tp=t, **asked))[0]
        for r, t in (("decode", 4), ("prefill", 2))
    )
    assert list(prefill) == ["prefill"] and "prefill" not in decode
    assert list(faults({**decode, **prefill}, schema("llm-d-values")["schema"])) == []
    assert decode["routing"]["proxy"]["enabled"] is True
    ports = [d["containers"][0]["ports"][0]["containerPort"]
             for d in (decode["decode"], prefill["prefill"])]  # fmt: skip
    assert ports == [decode["routing"]["proxy"]["targetPort"], decode["routing"]["servicePort"]]
    assert prefill["prefill"]["parallelism"]["tensor"] == 2


@pytest.mark.parametrize("target", ["kserve", "ray-serve", "bench"])
def test_targets_of_whole_servers_refuse_a_part(target: str) -> None:
    with pytest.raises(InputError, match="whole servers"):
        made("llama-3.1-8b", "h100-sxm", target, role="prefill")


def test_engines_and_versions_without_parts_say_so() -> None:
    for engine, version, why in (("lmdeploy", None, "vllm and sglang have"),
                                 ("vllm", "0.8.5", "from 0.9.0 on"),
                                 ("sglang", "0.4.3", "from 0.4.6")):  # fmt: skip
        asked = {"engine": engine, "engine_version": version, "role": "decode"}
        setup = llmplan.estimate("llama-3.1-8b", "h100-sxm", **asked)
        assert not setup.supported and why in (setup.reason or "")
    setup = llmplan.estimate("llama-3.1-8b", "h100-sxm", role="decode")
    assert setup.performance.tpot_s is None
    assert "speed_unknown" in [w.code for w in setup.warnings]
    with pytest.raises(InputError, match="no role"):
        llmplan.estimate("llama-3.1-8b", "h100-sxm", role="both")


def test_a_pair_that_no_result_backs_is_assumed() -> None:
    load = {"dp": 4, "concurrency": 64, **LONG}
    setup = llmplan.estimate("llama-3.1-8b", "h100-sxm", disaggregated=True, **load)
    assert setup.performance.tpot_s and setup.performance.tpot_s.basis == "assumed"
