"""The largest images that vLLM's profile run encodes: how many patches, and what they take.

Read from vLLM 0.32.0 (PyPI wheel, model_executor/models/, multimodal/encoder_budget.py,
v1/core/encoder_cache_manager.py) on 2026-11-27; item sizes are those of the checkpoints' own
preprocessors.
"""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.base import Request
from llmplan.engines.vllm_versions import policy_of
from llmplan.memory.activations import encoder_peak_bytes
from llmplan.specs.hardware import GIB
from llmplan.specs.setup import Warning_

ELEMENT_BYTES = 2
"""Bytes of an element, encoded or on the way: 16 bits, as the decoder takes it."""

PART_OF_DEVICE = 0.1
"""Share of the device within which vLLM encodes a part of Gemma 4's images; half of what is free if
that is less. Source: gemma4_mm.py (_encoder_chunk), 0.32.0."""


class Tower(NamedTuple):
    """Hidden widths at 16 bits that a patch holds at the tower's peak, on one of 1, 2, 4 ranks."""

    alone: float
    two: float
    four: float

    def widths(self, ranks: int) -> float:
        """Return the widths that one of `ranks` holds; beyond four what is split goes on down."""
        if ranks == 1:
            return self.alone
        return self.four + (self.two - self.four) * (4 / ranks - 1)


QWEN2, QWEN2_5 = Tower(15.98, 11.98, 9.98), Tower(13.87, 10.86, 8.86)
QWEN3, GLM4, GLM5 = Tower(13.39, 10.39, 8.39), Tower(9.87, 7.19, 5.52), Tower(17.19, 10.31, 6.94)
SIGLIP, CLIP, PIXTRAL = (
    Tower(11.98, 8.38, 7.44),
    Tower(16.6, 10.59, 7.59),
    Tower(22.71, 14.71, 10.71),
)
INTERN, LLAMA4, MUSE = Tower(12.59, 8.58, 7.58), Tower(16.02, 9.51, 7.01), Tower(18.63, 16.3, 16.3)
MOONVIT, KIMI_K25 = Tower(16.64, 10.14, 8.57), Tower(12.76, 8.76, 7.57)
KIMI_K3, MINIMAX = Tower(17.57, 10.82, 8.32), Tower(11.92, 7.92, 6.92)
STEP, EVA2 = Tower(21.88, 13.13, 8.76), Tower(21.47, 12.9, 8.62)
GEMMA4, MOBILENET = Tower(15.33, 15.33, 15.33), Tower(180.07, 180.07, 180.07)
"""Source: python tests/peers/vllm_towers.py at 1, 2 and 4 ranks: vLLM 0.32's own towers on the CPU,
every allocation followed, CUDA's kernels replaced by outputs of their size; Gemma 4's is that of
transformers 5.23 and Gemma 3n's that of timm (tests/peers/timm_tower.py), whole on every rank.
H100 (vLLM 0.30, mondegreens/apron, 2026-09-28) logs 2,061,584,302 bytes for 65,536 patches of the
third Qwen's, 13.65 widths where 13.39 are measured here."""


class Video(NamedTuple):
    """How long the longest video is: frames of so many tokens, at most `most` (0: no end).

    They fill the context beside `reserved` tokens, which an image takes. `shrunk`: beyond `most`
    frames they get smaller, to a total that fills the context up to so many tokens.
    """

    tokens: int
    most: int
    reserved: int = 0
    shrunk: int = 0


class Item(NamedTuple):
    """The largest item of a family: an image's tokens, the patches that make one, its tower.

    `outputs`: widths of the decoder that an encoded token has. `counted`: the tokens that vLLM
    reckons with, where there are marks among them (0: the encoded). `reckoned_bytes`: what it takes
    a patch for when it encodes in parts, each within a tenth of the device (0: all at once).
    `hidden_size`: of the tower, where the model's record has another (0: as recorded).
    """

    tokens: int
    patches: float
    tower: Tower
    video: Video | None = None
    outputs: int = 1
    counted: int = 0
    reckoned_bytes: int = 0
    hidden_size: int = 0


GLM_VIDEO = Video(78 * 78, 4, 78 * 78, shrunk=31974)

