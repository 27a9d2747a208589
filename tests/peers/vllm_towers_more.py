"""Vision towers of the newer families, for vllm_towers.py."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from allocations import Run

TEXT_WIDTH = 4096


def on_grid(made: Any, values: Any, grid: Callable[[int], Any], call: Any = None) -> Run:
    """A tower that takes flat patches of `values` and a grid."""
    made = made.to(torch.bfloat16)

    def run(side: int) -> tuple[int, Any]:
        pixels = torch.randn(side * side, *values, dtype=torch.bfloat16)
        return side * side, lambda: (call or made)(pixels, grid(side))

    return run


def kimi(width: int, **options: Any) -> tuple[int, Run]:
    """MoonViT 3D, with its projector."""
    from vllm.model_executor.models.kimi_k25_vit import (
        KimiK25MultiModalProjector,
        MoonViT3dPretrainedModel,
    )
    from vllm.transformers_utils.configs.kimi_k3 import KimiK3VisionConfig

    config = KimiK3VisionConfig(vt_hidden_size=width, vt_num_hidden_layers=2, **options)
    made = MoonViT3dPretrainedModel(config).to(torch.bfloat16)
    project = KimiK25MultiModalProjector(config, TEXT_WIDTH).to(torch.bfloat16)

    def call(pixels: Any, grid: Any) -> list[Any]:
        return [project(x) for x in made(pixels, grid)]

    return width, on_grid(made, (3, 14, 14), lambda side: [[1, side, side]], call)


def kimi_k25() -> tuple[int, Run]:
    """Kimi K2.5 and K2.6."""
    return kimi(1152, vt_intermediate_size=4304, vt_num_attention_heads=16, qkv_hidden_size=1152,
                norm_type="layernorm", attn_bias=True, linear_bias=True,
                patch_embed_proj_bias=True, pos_emb_interpolation_mode="bicubic",
                mm_projector_type="patchmerger")  # fmt: skip


def minimax_m3() -> tuple[int, Run]:
    """MiniMax M3: rotary embedding by a Triton kernel, in place."""
    import vllm.models.minimax_m3.common.vision_tower as m

    m.triton_mrope = lambda *_, **__: None
    m.vit_mrope_setup = lambda *_, **__: (torch.empty(0), torch.empty(0))
    config = types.SimpleNamespace(
        hidden_size=1280, intermediate_size=5120, num_attention_heads=16, num_hidden_layers=2,
        patch_size=14, num_channels=3, layer_norm_eps=1e-5, hidden_act="gelu", rope_theta=10000.0,
        img_token_compression_config={"spatial_merge_size": 2, "temporal_patch_size": 2},
    )  # fmt: skip
    made = m.MiniMaxVLVisionTransformer(config)
    return 1280, on_grid(made, (1176,), lambda side: [[1, side, side]])


def glm5_next() -> tuple[int, Run]:
    """GLM-5.3: norms of queries and keys by one kernel."""
    import vllm.models.glm5next.common.multimodal as m
    from transformers.models.glm5_next.configuration_glm5_next import Glm5NextVisionConfig

    m.fused_q_kv_rmsnorm = lambda q, k, *_: (torch.empty_like(q), torch.empty_like(k))
    text = types.SimpleNamespace(hidden_size=TEXT_WIDTH, max_position_embeddings=65536)
    made = m.Glm5NextVisionTransformer(text, Glm5NextVisionConfig(depth=2))
    return 1024, on_grid(made, (1176,), lambda side: [[1, side, side]])


def step3p7() -> tuple[int, Run]:
    """Step 3.7; its convolutions behind the blocks write one output each."""
    from vllm.model_executor.layers.activation import get_act_fn
    from vllm.model_executor.models.step_vl import PerceptionEncoder
    from vllm_towers import fixed

    class Halved(torch.nn.Module):
        """A convolution of stride 2."""

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.channels = channels

        def forward(self, x: Any) -> Any:
            high, wide = (-(-n // 2) for n in x.shape[2:])
            return torch.empty(x.shape[0], self.channels, high, wide, dtype=x.dtype)

    config = types.SimpleNamespace(
        patch_size=14, output_dim=None, heads=16, width=1536, layers=2, use_abs_posemb=True,
        use_cls_token=False, use_rope2d=True, image_size=728, use_ln_pre=True, use_ln_post=False,
        mlp_ratio=8960 / 1536, ls_init_value=0.1,
    )  # fmt: skip
    made = PerceptionEncoder(config, get_act_fn("quick_gelu"))
    made.vit_downsampler1, made.vit_downsampler2 = Halved(2 * 1536), Halved(4 * 1536)
    return 1536, fixed(made, 36, 14)


def gemma4() -> tuple[int, Run]:
    """Gemma 4: frames of 21 x 30 patches, in the tower of transformers."""
    from transformers.models.gemma4.configuration_gemma4 import Gemma4VisionConfig
    from transformers.models.gemma4.modeling_gemma4 import Gemma4VisionModel

    config = Gemma4VisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=2, num_attention_heads=16,
        num_key_value_heads=16, head_dim=72, patch_size=16,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    made = Gemma4VisionModel(config).to(torch.bfloat16)
    places = torch.meshgrid(torch.arange(21), torch.arange(30), indexing="ij")
    frame = torch.stack(places, -1).flip(-1).reshape(1, 630, 2)

    def run(images: int) -> tuple[int, Any]:
        pixels = torch.rand(images, 630, 768, dtype=torch.bfloat16)
        where = frame.expand(images, 630, 2)
        padding = (where == -1).all(-1)

        def call() -> Any:
            made.encoder(inputs_embeds=made.patch_embedder(pixels, where, padding),
                         attention_mask=~padding, pixel_position_ids=where)  # fmt: skip

        return images * 630, call

    return 1152, run


def eva2() -> tuple[int, Run]:
    """EVA2-CLIP, of GLM-4V."""
    from vllm.model_executor.models.glm4v import EVA2CLIPModel
    from vllm_towers import fixed

    vision = {
        "hidden_size": 1792, "num_heads": 16, "num_hidden_layers": 2, "intermediate_size": 15360,
        "image_size": 1120, "patch_size": 14, "num_positions": 6401, "in_channels": 3,
        "hidden_act": "gelu", "layer_norm_eps": 1e-6, "dropout_prob": 0.0, "scaling_factor": 8,
    }  # fmt: skip
    config = types.SimpleNamespace(
        vision_config=vision, hidden_size=TEXT_WIDTH, ffn_hidden_size=13696
    )
    return 1792, fixed(EVA2CLIPModel(config), 80, 14)


TOWERS: dict[str, Callable[[], tuple[int, Run]]] = {
    "kimi_k25": kimi_k25, "kimi_k3": lambda: kimi(1024), "minimax_m3": minimax_m3,
    "glm5_next": glm5_next, "step3p7": step3p7, "gemma4": gemma4, "eva2": eva2,
}  # fmt: skip
