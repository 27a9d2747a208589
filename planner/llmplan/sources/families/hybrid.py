"""Models with layers that keep a state of fixed size: Mamba and its hybrids, linear attention."""

from __future__ import annotations

from math import ceil
from typing import Any

from llmplan.sources.config_json import (
    Config,
    attention,
    dense,
    family,
    known,
    moe,
    record,
    stack,
)
from llmplan.sources.families.mixture import (
    first_of,
    gated_shared_experts,
    layered,
    mlp_layers,
)
from llmplan.sources.layers import Plain


def _mamba(c: Config, prefix: str = "", *, inner_norms: bool = False) -> Plain:
    hidden = c["hidden_size"]
    rank = c.get(f"{prefix}dt_rank") or c.get("time_step_rank")
    mixer: Plain = {
        "kind": "mamba",
        "inner_size": c.get(f"{prefix}expand", 2) * hidden,
        "state_size": c.get("state_size") or c.get(f"{prefix}d_state", 16),
        "conv_kernel": c.get("conv_kernel") or c.get(f"{prefix}d_conv", 4),
        "dt_rank": rank if isinstance(rank, int) else ceil(hidden / 16),
    }
    return mixer | ({"inner_norms": True} if inner_norms else {})


@family("mamba")
def mamba(c: Config) -> Plain:
    """Mamba: one norm and one mixer a layer, no attention at all."""
    layer = {"mixers": [_mamba(c)], "norms": 1}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]), tied=True)


@family("falcon_mamba")
def falcon_mamba(c: Config) -> Plain:
    """Falcon-Mamba: Mamba with parameter-free norms on dt, B and C."""
    layer = {"mixers": [_mamba(c)], "norms": 1}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("jamba")
def jamba(c: Config) -> Plain:
    """Jamba: one attention layer in eight, experts in every second layer."""
    layers = []
    experts = plain = dense(c["intermediate_size"])
    if c["num_experts"] > 1:
        experts = moe(c["intermediate_size"], c["num_experts"], c["num_experts_per_tok"])
    for i in range(c["num_hidden_layers"]):
        attends = i % c["attn_layer_period"] == c["attn_layer_offset"]
        routes = i % c["expert_layer_period"] == c["expert_layer_offset"]
        layers.append(
            {
                "mixers": [attention(c) if attends else _mamba(c, "mamba_", inner_norms=True)],
                "mlp": experts if routes else plain,
            }
        )
    return record(c, stack(c["hidden_size"], layers))


def _state_bits(c: Config) -> Plain:
    """Return the state's width; engines keep Nemotron-H's in float32 when it says nothing.

    Source: vLLM 0.33.0 model_executor/models/config.py, NemotronHForCausalLMConfig.
    """
    silent = "float32" if c.get("model_type") == "nemotron_h" else None
    dtype = c.get("mamba_ssm_cache_dtype") or c.get("mamba_ssm_dtype") or silent
    return {"state_bits": 32} if dtype == "float32" else {}


NEMOTRON_MARKS = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*",
    "mlp": "-", "moe": "E",
}  # fmt: skip
"""Kinds of layer in layers_block_type, and their marks in hybrid_override_pattern."""


@family("nemotron_h")
def nemotron_h(c: Config) -> Plain:
    """Nemotron-H and Nemotron 3: each layer is one of Mamba-2, attention, MLP or experts."""
    blocks = {m: b | {"norms": 1} for m, b in _nemotron_blocks(c).items()}
    result = record(c, stack(c["hidden_size"], [blocks[m] for m in _nemotron_marks(c, "")]))
    if c.get("num_nextn_predict_layers"):
        result["draft"] = _nemotron_draft(c, [blocks[mark] for mark in _nemotron_marks(c, "mtp_")])
    return result


def _nemotron_marks(c: Config, prefix: str) -> list[str]:
    listed = first_of(
        c, f"{prefix}layers_block_type", f"{prefix}layer_types", f"{prefix}hybrid_override_pattern"
    )
    if isinstance(listed, str):
        return list(listed.replace("|", ""))
    return [NEMOTRON_MARKS[kind] for kind in listed]


def _nemotron_blocks(c: Config) -> dict[str, Plain]:
    mixer = {
        "kind": "mamba2",
        "heads": c["mamba_num_heads"],
        "head_dim": c["mamba_head_dim"],
        "state_size": c["ssm_state_size"],
        "groups": c["n_groups"],
        "conv_kernel": c["conv_kernel"],
        **_state_bits(c),
    }
    shape = known(c, head_dim=c.get("attention_head_dim"))  # Nemotron-H 56B's spelling
    kinds: dict[str, Plain] = {
        "M": {"mixers": [mixer]},
        "*": {"mixers": [attention(shape)]},
        "-": {"mlp": dense(c["intermediate_size"], gated=False)},
    }
    if c.get("n_routed_experts"):
        experts = moe(
            c["moe_intermediate_size"],
            c["n_routed_experts"],
            c["num_experts_per_tok"],
            shared_experts_size=c["n_shared_experts"] * c["moe_shared_expert_intermediate_size"],
            latent_size=c.get("moe_latent_size"),
        )
        kinds["E"] = {"mlp": experts | {"gated": False, "shared_gated": False}}
    return kinds


def _nemotron_draft(c: Config, layers: list[Plain]) -> Plain:
    """Return one step of MTP: the first layer takes state and token, the last one has a norm."""
    h = c["hidden_size"]
    start = [
        {"name": "nextn.eh_proj", "shape": [h, 2 * h], "linear": True},
        *({"name": f"nextn.{n}", "shape": [h]} for n in ("enorm", "hnorm")),
    ]
    return stack(h, [layers[0] | {"tensors": start}, *layers[1:]])


