"""What a load means: profiles and traces, users and rates, headroom, percentiles."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmplan
from llmplan.errors import InputError, UnknownName
from llmplan.planning.profiles import PROFILES
from llmplan.planning.wanted import Wanted, demand_of, make_wanted
from llmplan.sources.traces import read_trace
from llmplan.specs.units import parse_seconds
from llmplan.speed.percentiles import tpot_percentile_s, ttft_percentile_s

MODEL = llmplan.load_model("llama-3.1-8b")


@pytest.mark.parametrize(
    ("profile", "file"),
    [("chat", "AzureLLMInferenceTrace_conv_2023.csv"),
     ("code", "AzureLLMInferenceTrace_code_2023.csv")],
)  # fmt: skip
def test_profiles_are_the_statistics_of_the_public_traces(
    shared: Path, profile: str, file: str
) -> None:
    """Lengths and rate of the file itself, read by the trace reader; NumPy's percentiles."""
    path = shared / "data/traces" / file
    read = read_trace(str(path))
    kept = next(p for p in PROFILES if p.name == profile)
    assert read.requests == kept.requests
    assert read.input_tokens == pytest.approx(kept.input_tokens, abs=0.06)
    assert read.output_tokens == pytest.approx(kept.output_tokens, abs=0.06)
    assert read.rate_per_s == pytest.approx(kept.rate_per_s, rel=0.005)
    assert read.peak_over_mean == pytest.approx(kept.peak_over_mean, abs=0.006)
    with path.open(encoding="utf-8") as f:
        prompts = [int(row["ContextTokens"]) for row in csv.DictReader(f)]
    for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
        expected = float(np.percentile(prompts, share))
        assert read.input_percentiles[name] == pytest.approx(expected)
        assert kept.input_percentiles[name] == pytest.approx(expected, abs=1)


def test_mooncake_excerpts_are_read(shared: Path) -> None:
    read = read_trace(str(shared / "data/traces/mooncake_conversation_first1500.json"))
    assert read.requests == 1500
    assert read.rate_per_s and 1 < read.rate_per_s < 10


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "", "no requests"),
        ("a.csv", "a,b\n1,2\n", "line 2: no token counts"),
        ("a.csv", "ContextTokens,GeneratedTokens\n1,-2\n", "line 2"),
        ("a.csv", "ContextTokens,GeneratedTokens\n1,nan\n", "'nan' is no count"),
        ("a.csv", "ContextTokens,GeneratedTokens\n1,1e309\n", "is no count"),
        ("a.csv", "ContextTokens,GeneratedTokens\n10\n", "line 2: no token counts"),
        ("a.csv", 'ContextTokens,GeneratedTokens\n"' + "x" * 200_000 + '",1\n', "line"),
        ("a.jsonl", "{}\n", "line 1: no token counts"),
        ("a.jsonl", "[" * 100_000, "not JSON"),
        ("a.jsonl", '{"input_length": 1, "output_length": 2}\nnope\n', "line 2 is not JSON"),
        ("a.jsonl", '{"input_length": true, "output_length": 2}\n', "is no count"),
        ("a.json", '[{"input_length": 1, "output_length": 2}, 7]', "line 2 is no request"),
        ("a.json", '{"input_length": ' + "9" * 5000 + ', "output_length": 2}', "a.json"),
    ],
)  # fmt: skip
def test_a_hostile_trace_gives_one_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as e:
        read_trace(str(path))
    assert says in e.value.one_line()
    assert "\n" not in e.value.one_line() and len(e.value.one_line()) < 300


def test_what_is_no_text_or_not_there_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01" * 100)
    for name in (str(tmp_path / "a.csv"), str(tmp_path), str(tmp_path / "b.csv"), "a\x00.csv"):
        with pytest.raises(InputError):
            read_trace(name)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=50))
