"""Peak working memory of one engine step: the sampler's logits and the forward pass."""

from __future__ import annotations

from llmplan.specs.number import Number


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


def encoder_peak_bytes(
    *, patches: Number, hidden_size: Number, widths: Number, element_bytes: Number
) -> Number:
    """Peak bytes of a vision encoder's layer over all patches of a batch of images.

    Equation: ``patches * hidden_size * widths * element_bytes``.

    Parameters
    ----------
    patches : number or array
        Patches of all images [patches]
    hidden_size : number or array
        Width of the encoder [1]
    widths : number or array
        Hidden widths that a patch holds on one rank at the peak, measured per engine [1]
    element_bytes : number or array
        Bytes of one activation element [bytes]

    Returns
    -------
    peak_bytes : number or array
        Peak bytes [bytes]

    Source: allocations of vLLM 0.32's towers, followed on the CPU, 2026-11

    Examples
    --------
    Qwen3.6-35B-A3B, an image of 16,384 tokens of four patches, H100: 1.92 GiB logged.

    >>> peak = encoder_peak_bytes(patches=65536, hidden_size=1152, widths=13.4, element_bytes=2)
    >>> round(peak / 2**30, 2)
    1.88

    """
    return patches * hidden_size * widths * element_bytes


def forward_peak_bytes(
    *,
    tokens: Number,
    hidden_size: Number,
    attention_width: Number,
    ffn_width: Number,
    element_bytes: Number,
) -> Number:
    """Peak bytes of one layer's forward pass over a chunk of tokens.

    Equation: ``tokens * (ffn_width + attention_width + 2 * hidden_size) * element_bytes``: what
    the feed-forward part holds, beside the attention output, the hidden state and the residual.

    Parameters
    ----------
    tokens : number or array
        Tokens of the largest batch [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    attention_width : number or array
        Width of the attention output on this rank [elements]
    ffn_width : number or array
        Elements a token that the feed-forward part holds on this rank: three intermediate widths
        where it is gated (gate, up, their product) [elements]
    element_bytes : number or array
        Bytes of one activation [bytes]

    Returns
    -------
    peak_bytes : number or array
        Peak bytes [bytes]

    Source: slope between two vLLM starts of Llama-3.1-8B, vllm-project/vllm issue 10517; the
    tensors named by mondegreens/apron docs/traces, 2026-09

    Examples
    --------
    Llama-3.1-8B, 20,000 tokens: 2.07 GiB logged.

    >>> peak = forward_peak_bytes(tokens=20000, hidden_size=4096, attention_width=4096,
    ...     ffn_width=3 * 14336, element_bytes=2)
    >>> round(peak / 2**30, 2)
    2.06

    """
    return tokens * (ffn_width + attention_width + 2 * hidden_size) * element_bytes


def expert_workspace_elements(
    *, hidden_size: int, intermediate_size: int, first_width: int, experts: int
) -> int:
    """Elements a token of the buffers that fused experts share.

    Equation: ``experts * (max(intermediate_size, hidden_size) + max(first_width, hidden_size))``:
    the first matrix's output, and the second's input and output, each for every expert of a token.

    Parameters
    ----------
    hidden_size : int
        Width of the hidden state [elements]
    intermediate_size : int
        Width of one expert on this rank [elements]
    first_width : int
        Output width of an expert's first matrix on this rank: gate and up [elements]
    experts : int
        Experts that run for a token [experts]

    Returns
    -------
    elements : int
        Elements a token [elements]

    Source: vLLM 0.29.0 layers/fused_moe/experts/triton_moe.py workspace_shapes

    Examples
    --------
    GLM-4.7-Flash, 8,192 tokens: a block of 335,544,320 bytes in an allocator's history (H100,
    vLLM 0.29, mondegreens/apron, 2026-09-28).

    >>> 8192 * 2 * expert_workspace_elements(
    ...     hidden_size=2048, intermediate_size=1536, first_width=3072, experts=4)
    335544320

    """
    return experts * (max(intermediate_size, hidden_size) + max(first_width, hidden_size))


def compilation_peak_bytes(
    *, vocab_size: Number, hidden_size: Number, tokens: Number, element_bytes: Number
) -> Number:
    """Peak bytes of the compiler, which times the kernel that looks embeddings up.

    Equation: ``(vocab_size + 2 * tokens) * hidden_size * element_bytes``: an embedding of random
    numbers and two outputs. A start that finds the kernels in its cache does not pay it.

    Parameters
    ----------
    vocab_size : number or array
        Vocabulary [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    tokens : number or array
        Tokens of the largest batch [tokens]
    element_bytes : number or array
        Bytes of one element [bytes]

    Returns
    -------
    peak_bytes : number or array
        Peak bytes [bytes]

    Source: combo kernels and their benchmark in vLLM 0.12.0 config/compilation.py; the tensors by
    an allocator's history in mondegreens/apron, 2026-09-28

    Examples
    --------
    Gemma 4 31B without images, 8,192 tokens on H100: 2,995,739,688 bytes logged.

    >>> round(compilation_peak_bytes(
    ...     vocab_size=262144, hidden_size=5376, tokens=8192, element_bytes=2) / 2**30, 2)
    2.79

    """
    return (vocab_size + 2 * tokens) * hidden_size * element_bytes


def sampler_state_bytes(*, sequences: Number, vocab_size: Number) -> Number:
    """Bytes that a sampler keeps of every request: how often it wrote each token, and two masks.

    Equation: ``sequences * (vocab_size + 2 * ceil(vocab_size / 32)) * 4``.

    Parameters
    ----------
    sequences : number or array
        Most sequences of a step [sequences]
    vocab_size : number or array
        Vocabulary [tokens]

    Returns
    -------
    state_bytes : number or array
        Bytes kept [bytes]

    Source: vLLM 0.29.0 v1/worker/gpu/sample/penalties.py, v1/worker/gpu/structured_outputs.py

    Examples
    --------
    Gemma 4 31B on H100, 1,024 sequences: 1,140,850,688 bytes in an allocator's history.

    >>> sampler_state_bytes(sequences=1024, vocab_size=262144)
    1140850688

    """
    return sequences * (vocab_size + 2 * -(-vocab_size // 32)) * 4


def all_reduce_inputs_bytes(
    *, layers: Number, tokens: Number, hidden_size: Number, element_bytes: Number = 2
) -> Number:
    """Bytes of all all-reduce inputs of a step, where none is freed before its end.

    Equation: ``2 * layers * tokens * hidden_size * element_bytes``: attention and feed-forward
    output of each layer. PyTorch held them for NCCL's stream until vLLM 0.2.6 told it not to.

    Parameters
    ----------
    layers : number or array
        Layers that run [layers]
    tokens : number or array
        Tokens of the batch [tokens]
    hidden_size : number or array
        Width of the hidden state [elements]
    element_bytes : number or array
        Bytes of one activation [bytes]

    Returns
    -------
    held_bytes : number or array
        Bytes held at the end of the step [bytes]

    Source: vLLM 0.2.6 worker.py (TORCH_NCCL_AVOID_RECORD_STREAMS)

    Examples
    --------
    Llama-2-70B, 4,096 tokens: 10 GiB. vLLM 0.2.5 logged 13 GiB less room for it at tp 4 than the
    release before, whose profile did not see what NCCL held.

    >>> all_reduce_inputs_bytes(layers=80, tokens=4096, hidden_size=8192) / 2**30
    10.0

    """
    return 2 * layers * tokens * hidden_size * element_bytes
