"""`llmplan plan MODEL`."""

from __future__ import annotations

from typing import Any

import click

from llmplan.cli.options import (
    Decorator,
    Tokens,
    complete_gpus,
    complete_models,
    option,
    output_options,
)
from llmplan.errors import InputError
from llmplan.specs.units import parse_seconds


class Seconds(click.ParamType[float]):
    """A time: 500ms, 0.5s, 0.5."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        return parse_seconds(value)


class PricePair(click.ParamType[tuple[float, float]]):
    """Two prices: 0.5,1.5."""

    name = "in,out"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return the prices of a million input and output tokens [USD]."""
        if isinstance(value, tuple):
            return value
        try:
            first, second = str(value).split(",")
            return float(first), float(second)
        except ValueError:
            message = f"{str(value)[:40]!r} is not two prices."
            raise InputError(message, "Write --api-price 0.5,1.5 (USD per million).") from None


def several(name: str, field: str, help: str, **rest: Any) -> Decorator:
    """Return an option that may be given several times."""
    return option(name, field, help, multiple=True, **rest)


@click.command("plan")
@click.argument("model", shell_complete=complete_models)
@option("--rate", "rate_per_s", "Requests a second, on average.", type=float)
@option("--concurrency", "concurrency", "Requests in flight, all replicas together.", type=int)
@option("--users", "users", "Users; with --requests-per-user.", type=int)
@option("--requests-per-user", "requests_per_user", "Requests of one user an hour.", type=float)
@option("--profile", "profile", "Lengths and peaks of a public trace: chat, code, rag, agents, "
        "batch.")  # fmt: skip
@option("--trace", "trace", "Lengths and peaks of your own: a .csv or .jsonl of requests.")
@option("--input", "input_tokens", "Prompt tokens of a request (mean).", type=Tokens())
@option("--output", "output_tokens", "Generated tokens of a request (mean).", type=Tokens())
@option("--context", "context_tokens", "Longest request, e.g. 32k.", type=Tokens())
@option("--prefix-hit-rate", "prefix_hit_rate",
        "Share of a prompt that the prefix cache holds, 0 to 1.", type=float)  # fmt: skip
@option("--headroom", "headroom", "Peak over mean load (default: the trace's).", type=float)
@option("--ttft", "ttft_s", "Limit of the time to first token: 500ms.", type=Seconds())
@option("--tpot", "tpot_s", "Limit of the time per output token: 50ms.", type=Seconds())
@option("--percentile", "percentile", "Latencies that limits hold for: mean, p50, p90, p95, p99.")
@option("--prefer", "prefer", "cheapest, fastest, fewest or quality (default: cheapest).")
@several("--gpu", "gpu", "Devices to choose from (default: all); `rtx-3090*2` are your own.",
         shell_complete=complete_gpus)  # fmt: skip
@option("--max-gpus", "max_gpus", "Devices in all at most.", type=int)
@option("--budget", "budget", "US dollars an hour at most.", type=float)
@several("--provider", "provider", "Who rents the machines: aws, runpod, lambda ...")
@several("--region", "region", "Region of the offers, as the price lists name it.")
@several("--engine", "engine", "Engines to choose from (default: vllm, llama.cpp).")
@several("--quant", "weight_format", "Weight formats to choose from: fp8, gguf:Q4_K_M ...")
@several("--kv-dtype", "kv_format", "KV-cache formats to choose from: bf16, fp8 ...")
@several("--license", "license", "The model's licence has to be one of these: apache-2.0 ...")
@click.option("--commercial", is_flag=True, help="The licence has to allow commercial use.")
@option("--api-price", "api_price", "A hosted API's USD per million tokens, in and out: 0.5,1.5.",
        type=PricePair())  # fmt: skip
@click.option("--set", "set", multiple=True, metavar="FACT=VALUE",
              help="A fact of your own for this run, with one --gpu.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Show what was searched, and the best setup's terms.")
@output_options
def command(
    model: str, gpu: tuple[str, ...], format: str, as_json: bool, offline: bool, quiet: bool,
    **given: Any,
) -> int:  # fmt: skip
    """Tell which hardware, how many and which setup serve MODEL at the least cost.

    The load is met with headroom for its peaks, and within the limits. Limits hold for means
    unless --percentile says otherwise. Devices without a price stand apart; what lacks evidence
    comes last, marked. When nothing meets the limits, the answer says which one binds.
    Exit code 0: a plan meets load and limits; 1: none does; 2: wrong input.

    Example: llmplan plan llama-3.1-8b --rate 5 --profile chat --ttft 1s --tpot 50ms
    """
    import llmplan

    answer = llmplan.plan(model, list(gpu) or None, offline=offline, **given)
    click.echo(_render(answer, "json" if as_json else format, quiet))
    return 0 if answer.met else 1


def _render(answer: Any, format: str, quiet: bool) -> str:
    if format == "json":
        from llmplan.render.records import to_json

        return to_json(answer.to_dict())
    from llmplan.render.plan_table import plan_rows, plan_screen

    if format == "csv":
        from llmplan.render.records import to_csv

        return to_csv(*plan_rows(answer))
    return plan_screen(answer, markdown=format == "markdown", quiet=quiet)
