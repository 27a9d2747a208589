"""What must hold for every model and size: monotone, conserved, the same on floats and arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.catalog.resolve import store
from llmplan.engines.sharding import parallel_error
from llmplan.memory import activations, kv_cache, weights
from llmplan.memory.formats import KV_FORMATS, WEIGHT_FORMATS, kv_format, weight_format
from llmplan.memory.kv_cache import cached_layers, request_bytes
from llmplan.memory.parameters import parameter_count
from llmplan.memory.tensor import rank_tensor
from llmplan.memory.tensors import model_tensors
from llmplan.memory.weights import stage_bytes, stage_layers, weight_bytes
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism

MODELS = store().ids("models")
models = st.sampled_from(MODELS).map(llmplan.load_model)
splits = st.sampled_from([1, 2, 4, 8, 16])
SETTINGS = settings(max_examples=60, deadline=None)


@SETTINGS
@given(
    models, st.integers(1, 200_000), st.integers(1, 100_000), st.sampled_from(sorted(KV_FORMATS))
)
def test_more_context_never_needs_less(model: Model, tokens: int, more: int, kv: str) -> None:
    groups, fmt = cached_layers(model), kv_format(kv)
    shorter = request_bytes(groups, fmt, tokens=tokens)
    assert request_bytes(groups, fmt, tokens=tokens + more) >= shorter


@SETTINGS
@given(models, st.integers(1, 64_000))
def test_wider_kv_never_needs_less(model: Model, tokens: int) -> None:
    groups = cached_layers(model)
    narrow = [request_bytes(groups, kv_format(n), tokens=tokens) for n in ("q4_0", "fp8", "bf16")]
    assert narrow == sorted(narrow)


@SETTINGS
@given(models)
def test_more_bits_never_need_less(model: Model) -> None:
    for family in (("mlx-2bit", "mlx-4bit", "mlx-8bit"), ("gguf:Q2_K", "gguf:Q4_K_M", "gguf:Q8_0"),
                   ("awq-int4", "fp8", "bf16", "fp32")):  # fmt: skip
        sizes = [weight_bytes(model, weight_format(n)).total for n in family]
        assert sizes == sorted(sizes)


@SETTINGS
@given(models, st.integers(1, 8))
def test_more_layers_never_need_less(model: Model, extra: int) -> None:
    stack = model.main
    longer = replace(stack, layers=stack.layers + stack.layers[-1:] * extra)
    bigger = replace(model, **{"decoder" if model.decoder else "encoder": longer})
    assert parameter_count(bigger) > parameter_count(model)
    for name in ("bf16", "gguf:Q8_0", "awq-int4"):
        fmt = weight_format(name)
        assert weight_bytes(bigger, fmt).total > weight_bytes(model, fmt).total
    kv = kv_format("bf16")
    assert request_bytes(cached_layers(bigger), kv, tokens=4096) >= request_bytes(
        cached_layers(model), kv, tokens=4096
    )


@SETTINGS
@given(models, splits, st.sampled_from(["bf16", "fp8-block", "awq-int4", "mxfp4"]))
def test_ranks_together_hold_at_least_the_whole(model: Model, tp: int, name: str) -> None:
    fmt = weight_format(name)
    whole = weight_bytes(model, fmt).total
    # scales of a group that tp cuts are shared out, so the sum may round by one group a row
    assert tp * weight_bytes(model, fmt, tp=tp, pad_vocab=True).total >= whole * (1 - 1e-9)


@SETTINGS
@given(models, splits)
def test_split_tensors_lose_no_element(model: Model, tp: int) -> None:
    for tensor, _, _ in model_tensors(model):
        assert rank_tensor(tensor, tp=tp).elements * tp >= tensor.elements, tensor.name


@SETTINGS
@given(models, st.integers(1, 12))
def test_pipeline_stages_add_up(model: Model, pp: int) -> None:
    pp = min(pp, len(model.main.layers))
    assert sum(stage_layers(len(model.main.layers), pp)) == len(model.main.layers)
    w = weight_bytes(model, weight_format("bf16"))
    again = w.tied_head if pp > 1 else 0
    assert sum(stage_bytes(w, pp)) == pytest.approx(w.total + again)


@SETTINGS
@given(models, st.sampled_from([(1, 8), (4, 8)]), st.sampled_from(["h100-sxm", "a100-40g", "t4"]))
def test_more_sequences_never_leave_more_room(
    model: Model, seqs: tuple[int, int], gpu: str
) -> None:
    few, many = (
        llmplan.estimate(model, gpu, max_num_seqs=64 * n, weight_format="fp8") for n in seqs
    )
    assert many.memory_per_gpu.activation_peak_bytes >= few.memory_per_gpu.activation_peak_bytes
    if model.decoder is not None and few.kv_cache.bytes_per_token_per_gpu:
        assert many.memory_per_gpu.kv_cache_bytes <= few.memory_per_gpu.kv_cache_bytes


@SETTINGS
@given(models, st.sampled_from(["a100-80g-sxm", "rtx-4090", "m4-max-40c-64g", "v100-32g"]))
def test_parts_add_up_to_the_device(model: Model, gpu: str) -> None:
    for engine in ("vllm", "llama.cpp"):
        m = llmplan.estimate(model, gpu, engine=engine).memory_per_gpu
        parts = (m.weights_bytes, m.activation_peak_bytes, m.cuda_graph_bytes, m.runtime_bytes,
                 m.kv_cache_bytes, m.free_bytes)  # fmt: skip
        assert sum(parts) == m.device_total_bytes


def test_parts_never_sum_to_more_than_the_budget() -> None:
    for tokens in range(1, 400, 7):
        m = llmplan.estimate(
            "gemma-3-12b", "t4", gpus=16, context_tokens=1, kv_format="int8", tp=1, pp=2,
            weight_format="bnb-nf4", max_num_batched_tokens=tokens,
        ).memory_per_gpu  # fmt: skip
        taken = m.weights_bytes + m.activation_peak_bytes + m.cuda_graph_bytes + m.runtime_bytes
        assert taken + m.kv_cache_bytes <= m.budget_bytes


@SETTINGS
@given(models, st.sampled_from(["a100-40g", "h200", "rtx-3090"]), st.integers(1, 8))
def test_every_listed_setup_is_legal_supported_and_fits(model: Model, gpu: str, gpus: int) -> None:
    answer = llmplan.fit(model, gpu, gpus=gpus)
    for s in answer.setups:
        assert s.fits
        assert s.supported
        assert s.gpus <= gpus
        assert s.launch is not None
        if s.engine == "vllm":
            p = Parallelism(s.tp, s.pp, s.dp, s.ep)
            assert parallel_error(model, weight_format(s.weight_format), p) is None


@SETTINGS
@given(models, st.sampled_from(["a100-40g", "h200"]))
def test_longest_context_is_the_longest(model: Model, gpu: str) -> None:
    s = llmplan.estimate(model, gpu, weight_format="awq-int4")
    longest = s.max_context_tokens
    if longest:
        assert llmplan.estimate(model, gpu, weight_format="awq-int4", context_tokens=longest).fits
    if model.context_tokens and longest < model.context_tokens:
        beyond = llmplan.estimate(model, gpu, weight_format="awq-int4", context_tokens=longest + 1)
        assert not beyond.fits


ARRAY_FORMULAS = [
    (kv_cache.kv_cache_bytes_per_token,
     {"layers": 32, "kv_heads": 8, "key_dim": 128, "value_dim": 128, "key_bits": 16,
      "value_bits": 8.5}),
    (kv_cache.cached_tokens, {"tokens": 5000, "limit": 4096}),
    (weights.quantized_matrix_bytes,
     {"rows": 4096, "columns": 14336, "bits": 4, "group_size": 128, "group_bits": 20,
      "row_bits": 16, "column_bits": 32, "tile": 128, "tile_bits": 32, "tensor_bits": 64}),
    (activations.sampler_peak_bytes, {"sequences": 256, "vocab_size": 128256, "copies": 9.8}),
    (activations.forward_peak_bytes,
     {"tokens": 2048, "hidden_size": 4096, "attention_width": 4096, "ffn_width": 43008,
      "element_bytes": 2}),
    (activations.compilation_peak_bytes,
     {"tokens": 2048, "hidden_size": 4096, "vocab_size": 128256, "element_bytes": 2}),
    (activations.sampler_state_bytes, {"sequences": 256, "vocab_size": 128256}),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "values"), ARRAY_FORMULAS)
def test_formulas_give_the_same_on_arrays(formula, values) -> None:  # type: ignore[no-untyped-def]
    columns = {k: np.array([v, 2 * v, 3 * v]) if k not in ("group_size", "tile") else v
               for k, v in values.items()}  # fmt: skip
    together = formula(**columns)
    for i in range(3):
        one = formula(**{k: c if k in ("group_size", "tile") else c[i].item()
                         for k, c in columns.items()})  # fmt: skip
        assert together[i] == one


def test_tables_name_their_rows() -> None:
    for table in (WEIGHT_FORMATS, KV_FORMATS):
        names = [n for row in table.values() for n in (row.name, *row.aliases)]
        assert len(names) == len(set(names))
        assert all(row.source for row in table.values())


def test_bits_a_weight_of_the_layouts() -> None:
    """Bits a weight with scales, worked out from each storage layout (quantization table)."""
    published = {
        "awq-int4": 4.15625, "awq-int4-g32": 4.625, "gptq-int8-g32": 8.75, "nvfp4": 4.5,
        "mxfp4": 4.25, "mxfp8": 8.25, "bnb-nf4": 4.5, "hqq-int4": 4.5, "mlx-4bit": 4.5,
        "mlx-8bit": 8.5, "fp8-block": 8.00195, "compressed-tensors-w4a16": 4.125,
        "exl3:4.25bpw": 4.25,
    }  # fmt: skip
    side = 16_384  # large enough that per-row and per-matrix scales vanish
    for name, bits in published.items():
        f = weight_format(name)
        size = weights.quantized_matrix_bytes(
            rows=side, columns=side, bits=f.bits, group_size=f.group_size,
            group_bits=f.group_bits, row_bits=f.row_bits, column_bits=f.column_bits,
            tile=f.tile, tile_bits=f.tile_bits, tensor_bits=f.tensor_bits,
        )  # fmt: skip
        assert 8 * size / side**2 == pytest.approx(bits, rel=6e-4), name


def test_average_bits_of_a_small_model_with_a_large_vocabulary() -> None:
    """Qwen3-0.6B in AWQ is 7.2 bits a parameter, not 4.2: its embedding stays at 16 bits."""
    model = llmplan.load_model("qwen3-0.6b")
    size = weight_bytes(model, weight_format("awq-int4")).total
    assert round(8 * size / parameter_count(model), 1) == 7.2


@SETTINGS
@given(st.integers(30, 97), st.integers(1, 3))
def test_a_larger_share_never_lowers_capacity(hundredths: int, more: int) -> None:
    def capacity(share: int) -> int:
        setup = llmplan.estimate("llama-3.1-8b", "l4", gpu_memory_utilization=share / 100)
        return setup.kv_cache.capacity_tokens

    assert capacity(hundredths) <= capacity(hundredths + more)
