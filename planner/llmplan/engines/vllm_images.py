"""The largest images that vLLM's profile run encodes: how many patches, and what they take.

Read from vLLM 0.32.0 (PyPI wheel, model_executor/models/, multimodal/encoder_budget.py,
v1/core/encoder_cache_manager.py) on 2026-11-27; item sizes are those of the checkpoints' own
preprocessors.
"""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.base import Request
from llmplan.memory.activations import encoder_peak_bytes
from llmplan.specs.hardware import GIB
from llmplan.specs.setup import Warning_

OUTPUT_BYTES = 2
"""Bytes of an encoded element: 16 bits, as the decoder takes it."""


class Tower(NamedTuple):
    """What a patch holds at the tower's peak, in hidden widths at 16 bits.

    `whole` is on every rank, `split` shared by the ranks. `reduced`: the peak is in an all-reduce,
    which adds a width.
    """

    whole: float
    split: float
    reduced: bool = False


QWEN2, QWEN2_5, QWEN3 = Tower(8.0, 8.0), Tower(7.05, 8.7), Tower(5.4, 8.0, reduced=True)
SIGLIP, CLIP, PIXTRAL = Tower(5.9, 6.1), Tower(4.6, 12.0), Tower(6.7, 16.0)
INTERN, LLAMA4, MUSE = Tower(5.6, 7.0), Tower(3.0, 13.0), Tower(13.9, 4.8)
"""Source: python tests/peers/vllm_towers.py at 1, 2 and 4 ranks: vLLM 0.32's own towers on the CPU,
every allocation followed, CUDA's kernels replaced by outputs of their size. H100 (vLLM 0.30,
mondegreens/apron, 2026-09-28) logs 2,061,584,302 bytes for 65,536 patches of the third Qwen's,
13.65 widths where 13.4 are measured here."""


class Video(NamedTuple):
    """How long the longest video is: frames of so many tokens, at most `most` (0: no end).

    They fill the context beside `reserved` tokens, which an image takes.
    """

    tokens: int
    most: int
    reserved: int = 0


class Item(NamedTuple):
    """The largest item of a family: an image's tokens, the patches that make one, its tower.

    `outputs`: widths of the decoder that an encoded token has.
    """

    tokens: int
    patches: float
    tower: Tower
    video: Video | None = None
    outputs: int = 1


ITEMS = {
    "qwen2_vl": Item(16384, 4, QWEN2, Video(16384, 7)),
    "qwen2_5_vl": Item(16384, 4, QWEN2_5, Video(16384, 7)),
    "qwen3_vl": Item(16384, 4, QWEN3, outputs=4),
    "qwen3_vl_moe": Item(16384, 4, QWEN3, outputs=4),
    "qwen3_5": Item(16384, 4, QWEN3),
    "qwen3_5_moe": Item(16384, 4, QWEN3),
    "gemma3": Item(256, 16, SIGLIP),
    "mistral3": Item(55 * 56, 4, PIXTRAL),
    "llama4": Item(17 * 144, 4, LLAMA4),
    "llava": Item(576, 1, CLIP),
    "internvl_chat": Item(13 * 256, 4, INTERN, Video(256, 0, 13 * 256)),
    "minicpmv": Item(10 * 64, 16, SIGLIP, Video(64, 16, 10 * 64)),
    "smolvlm": Item(17 * 81, 9, SIGLIP),
    "phi4mm": Item(10065, 37 * 1024 / 10065, SIGLIP),
    "muse_glimmer": Item(4096, 4, MUSE, Video(144, 48)),
}
"""By model_type. Qwen: max_pixels 12,845,056 over 28 x 28, longest_edge 16,777,216 over 32 x 32;
its videos by pairs of frames up to 14 frames, from the third generation on by a smaller budget of
their own. DeepStack gives three outputs beside the last. Gemma 3: 64 x 64 patches in 256 tokens,
without crops. Mistral 3: 1,540 pixels over 28, a break a row. Llama 4: 16 tiles and the whole, 144
tokens each. LLaVA: 336 pixels over 14. InternVL: 12 tiles and a thumbnail of 256 tokens, a frame
is one tile. MiniCPM-V: 9 slices and the whole, 64 tokens each. SmolVLM 2: 16 tiles and the whole,
81 tokens each. Phi-4: 36 crops and the whole of 448 pixels. Muse Glimmer: 4,096 tokens, 96 frames
in pairs of 144. Families that are not here have rules of their own, unread.
"""