def test_statistics_of_a_trace_are_those_of_its_rows(rows: list[tuple[int, int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        lines = (json.dumps({"prompt_tokens": a, "completion_tokens": b}) for a, b in rows)
        path.write_text("\n".join(lines), encoding="utf-8")
        read = read_trace(str(path))
    assert read.input_tokens == pytest.approx(float(np.mean([a for a, _ in rows])))
    for name, share in (("p50", 50), ("p95", 95)):
        expected = float(np.percentile([b for _, b in rows], share))
        assert read.output_percentiles[name] == pytest.approx(expected)


def test_peaks_need_times_over_ten_minutes(tmp_path: Path) -> None:
    """30 requests in one minute of a quarter of an hour of one a minute: 31 / (45 / 15)."""
    path = tmp_path / "t.csv"
    times = sorted([60 * i for i in range(15)] + [30] * 29 + [900])
    rows = "".join(f"{t},10,5\n" for t in times)
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows, encoding="utf-8")
    read = read_trace(str(path))
    assert read.rate_per_s == pytest.approx(45 / 900)
    assert read.peak_over_mean == pytest.approx(30 / (45 / 15))
    assert read.note is None


def test_users_are_a_rate() -> None:
    demand, _ = demand_of(MODEL, make_wanted(users=1800, requests_per_user=4, headroom=2))
    assert (demand.kind, demand.rate_per_s, demand.peak) == ("rate", 2.0, 4.0)


def test_headroom_comes_from_the_trace_and_is_named() -> None:
    chat, _ = demand_of(MODEL, make_wanted(rate_per_s=10, profile="chat"))
    assert chat.peak == pytest.approx(15.1) and "Azure" in chat.headroom_source
    code, _ = demand_of(MODEL, make_wanted(rate_per_s=10, profile="code"))
    assert code.peak == pytest.approx(38.0)
    bare, _ = demand_of(MODEL, make_wanted(rate_per_s=10))
    assert bare.headroom == pytest.approx(1.51)
    flight, _ = demand_of(MODEL, make_wanted(concurrency=10))
    assert flight.peak == 10


def test_the_longest_request_is_a_percentile_of_the_trace() -> None:
    chat, _ = demand_of(MODEL, make_wanted(rate_per_s=1, profile="chat"))
    assert (chat.input_tokens, chat.output_tokens) == (1155, 211)
    assert chat.context_tokens == 4142 + 601
    short = llmplan.load_model("llama-2-7b")
    cut, notes = demand_of(short, make_wanted(rate_per_s=1, profile="chat"))
    assert cut.context_tokens == 4096 and "cut" in notes[0].message
    with pytest.raises(InputError, match="context"):
        demand_of(MODEL, make_wanted(rate_per_s=1, profile="rag", context_tokens=4096))


@pytest.mark.parametrize(
    "given",
    [
        {"rate_per_s": 0}, {"rate_per_s": -1}, {"rate_per_s": float("nan")},
        {"rate_per_s": float("inf")}, {"rate_per_s": 1, "concurrency": 2}, {"users": 3},
        {"requests_per_user": 3}, {"concurrency": 0}, {"concurrency": 1.5}, {"concurrency": True},
        {"headroom": 0.5}, {"ttft_s": 0}, {"tpot_s": float("nan")}, {"percentile": "p42"},
        {"prefer": "best"}, {"budget": 0}, {"max_gpus": 0}, {"prefix_hit_rate": 1.0},
        {"api_price": (float("nan"), 1.0)}, {"nonsense": 1}, {"rate_per_s": "5"},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(InputError):
        make_wanted(**given)


def test_a_profile_and_a_trace_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ContextTokens,GeneratedTokens\n100,10\n", encoding="utf-8")
    with pytest.raises(InputError):
        demand_of(MODEL, Wanted(profile="chat", rate_per_s=1.0), read_trace(str(path)))
    with pytest.raises(UnknownName):
        demand_of(MODEL, Wanted(profile="nope", rate_per_s=1.0))


def test_percentiles_are_never_below_means_and_means_alone_without_load() -> None:
    for p in ("p90", "p95", "p99"):
        assert ttft_percentile_s(percentile=p, mean_s=0.2, idle_s=0.2) == pytest.approx(0.2)
        assert ttft_percentile_s(percentile=p, mean_s=0.4, idle_s=0.2) > 0.4
        assert tpot_percentile_s(percentile=p, mean_s=0.03, idle_s=0.01, sequences=9) > 0.03


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_tail_of_waiting_is_that_of_a_simulated_queue(load: float) -> None:
    """Lindley's recursion of an M/M/1 queue with service of one second."""
    rng = np.random.default_rng(1)
    gaps, work = rng.exponential(1 / load, 400_000), rng.exponential(1.0, 400_000)
    wait, waits = 0.0, []
    for gap, needed in zip(gaps, work, strict=True):
        waits.append(wait)
        wait = max(0.0, wait + needed - gap)
    mean = 1 / (1 - load)
    for p, share in (("p90", 90), ("p99", 99)):
        told = ttft_percentile_s(percentile=p, mean_s=mean, idle_s=1.0) - 1
        assert told == pytest.approx(float(np.percentile(waits, share)), rel=0.1)


@pytest.mark.parametrize("text", ["", "fast", "-1", "5h", "0", "1e9s", "nan", "9" * 60])
def test_times_are_refused_where_they_are_none(text: str) -> None:
    with pytest.raises(InputError):
        parse_seconds(text)
