"""llama.cpp's compute buffer: the widest point of the graph of one micro-batch, exact in parts.

Every figure of the graph is float32 (4 bytes an element) but the mask of flash attention.
"""

from __future__ import annotations

from llmplan.specs.number import Number

FLOAT_BYTES = 4
"""Bytes of an activation in ggml's graphs (GGML_TYPE_F32)."""
FLASH_MASK_BYTES = 2
"""Bytes of an element of the mask that flash attention reads (GGML_TYPE_F16)."""
HIDDEN_COPIES = 3
"""Hidden states alive while scores are computed: input, normed input, residual.
Source: start-up logs of Llama-2-7B (296 MiB at 4,096 cells), Llama-3.3-70B (2,014 MiB at 15,360)
and Qwen1.5-14B (2,664 MiB at 32,768), public memory measurements of 2026-11."""
MLP_HIDDEN_COPIES = 4
"""Hidden states alive in the feed-forward layer.
Source: made-up models in llama.cpp at 0c1e57098, widths 1,536 and 8,192 (tests/peers)."""


def scores_buffer_bytes(
    *,
    tokens: Number,
    heads: Number,
    cells: Number,
    mask_cells: Number,
    hidden_size: Number,
    width: Number,
) -> Number:
    """Bytes alive while attention scores are computed without flash attention.

    Equation: ``4 * tokens * (heads * cells + mask_cells + 3 * hidden_size + width)``.

    Parameters
    ----------
    tokens : number or array
        Tokens of a micro-batch [tokens]
    heads : number or array
        Query heads [heads]
    cells : number or array
        Cells of the KV cache that a token may see [tokens]
    mask_cells : number or array
        Cells of all masks: one mask a kind of window [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    width : number or array
        Queries, keys and values that are kept meanwhile [elements]

    Returns
    -------
    buffer_bytes : number or array
        Bytes of the graph at that point [bytes]

    Source: ggml-alloc's reservation, llama.cpp start-up logs of 2024-05 to 2025-07

    Examples
    --------
    Llama-2-7B at 4,096 cells: 296 MiB logged (build 3609).

    >>> scores_buffer_bytes(tokens=512, heads=32, cells=4096, mask_cells=4096,
    ...                     hidden_size=4096, width=4096) / 2**20
    296.0

    """
    mask = mask_cells + HIDDEN_COPIES * hidden_size + width
    return FLOAT_BYTES * tokens * (heads * cells + mask)


def feed_forward_buffer_bytes(
    *, tokens: Number, hidden_size: Number, width: Number, mask_cells: Number, mask_bytes: Number
) -> Number:
    """Bytes alive in a layer that holds no scores: feed-forward, experts or a recurrent mixer.

    Equation: ``tokens * (4 * (width + 4 * hidden_size) + mask_cells * mask_bytes)``.

    Parameters
    ----------
    tokens : number or array
        Tokens of a micro-batch [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    width : number or array
        Gate, up and their product, of all experts that a token runs [elements]
    mask_cells : number or array
        Cells of all masks, which later layers read again [tokens]
    mask_bytes : number or array
        Bytes of an element of a mask [bytes]

    Returns
    -------
    buffer_bytes : number or array
        Bytes of the graph at that point [bytes]

    Source: made-up models in llama.cpp at 0c1e57098 (tests/peers/test_llama_cpp.py)

    Examples
    --------
    A layer of width 8,192 on hidden 512 with 4,096 cells: 56.0 MiB logged.

    >>> feed_forward_buffer_bytes(tokens=512, hidden_size=512, width=3 * 8192,
    ...                           mask_cells=4096, mask_bytes=2) / 2**20
    56.0

    """
    layer = width + MLP_HIDDEN_COPIES * hidden_size
    return tokens * (FLOAT_BYTES * layer + mask_cells * mask_bytes)


def logits_buffer_bytes(
    *, tokens: Number, outputs: Number, hidden_size: Number, vocab_size: Number
) -> Number:
    """Bytes alive while logits are computed.

    Equation: ``4 * (outputs * vocab_size + tokens * hidden_size)``.

    Parameters
    ----------
    tokens : number or array
        Tokens of a micro-batch [tokens]
    outputs : number or array
        Tokens of it whose logits are asked for [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    vocab_size : number or array
        Rows of the output matrix [rows]

    Returns
    -------
    buffer_bytes : number or array
        Bytes of the graph at that point [bytes]

    Source: llama.cpp start-up logs of 2024-07 to 2025-03

    Examples
    --------
    Gemma-2-2B: 504.5 MiB logged (build 3578).

    >>> logits_buffer_bytes(tokens=512, outputs=512, hidden_size=2304, vocab_size=256000) / 2**20
    504.5

    """
    return FLOAT_BYTES * (outputs * vocab_size + tokens * hidden_size)
