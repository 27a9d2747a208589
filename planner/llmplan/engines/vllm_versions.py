"""vLLM release by release: when it came out, and what its memory policy changed.

Read from the PyPI source distributions on 2026-11-21. A row holds from its version until the next
one; it was found in that source and not in the last one read before it, so that a release between
the two may be off by one rule. Before 0.6 the rules are coarse: the kernels' own workspaces and
what the allocator kept differ by release and are not followed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from llmplan.errors import InputError
from llmplan.specs.hardware import GIB

RELEASES = """
    0.1.0 2023-06-20, 0.1.1 2023-06-22, 0.1.2 2023-07-05, 0.1.3 2023-08-02, 0.1.4 2023-08-25,
    0.1.5 2023-09-08, 0.1.6 2023-09-08, 0.1.7 2023-09-11, 0.2.0 2023-09-28, 0.2.1 2023-10-16,
    0.2.1.post1 2023-10-17, 0.2.2 2023-11-19, 0.2.3 2023-12-03, 0.2.4 2023-12-11,
    0.2.5 2023-12-14, 0.2.6 2023-12-17, 0.2.7 2024-01-04, 0.3.0 2024-01-31, 0.3.1 2024-02-17,
    0.3.2 2024-02-21, 0.3.3 2024-03-01, 0.4.0 2024-03-31, 0.4.0.post1 2024-04-03,
    0.4.1 2024-04-24, 0.4.2 2024-05-05, 0.4.3 2024-06-01, 0.5.0 2024-06-11,
    0.5.0.post1 2024-06-14, 0.5.1 2024-07-06, 0.5.2 2024-07-15, 0.5.3 2024-07-23,
    0.5.3.post1 2024-07-23, 0.5.4 2024-08-05, 0.5.5 2024-08-23, 0.6.0 2024-09-05,
    0.6.1 2024-09-11, 0.6.1.post1 2024-09-13, 0.6.1.post2 2024-09-13, 0.6.2 2024-09-25,
    0.6.3 2024-10-14, 0.6.3.post1 2024-10-17, 0.6.4 2024-11-15, 0.6.4.post1 2024-11-15,
    0.6.5 2024-12-18, 0.6.6 2024-12-27, 0.6.6.post1 2024-12-27, 0.7.0 2025-01-27,
    0.7.1 2025-02-01, 0.7.2 2025-02-06, 0.7.3 2025-02-20, 0.8.0 2025-03-18, 0.8.1 2025-03-19,
    0.8.2 2025-03-25, 0.8.3 2025-04-06, 0.8.4 2025-04-15, 0.8.5 2025-04-28,
    0.8.5.post1 2025-05-02, 0.9.0 2025-05-28, 0.9.0.1 2025-05-30, 0.9.1 2025-06-10,
    0.9.2 2025-07-08, 0.10.0 2025-07-25, 0.10.1 2025-08-19, 0.10.1.1 2025-08-20,
    0.10.2 2025-09-13, 0.11.0 2025-10-04, 0.11.1 2025-11-19, 0.11.2 2025-11-20,
    0.12.0 2025-12-03, 0.13.0 2025-12-19, 0.14.0 2026-01-20, 0.14.1 2026-01-24,
    0.15.0 2026-01-29, 0.15.1 2026-02-05, 0.16.0 2026-02-26, 0.17.0 2026-03-07,
    0.17.1 2026-03-11, 0.18.0 2026-03-20, 0.18.1 2026-03-31, 0.19.0 2026-04-03,
    0.19.1 2026-04-18, 0.20.0 2026-04-27, 0.20.1 2026-05-03, 0.20.2 2026-05-10,
    0.21.0 2026-05-15, 0.22.0 2026-05-29, 0.22.1 2026-06-05, 0.23.0 2026-06-13,
    0.24.0 2026-06-30, 0.25.0 2026-07-11, 0.25.1 2026-07-14, 0.26.0 2026-07-25,
    0.27.0 2026-08-10, 0.27.1 2026-08-11, 0.28.0 2026-08-26, 0.29.0 2026-09-09,
    0.30.0 2026-09-22, 0.31.0 2026-10-05, 0.32.0 2026-10-18, 0.33.0 2026-11-02
