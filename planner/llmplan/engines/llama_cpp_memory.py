"""llama.cpp's buffers: which layers stand where, what each slot caches, the compute buffer."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from llmplan.engines.base import Fitted, Request, Stage
from llmplan.engines.llama_cpp_versions import Rules
from llmplan.memory import gguf_buffers as buffers
from llmplan.memory.gguf import expert_matrices
from llmplan.memory.kv_cache import CachedLayers, cached_layers, layer_token_bytes, request_bytes
from llmplan.memory.memo import remembered
from llmplan.memory.mixers import Cache, mixer_tensors
from llmplan.memory.weights import WeightBytes, weight_bytes
from llmplan.specs.mixers import Attention, LatentAttention, Mixer
from llmplan.specs.model import Block, Mlp, Model, MoE

MICRO_BATCH = 512
"""Tokens of one micro-batch by default (-ub). Source: llama.cpp common.h at 0c1e57098."""

STATE_BYTES = 4
"""Bytes of a recurrent or convolution state element. Source: llama-memory-recurrent.cpp (F32)."""

PIPELINE_COPIES = 4
"""Copies of a graph's inputs where several devices work in turn (GGML_SCHED_MAX_COPIES).
Source: ggml CMakeLists.txt at 0c1e57098; the log of Llama-3-70B on two devices has 1,216 MiB."""

PIPELINE_VENDORS = ("nvidia", "amd", "mthreads")
"""Vendors whose backend has the events that the copies need. Source: ggml-cuda.cu at 0c1e57098."""

OFFLOADING_VENDORS = ("nvidia", "amd", "mthreads", "intel", "huawei")
"""Vendors whose backend copies host layers over for a large batch (op_offload).
Source: offload_op of ggml-cuda, ggml-sycl, ggml-vulkan and ggml-cann at 0c1e57098."""


FITTED_ON = (
    Fitted(
        "HIDDEN_COPIES",
        ("gguf_compute_buffer",),
        tuple(f"mem-l-{n:04}" for n in (116, 121, 128, 133, 146, 148, 153, 154, 164, 198, 398, 399,
                                        400)),
    ),
)  # fmt: skip
"""The hidden states of the graph (memory/gguf_buffers.py) were read off Llama and Qwen logs."""

RECURRENT_COPIES = 3
"""Copies of a recurrent mixer's projections that are alive, beside one hidden state.
Source: a made-up Mamba-2 in llama.cpp at 0c1e57098 (tests/peers); other kinds are assumed alike."""


class Placement(NamedTuple):
    """Layers of each device in turn; those before them, and perhaps the output, on the host."""

    devices: tuple[range, ...]
    host: range
    output_on_device: bool
    expert_layers_on_host: int

    @property
    def whole(self) -> bool:
        """Whether nothing but the token embedding stays on the host."""
        return not self.host and self.output_on_device and not self.expert_layers_on_host


def place(request: Request, rules: Rules) -> Placement:
    """Return where the layers go: the last `n_gpu_layers` of them, the output counting as one.

    Source: llama.cpp src/llama-model.cpp load_tensors at 0c1e57098 (upper bound over shares).
    """
    layers = len(request.model.main.layers)
    asked, pp = request.limits.n_gpu_layers, request.parallel.pp
    moved = layers + 1 if asked is None else min(asked, layers + 1)
    start = max(layers - moved + (1 if rules.output_first else 0), 0)
    start = min(start, layers)
    counts = device_layers(layers - start, pp, slots=max(moved, 1))
    devices, at = [], start
    for count in counts:
        devices.append(range(at, at + count))
        at += count
    output = moved > 0 if rules.output_first else moved > layers
    experts = min(request.limits.n_cpu_moe or 0, layers)
    return Placement(tuple(devices), range(start), output, experts)


def device_layers(layers: int, devices: int, *, slots: int | None = None) -> list[int]:
    """Return the layers of each of several equal devices; the output counts as one more.

    The log of Llama-3-70B on two devices has 41 and 39 layers.

    >>> device_layers(80, 2), device_layers(32, 4)
    ([41, 39], [9, 8, 8, 7])
    """
    counts = [0] * devices
    for layer in range(layers):
        counts[layer * devices // (slots or layers + 1)] += 1
    return counts


def micro_batch(request: Request) -> int:
    """Return the tokens of a micro-batch: -ub, at most the context [tokens]."""
    return min(request.limits.max_num_batched_tokens or MICRO_BATCH, request.context_tokens)


def flash(request: Request, rules: Rules) -> bool:
    """Return whether flash attention is on: as asked, else by the build's default."""
    asked = request.limits.flash_attention
    return rules.flash if asked is None else asked