PIXTRAL_12B = Item(64 * 65, 1, PIXTRAL)
"""Pixtral under LLaVA's model_type: 1,024 pixels over 16, a break a row."""


def item_of(request: Request) -> Item | None:
    """Return the largest item of the model's family, None where no rule of it is known."""
    model = request.model
    if model.model_type == "llava" and model.vision is not None:
        gated = any(getattr(b.mlp, "gated", False) for b in model.vision.blocks.values())
        return PIXTRAL_12B if gated else ITEMS["llava"]
    return ITEMS.get(model.model_type or "")


def grows(request: Request) -> bool:
    """Return whether a longer context is profiled with more: the frames of a video."""
    item = item_of(request)
    return item is not None and item.video is not None


def encoded_tokens(request: Request, batched: int, seqs: int) -> int:
    """Return the tokens of all items that the profile run encodes [tokens], 0 where unknown.

    The budget is a step's tokens, or the largest item; it is filled with items of that size, as
    many as all sequences of a step can have.
    """
    item = item_of(request)
    if item is None:
        return 0
    largest = item.tokens
    if item.video:
        frames = max(1, (request.context_tokens - item.video.reserved) // item.video.tokens)
        frames = min(frames, item.video.most) if item.video.most else frames
        largest = max(largest, item.video.tokens * frames)
    budget = max(batched, largest)
    return largest * min(budget // largest, seqs * max(1, request.context_tokens // largest))


def encoder_bytes(request: Request, batched: int, seqs: int) -> tuple[float, float]:
    """Return the peak of encoding, and what is kept of it beside the decoder's run [bytes]."""
    vision, tokens = request.model.vision, encoded_tokens(request, batched, seqs)
    item, tp = item_of(request), request.parallel.tp
    if vision is None or item is None:
        return 0.0, 0.0
    peak = encoder_peak_bytes(
        patches=tokens * item.patches, hidden_size=vision.hidden_size, ranks=tp,
        whole_widths=item.tower.whole + (item.tower.reduced and tp > 1),
        split_widths=item.tower.split, element_bytes=2,
    )  # fmt: skip
    width = item.outputs * request.model.main.hidden_size
    return peak, float(tokens * width * OUTPUT_BYTES)


def in_words(request: Request, batched: int, seqs: int) -> str:
    """Return what the activation peak says of the images that are encoded for it."""
    tokens = encoded_tokens(request, batched, seqs)
    if not tokens:
        return ", without the largest image"
    peak = encoder_bytes(request, batched, seqs)[0] / GIB
    return f"; its largest images, {tokens:,} tokens of them, take {peak:.2f} GiB to encode"


def warning(request: Request, batched: int, seqs: int) -> Warning_:
    """Return the warning that the pool depends on images, known or not."""
    tokens, name = encoded_tokens(request, batched, seqs), request.model.id
    if not tokens:
        message = (
            f"The largest image of {name} is not on record: vLLM encodes it when it "
            "sizes its pool, which may be smaller by gibibytes."
        )
        return Warning_("encoder_peak_unknown", message)
    peak = encoder_bytes(request, batched, seqs)[0] / GIB
    message = (
        f"When vLLM sizes its pool it encodes the largest images of {name}, {tokens:,} tokens "
        f"of them: {peak:.1f} GiB for that time, measured on its tower without a GPU. A server of "
        "text alone leaves that out with --limit-mm-per-prompt."
    )
    return Warning_("encoder_peak_assumed", message)
