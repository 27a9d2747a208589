"""What is published on the quality of weight formats: kept apart from memory and speed."""

from __future__ import annotations

from llmplan.specs.formats import WeightFormat
from llmplan.specs.model import Model
from llmplan.specs.setup import Quality

KURTIC = "arXiv:2411.02355v4 (Llama-3.1 family, >500k evaluations)"
PERPLEXITY = "llama.cpp tools/perplexity/README.md (Llama-3-8B, wiki.test, f16 6.2332)"

NOTES: dict[str, tuple[str, str]] = {
    "fp8": ("effectively lossless at every size", KURTIC),
    "int8-w8a8": ("1-3 % below 16 bits", KURTIC),
    "awq-int4": ("competitive with 8 bits", KURTIC),
    "gptq-int4": ("competitive with 8 bits", KURTIC),
    "compressed-tensors-w4a16": ("competitive with 8 bits", KURTIC),
    "nvfp4": ("at most 0.6 points on average", "sch0tten/nvfp4-benchmark; close to int4 AWQ"),
    "gguf:Q8_0": ("perplexity +0.003", PERPLEXITY),
    "gguf:Q6_K": ("perplexity +0.02", PERPLEXITY),
    "gguf:Q5_K_M": ("perplexity +0.06", PERPLEXITY),
    "gguf:Q5_K_S": ("perplexity +0.11", PERPLEXITY),
    "gguf:Q4_K_M": ("perplexity +0.18", PERPLEXITY),
    "gguf:Q4_K_S": ("perplexity +0.27", PERPLEXITY),
    "gguf:IQ4_XS": ("perplexity +0.23 with an imatrix", PERPLEXITY),
    "gguf:Q3_K_M": ("perplexity +0.66", PERPLEXITY),
    "gguf:IQ2_M": ("perplexity +2.4 with an imatrix", PERPLEXITY),
    "gguf:Q2_K": ("perplexity +3.5", PERPLEXITY),
}
"""Published loss against 16 bits by format (quantization research of 2026-11)."""

TIERS = ((8.0, 0), (4.0, 1), (3.0, 2), (0.0, 3))
"""(bits from, tier): formats of one tier are not told apart by quality when setups are ranked.
8 bits and the checkpoint's own format stand together: published losses there are under 3 %."""


def quality_of(model: Model, fmt: WeightFormat) -> Quality:
    """Return what is known of a format's effect on quality."""
    if fmt.name == model.native_format:
        return Quality("the checkpoint's own format")
    if not fmt.is_quantized:
        half = "fp16" if fmt.name == "fp16" or fmt.gguf_preset == "F16" else fmt.name
        same = model.native_format == half
        return Quality("the weights unchanged" if same else f"the weights rounded to {half}")
    note, source = NOTES.get(fmt.name, ("no published evaluation on record", None))
    return Quality(note, source)


def quality_tier(model: Model, fmt: WeightFormat) -> int:
    """Return 0 (as good as the checkpoint) to 3 (2 bits and below)."""
    if fmt.name == model.native_format or fmt.name == f"gguf:{model.native_format.upper()}":
        return 0
    return next(tier for bits, tier in TIERS if fmt.bits >= bits)