def padded_cells(tokens: int, padding: int) -> int:
    """Return the KV cells of a slot: the context rounded up.

    >>> padded_cells(1000, 256)
    1024
    """
    return ceil(tokens / padding) * padding


def kept_cells(cache: Cache, tokens: int, request: Request, rules: Rules) -> int:
    """Return the cells that a slot keeps in a layer: its window and a micro-batch, or all."""
    padding = rules.flash_padding if flash(request, rules) else rules.padding
    cells = padded_cells(tokens, padding)
    if not cache.limit or not rules.windows:
        return cells
    return min(cells, padded_cells(cache.limit + micro_batch(request), padding))


@remembered
def caches(model: Model, rules: Rules) -> list[CachedLayers]:
    """Return what the layers cache in a build.

    A window on every layer is not kept (Mistral 7B 0.1, Phi-3, StarCoder2 run at full length),
    one on some layers is. Source: llama.cpp src/models/*.cpp at 0c1e57098.
    """
    if model.decoder is None:
        return _encoder_caches(model) if rules.encoder_cache else []
    groups = cached_layers(model, latent=rules.latent != "expanded")
    if rules.latent == "with values":
        widths = [m.kv_lora_rank for b in model.decoder.blocks.values() for m in b.mixers
                  if isinstance(m, LatentAttention)]  # fmt: skip
        groups = [
            g._replace(cache=g.cache._replace(value_dim=widths[0])) if g.cache.latent else g
            for g in groups
        ]
    if all(g.cache.limit for g in groups if g.cache.heads):
        groups = [g._replace(cache=g.cache._replace(limit=0)) for g in groups]
    return groups


def _encoder_caches(model: Model) -> list[CachedLayers]:
    found: dict[Cache, list[int]] = {}
    for layer, name in enumerate(model.main.layers):
        for m in model.main.blocks[name].mixers:
            if isinstance(m, Attention):
                cache = Cache(heads=m.kv_heads, key_dim=m.head_dim, value_dim=m.value_dim)
                found.setdefault(cache, []).append(layer)
    return [CachedLayers(cache, tuple(layers)) for cache, layers in found.items()]


def slot_bytes(
    request: Request, rules: Rules, tokens: int, layers: range, *, states: bool = True
) -> float:
    """Return the bytes that one slot takes in some layers, recurrent state included [bytes]."""
    return request_bytes(
        caches(request.model, rules), request.kv, tokens=tokens,
        kept=lambda cache, n: float(kept_cells(cache, n, request, rules)),
        encoder_tokens=request.workload.input_tokens or tokens,
        state_bytes=STATE_BYTES * states, conv_bytes=STATE_BYTES * states, layers=layers,
    )  # fmt: skip


def host_experts(request: Request, placement: Placement) -> list[tuple[float, ...]]:
    """Return the expert matrices of the layers whose experts stay on the host [bytes].

    Where the model's own files are read, they have the file's share of experts.
    """
    preset = request.weights.gguf_preset
    if not placement.expert_layers_on_host or preset is None:
        return []
    layers = expert_matrices(request.model, preset)
    computed = sum(map(sum, layers))
    stored = weight_bytes(request.model, request.weights).classes.get("experts", 0.0)
    scale = stored / computed if computed else 0.0
    return [tuple(m * scale for m in layer) for layer in layers[: placement.expert_layers_on_host]]


