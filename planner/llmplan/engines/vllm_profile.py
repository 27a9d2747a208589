"""What vLLM subtracts for its run: the profile run's peak, CUDA graphs, and what else is taken.

The peak is the largest of four moments: the sampler, the forward pass, the compiler that times a
kernel, and the encoder's images. The second model runner (0.22 on, by architecture) has another
sampler, which keeps tables of every request. The shapes of all tensors are in vLLM's source; which
of them live at once was read off an allocator's history of two starts on H100 (vLLM 0.29 and 0.30,
mondegreens/apron docs/traces, 2026-09-28).
"""

from __future__ import annotations

from llmplan.engines import vllm_images
from llmplan.engines.base import Overheads, Request
from llmplan.engines.vllm_measured import (
    CUDA_GRAPH_BYTES,
    GRAPH_BYTES,
    KEPT_BYTES,
    NON_TORCH_BYTES,
    ROCM_LOADING_BYTES,
    SAMPLER_COPIES,
    SECOND_RUNTIME_BYTES,
    SHARED_HOST_BYTES,
)
from llmplan.engines.vllm_versions import Policy
from llmplan.memory.activations import (
    all_reduce_inputs_bytes,
    compilation_peak_bytes,
    expert_workspace_elements,
    forward_peak_bytes,
    sampler_peak_bytes,
    sampler_state_bytes,
)
from llmplan.memory.tensor import rank_units
from llmplan.specs.hardware import GIB
from llmplan.specs.mixers import Attention, LatentAttention
from llmplan.specs.model import Block, Mlp, MoE
from llmplan.specs.setup import Term

ELEMENT_BYTES = 2
"""Bytes of an activation: 16 bits."""

HOPPER = 9.0
"""CUDA capability from which the second runner's constants are those of H100."""

LATENT_TOKENS = 64 * 1024
LATENT_BLOCK_TOKENS = 16
"""Most tokens of a cached prompt that the profile run of MLA holds keys and values of, and the
block of its least: 8 x max_model_len or 4 blocks for each sequence, if that is less.
Source: vLLM 0.11.2 v1/attention/backends/mla/common.py (chunked prefill workspace)."""

MXFP4_TILES, MXFP4_TILES_ROCM = (128, 256), (256, 256)
"""Elements that experts' intermediate and hidden width are padded to in MXFP4: Marlin (before and
after Hopper) and TRT-LLM's kernels; Hopper's Triton kernel takes 64 of the first.
Source: vLLM 0.32.0 layers/fused_moe/oracle/mxfp4.py; gpt-oss-20b on RTX 4090 logs 13.80 GiB of
weights where the tensors take 12.82 (mem-v-a020)."""

UNSORTED_COPIES, UNSORTED_SEQUENCES = 3.5, 8
"""Copies of 32-bit logits where the sampler does not sort (16-bit logits, their copy in 32 bits,
the probabilities, and as many random numbers, or with FlashInfer the masked logits), and the
sequences from which it does not. Source: vLLM 0.17.0 v1/sample/ops/topk_topp_sampler.py; the
kernel's own buffer, vocabulary x 4 B for each multiprocessor, is left out."""

LARGEST_GRAPH, LARGEST_GRAPH_SM100 = 512, 1024
"""Largest batch that is captured. Source: vLLM 0.29.0 config/vllm.py."""


def is_second(request: Request, policy: Policy) -> bool:
    """Return whether the second model runner serves the model in this version."""
    runner, model = policy.second_runner, request.model
    blocks = model.main.blocks.values()
    experts = any(isinstance(block.mlp, MoE) for block in blocks)
    if runner.every:
        return True
    if model.architecture in runner.architectures:
        quantized = request.weights.bits < 16
        return not (runner.sixteen_bits and (experts or quantized))
    stateless = all(
        isinstance(mixer, Attention | LatentAttention) for block in blocks for mixer in block.mixers
    )
    return runner.plain and stateless and not experts


def moments(request: Request, policy: Policy, batched: int, seqs: int) -> dict[str, float]:
    """Return the peak of each moment of the profile run by its name [bytes]."""
    peak, kept = 0.0, 0.0
    if encodes(request, policy):
        peak, kept = vllm_images.encoder_bytes(request, batched, seqs)
    return {
        "sampler": _sampler(request, policy, batched, seqs) + kept,
        "forward pass": _forward(request, policy, batched, seqs) + kept,
        "compiler": _compiler(request, policy, batched),
        "images": peak,
    }