"""
"""Version and day of its upload to PyPI. Source: pypi.org/pypi/vllm/json, read 2026-11-21."""


class Tier(NamedTuple):
    """Batch defaults for devices of so much memory, or of these names: server and `LLM(...)`."""

    memory_bytes: int
    max_num_batched_tokens: int
    offline_batched_tokens: int
    max_num_seqs: int
    names: tuple[str, ...] = ()


class Runner(NamedTuple):
    """Which models the second model runner serves; none where all is empty.

    All (`every`), these architectures, those without experts or states (`plain`); `sixteen_bits`:
    of the architectures only what is unquantized and has no experts.
    """

    architectures: tuple[str, ...] = ()
    plain: bool = False
    every: bool = False
    sixteen_bits: bool = False


class Policy(NamedTuple):
    """What decides vLLM's memory from one version on.

    `tiers` empty is the first engine (V0), whose batch is as long as the model, or `chunk_tokens`
    (0: never cut) beyond the long-context limit. `counts_kept`: the profile takes what the caching
    allocator keeps for memory in use; `counts_reduced`: and the inputs of every all-reduce, which
    NCCL's streams held until the end of the step. `windows`: sliding layers keep the whole
    sequence (`full`), only their window where all layers have one (`alone`), or always
    (`grouped`, the hybrid manager); chunked layers only with `chunked_apart`. `latent`: MLA is
    stored as full keys and values (`expanded`), in entries of 256 bytes (`aligned`) or as it is
    (`packed`). `nested_scales`: bitsandbytes' absmax stays in 8 bits. The printed tokens
    are blocks, or concurrency x context from `tokens_at_context` on. `sorts`: the sampler sorts the
    logits of any batch, unless it `prefers_flashinfer` and that is installed. `times_kernels`: the
    compiler times the embedding's kernel in the profile run; `simulates_latent`: it holds keys and
    values of the longest cached prompt of MLA. `pads_encoded`: what an image gives is kept in a
    tensor of the whole budget; `compiles_gates`: a tower's gated activations are compiled.
    `second_runner` serves some models, whose sampler copies the logits to 32 bits while
    `copies_logits`.
    """

    since: str
    source: str
    utilization: float = 0.90
    tiers: tuple[Tier, ...] = ()
    spared: tuple[str, ...] = ()
    chunk_tokens: int = 0
    counts_runtime: bool = False
    counts_kept: bool = False
    counts_reduced: bool = False
    counts_graphs: bool = False
    windows: str = "full"
    chunked_apart: bool = False
    padding_ratio: float = 1.0
    state_pages: int = 1
    windows_in_flight: bool = False
    latent: str = "expanded"
    nested_scales: bool = True
    concurrency_by_request: bool = False
    tokens_at_context: bool = False
    sorts: bool = True
    prefers_flashinfer: bool = False
    times_kernels: bool = False
    simulates_latent: bool = False
    pads_encoded: bool = False
    compiles_gates: bool = False
    second_runner: Runner = Runner()
    copies_logits: bool = True


V0_SEQUENCES = 256
"""max_num_seqs of the first engine. Source: vLLM 0.1.0 to 0.7.3, engine/arg_utils.py."""

V0_BATCH_FLOOR = 2048
"""Tokens that the first engine batches at least. Source: vLLM 0.2.3 to 0.7.3, config.py."""

V0_LONG_CONTEXT = 32_768
"""Contexts beyond it turn chunked prefill on in the first engine.
Source: vLLM 0.5.4 to 0.6.6 engine/arg_utils.py (use_long_context)."""

SMALL = Tier(0, 2048, 8192, 256)
LARGE = Tier(70 * GIB, 8192, 16384, 1024)
LARGEST = Tier(160 * GIB, 16384, 16384, 1024)
NAMED = (Tier(0, 8192, 16384, 1024, ("h100", "h200")), Tier(0, 2048, 8192, 1024))

EXPERTS = ("DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM")
NGRAMS = ("InklingForCausalLM", "InklingForConditionalGeneration", "LongcatFlashNgramForCausalLM")
KIMI_K3, DEEPSEEK_V4 = "KimiK3ForConditionalGeneration", "DeepseekV4ForCausalLM"
"""Architectures with experts that the second runner served first (config/vllm.py)."""

CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("0.1.0", "worker.py: torch's own peak alone", {}),
    ("0.2.5", "worker.py: everything that is not free counts (pull request 2031)",
     {"counts_runtime": True, "counts_kept": True, "counts_reduced": True}),
    ("0.2.6", "worker.py: TORCH_NCCL_AVOID_RECORD_STREAMS", {"counts_reduced": False}),
    ("0.5.4", "arg_utils.py: contexts beyond 32,768 are cut", {"chunk_tokens": 512}),
    ("0.6.4", "worker.py: torch's own peak and the rest apart (pull request 9352)",
     {"counts_kept": False}),
    ("0.6.5", "config.py: chunks of 2,048", {"chunk_tokens": 2048}),
    ("0.7.1", "attention/backends: MLA", {"latent": "packed"}),
    ("0.7.2", "worker/cache_engine.py: MLA entries of 256 bytes", {"latent": "aligned"}),
    ("0.8.0", "arg_utils.py _set_default_args_v1: the second engine; MLA entries as they are",
     {"tiers": NAMED, "latent": "packed", "windows": "alone", "prefers_flashinfer": True}),
    ("0.8.5", "arg_utils.py: batch by device memory, which NVML does not tell of a GB10",
     {"tiers": (LARGE, SMALL), "spared": ("sm_121",)}),
    ("0.9.0", "arg_utils.py: A100 stays small", {"spared": ("a100", "sm_121")}),
    ("0.9.1", "v1/core/kv_cache_utils.py: concurrency = memory / bytes of a request",
     {"concurrency_by_request": True}),
    ("0.9.2", "v1/core/kv_cache_utils.py: hybrid manager, groups of the smallest kind; "
     "bitsandbytes_loader.py dequantize_dq", {"windows": "grouped", "nested_scales": False}),
    ("0.11.0", "v1/worker/gpu_model_runner.py profile_run: what images give is kept at the budget",
     {"pads_encoded": True}),
    ("0.11.1", "v1/sample/ops/topk_topp_sampler.py: FlashInfer on request",
     {"prefers_flashinfer": False}),
    ("0.11.2", "v1/attention/backends/mla/common.py: worst-case prefill in the profile run",
     {"simulates_latent": True}),
    ("0.12.0", "v1/core/kv_cache_utils.py: kinds within 1.25 are padded", {"padding_ratio": 1.25}),
    ("0.13.0", "v1/worker/gpu_model_runner.py profile_run: what images give is kept as it is",
     {"pads_encoded": False}),
    ("0.14.0", "envs.py VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE",
     {"chunked_apart": True}),
    ("0.15.0", "custom_op.py maybe_compile: gated activations of towers (pull request 32806)",
     {"compiles_gates": True}),
    ("0.17.0", "v1/sample/ops/topk_topp_triton.py: top-k and top-p without sorting",
     {"sorts": False}),
    ("0.18.0", "v1/core/kv_cache_utils.py: kinds within 1.5 are padded", {"padding_ratio": 1.5}),
    ("0.20.0", "config/cache.py; envs.py VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS",
     {"utilization": 0.92, "counts_graphs": True}),
    ("0.20.1", "v1/core/kv_cache_utils.py: tokens = concurrency x context",
     {"tokens_at_context": True}),
    ("0.22.0", "config/vllm.py DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES",
     {"second_runner": Runner(("Qwen3ForCausalLM",), sixteen_bits=True)}),
    ("0.23.0", "config/vllm.py DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES",
     {"second_runner": Runner(
         ("Qwen3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"), sixteen_bits=True)}),
    ("0.24.0", "config/vllm.py DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES",
     {"second_runner": Runner(
         ("Qwen3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", *EXPERTS))}),
    ("0.25.0", "config/vllm.py _is_default_v2_model_runner_model",
     {"second_runner": Runner(EXPERTS, plain=True)}),
    ("0.26.0", "config/vllm.py max_in_flight_tokens; config/model.py: prefix caching of hybrids",
     {"windows_in_flight": True, "state_pages": 2,
      "second_runner": Runner((*EXPERTS, *NGRAMS), plain=True)}),
    ("0.27.0", "config/vllm.py default_v2_model_runner_architectures",
     {"second_runner": Runner((*EXPERTS, *NGRAMS, KIMI_K3), plain=True)}),
    ("0.28.0", "arg_utils.py get_batch_defaults: a tier from 160 GiB on; "
     "v1/worker/gpu/sample/sampler.py needs_logits_processing",
     {"tiers": (LARGEST, LARGE, SMALL), "copies_logits": False,
      "second_runner": Runner((*EXPERTS, *NGRAMS, KIMI_K3, DEEPSEEK_V4), plain=True)}),
    ("0.29.0", "config/vllm.py use_v2_model_runner: all models; the embedding's copy is in logs of "
     "0.29 and not of 0.13, none between is known",
     {"second_runner": Runner(every=True), "times_kernels": True}),
)  # fmt: skip
"""Version, file of its source, and what it changed. State pages of a request: the running one,
and with prefix caching the last aligned one (mamba_cache_mode "align"). `spared`: parts of device
names and compute capabilities that keep the smallest tier whatever their memory."""

FLAGS_SINCE = {
    "--kv-cache-dtype": "0.3.0", "--enable-lora": "0.3.0", "--enforce-eager": "0.3.0",
    "--hf-overrides": "0.6.4", "--enable-expert-parallel": "0.8.0", "--data-parallel-size": "0.8.3",
    "--kv-cache-memory-bytes": "0.10.2", "--speculative-config": "0.8.5",
}  # fmt: skip
"""First version read whose engine/arg_utils.py has the flag."""

METHODS_SINCE = {"eagle": "0.8.5", "eagle3": "0.9.2", "mtp": "0.11.2", "draft_model": "0.15.1"}
"""First version read whose second engine drafts so: v1/worker/gpu_model_runner.py and
v1/spec_decode/. Before, MTP had a name for each model, and draft models the first engine alone."""

SERVE_SINCE = "0.5.4"
"""First version read with the `vllm serve` command; before it the module is run by its name."""

ROPE_PARAMETERS_SINCE = "0.11.1"
"""First version read without --rope-scaling: RoPE is overridden as `rope_parameters`."""

GGUF_VERSIONS = ("0.5.5", "0.23.0")
"""First and last version read that load GGUF files (quantization/gguf.py)."""

V0_CAPABILITY, V0_LAST = 7.0, "0.9.2"
"""Lowest CUDA capability of 16-bit weights up to a version, of those read.
Source: CUDA_SUPPORTED_ARCHS in CMakeLists.txt of vLLM 0.4.2 to 0.9.2."""

MAX_KEPT = 256
"""Version strings whose reading is kept."""
_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[.+a-z][\w.+-]{0,60})?")


def releases() -> tuple[tuple[str, str], ...]:
    """Return each release with its day, oldest first."""
    pairs = (entry.split() for entry in RELEASES.split(","))
    return tuple((version, day) for version, day in pairs)


@lru_cache(MAX_KEPT)
def number(version: str) -> tuple[int, int, int]:
    """Return the release that a version string belongs to, builds on the way to it included.

    Raises InputError for what is no version.

    >>> number("0.9.1.dev287+g89b1388d8"), number("v0.5.0.post1")
    ((0, 9, 1), (0, 5, 0))
    """
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        raise InputError(f"{version[:40]!r} is not a version of vllm.", "Give one like 0.12.0.")
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def at_least(version: str, since: str) -> bool:
    """Return whether a version is `since` or newer."""
    return number(version) >= number(since)


@lru_cache(MAX_KEPT)
def policy_of(version: str) -> Policy:
    """Return the memory policy of a version: all changes up to it.

    >>> policy_of("0.19.1").utilization, policy_of("0.20.0").utilization
    (0.9, 0.92)
    """
    first, source, _ = CHANGES[0]
    policy = Policy(first, source)
    for since, where, changed in CHANGES:
        if at_least(version, since):
            policy = policy._replace(since=since, source=where, **changed)
    return policy


def version_on(date: str) -> str:
    """Return the newest release on a day (YYYY-MM-DD): what a log without a version ran at most.

    >>> version_on("2023-12-12"), version_on("2025-02-11")
    ('0.2.4', '0.7.2')
    """
    known = releases()
    out = [version for version, day in known if day <= date]
    return out[-1] if out else known[0][0]
