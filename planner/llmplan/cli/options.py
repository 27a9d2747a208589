"""Options that mean the same in every command; each can come from the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from llmplan.specs.units import parse_bytes, parse_count, parse_tokens

FORMATS = ("table", "json", "csv", "markdown")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Tokens(click.ParamType[int]):
    """A token count: 8192, 32k, 1m."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the count."""
        return parse_tokens(value)


class Count(click.ParamType[int]):
    """A count of parameters: 7B, 1.5b, 350M."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the count."""
        return parse_count(value)


class Size(click.ParamType[int]):
    """A size in bytes: 4GiB, 4GB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        return parse_bytes(value)


def option(name: str, field: str, help: str, **rest: Any) -> Decorator:
    """Return a click option that also reads LLMPLAN_<NAME>."""
    name_only = rest.pop("env", name.partition("/")[0])
    env = "LLMPLAN_" + name_only.removeprefix("--").upper().replace("-", "_")
    return click.option(name, field, help=help, envvar=env, show_envvar=False, **rest)


def apply(decorators: list[Decorator]) -> Decorator:
    """Return all decorators as one, first on top."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        """Add the options to a command."""
        for d in reversed(decorators):
            function = d(function)
        return function

    return decorate


planning_options = apply([
    option("--gpus", "gpus", "Devices in all (default 1, or the node's own).", type=int),
    option("--tp", "tp", "Tensor-parallel ranks.", type=int),
    option("--pp", "pp", "Pipeline-parallel stages.", type=int),
    option("--dp", "dp", "Data-parallel replicas.", type=int),
    option("--ep", "ep", "Expert-parallel ranks (tp x dp, or 1).", type=int),
    option("--engine", "engine", "vllm, llama.cpp, sglang ... (the first two are ranked)."),
    option("--engine-version", "engine_version", "Version of the engine (default: newest known)."),
    option("--quant", "weight_format", "Weight format: bf16, fp8, awq-int4, gguf:Q4_K_M ..."),
    option("--kv-dtype", "kv_format", "KV-cache format: bf16, fp8, int8, q8_0 ..."),
    option("--context", "context_tokens", "Longest request, e.g. 32k.", type=Tokens()),
    option("--input", "input_tokens", "Prompt tokens of a request.", type=Tokens()),
    option("--output", "output_tokens", "Generated tokens of a request.", type=Tokens()),
    option("--concurrency", "concurrency", "Requests in flight.", type=int),
    option("--rate", "rate_per_s", "Requests per second.", type=float),
    option("--prefix-hit-rate", "prefix_hit_rate",
           "Share of a prompt that the prefix cache holds, 0 to 1.", type=float),
    option("--acceptance-rate", "acceptance_rate",
           "Share of drafted tokens that are accepted, 0 to 1.", type=float),
    option("--disaggregated/--no-disaggregated", "disaggregated",
           "Prompts and decoding on replicas of their own (--dp 2 and more).", default=None),
    option("--role", "role", "A server for prompts alone, or for decoding alone, of a pair.",
           type=click.Choice(["prefill", "decode"])),
    option("--gpu-memory-utilization", "gpu_memory_utilization",
           "Share of the device that the engine takes.", type=float),
    option("--max-num-seqs", "max_num_seqs", "Sequences in one step.", type=int),
    option("--max-num-batched-tokens", "max_num_batched_tokens", "Tokens in one step.", type=int),
    option("--block-size", "block_size", "Tokens of a KV block.", type=int),
    option("--kv-cache-memory-bytes", "kv_cache_memory_bytes", "KV pool, given outright.",
           type=Size()),
    option("--n-gpu-layers", "n_gpu_layers", "Layers on the devices, the rest on the host.",
           type=int),
    option("--n-cpu-moe", "n_cpu_moe", "Layers whose experts stay on the host.", type=int),
    option("--enforce-eager/--no-enforce-eager", "enforce_eager", "No CUDA graphs.",
           default=None),
    option("--flash-attention/--no-flash-attention", "flash_attention",
           "Flash attention in llama.cpp.", default=None),
    option("--speculative-tokens", "speculative_tokens",
           "Tokens drafted before each step that checks them.", type=int),
    option("--draft", "draft", "Model that drafts them (default: the model's own MTP layers)."),
    option("--host-ram", "host_ram", "Memory of the host, e.g. 256GiB: that of a processor.",
           type=Size()),
    option("--host-bandwidth", "host_bandwidth", "Its bandwidth, e.g. 200GB/s."),
    click.option("--set", "set", multiple=True, metavar="FACT=VALUE",
                 help="A fact of your own for this run: memory_bandwidth=2TB/s."),
    click.option("--explain", is_flag=True, help="Show every term, its formula and its basis."),
])  # fmt: skip

output_options = apply([
    option("--format", "format", "How to print.", type=click.Choice(FORMATS), default="table",
           show_default=True),
    click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
    option("--offline", "offline", "Never use the network: Hub ids come from the cache only.",
           is_flag=True),
    click.option("-q", "--quiet", is_flag=True, help="Only the answer, no notes."),
])  # fmt: skip


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return model ids that begin so."""
    from llmplan.catalog.resolve import store

    return [i for i in store().ids("models") if i.startswith(incomplete.lower())]


def complete_gpus(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return device and node ids that begin so."""
    from llmplan.catalog.resolve import store

    ids = store().ids("gpus") + store().ids("nodes")
    return [i for i in ids if i.startswith(incomplete.lower())]
