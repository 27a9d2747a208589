"""Record the headers that llama.cpp's own converter writes for tiny models of transformers.

    python tests/peers/record_gguf.py LLAMA_CPP_FOLDER > tests/recorded/gguf_headers.json

LLAMA_CPP_FOLDER holds convert_hf_to_gguf.py (vendor/llama.cpp of the PyPI sdist llama-cpp-python);
the environment needs torch and transformers. Each record has the facts and tensors of the file,
and the parameters that transformers counts in the model it was made of.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

COMMON = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4,
    "intermediate_size": 128, "vocab_size": 256, "max_position_embeddings": 512,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
DEEPSEEK = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
    "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
}  # fmt: skip
LATENT = {
    "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
    "v_head_dim": 16, "num_key_value_heads": 4,
}  # fmt: skip
MAMBA2 = {
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 2,
    "mamba_expand": 2,
}  # fmt: skip
DELTA = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "gemma3_text": {"head_dim": 16, "sliding_window": 64, "num_hidden_layers": 7},
    "gemma3n_text": {
        "head_dim": 16, "num_kv_shared_layers": 1, "laurel_rank": 8, "sliding_window": 64,
        "hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 256,
    },
    "phi3": {},
    "gpt_neox": {"rotary_pct": 0.25},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "bloom": {"n_layer": 4, "n_head": 4},
    "cohere2": {"sliding_window": 64, "rotary_pct": 1.0, "sliding_window_pattern": 4},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": MOE | {"shared_expert_intermediate_size": 64},
    "gpt_oss": {
        "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "sliding_window": 64,
    },
    "llama4_text": {
        "num_local_experts": 4, "num_experts_per_tok": 1, "head_dim": 16,
        "intermediate_size_mlp": 128, "interleave_moe_layer_step": 2, "moe_layers": [1, 3],
    },
    "deepseek_v3": DEEPSEEK | LATENT,
    "glm4_moe": DEEPSEEK | {"head_dim": 16},
    "mamba": {"state_size": 16, "expand": 2, "intermediate_size": 128},
    "mamba2": {"state_size": 16, "expand": 2, "head_dim": 16, "num_heads": 8, "n_groups": 2},
    "jamba": {
        "num_experts": 4, "num_experts_per_tok": 2, "attn_layer_period": 2,
        "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
        "mamba_d_state": 16, "mamba_dt_rank": 8, "use_mamba_kernels": False,
    },
    "falcon_h1": MAMBA2 | {"mamba_d_ssm": 128, "head_dim": 16},
    "granitemoehybrid": MAMBA2
    | {
        "num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 64,
        "layer_types": ["mamba", "attention"] * 2,
    },
    "nemotron_h": {
        "hybrid_override_pattern": "M*-M", "mamba_num_heads": 8, "mamba_head_dim": 16,
        "ssm_state_size": 16, "n_groups": 2, "conv_kernel": 4, "head_dim": 16,
    },
    "qwen3_next": MOE | DELTA | {"shared_expert_intermediate_size": 64, "head_dim": 16},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "bert": {"num_key_value_heads": 4},
}  # fmt: skip
LEFT_OUT = {"bert": ("pooler",)}
"""Modules of transformers' model that the converter drops."""


def convert(name: str, extra: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make a tiny model, convert it, and return facts, tensors and the counted parameters."""
    import gguf
    import torch
    import transformers
    from conversion import get_model_class
    from conversion.base import ModelBase

    config = transformers.AutoConfig.for_model(name, **{**COMMON, **extra})
    auto = transformers.AutoModel if name == "bert" else transformers.AutoModelForCausalLM
    model = auto.from_config(config).to(torch.float16)
    model.save_pretrained(folder)
    vocabulary = {"vocab": {str(i): i for i in range(COMMON["vocab_size"])}}
    (folder / "tokenizer.json").write_text(json.dumps({"model": vocabulary, "added_tokens": []}))
    facts = {**ModelBase.load_hparams(folder, False), **extra}
    base = get_model_class(facts["architectures"][0])
    base.no_mtp = True
    traits = {"set_vocab": lambda self: None, "model_arch": base.model_arch}
    converter = type("Tiny", (base,), traits)
    target = folder / "tiny.gguf"
    with torch.inference_mode():
        converter(
            folder, gguf.LlamaFileType.MOSTLY_F16, target, model_name=name, hparams=facts
        ).write()
    reader = gguf.GGUFReader(target)
    dropped = LEFT_OUT.get(name, ())
    kept = [p.numel() for n, p in model.named_parameters() if not n.startswith(dropped or ("\0",))]
    plain = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    return {
        "parameters": sum(kept),
        "facts": {k: v for k, v in plain.items() if not k.startswith("tokenizer.")},
        "tensors": [
            [t.name, t.tensor_type.name, t.shape.tolist(), t.n_bytes] for t in reader.tensors
        ],
    }


def main() -> None:
    """Print one JSON object: a record a line, by model type."""
    source = Path(sys.argv[1])
    sys.path[:0] = [str(source), str(source / "gguf-py")]
    lines = []
    for name, extra in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            lines.append(f"{json.dumps(name)}: {json.dumps(convert(name, extra, Path(folder)))}")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
