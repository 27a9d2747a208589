"""Rows of measured speed: each brought to a setting and a load, and predicted by its scenario."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from llmplan.catalog.resolve import find_gpu, find_model
from llmplan.engines import get_engine, known_engines
from llmplan.engines.base import Engine, Plan, Request
from llmplan.engines.speed_labels import era_of
from llmplan.engines.speed_load import MANY, held_requests
from llmplan.engines.speed_setting import kernel_shares, labels_of, setting_of
from llmplan.errors import InputError, LlmplanError
from llmplan.measured.memory import SkipError
from llmplan.measured.rows import SpeedRow
from llmplan.measured.runs import RunSettings, published_settings
from llmplan.memory.formats import kv_format, weight_format
from llmplan.specs.setup import Limits, Parallelism, Workload
from llmplan.specs.speed import SpeedTable
from llmplan.speed.figures import Load, batch_figures, loop_figures, prefill_figures
from llmplan.speed.work import Setting

QUANTITIES = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s", "total_tokens_per_s",
              "requests_per_s", "decode_tokens_per_s", "prefill_tokens_per_s")  # fmt: skip
KINDS = {"single-stream": "batch", "static-batch": "batch", "prefill": "prefill",
         "closed-loop": "loop", "open-loop": "loop", "offline": "loop"}  # fmt: skip
"""Which of the formulas predicts a scenario."""

FORMULAS = {"batch": batch_figures, "prefill": prefill_figures, "loop": loop_figures}

STAND_INS = {"deepspeed-mii": ("vllm", "0.3.3"), "mlc-llm": ("vllm", "0.3.3")}
"""Engines without a memory policy here, and whose paged pool they are taken to have (assumed)."""

NEAREST_FORMATS = {
    "int4-weight-only": "gptq-int4", "gguf:UD-Q4_K_XL": "gguf:Q4_K_M",
    "gguf:UD-Q4_K_M": "gguf:Q4_K_M", "gguf:UD-Q6_K_XL": "gguf:Q6_K",
    "gguf:UD-Q2_K_XL": "gguf:Q2_K", "gguf:UD-Q8_K_XL": "gguf:Q8_0", "mlx-bf16": "bf16",
}  # fmt: skip
"""Formats of rows that are no stock recipe, by the recipe of nearest size: Unsloth's dynamic GGUF
keep more of some tensors (their files are 2 to 8 % larger)."""

CHECKPOINT_KV = {"nvfp4": "fp8"}
"""KV format that ModelOpt's checkpoints ask for (hf_quant_config.json kv_cache_quant_algo), taken
where a row states none; FP8 checkpoints ask for it in TensorRT-LLM as well."""

UNHELD = ("transformers", "exllamav3", "mlx-lm", "ollama", "llama.cpp")
"""Engines that run what they are given at once: their slots are set by the batch."""


class Lowered(NamedTuple):
    """A row as the formulas take it, and the labels and shares that its costs came from."""

    row: SpeedRow
    kind: str
    setting: Setting
    load: Load
    labels: Mapping[str, str]
    shares: Mapping[str, float]
    fits: bool


def lowered(row: SpeedRow, table: SpeedTable) -> Lowered:
    """Return a row in lowered form; SkipError or LlmplanError say what it lacks."""
    if row.engine.startswith("other:"):
        raise SkipError("an engine outside the plan")
    if row.suspect:
        raise SkipError(f"its figures contradict each other: {row.suspect}")
    run = published_settings(row)
    name, version = STAND_INS.get(row.engine, (row.engine, None))
    engine = get_engine(name)
    request = _request(row, run, engine, version)
    plan = engine.plan(request)
    free = row.engine in UNHELD
    if not plan.fits and not free:
        raise SkipError("the weights as stated do not fit on the devices as stated")
    setting = setting_of(
        request, table, engine=row.engine, quarter=row.engine_era, recipe=run.recipe,
        version=row.engine_version, asynchronous=run.asynchronous, waits=run.waits,
        chunk_tokens=run.chunk_tokens or engine.chunk_tokens(request),
    )  # fmt: skip
    load = _load(row, run, MANY if free else _held(engine, request, plan, row))
    device_and_formats = request.gpu, request.weights, request.kv
    era = era_of(row.engine, row.engine_version, row.engine_era, asynchronous=run.asynchronous)
    labels = labels_of(*device_and_formats, engine=row.engine, era=era, recipe=run.recipe)
    if row.engine == "transformers" and request.weights.is_quantized:
        labels["era"] = "transformers-quantized"
    shares = kernel_shares(*device_and_formats, table, row.engine)
    return Lowered(row, KINDS[row.scenario], setting, load, labels, shares, plan.fits)


def _request(row: SpeedRow, run: RunSettings, engine: Engine, version: str | None) -> Request:
    model = find_model(row.model, offline=True).model
    gpu = find_gpu(row.gpu).gpu
    stated = row.weight_format
    if stated is None:
        raise SkipError("the row does not state the weight format")
    fmt = weight_format(NEAREST_FORMATS.get(stated, stated))
    tp, pp, dp = row.tp or row.gpus or 1, row.pp or 1, row.dp or 1
    ep = tp * dp if (row.ep or 1) > 1 else 1
    kv = row.kv_format or run.kv_format or _checkpoint_kv(engine, fmt.name)
    kv = kv or engine.default_kv(model, fmt)
    context = (row.context_depth or 0) + (row.input_tokens or 0) + (row.output_tokens or 0)
    workload = Workload(max(16, round(context)))
    limits = Limits(
        max_num_seqs=run.max_num_seqs,
        gpu_memory_utilization=run.gpu_memory_utilization,
        max_num_batched_tokens=run.max_num_batched_tokens if engine.name == "vllm" else None,
    )
    return Request(model, gpu, fmt, kv_format(kv), Parallelism(tp, pp, dp, ep), workload, limits,
                   version or _version(row, engine))  # fmt: skip


def _checkpoint_kv(engine: Engine, fmt: str) -> str | None:
    if engine.name == "tensorrt-llm" and fmt.startswith("fp8"):
        return "fp8"
    return CHECKPOINT_KV.get(fmt)


def _version(row: SpeedRow, engine: Engine) -> str:
    for stated in (row.engine_version, (row.engine_version or "").removeprefix("v")):
        if stated:
            try:
                return engine.check_version(stated)
            except InputError:
                continue
    day = _day(row.engine_era) or row.source.get("date")
    return engine.version_on(day) if day else engine.default_version


def _day(quarter: str | None) -> str | None:
    """Return the middle of the last month of a quarter, as a date."""
    if not quarter:
        return None
    year, _, number = quarter.partition("-Q")
    return f"{year}-{3 * int(number):02d}-15"


def _held(engine: Engine, request: Request, plan: Plan, row: SpeedRow) -> float:
    before, output = (row.context_depth or 0) + (row.input_tokens or 0), row.output_tokens or 0
    return held_requests(
        engine, request, plan, mean_tokens=before + output / 2, whole_tokens=before + output
    )


def _load(row: SpeedRow, run: RunSettings, held: float) -> Load:
    offline, opened = row.scenario == "offline", row.scenario == "open-loop"
    stated = row.concurrency or 0
    in_flight = stated or (MANY if offline else 1)
    rate = (row.request_rate_per_s or 0) if opened else 0.0
    return Load(
        input_tokens=(row.input_tokens or 0) * run.length_share,
        output_tokens=(row.output_tokens or 0) * run.length_share,
        past_tokens=row.context_depth or 0,
        in_flight=MANY if opened else in_flight,
        rate_per_s=rate,
        held=held,
        batch_ends=float(offline),
        at_once=1.0,
    )


def unpredictable(row: SpeedRow, test: str) -> str | None:
    """Return why a figure of a row cannot be predicted from what the row states, or None."""
    if test in row.doubts:
        return row.doubts[test]
    if row.scenario in ("offline", "open-loop") and test in ("ttft_s", "e2e_s", "tpot_s"):
        if row.scenario == "offline":
            return "latencies of a batch handed over at once depend on how long it is"
        if not row.request_rate_per_s and test != "tpot_s":
            return "all requests arrive at once and their number is not stated"
    return None


MEDIAN_GAP = "median gap"


def figure_of(row: SpeedRow, test: str) -> str:
    """Return which of the formulas' figures a row's test is: its own, or the median gap."""
    return "gap_s" if test == "tpot_s" and row.tpot_statistic == MEDIAN_GAP else test


def lowered_rows(
    rows: Iterable[SpeedRow], table: SpeedTable
) -> Iterator[tuple[SpeedRow, Lowered | None, str | None]]:
    """Yield each row with its lowered form, or with the reason why there is none."""
    known = set(known_engines()) | set(STAND_INS)
    for row in rows:
        try:
            if row.engine not in known and not row.engine.startswith("other:"):
                raise SkipError(f"no engine {row.engine} here")
            yield row, lowered(row, table), None
        except (SkipError, LlmplanError) as e:
            yield row, None, " ".join(str(e).split())
