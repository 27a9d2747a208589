"""The soft roofline, and the weights that a step reads and multiplies."""

from __future__ import annotations

from llmplan.specs.number import Number, larger, smaller

LEAST_S = 1e-30
"""Stands for no time at all where it is divided by [s]."""


def soft_roofline_s(*, memory_s: Number, compute_s: Number, sharpness: Number) -> Number:
    """Time of kernels that move and compute, between the larger part and the sum of both.

    Equation: ``(memory_s^p + compute_s^p)^(1/p)``; p = 1 adds, p to infinity is the larger.

    Parameters
    ----------
    memory_s : number or array
        Time to move the bytes at the effective bandwidth [s]
    compute_s : number or array
        Time to compute at the effective rate [s]
    sharpness : number or array
        Exponent p, at least 1 [1]

    Returns
    -------
    time_s : number or array
        Time of both together [s]

    Source: kernel efficiency notes of 2026-11, fits to aiconfigurator's measured GEMM tables

    Examples
    --------
    A bf16 GEMM of 1 x 8192 x 8192 on an H100 (0.88 of 3.35 TB/s, 0.81 of 989.5 TFLOP/s, p 3.1).

    >>> memory_s, compute_s = 134.2e6 / (0.88 * 3.35e12), 134.2e6 / (0.81 * 989.5e12)
    >>> round(1e6 * soft_roofline_s(memory_s=memory_s, compute_s=compute_s, sharpness=3.1), 1)
    45.5

    """
    most = larger(larger(memory_s, compute_s), LEAST_S)
    # the larger part drawn out: one power less, and none that leaves the range of floats
    return most * (1 + (smaller(memory_s, compute_s) / most) ** sharpness) ** (1 / sharpness)


def touched_share(
    *, tokens: Number, experts: Number, experts_per_token: Number, skew: Number
) -> Number:
    """Share of the experts that at least one token of a step is routed to.

    Equation: ``1 - (1 - experts_per_token / experts)^(skew * tokens)``.

    Parameters
    ----------
    tokens : number or array
        Tokens of the step [tokens]
    experts : number or array
        Routed experts of a layer [experts]
    experts_per_token : number or array
        Experts that a token is routed to [experts]
    skew : number or array
        Share of the tokens that choose independently [1]

    Returns
    -------
    share : number or array
        Expected share of distinct experts [1]

    Source: expectation of distinct draws; performance notes of 2026-11, section 5

    Examples
    --------
    gpt-oss-120b routes to 4 of 128: 64 tokens touch 87 % of them.

    >>> round(touched_share(tokens=64, experts=128, experts_per_token=4, skew=1), 2)
    0.87

    """
    return 1 - (1 - experts_per_token / experts) ** (skew * tokens)


def mean_accepted_tokens(*, acceptance: Number, drafted: Number) -> Number:
    """Tokens that a speculative step yields: those accepted in a row, and one of its own.

    Equation: ``(1 - acceptance^(drafted + 1)) / (1 - acceptance)``.

    Parameters
    ----------
    acceptance : number or array
        Probability that a drafted token is accepted, below 1 [1]
    drafted : number or array
        Tokens drafted a step [tokens]

    Returns
    -------
    tokens : number or array
        Mean tokens of a step [tokens]

    Source: Leviathan et al., Fast Inference from Transformers, arXiv:2211.17192, equation 1

    Examples
    --------
    The paper's table 1: acceptance 0.8 with 5 drafted tokens gives 3.69 a step.

    >>> round(mean_accepted_tokens(acceptance=0.8, drafted=5), 2)
    3.69

    """
    return (1 - acceptance ** (drafted + 1)) / (1 - acceptance)
