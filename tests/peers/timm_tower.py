"""Measure what Gemma 3n's MobileNetV5 holds at its peak, on the CPU: python timm_tower.py

timm's own tower runs images of 768 pixels at 16 bits with every allocation followed; convolutions
write an output of their size. Printed is the peak an image, in widths of 256 tokens of 2,048.
Needs timm beside torch; torchvision is stood in for.
"""

from __future__ import annotations

import enum
import json
from typing import Any

import torch
from allocations import empty_kernels, peak_bytes, stand_in_for_torchvision


class Interpolation(enum.Enum):
    """torchvision's InterpolationMode, whose names timm lists when it is imported."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def convolution(self: Any, x: Any, weight: Any, bias: Any) -> Any:
    """An output of the size that this convolution writes."""
    sizes = []
    for i in (0, 1):
        reach = (weight.shape[2 + i] - 1) * self.dilation[i] + 1
        if self.padding == "same":
            sizes.append(-(-x.shape[2 + i] // self.stride[i]))
        else:
            sizes.append((x.shape[2 + i] + 2 * self.padding[i] - reach) // self.stride[i] + 1)
    return torch.empty(x.shape[0], weight.shape[0], *sizes, dtype=x.dtype)


def main() -> None:
    """Print the widths of an image."""
    stand_in_for_torchvision(InterpolationMode=Interpolation)
    from timm.models import create_model

    torch.nn.Conv2d._conv_forward = convolution
    empty_kernels()
    made = create_model("mobilenetv5_300m_enc", pretrained=False).eval().to(torch.bfloat16)

    def peak(images: int) -> int:
        pixels = torch.empty(images, 3, 768, 768, dtype=torch.bfloat16)
        return peak_bytes(lambda: made.forward_features(pixels))

    peak(2)
    print(json.dumps({"tower": "mobilenetv5_300m_enc",
                      "widths": round((peak(2) - peak(1)) / (256 * 2048 * 2), 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
