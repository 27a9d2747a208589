"""Measure what vLLM's vision towers hold at their peak, on the CPU: python vllm_towers.py [TP]

Each tower of vLLM's own source runs two sizes of images with every allocation followed, as one rank
of TP that are not there. What CUDA does otherwise is put in its place: matrices, rotary embedding,
attention and compiled activations write one output of their size, an all-reduce another. Printed is
the peak a patch, in widths of the tower at 16 bits: what vllm_images.py has. `TP eager` runs gated
activations as before vLLM 0.15.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from allocations import Run, as_on_cuda, join, stand_in_for_torchvision, widths

TEXT_WIDTH = 4096
"""Width of the decoder that the towers write for."""


def qwen(module: str, tower: str, config: Any, values: int, *before: Any) -> Run:
    """A tower that takes flat patches and a grid."""
    found = importlib.import_module(f"vllm.model_executor.models.{module}")
    made = getattr(found, tower)(*before, config)
    made = made.to(torch.bfloat16)

    def run(side: int) -> tuple[int, Any]:
        pixels = torch.randn(side * side, values, dtype=torch.bfloat16)
        return side * side, lambda: made(pixels, [[1, side, side]])

    return run


def fixed(made: Any, side: int, patch: int, call: Any = None) -> Run:
    """A tower whose images have one size: more of them."""
    made = made.to(torch.bfloat16)

    def run(images: int) -> tuple[int, Any]:
        pixels = torch.randn(images, 3, side * patch, side * patch, dtype=torch.bfloat16)
        return images * side * side, lambda: (call or made)(pixels)

    return run


def qwen2_vl() -> tuple[int, Run]:
    """Qwen2-VL."""
    from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig

    config = Qwen2VLVisionConfig(depth=2, embed_dim=1280, hidden_size=TEXT_WIDTH, num_heads=16)
    return 1280, qwen("qwen2_vl", "Qwen2VisionTransformer", config, 1176)


def qwen2_5_vl() -> tuple[int, Run]:
    """Qwen2.5-VL."""
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

    config = Qwen2_5_VLVisionConfig(depth=2, hidden_size=1280, intermediate_size=3420,
                                    num_heads=16, out_hidden_size=TEXT_WIDTH)  # fmt: skip
    return 1280, qwen("qwen2_5_vl", "Qwen2_5_VisionTransformer", config, 1176)


def qwen3_vl() -> tuple[int, Run]:
    """Qwen3-VL, whose tower Qwen3.5 has too."""
    from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig

    config = Qwen3VLVisionConfig(depth=2, hidden_size=1152, intermediate_size=4304, num_heads=16,
                                 out_hidden_size=TEXT_WIDTH, deepstack_visual_indexes=[],
                                 )  # fmt: skip
    return 1152, qwen("qwen3_vl", "Qwen3_VisionTransformer", config, 1536)


def glm4v() -> tuple[int, Run]:
    """GLM-4.1V and GLM-4.5V."""
    from transformers.models.glm4v.configuration_glm4v import Glm4vVisionConfig

    config = Glm4vVisionConfig(depth=2, hidden_size=1536, intermediate_size=13696, num_heads=12,
                               out_hidden_size=TEXT_WIDTH)  # fmt: skip
    text = types.SimpleNamespace(hidden_size=TEXT_WIDTH)
    return 1536, qwen("glm4_1v", "Glm4vVisionTransformer", config, 1176, text)


def muse_glimmer() -> tuple[int, Run]:
    """Muse Glimmer: rotary embedding in 32 bits."""
    from vllm.model_executor.models.muse_glimmer import MuseGlimmerVisionEncoder

    config = types.SimpleNamespace(
        hidden_size=1536, patch_temporal=2, patch_size=14, merge_kernel_size=2, pos_emb_height=64,
        pos_emb_width=64, num_attention_heads=16, layer_types=["full_attention"] * 2,
        num_hidden_layers=2, intermediate_size=8960, layer_norm_eps=1e-5, rms_norm_eps=1e-5,
        hidden_act="gelu", rope_theta=10000.0, window_size=8, output_dim=6144,
    )  # fmt: skip
    made = MuseGlimmerVisionEncoder(config).to(torch.bfloat16)

    def run(side: int) -> tuple[int, Any]:
        pixels = torch.randn(3, side * 14, side * 14)
        return side * side, lambda: made([pixels])

    return 1536, run


def moonvit() -> tuple[int, Run]:
    """MoonViT, of Kimi-VL."""
    from vllm.model_executor.models.moonvit import MoonVitPretrainedModel
    from vllm.transformers_utils.configs.moonvit import MoonViTConfig

    config = MoonViTConfig(num_hidden_layers=2)
    made = MoonVitPretrainedModel(config).to(torch.bfloat16)

    def run(side: int) -> tuple[int, Any]:
        pixels = torch.randn(side * side, 3, 14, 14, dtype=torch.bfloat16)
        return side * side, lambda: made(pixels, torch.tensor([[side, side]]))

    return config.hidden_size, run


def siglip() -> tuple[int, Run]:
    """SigLIP, of Gemma 3."""
    from transformers import SiglipVisionConfig
    from vllm.model_executor.models.siglip import SiglipVisionModel

    config = SiglipVisionConfig(hidden_size=1152, intermediate_size=4304, num_hidden_layers=2,
                                num_attention_heads=16, image_size=896, patch_size=14)  # fmt: skip
    return 1152, fixed(SiglipVisionModel(config), 64, 14)


def clip() -> tuple[int, Run]:
    """CLIP, of LLaVA 1.5."""
    from transformers import CLIPVisionConfig
    from vllm.model_executor.models.clip import CLIPVisionModel

    config = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=2,
                              num_attention_heads=16, image_size=336, patch_size=14)  # fmt: skip
    return 1024, fixed(CLIPVisionModel(config), 24, 14)


def intern_vit(width: int, heads: int, inner: int, norm: str) -> tuple[int, Run]:
    """InternViT, of InternVL."""
    from vllm.model_executor.models.intern_vit import InternVisionModel

    config = types.SimpleNamespace(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=2, num_attention_heads=heads,
        image_size=448, patch_size=14, num_channels=3, qkv_bias=norm == "layer_norm",
        qk_normalization=norm == "rms_norm", norm_type=norm, layer_norm_eps=1e-6,
        hidden_act="gelu", initializer_factor=1.0, use_flash_attn=True, attention_dropout=0.0,
        dropout=0.0, drop_path_rate=0.0,
    )  # fmt: skip
    return width, fixed(InternVisionModel(config), 32, 14)


def llama4() -> tuple[int, Run]:
    """Llama 4."""
    from transformers import Llama4VisionConfig
    from vllm.model_executor.models.mllama4 import Llama4VisionModel

    config = Llama4VisionConfig(num_hidden_layers=2, hidden_size=1408, num_attention_heads=16)
    return config.hidden_size, fixed(Llama4VisionModel(config), config.image_size // 14, 14)


def pixtral() -> tuple[int, Run]:
    """Pixtral, of Mistral 3."""
    from transformers import PixtralVisionConfig
    from vllm.model_executor.models.pixtral import PixtralHFVisionModel

    config = PixtralVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=2,
                                 num_attention_heads=16, image_size=1540, patch_size=14,
                                 )  # fmt: skip
    made = PixtralHFVisionModel(config).to(torch.bfloat16)

    def run(side: int) -> tuple[int, Any]:
        pixels = torch.randn(3, side * 14, side * 14, dtype=torch.bfloat16)
        return side * side, lambda: made([pixels])

    return 1024, run


def idefics2() -> tuple[int, Run]:
    """The SigLIP of MiniCPM-V and SmolVLM."""
    from transformers.models.idefics2.configuration_idefics2 import Idefics2VisionConfig
    from vllm.model_executor.models.idefics2_vision_model import Idefics2VisionTransformer

    config = Idefics2VisionConfig(hidden_size=1152, intermediate_size=4304, num_hidden_layers=2,
                                  num_attention_heads=16, image_size=980, patch_size=14,
                                  )  # fmt: skip
    made = Idefics2VisionTransformer(config)
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    return 1152, fixed(made, 32, 14, lambda x: made(x, mask.expand(len(x), 32, 32)))


TOWERS: dict[str, Callable[[], tuple[int, Run]]] = {
    "qwen2_vl": qwen2_vl, "qwen2_5_vl": qwen2_5_vl, "qwen3_vl": qwen3_vl, "glm4v": glm4v,
    "muse_glimmer": muse_glimmer, "moonvit": moonvit,
    "siglip": siglip, "clip": clip, "llama4": llama4, "pixtral": pixtral, "idefics2": idefics2,
    "intern_vit_300m": lambda: intern_vit(1024, 16, 4096, "layer_norm"),
    "intern_vit_6b": lambda: intern_vit(3200, 25, 12800, "rms_norm"),
}  # fmt: skip


def main(tp: int, *, compiled: bool = True) -> None:
    """Print one line a tower."""
    from vllm_towers_more import TOWERS as MORE

    stand_in_for_torchvision()
    from vllm.config import DeviceConfig, VllmConfig, set_current_vllm_config

    config = VllmConfig(device_config=DeviceConfig(device="cpu"))
    config.parallel_config.tensor_parallel_size = tp
    with set_current_vllm_config(config):
        join(tp)
        as_on_cuda(compiled=compiled)
        torch.set_default_dtype(torch.bfloat16)
        for name, make in (TOWERS | MORE).items():
            print(json.dumps({"tower": name, "tp": tp} | measured(make)), flush=True)


def measured(make: Callable[[], tuple[int, Run]]) -> dict[str, Any]:
    """Return the widths of one tower, or why it did not run."""
    try:
        width, run = make()
        sizes = (28, 56) if run.__code__.co_varnames[0] == "side" else (4, 8)
        return {"widths": round(widths(width, run, sizes), 2)}
    except Exception as e:  # a tower whose source moved is no reason to stop the others
        return {"error": repr(e)[:300]}


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1, compiled="eager" not in sys.argv)