def overheads(request: Request, policy: Policy, batched: int, seqs: int) -> Overheads:
    """Return what the profile run makes vLLM subtract, beside the weights [bytes]."""
    tp = request.parallel.tp
    held = KEPT_BYTES if policy.counts_kept else 0.0
    if policy.counts_reduced and tp > 1:
        main = request.model.main
        held += all_reduce_inputs_bytes(
            layers=len(main.layers), tokens=batched, hidden_size=main.hidden_size
        )
    peak = max(moments(request, policy, batched, seqs).values())
    graphs = 0.0
    if policy.counts_graphs and captures(request):
        graphs = CUDA_GRAPH_BYTES
        if is_second(request, policy):
            graphs = float(GRAPH_BYTES[_is_hopper(request)] * _layer_graphs(request, seqs))
    runtime = _runtime(request, policy, batched, seqs) if policy.counts_runtime else 0.0
    return Overheads(peak + held, graphs, runtime)


def _sampler(request: Request, policy: Policy, batched: int, seqs: int) -> float:
    model, tp = request.model, request.parallel.tp
    if not model.head:
        return 0.0
    if not is_second(request, policy):
        return float(
            sampler_peak_bytes(
                sequences=seqs, vocab_size=model.vocab_size, copies=_copies(request, policy, seqs)
            )
        )  # fmt: skip
    logits = min(batched, seqs) * model.vocab_size * ELEMENT_BYTES
    whole = 1 if tp == 1 else 2 + 1 / tp  # gathered, made contiguous, and the rank's own
    copied = 2 if policy.copies_logits else 0  # in 32 bits
    return logits * (whole + copied) + batched * model.main.hidden_size * ELEMENT_BYTES


def _copies(request: Request, policy: Policy, seqs: int) -> float:
    """Return the copies of 32-bit logits that the first runner's sampler has at once."""
    if policy.prefers_flashinfer and request.limits.flashinfer:
        return UNSORTED_COPIES
    sorts = policy.sorts or seqs < UNSORTED_SEQUENCES
    return SAMPLER_COPIES if sorts else UNSORTED_COPIES


def _forward(request: Request, policy: Policy, batched: int, seqs: int) -> float:
    main, tp = request.model.main, request.parallel.tp
    latent = [
        mixer for block in main.blocks.values() for mixer in block.mixers
        if isinstance(mixer, LatentAttention)
    ]  # fmt: skip
    simulated = 0
    if latent and policy.simulates_latent:
        floor = 4 * seqs * LATENT_BLOCK_TOKENS
        tokens = min(max(8 * request.context_tokens, floor), LATENT_TOKENS)
        heads = max(
            rank_units(units=m.heads, tp=tp) * (m.qk_nope_head_dim + m.v_head_dim) for m in latent
        )
        simulated = tokens * heads * ELEMENT_BYTES
    peaks = [
        forward_peak_bytes(
            tokens=batched, hidden_size=main.hidden_size, attention_width=_attention(block, tp),
            ffn_width=_feed_forward(block.mlp, main.hidden_size, request),
            element_bytes=ELEMENT_BYTES,
        )
        for block in main.blocks.values()
    ]  # fmt: skip
    return float(simulated + max(peaks))


def _attention(block: Block, tp: int) -> int:
    """Return the widest attention output of a block, with MLA's queries [elements]."""
    widths = [0]
    for mixer in block.mixers:
        if isinstance(mixer, Attention):
            widths.append(
                rank_units(units=mixer.heads, tp=tp) * (mixer.v_head_dim or mixer.head_dim)
            )
        elif isinstance(mixer, LatentAttention):
            query = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
            widths.append(rank_units(units=mixer.heads, tp=tp) * (query + mixer.v_head_dim))
    return max(widths)


def _feed_forward(mlp: Mlp | MoE | None, hidden: int, request: Request) -> int:
    """Return the elements a token that the feed-forward part holds on a rank."""
    tp, whole = request.parallel.tp, request.parallel.ep > 1
    if isinstance(mlp, MoE):
        width = mlp.intermediate_size
        width = width if whole else rank_units(units=width, tp=tp)
        workspace = expert_workspace_elements(
            hidden_size=mlp.latent_size or hidden, intermediate_size=width,
            first_width=width * (2 if mlp.gated else 1), experts=mlp.experts_per_token,
        )  # fmt: skip
        return workspace + 3 * rank_units(units=mlp.shared_experts_size, tp=tp)
    if mlp is None:
        return 0
    return (3 if mlp.gated else 2) * rank_units(units=mlp.intermediate_size, tp=tp)


