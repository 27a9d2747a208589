"""The terms of one decode step, for `--explain`: time, share, limit, formula, basis, source."""

from __future__ import annotations

from llmplan.engines.base import Engine, Plan, Request
from llmplan.planning.performance import basis_of, running_context, speed_setting
from llmplan.specs.setup import StepTerm
from llmplan.specs.speed import SpeedTable
from llmplan.speed.step import Parts, decode_parts, prefill_parts

FORMULAS = {
    "dense_s": ("dense matrices", "((weights + activations) / (bandwidth x memory))^p + "
                "(2 x tokens x weights / (FLOP/s x compute))^p)^(1/p)"),
    "experts_s": ("routed experts", "the same over touched experts, E (1 - (1 - k/E)^tokens)"),
    "attention_s": ("attention over the cache", "cache of all sequences / (bandwidth x cache)"),
    "exchange_s": ("all-reduces", "2 a layer: latency + 2 (t-1)/t x message / bus bandwidth"),
    "overhead_s": ("step overhead", "step + layers x layer + sequences x sequence, host weights"),
}  # fmt: skip
SOURCE = "hardware/speed/coefficients.yaml, kernel tables of hardware/speed"


def step_terms(
    engine: Engine, request: Request, plan: Plan, table: SpeedTable
) -> tuple[StepTerm, ...]:
    """Return the parts of a decode step and of reading one prompt, the largest first."""
    setting, load = speed_setting(engine, request, plan, table)
    running, context = running_context(load)
    basis = basis_of(request, engine, table)
    decode = decode_parts(setting, sequences=running, context=context)
    faster = setting._replace(rates=setting.rates._replace(bandwidth=2 * setting.rates.bandwidth))
    half = decode_parts(faster, sequences=running, context=context)
    prompt = prefill_parts(setting, prompts=1, tokens=load.input_tokens, past=load.past_tokens)
    found = _terms(f"decode of {running:.0f}", decode, half, basis)
    read = prefill_parts(faster, prompts=1, tokens=load.input_tokens, past=load.past_tokens)
    return (*found, *_terms(f"prompt of {load.input_tokens:,.0f}", prompt, read, basis))


def _terms(what: str, parts: Parts, faster: Parts, basis: str) -> tuple[StepTerm, ...]:
    rows = []
    for field, (name, formula) in FORMULAS.items():
        time = float(getattr(parts, field))
        if not time:
            continue
        memory = 2 * (time - float(getattr(faster, field)))
        limit = {"exchange_s": "interconnect", "overhead_s": "launch overhead"}.get(field)
        limit = limit or ("memory bandwidth" if memory > time / 2 else "compute")
        share = time / float(parts.total_s)
        rows.append(StepTerm(f"{what}: {name}", time, share, limit, formula, basis, SOURCE))
    return tuple(sorted(rows, key=lambda row: -row.value_s))