def _mamba2(c: Config) -> Plain:
    mixer: Plain = {
        "kind": "mamba2",
        "heads": c["mamba_n_heads"],
        "head_dim": _mamba2_head_dim(c),
        "state_size": c["mamba_d_state"],
        "groups": c.get("mamba_n_groups", 1),
        "conv_kernel": c.get("mamba_d_conv", 4),
    }
    return mixer


def _mamba2_head_dim(c: Config) -> Any:
    """Return the width of a head, which "auto" leaves to the expansion of the hidden size."""
    if c["mamba_d_head"] != "auto":
        return c["mamba_d_head"]
    return c.get("mamba_expand", 2) * c["hidden_size"] // c["mamba_n_heads"]


@family("granitemoehybrid")
def granite_hybrid(c: Config) -> Plain:
    """Granite 4.0-H: Mamba-2 with a few attention layers, experts beside a shared MLP."""
    shared = c["shared_intermediate_size"]
    mlp = dense(shared)
    if c.get("num_local_experts"):
        mlp = moe(
            c["intermediate_size"],
            c["num_local_experts"],
            c["num_experts_per_tok"],
            shared_experts_size=shared,
        )
    attends = ("attention", "full_attention")
    layers = [
        {"mixers": [attention(c) if t in attends else _mamba2(c)], "mlp": mlp}
        for t in c["layer_types"]
    ]
    return record(c, stack(c["hidden_size"], layers), tied=True)


@family("falcon_h1")
def falcon_h1(c: Config) -> Plain:
    """Falcon-H1: attention and Mamba-2 side by side in every layer."""
    mixer = _mamba2(c) | ({} if c.get("mamba_rms_norm") else {"gated_norm": False})
    layer = {"mixers": [attention(c), mixer], "mlp": dense(c["intermediate_size"])}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


def _lfm2_mixers(c: Config) -> list[Plain]:
    """Return short convolutions, and attention where the config says it."""
    conv: Plain = {"kind": "short_convolution", "kernel": c.get("conv_L_cache", 3)}
    if c.get("conv_bias"):
        conv["bias"] = True
    full = attention(c, qk_norm="per_head")
    listed = c.get("full_attn_idxs")
    if c.get("layer_types") is None and listed is not None:
        return [full if i in listed else conv for i in range(c["num_hidden_layers"])]
    return [full if t == "full_attention" else conv for t in c["layer_types"]]


@family("lfm2")
def lfm2(c: Config) -> Plain:
    """LFM2: gated short convolutions with a few attention layers."""
    size = c.get("block_ff_dim") or c["intermediate_size"]
    if c.get("block_auto_adjust_ff_dim"):
        size = int(c.get("block_ffn_dim_multiplier", 1.0) * int(2 * size / 3))
        size = -(-size // c["block_multiple_of"]) * c["block_multiple_of"]
    layers = [{"mixers": [m], "mlp": dense(size)} for m in _lfm2_mixers(c)]
    return record(c, stack(c["hidden_size"], layers), tied=bool(c.get("tie_embedding", True)))


@family("lfm2_moe")
def lfm2_moe(c: Config) -> Plain:
    """LFM2 MoE: the same mixers, dense layers first and experts in the rest."""
    c = known(c, num_dense_layers=2)
    experts = moe(c["moe_intermediate_size"], c["num_experts"], c["num_experts_per_tok"])
    mlps = mlp_layers({**c, "first_k_dense_replace": c["num_dense_layers"]}, experts)
    body = stack(c["hidden_size"], layered(_lfm2_mixers(c), mlps))
    return record(c, body, tied=bool(c.get("tie_embedding", True)))


@family("minimax")
def minimax(c: Config) -> Plain:
    """MiniMax-Text-01 and M1: seven lightning attention layers to one full, experts throughout."""
    lightning = {
        "kind": "lightning_attention",
        "heads": c["num_attention_heads"],
        "head_dim": c["head_dim"],
    }
    mixers = {"linear_attention": lightning, "full_attention": attention(c)}
    experts = moe(c["intermediate_size"], c["num_local_experts"], c["num_experts_per_tok"])
    layers = [{"mixers": [mixers[t]], "mlp": experts} for t in c["layer_types"]]
    return record(c, stack(c["hidden_size"], layers))


def delta_net(c: Config) -> Plain:
    """Return the gated delta net mixer of the Qwen line."""
    return {
        "kind": "gated_delta_net",
        "key_heads": c.get("linear_num_key_heads", 16),
        "value_heads": c.get("linear_num_value_heads", 32),
        "key_head_dim": c.get("linear_key_head_dim", 128),
        "value_head_dim": c.get("linear_value_head_dim", 128),
        "conv_kernel": c.get("linear_conv_kernel_dim", 4),
        **_state_bits(c),
    }


def delta_layers(c: Config, mlp: Plain) -> list[Plain]:
    """Return the layers of Qwen3-Next and Qwen3.5: gated delta net, every fourth full attention."""
    linear = delta_net(c)
    full = attention(c, qk_norm="per_head", output_gate="elementwise")
    interval = c.get("full_attention_interval", 4)
    types = c.get("layer_types") or [
        "full_attention" if (i + 1) % interval == 0 else "linear_attention"
        for i in range(c["num_hidden_layers"])
    ]
    return [{"mixers": [full if t == "full_attention" else linear], "mlp": mlp} for t in types]


@family("qwen3_next")
def qwen3_next(c: Config) -> Plain:
    """Qwen3-Next: gated delta net hybrid with many small experts and a gated shared one."""
    layers = delta_layers(c, gated_shared_experts(c))
    return record(c, stack(c["hidden_size"], layers))