def _compiler(request: Request, policy: Policy, batched: int) -> float:
    if not _times_embedding(request, policy):
        return 0.0
    model = request.model
    return float(
        compilation_peak_bytes(
            vocab_size=model.vocab_size, hidden_size=model.main.hidden_size, tokens=batched,
            element_bytes=ELEMENT_BYTES,
        )
    )  # fmt: skip


def _times_embedding(request: Request, policy: Policy) -> bool:
    """Return whether the embedding is in the compiled graph: of text alone, on one rank."""
    eager = request.limits.enforce_eager or request.model.vision is not None
    return policy.times_kernels and request.parallel.tp == 1 and not eager


def _runtime(request: Request, policy: Policy, batched: int, seqs: int) -> float:
    """Return what is taken beside PyTorch's peak, and between weights and profile run [bytes]."""
    model, tp = request.model, request.parallel.tp
    taken = loading_bytes(request) + _host_bytes(request)
    if not is_second(request, policy):
        return taken + NON_TORCH_BYTES[max(n for n in NON_TORCH_BYTES if n <= tp)]
    taken += SECOND_RUNTIME_BYTES[_is_hopper(request)]
    if model.head:
        taken += sampler_state_bytes(sequences=seqs, vocab_size=model.vocab_size)
    if encodes(request, policy):
        taken += batched * model.main.hidden_size * ELEMENT_BYTES
    if _times_embedding(request, policy) and _has_experts(request):
        # The experts' workspace outlives the run, in the block that the compiler gave back: the
        # allocator cannot return it. So in all logged starts of five such models.
        taken += model.vocab_size * model.main.hidden_size * ELEMENT_BYTES
    return taken


def _host_bytes(request: Request) -> float:
    """Return what the host takes of a memory that it shares with an NVIDIA GPU [bytes]."""
    gpu = request.gpu
    return SHARED_HOST_BYTES if gpu.unified_memory and gpu.cuda_capability else 0.0


def _has_experts(request: Request) -> bool:
    return any(isinstance(block.mlp, MoE) for block in request.model.main.blocks.values())


def _layer_graphs(request: Request, seqs: int) -> int:
    """Return layers x captured decode batches: vLLM takes two and reckons the others like them."""
    return len(request.model.main.layers) * len(captured_batches(request, seqs))


def captured_batches(request: Request, seqs: int) -> list[int]:
    """Return the batches that whole decode steps are captured for [sequences]."""
    largest = LARGEST_GRAPH
    if int(request.gpu.cuda_capability or 0) == 10:
        largest = LARGEST_GRAPH_SM100
    ceiling = min(2 * seqs, largest)
    sizes = [1, 2, 4, *range(8, min(ceiling + 1, 256), 8), *range(256, ceiling + 1, 16)]
    return [n for n in sizes if n <= min(seqs, ceiling)]


def _is_hopper(request: Request) -> bool:
    capability = request.gpu.cuda_capability
    return capability is None or capability >= HOPPER


def loading_bytes(request: Request) -> float:
    """Return what this platform's "weights" are above the tensors [bytes]."""
    measured = ROCM_LOADING_BYTES if request.gpu.vendor == "amd" else 0.0
    return measured + _padding_bytes(request)


