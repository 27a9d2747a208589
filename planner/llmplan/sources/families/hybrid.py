"""Models with layers that keep a state of fixed size: Mamba and its hybrids, linear attention."""

from __future__ import annotations

from math import ceil

from llmplan.sources.config_json import Config, attention, dense, family, moe, record, stack
from llmplan.sources.families.mixture import gated_shared_experts
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
    experts = moe(c["intermediate_size"], c["num_experts"], c["num_experts_per_tok"])
    layers = []
    for i in range(c["num_hidden_layers"]):
        attends = i % c["attn_layer_period"] == c["attn_layer_offset"]
        routes = i % c["expert_layer_period"] == c["expert_layer_offset"]
        layers.append(
            {
                "mixers": [attention(c) if attends else _mamba(c, "mamba_", inner_norms=True)],
                "mlp": experts if routes else dense(c["intermediate_size"]),
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


@family("nemotron_h")
def nemotron_h(c: Config) -> Plain:
    """Nemotron-H: each layer is one of Mamba-2 (M), attention (*), MLP (-) or experts (E)."""
    if c.get("moe_latent_size"):
        raise KeyError("a reading of moe_latent_size (latent experts)")
    mixer = {
        "kind": "mamba2",
        "heads": c["mamba_num_heads"],
        "head_dim": c["mamba_head_dim"],
        "state_size": c["ssm_state_size"],
        "groups": c["n_groups"],
        "conv_kernel": c["conv_kernel"],
        **_state_bits(c),
    }
    kinds: dict[str, Plain] = {
        "M": {"mixers": [mixer]},
        "*": {"mixers": [attention(c)]},
        "-": {"mlp": dense(c["intermediate_size"], gated=False)},
    }
    if c.get("n_routed_experts"):
        experts = moe(
            c["moe_intermediate_size"],
            c["n_routed_experts"],
            c["num_experts_per_tok"],
            shared_experts_size=c["n_shared_experts"] * c["moe_shared_expert_intermediate_size"],
        )
        kinds["E"] = {"mlp": experts | {"gated": False, "shared_gated": False}}
    layers = [kinds[mark] | {"norms": 1} for mark in c["hybrid_override_pattern"]]
    return record(c, stack(c["hidden_size"], layers))


def _mamba2(c: Config) -> Plain:
    mixer: Plain = {
        "kind": "mamba2",
        "heads": c["mamba_n_heads"],
        "head_dim": c["mamba_d_head"],
        "state_size": c["mamba_d_state"],
        "groups": c["mamba_n_groups"],
        "conv_kernel": c.get("mamba_d_conv", 4),
    }
    return mixer


@family("granitemoehybrid")
def granite_hybrid(c: Config) -> Plain:
    """Granite 4.0-H: Mamba-2 with a few attention layers, experts beside a shared MLP."""
    experts = moe(
        c["intermediate_size"],
        c["num_local_experts"],
        c["num_experts_per_tok"],
        shared_experts_size=c["shared_intermediate_size"],
    )
    mixers = {"mamba": _mamba2(c), "attention": attention(c)}
    layers = [{"mixers": [mixers[t]], "mlp": experts} for t in c["layer_types"]]
    return record(c, stack(c["hidden_size"], layers), tied=True)


@family("falcon_h1")
def falcon_h1(c: Config) -> Plain:
    """Falcon-H1: attention and Mamba-2 side by side in every layer."""
    mixer = _mamba2(c) | ({} if c.get("mamba_rms_norm", True) else {"gated_norm": False})
    layer = {"mixers": [attention(c), mixer], "mlp": dense(c["intermediate_size"])}
    return record(c, stack(c["hidden_size"], [layer] * c["num_hidden_layers"]))


@family("lfm2")
def lfm2(c: Config) -> Plain:
    """LFM2: gated short convolutions with a few attention layers."""
    size = c["intermediate_size"]
    if c.get("block_auto_adjust_ff_dim"):
        size = int(c.get("block_ffn_dim_multiplier", 1.0) * int(2 * size / 3))
        size = -(-size // c["block_multiple_of"]) * c["block_multiple_of"]
    mixers = {
        "conv": {"kind": "short_convolution", "kernel": c.get("conv_L_cache", 3)},
        "full_attention": attention(c, qk_norm="per_head"),
    }
    layers = [{"mixers": [mixers[t]], "mlp": dense(size)} for t in c["layer_types"]]
    return record(c, stack(c["hidden_size"], layers), tied=True)


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


def delta_layers(c: Config, mlp: Plain) -> list[Plain]:
    """Return the layers of Qwen3-Next and Qwen3.5: gated delta net, every fourth full attention."""
    linear = {
        "kind": "gated_delta_net",
        "key_heads": c.get("linear_num_key_heads", 16),
        "value_heads": c.get("linear_num_value_heads", 32),
        "key_head_dim": c.get("linear_key_head_dim", 128),
        "value_head_dim": c.get("linear_value_head_dim", 128),
        "conv_kernel": c.get("linear_conv_kernel_dim", 4),
        **_state_bits(c),
    }
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
