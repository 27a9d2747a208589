"""Models that attend to selected or compressed tokens: DeepSeek-V4, MiniMax M3."""

from __future__ import annotations

from llmplan.sources.config_json import (
    Config,
    attention,
    family,
    known,
    moe,
    record,
    stack,
)
from llmplan.sources.families.mixture import layered, mlp_layers, routed_experts
from llmplan.sources.families.vision import biased, layer_norm, patches, plain_tower
from llmplan.sources.layers import Plain


def hyper_connections(hidden: int, streams: int) -> list[Plain]:
    """Return the mixing of residual streams before attention and before the feed-forward part.

    Source: transformers 5.23 DeepseekV4HyperConnection: (2 + streams) x streams outputs.
    """
    mixes = (2 + streams) * streams
    return [
        {"name": f"hc_{part}_{name}", "shape": shape}
        for part in ("attn", "ffn")
        for name, shape in (("fn", [mixes, streams * hidden]), ("base", [mixes]), ("scale", [3]))
    ]


def _hyper_head(hidden: int, streams: int) -> list[Plain]:
    return [
        {"name": "output_hc_fn", "shape": [streams, streams * hidden]},
        {"name": "output_hc_base", "shape": [streams]},
        {"name": "output_hc_scale", "shape": [1]},
    ]


@family("deepseek_v4")
def deepseek_v4(c: Config) -> Plain:
    """DeepSeek V4: compressed attention, residual streams, experts in every layer, MTP apart.

    Defaults: transformers 5.23 DeepseekV4Config.
    """
    c = known(c, hc_mult=4, sliding_window=128, n_shared_experts=1, qk_rope_head_dim=64)
    hidden, streams = c["hidden_size"], c["hc_mult"]
    ratios = c["compress_ratios"]
    extra = hyper_connections(hidden, streams)
    experts = routed_experts(c)
    mixers = [_compressed(c, ratio) for ratio in ratios[: c["num_hidden_layers"]]]
    layers = layered(mixers, [experts] * c["num_hidden_layers"], tensors=extra)
    head = _hyper_head(hidden, streams)
    result = record(c, stack(hidden, layers, tensors=head))
    if c.get("num_nextn_predict_layers"):
        block = {"mixers": [_compressed(c, 0)], "mlp": experts, "tensors": extra}
        result["draft"] = _draft(c, block, head)
    return result


def _compressed(c: Config, ratio: int) -> Plain:
    mixer: Plain = {
        "kind": "compressed_attention",
        "heads": c["num_attention_heads"],
        "head_dim": c["head_dim"],
        "rope_head_dim": c["qk_rope_head_dim"],
        "q_lora_rank": c["q_lora_rank"],
        "output_groups": c["o_groups"],
        "output_lora_rank": c["o_lora_rank"],
        "window": c["sliding_window"],
    }
    if ratio > 1:
        mixer["compress_ratio"] = ratio
    if ratio == INDEXED_RATIO:
        mixer |= {"indexer_heads": c["index_n_heads"], "indexer_head_dim": c["index_head_dim"]}
    return mixer


INDEXED_RATIO = 4
"""Compression at which an indexer selects entries; at 128 all are read.
Source: transformers 5.23 DeepseekV4Config, _COMPRESS_RATIO_TO_LAYER_TYPE."""


def _draft(c: Config, block: Plain, head: list[Plain]) -> Plain:
    """Return the MTP layers: two projections in place of one over both (vLLM 0.33.0 mtp.py)."""
    h = c["hidden_size"]
    own = [
        {"name": "nextn.e_proj", "shape": [h, h], "linear": True},
        {"name": "nextn.h_proj", "shape": [h, h], "linear": True},
        *({"name": f"nextn.{n}", "shape": [h]} for n in ("enorm", "hnorm", "shared_head_norm")),
        *head,
    ]
    layer = block | {"tensors": block["tensors"] + own}
    return stack(h, [layer] * c["num_nextn_predict_layers"], final_norm=False)


@family("minimax_m3", "minimax_m3_vl_text")
def minimax_m3(c: Config) -> Plain:
    """MiniMax M3: GQA that selects blocks by an indexer, dense layers first, a shared expert.

    Shapes: transformers 5.23 models/minimax_m3_vl. The MTP modules that num_mtp_modules counts
    are not in the released files.
    """
    said = c.get("sparse_attention_config") or {}
    full = attention(c, qk_norm="per_head")
    selecting = full | {
        "indexer_heads": said.get("sparse_num_index_heads") or c["index_n_heads"],
        "indexer_head_dim": said.get("sparse_index_dim") or c["index_head_dim"],
    }
    types = c.get("layer_types") or []
    selects = said.get("sparse_attention_freq") or [t == "minimax_m3_sparse" for t in types]
    experts = moe(
        c["intermediate_size"],
        c["num_local_experts"],
        c["num_experts_per_tok"],
        shared_experts_size=c.get("n_shared_experts", 1) * c["shared_intermediate_size"],
    )
    plain = {**c, "intermediate_size": c["dense_intermediate_size"]}
    mixers = [selecting if on else full for on in selects]
    return record(c, stack(c["hidden_size"], layered(mixers, mlp_layers(plain, experts))))


@family("minimax_m3_vl")
def minimax_m3_vl(c: Config) -> Plain:
    """MiniMax M3 with its tower: patches of two frames, 2x2 merger. Defaults: transformers 5.23."""
    result = minimax_m3({**c["text_config"], "tie_word_embeddings": False})
    v = known(
        c.get("vision_config") or {}, hidden_size=1280, intermediate_size=5120, patch_size=14,
        num_attention_heads=16, num_hidden_layers=32, spatial_merge_size=2, temporal_patch_size=2,
    )  # fmt: skip
    h, text = v["hidden_size"], c["text_config"]["hidden_size"]
    wide = c.get("projector_hidden_size", 6144)
    tensors = [
        *patches(v, bias=False, frames=v["temporal_patch_size"]),
        *layer_norm("pre_norm", h),
        *biased("mm.1", wide, h),
        *biased("mm.2", text, wide),
        *biased("mm.merge.1", wide, text * v["spatial_merge_size"] ** 2),
        *biased("mm.merge.2", text, wide),
    ]
    return {**result, "vision": plain_tower(v, tensors)}
