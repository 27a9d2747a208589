"""The terms of one decode step, for `--explain`: time, share, limit, formula, basis, source."""

from __future__ import annotations

from collections.abc import Mapping

from llmplan.engines.base import Engine, Plan, Request
from llmplan.planning.performance import basis_of, figures_of, running_context, speed_setting
from llmplan.specs.setup import StepTerm
from llmplan.specs.speed import SpeedTable
from llmplan.speed.step import Parts, decode_parts, prefill_parts

MATRICES = (
    "soft roofline of bytes / (bandwidth x memory), 2 x tokens x weights / (FLOP/s x compute)"
)
DECODE = {
    "dense_s": ("dense matrices", MATRICES),
    "experts_s": ("routed experts", f"{MATRICES}; touched: E (1 - (1 - k/E)^tokens)"),
    "attention_s": ("attention", "cache of all sequences / (bandwidth x cache)"),
    "exchange_s": ("all-reduces", "2 a layer: latency + 2 (t-1)/t x message / bus bandwidth"),
    "overhead_s": (
        "overhead",
        "step + layers x layer + sequences x sequence, host weights, drafts",
    ),
}
PROMPT = DECODE | {
    "attention_s": ("attention", "tokens x (past + tokens/2) x FLOP a pair / (FLOP/s x attention)"),
    "overhead_s": ("overhead", "chunks x (step + layers x layer), host weights"),
}
"""Names and formulas of a step's parts, where tokens are made and where a prompt is read."""
LIMITS = {"exchange_s": "interconnect", "overhead_s": "launch overhead"}
SOURCE = "docs/speed.md"


def step_terms(
    engine: Engine, request: Request, plan: Plan, table: SpeedTable
) -> tuple[StepTerm, ...]:
    """Return the parts of a decode step and of reading one prompt, the largest first."""
    setting, load = speed_setting(engine, request, plan, table)
    running, context = running_context(load, figures_of(request, setting, load))
    basis = basis_of(request, engine, table)
    faster = setting._replace(rates=setting.rates._replace(bandwidth=2 * setting.rates.bandwidth))
    both = (setting, faster)
    decode = [decode_parts(s, sequences=running, context=context) for s in both]
    prompt = [
        prefill_parts(s, prompts=1, tokens=load.input_tokens, past=load.past_tokens) for s in both
    ]
    made = _terms(f"decode step of {running:.0f}", DECODE, decode[0], decode[1], basis)
    read = _terms(f"prompt of {load.input_tokens:,.0f}", PROMPT, prompt[0], prompt[1], basis)
    return (*made, *read)


def _terms(
    what: str, named: Mapping[str, tuple[str, str]], parts: Parts, faster: Parts, basis: str
) -> tuple[StepTerm, ...]:
    """Return the terms of some parts; what doubled bandwidth saves is limited by memory."""
    rows = []
    for field, (name, formula) in named.items():
        time = float(getattr(parts, field))
        if not time:
            continue
        memory = 2 * (time - float(getattr(faster, field)))
        limit = LIMITS.get(field) or ("memory bandwidth" if memory > time / 2 else "compute")
        share = time / float(parts.total_s)
        rows.append(StepTerm(f"{what}: {name}", time, share, limit, formula, basis, SOURCE))
    return tuple(sorted(rows, key=lambda row: -row.value_s))
