"""Peak working memory of one engine step: the sampler's logits and the forward pass."""

from __future__ import annotations

from llmplan.memory.number import Number


def sampler_peak_bytes(*, sequences: Number, vocab_size: Number, copies: Number) -> Number:
    """Peak bytes of the sampler: float32 logits and the copies that sorting makes of them.

    Equation: ``copies * sequences * vocab_size * 4``.

    Parameters
    ----------
    sequences : number or array
        Sequences sampled in one step [sequences]
    vocab_size : number or array
        Vocabulary [tokens]
    copies : number or array
        Live copies of the logits at the peak, measured per engine [copies]

    Returns
    -------
    peak_bytes : number or array
        Peak bytes [bytes]

    Source: law found in vLLM start-up logs (9.6 to 10.3 copies), engine memory rules, 2026-11

    Examples
    --------
    Qwen3-0.6B, 1024 sequences on H100: 5.56 GiB logged, which is 9.6 copies.

    >>> round(sampler_peak_bytes(sequences=1024, vocab_size=151936, copies=9.6) / 2**30, 2)
    5.56

    """
    return copies * sequences * vocab_size * 4


def forward_peak_bytes(
    *, tokens: Number, hidden_size: Number, ffn_width: Number, element_bytes: Number
) -> Number:
    """Peak bytes of one layer's forward pass over a chunk of tokens.

    Equation: ``tokens * (3 * ffn_width + 3 * hidden_size) * element_bytes``: gate, up and
    their product, beside the hidden state, the residual and the attention output.

    Parameters
    ----------
    tokens : number or array
        Tokens of the largest batch [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    ffn_width : number or array
        Width of the feed-forward layer on this rank [elements]
    element_bytes : number or array
        Bytes of one activation [bytes]

    Returns
    -------
    peak_bytes : number or array
        Peak bytes [bytes]

    Source: slope between two vLLM starts of Llama-3.1-8B, vllm-project/vllm issue 10517

    Examples
    --------
    Llama-3.1-8B, 20,000 tokens: 2.07 GiB logged.

    >>> peak = forward_peak_bytes(
    ...     tokens=20000, hidden_size=4096, ffn_width=14336, element_bytes=2)
    >>> round(peak / 2**30, 2)
    2.06

    """
    return tokens * (3 * ffn_width + 3 * hidden_size) * element_bytes
