"""What a step is made of: a setup's work, a device's rates, and what steps cost beside them.

The lowered form that the formulas take: plain numbers, each a scalar or a column of an array.
"""

from __future__ import annotations

from typing import NamedTuple

from llmplan.specs.number import Number


class Work(NamedTuple):
    """Bytes, weights and counts of all layers of a model on one tensor-parallel rank.

    `dense_bytes`, `head_bytes`: weights that every step reads [bytes]; `expert_bytes`: those of all
    routed experts of the rank [bytes]. `dense_weights`, `head_weights`, `expert_weights`: weights
    that one token is multiplied with on the rank [weights]. `activation_bytes`: traffic of a
    token between kernels [bytes]. `token_bytes`, `window_bytes`: cache of one token in layers that
    see all, and in those that see the last `window` tokens [bytes/token]. `state_bytes`: recurrent
    state of a sequence [bytes]. `pair_flops`, `window_pair_flops`: operations of one query with one
    key where a prompt is read [FLOP], `decode_pair_flops`: those of full layers where tokens are
    made. `selected`: keys that a query attends to at most [tokens]. `exchanges`: all-reduces of a
    step over `ranks` devices, of `exchange_bytes` a token [bytes]. `replicas`: data-parallel
    replicas whose tokens meet in the experts; `stages`: pipeline stages. `host_bytes`,
    `host_expert_bytes`: weights that stay on the host, not counted above [bytes]. `draft_bytes`,
    `draft_layers`: what drafts the next tokens, weights [bytes] and layers.
    """

    dense_bytes: Number
    head_bytes: Number
    expert_bytes: Number
    dense_weights: Number
    head_weights: Number
    expert_weights: Number
    activation_bytes: Number
    token_bytes: Number
    window_bytes: Number
    window: Number
    state_bytes: Number
    pair_flops: Number
    window_pair_flops: Number
    decode_pair_flops: Number
    selected: Number
    experts: Number
    experts_per_token: Number
    layers: Number
    moe_layers: Number
    recurrent_layers: Number
    latent_layers: Number
    exchanges: Number
    exchange_bytes: Number
    ranks: Number
    replicas: Number
    stages: Number
    host_bytes: Number
    host_expert_bytes: Number
    draft_bytes: Number
    draft_layers: Number


class Rates(NamedTuple):
    """Peak rates of a device as a setup meets them.

    `bandwidth`: of its memory [bytes/s]; `flops`: of the format that matrices are multiplied in,
    `attention_flops`: of 16-bit arithmetic [FLOP/s]; `link_bandwidth`: one way, to its peers
    [bytes/s]; `through_host`: 1 where exchanges cross PCIe, 0 over a link of the devices' own.
    `host_bandwidth`: of the host's memory, `host_link`: of the way from it to the device [bytes/s].
    """

    bandwidth: Number
    flops: Number
    attention_flops: Number
    link_bandwidth: Number
    through_host: Number
    host_bandwidth: Number
    host_link: Number


class Habits(NamedTuple):
    """How an engine schedules.

    `chunk_tokens`: prompt tokens of one step at most [tokens]. `mixes`: 1 where prompts and
    decoding share a step, 0 where prompts come first. `sequential`: 1 where pipeline stages work
    one after the other on the whole batch, 0 where batches overlap in them. `loops`: 1 where
    experts run one by one. `waits`: steps that a prompt waits to be admitted, by the engine's flags
    [steps].
    `drafted`: tokens drafted a step and sequence, `yielded`: tokens of a step, 1 without a draft
    [tokens]. `adapter`: share that adapters add to a step [1].
    """

    chunk_tokens: Number
    mixes: Number
    sequential: Number
    loops: Number
    waits: Number
    drafted: Number
    yielded: Number
    adapter: Number


class Costs(NamedTuple):
    """Coefficients of a setup: shares of the peak rates, and seconds beside them.

    Shares of a rate: `memory` of the bandwidth when weights are read, `compute` of the matrix rate,
    `cache` of the bandwidth when the KV cache is read, `attention` of the 16-bit rate when a prompt
    attends, `state` of the bandwidth for recurrent states, `expert_memory` and `expert_compute`
    beside `memory` and `compute` for routed experts, `link` of the link's rate. Seconds: `step_s`,
    `layer_s`, `moe_layer_s`, `recurrent_layer_s`, `latent_layer_s` and `sequence_s` a step,
    `expert_s` an expert that runs alone, `exchange_s` an all-reduce, `host_exchange_s` a device of
    one through the host, `request_s` a request. `sharpness`: exponent of the soft roofline. `skew`:
    how many tokens choose experts independently, as a share. `pipelining`: share of the ideal
    speed-up that prompts get from stages. `admission_steps`: steps that a prompt waits beside its
    own chunks. `first_wave`: share of the requests that arrive all at once. `prefill_stall`:
    prompts' time as decoding feels it. `drain`: time of a whole batch of work over its steady rate.
    """

    memory: Number
    compute: Number
    cache: Number
    attention: Number
    state: Number
    expert_memory: Number
    expert_compute: Number
    link: Number
    sharpness: Number
    skew: Number
    step_s: Number
    layer_s: Number
    moe_layer_s: Number
    recurrent_layer_s: Number
    latent_layer_s: Number
    sequence_s: Number
    expert_s: Number
    exchange_s: Number
    host_exchange_s: Number
    request_s: Number
    pipelining: Number
    admission_steps: Number
    first_wave: Number
    prefill_stall: Number
    drain: Number


class Setting(NamedTuple):
    """One setup in lowered form: its work, the device's rates, the engine's habits and costs."""

    work: Work
    rates: Rates
    habits: Habits
    costs: Costs
