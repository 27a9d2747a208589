"""The largest images that vLLM's profile run encodes: how many patches, and what they take.

Read from vLLM 0.32.0 (PyPI wheel, model_executor/models/, multimodal/encoder_budget.py,
v1/core/encoder_cache_manager.py) on 2026-11-27; item sizes are those of the checkpoints' own
preprocessors.
"""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.base import Request
from llmplan.engines.vllm_measured import ENCODER_SPLIT_WIDTHS, ENCODER_WHOLE_WIDTHS
from llmplan.memory.activations import encoder_peak_bytes
from llmplan.specs.hardware import GIB
from llmplan.specs.setup import Warning_

OUTPUT_BYTES = 2
"""Bytes of an encoded element: 16 bits, as the decoder takes it."""


class Item(NamedTuple):
    """The largest item of a family: its tokens, the patches that make one.

    `frame_pairs`: pairs of a video's frames at most, each as large as an image; 0 where a video
    is no larger. `outputs`: widths of the decoder that an encoded token has.
    """

    tokens: int
    patches: int
    frame_pairs: int = 0
    outputs: int = 1


ITEMS = {
    "qwen2_vl": Item(16384, 4, frame_pairs=7),
    "qwen2_5_vl": Item(16384, 4, frame_pairs=7),
    "qwen3_vl": Item(16384, 4, outputs=4),
    "qwen3_vl_moe": Item(16384, 4, outputs=4),
    "qwen3_5": Item(16384, 4),
    "qwen3_5_moe": Item(16384, 4),
    "gemma3": Item(256, 16),
    "mistral3": Item(55 * 56, 4),
    "llama4": Item(17 * 144, 4),
    "llava": Item(576, 1),
}
"""By model_type. Qwen: max_pixels 12,845,056 over 28 x 28, longest_edge 16,777,216 over 32 x 32;
its videos by pairs of frames up to 14 frames, from the third generation on by a smaller budget of
their own. DeepStack gives three outputs beside the last. Gemma 3: 64 x 64 patches in 256 tokens,
without crops. Mistral 3: 1,540 pixels over 28, a break a row. Llama 4: 16 tiles and the whole, 144
tokens each. LLaVA: 336 pixels over 14. Families that are not here have rules of their own, unread.
"""


def grows(request: Request) -> bool:
    """Return whether a longer context is profiled with more: the frames of a video."""
    item = ITEMS.get(request.model.model_type or "")
    return item is not None and item.frame_pairs > 0


def encoded_tokens(request: Request, batched: int) -> int:
    """Return the tokens of all items that the profile run encodes [tokens], 0 where unknown.

    The budget is a step's tokens, or the largest item; it is filled with items of that size.
    """
    item = ITEMS.get(request.model.model_type or "")
    if item is None:
        return 0
    largest = item.tokens
    if item.frame_pairs:
        pairs = min(item.frame_pairs, max(1, request.context_tokens // item.tokens))
        largest = item.tokens * pairs
    return max(batched, largest) // largest * largest


def encoder_bytes(request: Request, batched: int) -> tuple[float, float]:
    """Return the peak of encoding, and what is kept of it beside the decoder's run [bytes]."""
    vision, tokens = request.model.vision, encoded_tokens(request, batched)
    if vision is None or not tokens:
        return 0.0, 0.0
    item = ITEMS[request.model.model_type or ""]
    peak = encoder_peak_bytes(
        patches=tokens * item.patches, hidden_size=vision.hidden_size, ranks=request.parallel.tp,
        whole_widths=ENCODER_WHOLE_WIDTHS, split_widths=ENCODER_SPLIT_WIDTHS, element_bytes=2,
    )  # fmt: skip
    width = item.outputs * request.model.main.hidden_size
    return peak, float(tokens * width * OUTPUT_BYTES)


def in_words(request: Request, batched: int) -> str:
    """Return what the activation peak says of the images that are encoded for it."""
    tokens = encoded_tokens(request, batched)
    if not tokens:
        return ", without the largest image"
    peak = encoder_bytes(request, batched)[0] / GIB
    return f"; its largest images, {tokens:,} tokens of them, take {peak:.2f} GiB to encode"


def warning(request: Request, batched: int) -> Warning_:
    """Return the warning that the pool depends on images, known or not."""
    tokens, name = encoded_tokens(request, batched), request.model.id
    if not tokens:
        message = (
            f"The largest image of {name} is not on record: vLLM encodes it when it "
            "sizes its pool, which may be smaller by gibibytes."
        )
        return Warning_("encoder_peak_unknown", message)
    peak = encoder_bytes(request, batched)[0] / GIB
    message = (
        f"When vLLM sizes its pool it encodes the largest images of {name}, {tokens:,} tokens "
        f"of them: {peak:.1f} GiB for that time, assumed from logs of one encoder. A server of "
        "text alone leaves that out with --limit-mm-per-prompt."
    )
    return Warning_("encoder_peak_assumed", message)
