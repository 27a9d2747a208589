"""vLLM's constants that were read off start-up logs, and the rows of measurements/ they are of."""

from __future__ import annotations

from llmplan.engines.base import POOL_TESTS, Fitted
from llmplan.specs.hardware import GIB

SAMPLER_COPIES = 9.8
"""Live float32 copies of the logits at the sampler's profiling peak.
Source: 9.6-10.3 over CUDA start-up logs, engine memory rules of 2026-11 (calibrated)."""

CUDA_GRAPH_BYTES = 0.35 * GIB
"""CUDA graphs, counted inside the budget since 0.20. Source: median of the 12 positive NVIDIA
figures logged by vLLM 0.7-0.12 (0.08-1.81 GiB); servers of one sequence (0.06 GiB) left out."""

NON_TORCH_BYTES = {1: 0.16 * GIB, 2: 0.54 * GIB, 4: 0.63 * GIB}
"""Memory outside PyTorch by tp: NCCL buffers, workspaces. Wider than 4 takes the last figure.
Source: medians of 16 (11 of them on Ascend), 5 and 2 start-up logs, collected 2026-11."""

KEPT_BYTES = 0.65 * GIB
"""What the caching allocator kept beside the peak, where the profile run counts all that is not
free (0.2.5 to 0.6.4). Source: two starts of Llama-2-7B, vLLM 0.2.5 on A100 and 0.3.0 on H20
(0.75 and 0.57 GiB). Held out, the pool's error falls: Llama-3-8B on T4 from 27 % to 14 %, on
A40 from 3.6 to 1.1 %, Llama-2-70B on four A100 from 11 to 8 %."""

ROCM_LOADING_BYTES = 0.23 * GIB
"""What ROCm's "weights" are above the tensors: its figure is all memory in use, the caching
allocator's too (platforms/rocm.py get_current_memory_usage, 0.12.0). Source: Qwen3-14B on one and
two R9700 (0.21 and 0.25 GiB). Held out, Qwen3-Coder-30B there: errors fall from 4.2 and 5.1 % to
2.8 and 2.3 %."""

SECOND_RUNTIME_BYTES = {False: 0.11 * GIB, True: 0.23 * GIB}
"""Memory outside PyTorch's peak under the second model runner, its sampler's tables apart: before
Hopper, and from it on. Source: vLLM 0.29 logs of small models of text (mondegreens/apron,
2026-09-29): medians of ten starts on RTX 4090, L4, A6000 and A100 (0.05-0.15 GiB), and of three on
H100 (0.21-0.30, two of them less the embedding's copy that the compiler left)."""

GRAPH_BYTES = {False: 0.366 * 2**20, True: 0.535 * 2**20}
"""Bytes that a whole decode step's CUDA graph is reckoned at, for each layer and batch that is
captured: before Hopper, and from it on. Source: as above, medians of 13 starts of dense models
(0.33-0.39 MiB) and of three (0.39-0.69)."""

SHARED_HOST_BYTES = 2.2 * GIB
"""What the host takes during the start where CPU and GPU share one memory (GB10): the processes'
own memory and pages of the checkpoint count as memory outside PyTorch, more of it on a cold start
(NVIDIA/xr-ai pull request 462). Source: median of four starts, vLLM 0.11.0, 0.13.0 and 0.18.1
(1.4, 1.8, 2.7 and 5.5 GiB)."""


def _rows(*numbers: int) -> tuple[str, ...]:
    return tuple(f"mem-v-{n:04}" for n in numbers)


def _added(*numbers: int, letter: str = "a") -> tuple[str, ...]:
    return tuple(f"mem-v-{letter}{n:03}" for n in numbers)


FITTED_ON = (
    Fitted("SAMPLER_COPIES", POOL_TESTS, _rows(68, 594, 595, 608, 670, 671, 675, 676)),
    Fitted("CUDA_GRAPH_BYTES", (),
           _rows(52, 68, 524, 525, 528, 529, 533, 536, 537, 540, 541, 671)),
    Fitted("NON_TORCH_BYTES", POOL_TESTS,
           _rows(68, 594, 598, 671, 675, 483, 484, 485, 486, 488, 489, 490, 491, 493, 494, 495,
                 595, 602, 608, 670, 676, 544, 545)),
    Fitted("KEPT_BYTES", POOL_TESTS, _rows(568, 573)),
    Fitted("SECOND_RUNTIME_BYTES", POOL_TESTS,
           _added(1, 4, 5, 6, 7, 9, 10, 11, 14, 16, 18, 21, 23)),
    Fitted("GRAPH_BYTES", POOL_TESTS,
           _added(1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 14, 16, 17, 18, 21, 23)),
    Fitted("SHARED_HOST_BYTES", POOL_TESTS, _added(47, 48, 49, 50, letter="c")),
    Fitted("ROCM_LOADING_BYTES", ("weights", *POOL_TESTS), _rows(498, 499)),
)  # fmt: skip
"""Each constant with the rows that it was read off and the figures of theirs that it moves: graphs
none, for these versions capture them beside the budget."""
