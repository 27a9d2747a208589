"""Small GGUF files of several architectures, all zeros, and the buffers that llama.cpp logs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

VOCABULARY = 1024
HIDDEN = 512

LOADER = """
import sys, llama_cpp as lib
path, context, batch, flash, kv, slots = sys.argv[1:]
m = lib.llama_model_default_params()
m.use_extra_bufts = False  # no repacking, so that the model buffer is the file's
c = lib.llama_context_default_params()
c.n_ctx, c.n_batch, c.n_ubatch, c.n_seq_max = int(context), 2048, int(batch), int(slots)
c.flash_attn_type, c.swa_full = int(flash), False
c.type_k = c.type_v = {"fp16": 1, "q8_0": 8}[kv]
lib.llama_init_from_model(lib.llama_model_load_from_file(path.encode(), m), c)
"""


class Writer:
    """One file: tensors are added by name and shape; vectors, norms and states are float32."""

    def __init__(self, path: Path, arch: str, layers: int) -> None:
        import gguf

        self.file = gguf.GGUFWriter(path, arch)
        self.file.add_block_count(layers)
        self.file.add_context_length(32768)
        self.file.add_embedding_length(HIDDEN)
        self.file.add_vocab_size(VOCABULARY)
        self.file.add_tokenizer_model("no_vocab")
        self.file.add_layer_norm_rms_eps(1e-6)
        self.tensor("token_embd.weight", VOCABULARY, HIDDEN)
        self.tensor("output_norm.weight", HIDDEN)

    def tensor(self, name: str, *shape: int) -> None:
        import numpy as np

        matrix = len(shape) > 1 and not re.search("norm|ssm_(conv|a|d)|gate_inp", name)
        self.file.add_tensor(name, np.zeros(shape, np.float16 if matrix else np.float32))

    def close(self) -> None:
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def dense(path: Path, arch: str, *, layers: int = 4, heads: int = 8, kv_heads: int = 2,
          head_dim: int = 64, ffn: int = 1536, qk_norm: bool = False, bias: bool = False,
          window: int = 0) -> None:  # fmt: skip
    w = Writer(path, arch, layers)
    attention_facts(w, heads, kv_heads, head_dim)
    w.file.add_feed_forward_length(ffn)
    if window:
        w.file.add_sliding_window(window)
    else:
        w.tensor("output.weight", VOCABULARY, HIDDEN)
    for i in range(layers):
        attention(w, i, heads, kv_heads, head_dim, qk_norm=qk_norm, bias=bias)
        feed_forward(w, i, ffn)
        if window:
            w.tensor(f"blk.{i}.post_attention_norm.weight", HIDDEN)
            w.tensor(f"blk.{i}.post_ffw_norm.weight", HIDDEN)
    w.close()


def attention_facts(w: Writer, heads: int, kv_heads: int, head_dim: int) -> None:
    w.file.add_head_count(heads)
    w.file.add_head_count_kv(kv_heads)
    w.file.add_key_length(head_dim)
    w.file.add_value_length(head_dim)
    w.file.add_rope_freq_base(10000.0)


def attention(w: Writer, i: int, heads: int, kv_heads: int, head_dim: int, *,
              qk_norm: bool = False, bias: bool = False) -> None:  # fmt: skip
    w.tensor(f"blk.{i}.attn_norm.weight", HIDDEN)
    for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
        w.tensor(f"blk.{i}.attn_{name}.weight", count * head_dim, HIDDEN)
        if bias:
            w.tensor(f"blk.{i}.attn_{name}.bias", count * head_dim)
        if qk_norm and name != "v":
            w.tensor(f"blk.{i}.attn_{name}_norm.weight", head_dim)
    w.tensor(f"blk.{i}.attn_output.weight", HIDDEN, heads * head_dim)


def feed_forward(w: Writer, i: int, ffn: int) -> None:
    w.tensor(f"blk.{i}.ffn_norm.weight", HIDDEN)
    w.tensor(f"blk.{i}.ffn_gate.weight", ffn, HIDDEN)
    w.tensor(f"blk.{i}.ffn_up.weight", ffn, HIDDEN)
    w.tensor(f"blk.{i}.ffn_down.weight", HIDDEN, ffn)


def experts(path: Path, *, ffn: int = 1024, count: int = 8, used: int = 6) -> None:
    w = Writer(path, "qwen3moe", 4)
    attention_facts(w, 8, 2, 64)
    w.file.add_feed_forward_length(ffn)
    w.file.add_expert_feed_forward_length(ffn)
    w.file.add_expert_count(count)
    w.file.add_expert_used_count(used)
    w.tensor("output.weight", VOCABULARY, HIDDEN)
    for i in range(4):
        attention(w, i, 8, 2, 64, qk_norm=True)
        w.tensor(f"blk.{i}.ffn_norm.weight", HIDDEN)
        w.tensor(f"blk.{i}.ffn_gate_inp.weight", count, HIDDEN)
        w.tensor(f"blk.{i}.ffn_gate_exps.weight", count, ffn, HIDDEN)
        w.tensor(f"blk.{i}.ffn_up_exps.weight", count, ffn, HIDDEN)
        w.tensor(f"blk.{i}.ffn_down_exps.weight", count, HIDDEN, ffn)
    w.close()


def latent(path: Path) -> None:
    heads, lora, rope, nope, value, q_lora = 8, 256, 64, 64, 64, 128
    w = Writer(path, "deepseek2", 3)
    attention_facts(w, heads, 1, lora + rope)
    f: Any = w.file
    f.add_value_length(lora)
    for name, number in (
        ("feed_forward_length", 1024), ("leading_dense_block_count", 3), ("q_lora_rank", q_lora),
        ("kv_lora_rank", lora), ("key_length_mla", nope + rope), ("value_length_mla", value),
        ("rope_dimension_count", rope), ("expert_feed_forward_length", 256), ("expert_count", 8),
        ("expert_used_count", 2), ("expert_shared_count", 1),
    ):  # fmt: skip
        getattr(f, f"add_{name}")(number)
    w.tensor("output.weight", VOCABULARY, HIDDEN)
    for i in range(3):
        b = f"blk.{i}."
        for name, shape in (
            ("attn_norm", (HIDDEN,)), ("attn_q_a_norm", (q_lora,)), ("attn_kv_a_norm", (lora,)),
            ("attn_q_a", (q_lora, HIDDEN)), ("attn_q_b", (heads * (nope + rope), q_lora)),
            ("attn_kv_a_mqa", (lora + rope, HIDDEN)), ("attn_k_b", (heads, lora, nope)),
            ("attn_v_b", (heads, value, lora)), ("attn_output", (HIDDEN, heads * value)),
        ):  # fmt: skip
            w.tensor(f"{b}{name}.weight", *shape)
        feed_forward(w, i, 1024)
    w.close()


def states(path: Path) -> None:
    inner, state, heads, conv = 1024, 64, 16, 4
    w = Writer(path, "mamba2", 4)
    f: Any = w.file
    for name, number in (
        ("feed_forward_length", 0), ("head_count", 0), ("ssm_conv_kernel", conv),
        ("ssm_inner_size", inner), ("ssm_state_size", state), ("ssm_time_step_rank", heads),
        ("ssm_group_count", 1),
    ):  # fmt: skip
        getattr(f, f"add_{name}")(number)
    w.tensor("output.weight", VOCABULARY, HIDDEN)
    channels = inner + 2 * state
    for i in range(4):
        for name, shape in (
            ("attn_norm.weight", (HIDDEN,)), ("ssm_in.weight", (inner + channels + heads, HIDDEN)),
            ("ssm_conv1d.weight", (channels, conv)), ("ssm_conv1d.bias", (channels,)),
            ("ssm_dt.bias", (heads,)), ("ssm_a", (heads, 1)), ("ssm_d", (heads, 1)),
            ("ssm_norm.weight", (1, inner)), ("ssm_out.weight", (HIDDEN, inner)),
        ):  # fmt: skip
            w.tensor(f"blk.{i}.{name}", *shape)
    w.close()


FILES = {
    "llama": lambda p: dense(p, "llama"),
    "llama-mha": lambda p: dense(p, "llama", kv_heads=8),
    "llama-wide": lambda p: dense(p, "llama", ffn=8192),
    "qwen2": lambda p: dense(p, "qwen2", bias=True),
    "qwen3": lambda p: dense(p, "qwen3", qk_norm=True, head_dim=128),
    "gemma3": lambda p: dense(p, "gemma3", layers=7, qk_norm=True, head_dim=128, window=512),
    "qwen3moe": experts,
    "deepseek2": latent,
    "mamba2": states,
}


def logged(path: Path, *, context: int, batch: int, flash: bool, kv: str, slots: int) -> str:
    """Return what llama.cpp prints while it loads a file and makes a context."""
    settings = (context, batch, int(flash), kv, slots)
    words = [sys.executable, "-c", LOADER, str(path), *map(str, settings)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


def mib(log: str, buffer: str) -> float:
    """Return the sum of the buffers of a kind [MiB]."""
    found = re.findall(rf"\S+ +{buffer} buffer size = +([0-9.]+) MiB", log)
    return sum(float(x) for x in found)