ITEMS = {
    "qwen2_vl": Item(16384, 4, QWEN2, Video(16384, 7)),
    "qwen2_5_vl": Item(16384, 4, QWEN2_5, Video(16384, 7)),
    "qwen3_vl": Item(16384, 4, QWEN3, outputs=4),
    "qwen3_vl_moe": Item(16384, 4, QWEN3, outputs=4),
    "qwen3_5": Item(16384, 4, QWEN3),
    "qwen3_5_moe": Item(16384, 4, QWEN3),
    "gemma3": Item(256, 16, SIGLIP),
    "gemma3n": Item(256, 1, MOBILENET, hidden_size=2048),
    "gemma4": Item(32 * 70, 9, GEMMA4, counted=32 * 78, reckoned_bytes=4 * 10240 * 8),
    "mistral3": Item(55 * 56, 4, PIXTRAL),
    "llama4": Item(17 * 144, 4, LLAMA4),
    "llava": Item(576, 1, CLIP),
    "chatglm": Item(1602, 6400 / 1602, EVA2),
    "glm4v": Item(78 * 78, 4, GLM4, GLM_VIDEO),
    "glm4v_moe": Item(78 * 78, 4, GLM4, GLM_VIDEO),
    "glm5_next": Item(8000, 4, GLM5, Video(8000, 3, 8000, shrunk=37345)),
    "internvl_chat": Item(13 * 256, 4, INTERN, Video(256, 0, 13 * 256)),
    "kimi_vl": Item(33 * 33, 4, MOONVIT),
    "kimi_k25": Item(65 * 65, 4, KIMI_K25),
    "kimi_k3": Item(67 * 251, 4, KIMI_K3),
    "minicpmv": Item(10 * 64, 16, SIGLIP, Video(64, 16, 10 * 64)),
    "minimax_m3_vl": Item(576, 4, MINIMAX, Video(768, 250)),
    "smolvlm": Item(17 * 81, 9, SIGLIP),
    "step3p7": Item(37 * 81 + 88, 36 * 1296 / (37 * 81 + 88), STEP, counted=37 * 83 + 93),
    "phi4mm": Item(10065, 37 * 1024 / 10065, SIGLIP),
    "muse_glimmer": Item(4096, 4, MUSE, Video(144, 48)),
}
"""By model_type. Qwen: max_pixels 12,845,056 over 28 x 28, longest_edge 16,777,216 over 32 x 32;
its videos by pairs of frames up to 14 frames, from the third generation on by a smaller budget
of their own. DeepStack gives three outputs beside the last. Gemma 3: 64 x 64 patches in 256
tokens, without crops. Gemma 3n: 768 pixels, 16 x 16 places of its last convolution. Gemma 4: a
video of 32 frames, each 630 patches and 78 tokens with what stands around them. Mistral 3: 1,540
pixels over 28, a break a row. Llama 4: 16 tiles and the whole, 144 tokens each. LLaVA: 336
pixels over 14. GLM-4V: 1,120 pixels over 14, four patches a token and two marks. GLM-V:
longest_edge 9,633,792 for a pair of frames, 47,040,000 for a video; GLM-5.3: 8,000 tokens, a
video 30,000, which the rounding of an odd last frame passes. InternVL: 12 tiles and a thumbnail
of 256 tokens, a frame is one tile. Kimi: 1,024 pixels within 4,096 patches, 3,000 within 16,384
(K2), the most within 65,536 (K3), each padded to whole tokens. MiniCPM-V: 9 slices and the
whole, 64 tokens each. MiniMax M3: pairs of frames of 602,112 pixels. SmolVLM 2: 16 tiles and the
whole, 81 tokens each. Step 3.7: 36 crops of 36 x 36 patches in 81 tokens and two marks, encoded
apart from the whole. Phi-4: 36 crops and the whole of 448 pixels. Muse Glimmer: 4,096 tokens, 96
frames in pairs of 144. A family that is not here is unread.
"""

PIXTRAL_12B = Item(64 * 65, 1, PIXTRAL)
"""Pixtral under LLaVA's model_type: 1,024 pixels over 16, a break a row."""

