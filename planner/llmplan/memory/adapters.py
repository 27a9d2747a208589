"""Low-rank adapters (LoRA): two thin matrices beside each matrix that they adapt."""

from __future__ import annotations

from llmplan.memory.tensor import COLUMNS, NONE, ROWS, Tensor
from llmplan.specs.facts import Adapter
from llmplan.specs.number import Number


def lora_parameters(*, rows: Number, columns: Number, rank: Number) -> Number:
    """Trained parameters that an adapter has beside one weight matrix.

    Equation: ``rank * (rows + columns)``.

    Parameters
    ----------
    rows : number or array
        Output features of the matrix [rows]
    columns : number or array
        Input features of the matrix [columns]
    rank : number or array
        Rank of the adapter [rows]

    Returns
    -------
    parameters : number or array
        Elements of both thin matrices [elements]

    Source: arXiv:2106.09685 (LoRA, section 4.1); count of tloen/alpaca-lora README (r = 8 on Q
    and V of LLaMA-7B: "trainable params: 4194304")

    Examples
    --------
    >>> 32 * 2 * lora_parameters(rows=4096, columns=4096, rank=8)
    4194304

    """
    return rank * (rows + columns)


def adapter_tensors(adapter: Adapter, tensor: Tensor) -> list[Tensor]:
    """Return the two thin matrices beside a tensor, none where it is not adapted.

    The side that tensor parallelism splits is split with it, the other is held by every rank;
    beside the embedding and the head every rank holds both whole.
    """
    if tensor.name not in adapter.targets or not tensor.columns:
        return []
    down = Tensor(f"{tensor.name}.lora_a", "adapter", adapter.rank, tensor.columns)
    up = Tensor(f"{tensor.name}.lora_b", "adapter", tensor.rows, adapter.rank)
    return [
        down._replace(shard=COLUMNS if tensor.shard == COLUMNS else NONE, units=tensor.units),
        up._replace(shard=ROWS if tensor.shard == ROWS else NONE, units=tensor.units),
    ]


SLOTTED = (
    "token_embd", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
    "output",
)  # fmt: skip
"""Matrices of a Llama for which vLLM reserves slots, whatever the adapter at hand adapts.

Source: what vLLM 0.32.0 holds (lora/layers/vocab_parallel_embedding.py, logits_processor.py and
the linear ones; models/llama.py embedding_modules), read 2026-11. A tied head has none here.
"""


def slot_adapter(adapter: Adapter, ranks: tuple[int, ...]) -> Adapter:
    """Return what an engine reserves for an adapter: its slot's rank, on every matrix with slots.

    >>> slot_adapter(Adapter(12, ("attn_q",)), (8, 16, 32)).rank
    16
    """
    rank = next((r for r in ranks if r >= adapter.rank), adapter.rank)
    return Adapter(rank, SLOTTED, adapter.name, adapter.hub_id)