def _padding_bytes(request: Request) -> float:
    """Return what the kernels of MXFP4 experts add to fill their tiles [bytes]."""
    fmt, p = request.weights, request.parallel
    capability = request.gpu.cuda_capability
    if not fmt.name.startswith("mxfp4") or (capability and int(capability) == int(HOPPER)):
        return 0.0
    inner, outer = MXFP4_TILES if request.gpu.vendor == "nvidia" else MXFP4_TILES_ROCM
    bits = fmt.bits + fmt.group_bits / (fmt.group_size or 1)
    main, added = request.model.main, 0.0
    for name in main.layers:
        mlp = main.blocks[name].mlp
        if isinstance(mlp, MoE):
            width = (
                mlp.intermediate_size
                if p.ep > 1
                else rank_units(units=mlp.intermediate_size, tp=p.tp)
            )
            hidden = mlp.latent_size or main.hidden_size
            padded = -(-width // inner) * inner * -(-hidden // outer) * outer
            matrices = (3 if mlp.gated else 2) * rank_units(units=mlp.experts, tp=p.ep or 1)
            added += matrices * (padded - width * hidden) * bits / 8
    return added / p.pp


def captures(request: Request) -> bool:
    """Return whether the profile run measures graphs: not on ROCm or XPU, nor when eager."""
    return request.gpu.vendor == "nvidia" and not request.limits.enforce_eager


def encodes(request: Request, policy: Policy) -> bool:
    """Return whether the profile run encodes the largest image: the second engine's does."""
    return request.model.vision is not None and bool(policy.tiers)


def terms(
    request: Request, policy: Policy, parts: Overheads, share: float, limits: tuple[int, int]
) -> tuple[Term, ...]:
    """Return the budget and what is subtracted, each with its basis."""
    observed = "exact" if request.gpu.usable_memory_observed else "assumed"
    measured = "calibrated" if request.gpu.vendor == "nvidia" else "transferred"
    budget = ("usable memory", request.device_bytes)
    if request.limits.kv_cache_memory_bytes is None:
        budget = (f"usable memory x {share}", round(request.device_bytes * share))
    return (
        Term("budget", budget[1], budget[0], observed,
             f"vLLM {request.version}, rules since {policy.since}: {policy.source}"),
        _peak_term(request, policy, parts, limits, measured),
        _graph_term(request, policy, parts, limits[1], measured),
        _runtime_term(request, policy, parts, limits[1], measured),
    )  # fmt: skip


def _peak_term(
    request: Request, policy: Policy, parts: Overheads, limits: tuple[int, int], measured: str
) -> Term:
    batched, seqs = limits
    found = moments(request, policy, batched, seqs)
    largest = max(found, key=lambda name: found[name])
    second = is_second(request, policy)
    text = {
        "sampler": f"sampler: {seqs} x vocabulary x 2 B and copies"
        if second
        else f"sampler: {_copies(request, policy, seqs)} x {seqs} x vocabulary x 4 B",
        "forward pass": f"forward pass of {batched} tokens: feed-forward, attention and hidden "
        "states x 2 B",
        "compiler": "the compiler times the embedding's kernel on a copy (not where it is cached)",
        "images": "images",
    }[largest]
    images = encodes(request, policy)
    if images:
        text += vllm_images.in_words(request, batched, seqs)
    return Term(
        "activation peak", parts.activation_peak, text, "assumed" if images else measured,
        "vLLM start-up logs, engine memory rules of 2026-11, allocator history of 2026-09",
    )  # fmt: skip


def _graph_term(
    request: Request, policy: Policy, parts: Overheads, seqs: int, measured: str
) -> Term:
    if not policy.counts_graphs:
        source = "envs.py VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, off before 0.20.0"
        text = "captured beside the budget before 0.20: not counted"
        return Term("CUDA graphs", parts.cuda_graph, text, "exact", source)
    if not captures(request):
        return Term("CUDA graphs", parts.cuda_graph, "not profiled: eager, or no NVIDIA device",
                    "exact", "engine memory rules of 2026-11: skipped on ROCm and XPU")  # fmt: skip
    if is_second(request, policy):
        text = f"{len(captured_batches(request, seqs))} batches x layers x a graph's share"
        return Term("CUDA graphs", parts.cuda_graph, text, measured,
                    "medians of 13 and 3 start-up logs, vLLM 0.29")  # fmt: skip
    return Term("CUDA graphs", parts.cuda_graph, "median of logged sizes", measured,
                "12 NVIDIA start-up logs, vLLM 0.7-0.12")  # fmt: skip


def _runtime_term(
    request: Request, policy: Policy, parts: Overheads, seqs: int, measured: str
) -> Term:
    tp, padded = request.parallel.tp, _padding_bytes(request)
    padding = f"; MXFP4 experts padded by {padded / GIB:.2f} GiB" if padded else ""
    if policy.counts_runtime and is_second(request, policy):
        return Term(
            "runtime", parts.runtime,
            f"sampler tables of {seqs} sequences, and the rest{padding}", measured,
            "tables: vLLM's source; rest: medians of 10 and 3 start-up logs",
        )  # fmt: skip
    return Term("runtime", parts.runtime, f"memory outside PyTorch at tp {tp}{padding}",
                measured if tp <= max(NON_TORCH_BYTES) else "assumed",
                "medians of 16, 5 and 2 start-up logs for tp 1, 2, 4")  # fmt: skip