EAGER = {QWEN2_5: Tower(15.73, 11.05, 9.05), GLM4: Tower(12.1, 7.64, 5.52)}
"""Towers whose gated activation took one tensor more before it was compiled by itself.
Source: custom_op.py (maybe_compile) of 0.14.0 and 0.15.0; vllm pull request 32806."""

QWEN3_VIDEO = Item(12288, 4, QWEN3, outputs=4, counted=153600)
"""While what is encoded was kept at the whole budget, Qwen3-VL's video of 12,288 tokens counted
12.5 times. Source: qwen3_vl.py (get_max_video_tokens) of 0.11.0 to 0.12.0. A start of 0.11.0 logs
"a budget of 153600 tokens, and profiled with 1 video items" (mem-v-b007)."""


def item_of(request: Request) -> Item | None:
    """Return the largest item of the model's family, None where no rule of it is known."""
    model = request.model
    name = model.model_type or ""
    if name == "llava" and model.vision is not None:
        gated = any(getattr(b.mlp, "gated", False) for b in model.vision.blocks.values())
        return PIXTRAL_12B if gated else ITEMS["llava"]
    policy = policy_of(request.version)
    if name.startswith("qwen3_vl") and policy.pads_encoded:
        return QWEN3_VIDEO
    item = ITEMS.get(name)
    if item is None or policy.compiles_gates:
        return item
    return item._replace(tower=EAGER.get(item.tower, item.tower))


def grows(request: Request) -> bool:
    """Return whether a longer context is profiled with more: the frames of a video."""
    item = item_of(request)
    return item is not None and item.video is not None


class Encoded(NamedTuple):
    """What one step encodes in the profile run: items of so many tokens, and the budget."""

    items: int = 0
    tokens: int = 0
    budget: int = 0


def encoded(request: Request, batched: int, seqs: int) -> Encoded:
    """Return the items that the profile run encodes, none where their size is unknown.

    The budget is a step's tokens, or the largest item; it is filled with items of that size, as
    many as all sequences of a step can have.
    """
    item = item_of(request)
    if item is None:
        return Encoded()
    tokens = item.tokens
    if item.video:
        tokens = max(tokens, _longest(item.video, request.context_tokens))
    counted = max(item.counted, tokens)
    budget = max(batched, counted)
    items = min(budget // counted, seqs * max(1, request.context_tokens // counted))
    return Encoded(items, tokens, budget)


def encoded_tokens(request: Request, batched: int, seqs: int) -> int:
    """Return the tokens of all items that the profile run encodes [tokens], 0 where unknown."""
    found = encoded(request, batched, seqs)
    return found.items * found.tokens


def _longest(video: Video, context_tokens: int) -> int:
    """Return the tokens of the longest video that fits the context [tokens]."""
    room = context_tokens - video.reserved
    frames = max(1, room // video.tokens)
    if video.shrunk and frames > video.most:
        return min(room, video.shrunk)
    return video.tokens * (min(frames, video.most) if video.most else frames)


def encoder_bytes(request: Request, batched: int, seqs: int) -> tuple[float, float]:
    """Return the peak of encoding, and what is kept of it beside the decoder's run [bytes]."""
    vision, item = request.model.vision, item_of(request)
    if vision is None or item is None:
        return 0.0, 0.0
    found = encoded(request, batched, seqs)
    patches = at_once = found.items * found.tokens * item.patches
    hidden_size = item.hidden_size or vision.hidden_size
    if item.reckoned_bytes:
        at_once = min(patches, PART_OF_DEVICE * request.device_bytes / item.reckoned_bytes)
    peak = encoder_peak_bytes(
        patches=at_once, hidden_size=hidden_size,
        widths=item.tower.widths(request.parallel.tp), element_bytes=ELEMENT_BYTES,
    )  # fmt: skip
    peak += (patches - at_once) * hidden_size * ELEMENT_BYTES  # encoded, and kept
    width = item.outputs * request.model.main.hidden_size
    kept = found.items * (found.budget if policy_of(request.version).pads_encoded else found.tokens)
    return peak, float(kept * width * ELEMENT_BYTES)


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
