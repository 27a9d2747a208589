"""Small Hugging Face checkpoints that tests write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LLAMA: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 96, "vocab_size": 320, "max_position_embeddings": 4096,
    "tie_word_embeddings": False, "torch_dtype": "float16",
}  # fmt: skip


def llama_shapes(*, head: bool = True) -> dict[str, tuple[int, ...]]:
    """Return the checkpoint's tensors as transformers names them."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (320, 64), "model.norm.weight": (64,),
    }  # fmt: skip
    if head:
        shapes["lm_head.weight"] = (320, 64)
    parts = {
        "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64),
        "self_attn.o_proj": (64, 64), "mlp.gate_proj": (96, 64), "mlp.up_proj": (96, 64),
        "mlp.down_proj": (64, 96), "input_layernorm": (64,), "post_attention_layernorm": (64,),
    }  # fmt: skip
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.{n}.weight": s for n, s in parts.items()}
    return shapes


def half(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray[Any, Any]]:
    return {n: np.zeros(s, np.float16) for n, s in shapes.items()}


def folder(path: Path, config: dict[str, Any], tensors: dict[str, Any]) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, path / "model.safetensors")
    return path


def shards(path: Path, tensors: dict[str, Any]) -> Path:
    """Write three shards and their index, as transformers does."""
    path.mkdir(exist_ok=True)
    names = sorted(tensors)
    listed = {}
    for i in range(3):
        file = f"model-{i + 1:05}-of-00003.safetensors"
        save_file({n: tensors[n] for n in names[i::3]}, path / file)
        listed |= dict.fromkeys(names[i::3], file)
    total = sum(t.nbytes for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": listed}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "config.json").write_text(json.dumps(LLAMA))
    return path
