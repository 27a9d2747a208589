"""Qwen4 experimental (Qwen3.8-Flash-Next): residual streams, n-gram embeddings, selected tokens.

Shapes and defaults: transformers 5.23 models/qwen4_exp, read 2026-11-21. The short convolution
of the n-gram layers keeps a few rows a request, which are not counted.
"""

from __future__ import annotations

from math import isqrt

from llmplan.errors import InputError
from llmplan.sources.config_json import Config, attention, family, known, record, stack, text_config
from llmplan.sources.families.hybrid import delta_net
from llmplan.sources.families.mixture import gated_shared_experts
from llmplan.sources.families.qwen_vl import qwen3_vision
from llmplan.sources.families.vision import tensor
from llmplan.sources.layers import Plain

MAX_NGRAM_ROWS = 10**8
"""Largest ngram_vocab_size_base read (the class's default is 2 x 10^7): the primes after it are
searched one by one."""


@family("qwen4_exp", "qwen4_exp_text")
def qwen4_exp(c: Config) -> Plain:
    """Qwen4: gated delta net, every fourth layer attention with an indexer, small experts."""
    t = known(
        text_config(c), hc_count=4, hc_lowrank=320, full_attention_interval=4, ngram_size=3,
        heads_per_ngram=8, ngram_vocab_size_base=20_000_000, ple_conv_kernel_size=4,
        make_ngram_vocab_size_divisible_by=128, ple_embed_dim=text_config(c)["hidden_size"],
    )  # fmt: skip
    h = t["hidden_size"]
    full = attention(t, qk_norm="per_head", output_gate="elementwise") | {
        "indexer_heads": t["indexer_n_heads"],
        "indexer_head_dim": t["indexer_head_dim"],
        "indexer_pool": t["indexer_compress_ratio"],
    }
    every = t["full_attention_interval"]
    types = t.get("layer_types") or [
        "full_attention" if (i + 1) % every == 0 else "linear_attention"
        for i in range(t["num_hidden_layers"])
    ]
    tables = sorted(set(t["ple_layer_ids"]))
    layers = [
        {
            "mixers": [delta_net(t) if kind == "linear_attention" else full],
            "mlp": gated_shared_experts(t),
            "norms": 0,
            "tensors": _streams(t, "attn") + _streams(t, "ffn")
            + (_ngrams(t, tables.index(i + 1)) if i + 1 in tables else []),
        }
        for i, kind in enumerate(types)
    ]  # fmt: skip
    mix = _streams(t, "output")[:3]
    tied = {"tie_word_embeddings": c.get("tie_word_embeddings", False), **t}
    result = record(tied, stack(h, layers, final_norm=False, tensors=mix))
    if isinstance(c.get("vision_config"), dict):
        result["vision"] = qwen3_vision(c["vision_config"])
    return result


def _streams(t: Config, part: str) -> list[Plain]:
    """Return norm, low-rank mixing and injection of the residual streams around one part."""
    wide, rank = t["hc_count"] * t["hidden_size"], t["hc_lowrank"]
    name = "output_hc" if part == "output" else f"hc_{part}"
    return [
        tensor(f"{name}_norm", wide),
        tensor(f"{name}_down", rank, wide),
        tensor(f"{name}_up", wide, rank),
        tensor(f"{name}_inject", t["hc_count"], wide),
    ]


def _ngrams(t: Config, index: int) -> list[Plain]:
    """Return the table of hashed n-grams of one layer, and what mixes it in."""
    heads = (t["ngram_size"] - 1) * t["heads_per_ngram"]
    width, wide = t["ple_embed_dim"], t["hc_count"] * t["hidden_size"]
    base, step = t["ngram_vocab_size_base"], t["make_ngram_vocab_size_divisible_by"]
    if not 0 < base <= MAX_NGRAM_ROWS:
        raise InputError(f"ngram_vocab_size_base is not between 1 and {MAX_NGRAM_ROWS}.")
    rows = sum(_primes_from(base, (index + 1) * heads)[index * heads :])
    return [
        tensor("ple_ngram_embd", -(-rows // step) * step, width // heads),
        tensor("ple_key", wide, width, linear=True),
        tensor("ple_value", t["hidden_size"], width, linear=True),
        *(tensor(f"ple_norm_{n}", wide) for n in ("key", "query", "conv")),
        tensor("ple_conv1d", wide, t["ple_conv_kernel_size"]),
    ]


def _primes_from(start: int, count: int) -> list[int]:
    """Return the first `count` primes that are not below `start`: one size a table of n-grams."""
    found: list[int] = []
    value = max(start, 2)
    while len(found) < count:
        if value == 2 or (value % 2 and all(value % d for d in range(3, isqrt(value) + 1, 2))):
            found.append(value)
        value += 1
    return found
