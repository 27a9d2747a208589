"""GGUF sizes against llama.cpp's own table, and its rules where that table does not reach."""

from __future__ import annotations

import pytest

import llmplan
from llmplan.memory.formats import weight_format
from llmplan.memory.gguf import facts_of
from llmplan.memory.gguf_types import Position as At
from llmplan.memory.gguf_types import tensor_type, use_more_bits
from llmplan.memory.parameters import parameter_count
from llmplan.memory.weights import weight_bytes

# Bits a weight of Llama-3.1-8B: llama.cpp tools/quantize/README.md at 0c1e57098 (2026-10-01).
BITS = {
    "IQ1_S": 2.0042, "IQ1_M": 2.1460, "IQ2_XXS": 2.3824, "IQ2_XS": 2.5882, "IQ2_S": 2.7403,
    "IQ2_M": 2.9294, "IQ3_XXS": 3.2548, "IQ3_XS": 3.4977, "IQ3_S": 3.6606, "IQ3_M": 3.7628,
    "IQ4_XS": 4.4597, "IQ4_NL": 4.6818, "Q2_K_S": 2.9697, "Q2_K": 3.1593, "Q3_K_S": 3.6429,
    "Q3_K_M": 3.9960, "Q3_K_L": 4.2979, "Q4_K_S": 4.6672, "Q4_K_M": 4.8944, "Q5_K_S": 5.5704,
    "Q5_K_M": 5.7036, "Q6_K": 6.5633, "Q8_0": 8.5008, "F16": 16.0005,
}  # fmt: skip


@pytest.mark.parametrize(("preset", "published"), BITS.items())
def test_llama_3_1_8b(preset: str, published: float) -> None:
    model = llmplan.load_model("llama-3.1-8b")
    size = weight_bytes(model, weight_format(f"gguf:{preset}")).total
    assert 8 * size / parameter_count(model) == pytest.approx(published, rel=1e-4)


def test_larger_llamas_in_q4_k_m() -> None:
    """The same README: 70B takes 43.1 GB and 405B 249.1 GB in Q4_K_M (older rules, rounded)."""
    for name, published in (("llama-3.1-70b", 43.1e9), ("llama-3.1-405b", 249.1e9)):
        size = weight_bytes(llmplan.load_model(name), weight_format("gguf:Q4_K_M")).total
        assert size == pytest.approx(published, rel=0.03)


def test_eight_experts_keep_attention_in_more_bits() -> None:
    """llama-quant.cpp: with 8 experts attn_k and attn_v become Q8_0, attn_output Q5_K."""
    facts = facts_of(llmplan.load_model("mixtral-8x7b"), "Q4_K_M")
    types = {n: tensor_type(n, 4096, 1, facts, At(9, 9, 9)) for n in ("attn_k", "attn_v")}
    assert types == {"attn_k": "Q8_0", "attn_v": "Q8_0"}
    assert tensor_type("attn_output", 4096, 1, facts, At(9, 9, 9)) == "Q5_K"


def test_rows_that_no_block_divides_fall_back() -> None:
    """llama-quant.cpp tensor_type_fallback: 2880 columns take Q5_0 for Q4_K, 100 take F16."""
    facts = facts_of(llmplan.load_model("llama-3.1-8b"), "Q4_K_M")
    assert tensor_type("attn_k", 2880, 1, facts, At(9, 9, 9)) == "Q5_0"
    assert tensor_type("attn_k", 100, 1, facts, At(9, 9, 9)) == "F16"


def test_more_bits_at_both_ends_and_every_third_between() -> None:
    raised = [i for i in range(32) if use_more_bits(i, 32)]
    assert raised[:6] == [0, 1, 2, 3, 6, 9]
    assert raised[-4:] == [28, 29, 30, 31]


def test_mxfp4_keeps_only_experts_small() -> None:
    """MXFP4_MOE: experts MXFP4, everything else Q8_0."""
    facts = facts_of(llmplan.load_model("gpt-oss-20b"), "MXFP4")
    assert tensor_type("ffn_down_exps", 2880, 32, facts, At(0, 0)) == "MXFP4"
    assert tensor_type("attn_q", 2880, 1, facts, At(0, 0)) == "Q8_0"