def device_weights(request: Request, placement: Placement) -> list[float]:
    """Return weight bytes of each device: the token embedding stays on the host.

    A tied embedding is loaded once more on the last device, as the output matrix. A vision
    tower is a file of its own (mmproj, 16 bits), on the first device [bytes].
    """
    weights = weight_bytes(request.model, request.weights)
    experts = host_experts(request, placement)
    sizes = []
    for layers in placement.devices:
        size = sum(weights.layers[layers.start : layers.stop])
        sizes.append(size - sum(sum(experts[i]) for i in layers if i < len(experts)))
    sizes[0] += weights.encoder + weights.vision
    if request.gpu.vendor == "cpu":
        sizes[0] += weights.embedding + weights.head
    elif placement.output_on_device:
        sizes[-1] += weights.head + weights.tied_head
    return sizes


def host_bytes(request: Request, rules: Rules, placement: Placement, slots: int) -> float:
    """Return what stays in host memory: embedding, layers, experts and their caches [bytes]."""
    weights = weight_bytes(request.model, request.weights)
    size = weights.embedding + sum(weights.layers[: placement.host.stop])
    on_device = placement.host.stop
    size += sum(sum(m) for m in host_experts(request, placement)[on_device:])
    if not placement.output_on_device:
        size += weights.head
    cached = slot_bytes(request, rules, request.context_tokens, placement.host)
    return size + slots * cached


def stages(request: Request, rules: Rules, placement: Placement) -> list[Stage]:
    """Return weights and slot of each device."""

    def stage(size: float, layers: range) -> Stage:
        return Stage(size, lambda tokens: slot_bytes(request, rules, tokens, layers))

    sizes = device_weights(request, placement)
    return [stage(*both) for both in zip(sizes, placement.devices, strict=True)]


class _Graph(NamedTuple):
    tokens: int
    hidden: int
    cells: int
    mask_cells: int
    flash: bool
    fused: bool
    latent: str


def compute_buffer_bytes(
    request: Request, rules: Rules, placement: Placement, *, outputs: int, slots: int
) -> float:
    """Return the compute buffer of the fullest device: the widest point of the graph [bytes].

    Scores, feed-forward layer or logits decide. Layers on the host are computed on the device
    for a large batch, which copies their cache, experts or output matrix over. The number of
    live hidden states was read off Llama and Qwen logs; over the logged runs of other models
    (Phi, Gemma, Mistral, BGE, 2024-07 to 2025-07) the median error is below 1.1 %.
    """
    model = request.model
    graph = _graph(request, rules, slots)
    offloads = request.gpu.vendor in OFFLOADING_VENDORS
    copied = 0.0
    if placement.host and offloads and not graph.flash:
        rows = [layer_token_bytes(g.cache, request.kv) for g in caches(model, rules)]
        copied = max(rows, default=0.0) * graph.cells
    experts = [m for layer in host_experts(request, placement) for m in layer]
    matrix = max(experts, default=0.0) if offloads else 0.0
    peaks = []
    for block in model.main.blocks.values():
        peaks += [_mixer_bytes(m, graph) + copied for m in block.mixers]
        peaks.append(_mlp_bytes(block, graph) + (matrix if isinstance(block.mlp, MoE) else 0))
    if model.head and (placement.output_on_device or offloads):
        weights = weight_bytes(model, request.weights)
        logits = buffers.logits_buffer_bytes(
            tokens=graph.tokens, outputs=min(outputs, graph.tokens), hidden_size=graph.hidden,
            vocab_size=model.vocab_size,
        )  # fmt: skip
        peaks.append(logits + (0 if placement.output_on_device else _output(weights)))
    return float(max(peaks)) + _pipeline_bytes(request, placement, graph)


