"""Start a real vLLM on the CPU with dummy weights and print its KV capacity as one JSON line.

Run by test_vllm_cpu.py, one process a model: python vllm_capacity.py FOLDER MAX_MODEL_LEN GIB
[SPECULATIVE_CONFIG]
"""

from __future__ import annotations

import json
import os
import sys


def main(folder: str, max_model_len: int, kv_gib: int, speculative: str = "null") -> None:
    """Print blocks, block size, type of states and version of an engine started on `folder`."""
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(kv_gib)
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    import vllm

    engine = vllm.LLM(
        model=folder, skip_tokenizer_init=True, load_format="dummy", dtype="bfloat16",
        max_model_len=max_model_len, max_num_seqs=8, max_num_batched_tokens=2048,
        enforce_eager=True, speculative_config=json.loads(speculative),
    )  # fmt: skip
    cache = engine.llm_engine.vllm_config.cache_config
    found = {
        "version": vllm.__version__,
        "blocks": cache.num_gpu_blocks,
        "block_size": cache.block_size,
        # "auto" is the model's type, but 32 bits with AVX512-BF16 (vllm/platforms/cpu.py, 0.32.0)
        "state_dtype": cache.mamba_ssm_cache_dtype,
    }
    print("CAPACITY " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