def _output(weights: WeightBytes) -> float:
    return weights.tied_head or weights.head


def _graph(request: Request, rules: Rules, slots: int) -> _Graph:
    model, on = request.model, flash(request, rules)
    tokens = micro_batch(request)
    length = request.context_tokens * (1 if rules.slots_apart else slots)
    full = Cache()
    kinds = {g.cache.limit for g in caches(model, rules) if g.cache.heads}
    lengths = [kept_cells(full._replace(limit=n), length, request, rules) for n in kinds]
    if model.decoder is None:
        lengths = [tokens]
    return _Graph(tokens, model.main.hidden_size, max(lengths, default=tokens), sum(lengths),
                  on, rules.fused, rules.latent)  # fmt: skip


def _pipeline_bytes(request: Request, placement: Placement, graph: _Graph) -> float:
    """Return the further copies of a micro-batch's inputs: hidden state and masks."""
    turns = len(placement.devices) > 1 and request.gpu.vendor in PIPELINE_VENDORS
    if not turns or not placement.whole:
        return 0.0
    mask = graph.mask_cells * _mask_bytes(graph)
    hidden = PIPELINE_COPIES * buffers.FLOAT_BYTES * graph.hidden
    return graph.tokens * (hidden + (PIPELINE_COPIES - 1) * mask)


def _mask_bytes(graph: _Graph) -> int:
    return buffers.FLASH_MASK_BYTES if graph.flash else buffers.FLOAT_BYTES


def _mixer_bytes(mixer: Mixer, graph: _Graph) -> float:
    if not isinstance(mixer, (Attention, LatentAttention)):
        projected = sum(t.rows for t in mixer_tensors(mixer, graph.hidden)
                        if t.linear and t.columns == graph.hidden)  # fmt: skip
        return _layer_bytes(graph, RECURRENT_COPIES * (projected - graph.hidden))
    width = _attention_width(mixer, graph)
    if graph.flash:
        return _layer_bytes(graph, width)
    return float(
        buffers.scores_buffer_bytes(
            tokens=graph.tokens, heads=mixer.heads, cells=graph.cells,
            mask_cells=graph.mask_cells, hidden_size=graph.hidden, width=width,
        )
    )  # fmt: skip


def _attention_width(mixer: Attention | LatentAttention, graph: _Graph) -> int:
    """Return the queries, keys and values alive while scores are computed.

    Until 2025-07 the queries, with keys and values where one matrix gives all three; since
    then the queries twice, keys and values.
    """
    if isinstance(mixer, Attention):
        queries = mixer.heads * mixer.head_dim
        others = mixer.kv_heads * (mixer.head_dim + mixer.value_dim)
        if not graph.fused:
            return queries + (others if mixer.fused_qkv else 0)
    elif graph.latent == "expanded":
        key = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
        queries, others = mixer.heads * key, mixer.heads * (key + mixer.v_head_dim)
    else:
        others = mixer.kv_lora_rank + mixer.qk_rope_head_dim
        queries = mixer.heads * others
    return 2 * queries + others


def _mlp_bytes(block: Block, graph: _Graph) -> float:
    mlp = block.mlp
    if mlp is None:
        return 0.0
    parts = (2 if mlp.gated else 1) + (1 if graph.fused else 0)
    width = parts * mlp.intermediate_size
    if isinstance(mlp, Mlp):
        return _layer_bytes(graph, width)
    down = mlp.intermediate_size + graph.hidden
    return _layer_bytes(graph, max(width, down) * mlp.experts_per_token)


def _layer_bytes(graph: _Graph, width: int) -> float:
    return float(
        buffers.feed_forward_buffer_bytes(
            tokens=graph.tokens, hidden_size=graph.hidden, width=width,
            mask_cells=graph.mask_cells, mask_bytes=_mask_bytes(graph),
        )
    )  # fmt: skip
