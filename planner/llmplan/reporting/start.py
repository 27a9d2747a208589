"""How an option is started, and how it is measured against what the report says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from llmplan.deployment.choose import deployment_of
from llmplan.deployment.run import artefacts_of
from llmplan.errors import LlmplanError
from llmplan.planning.request import make_options
from llmplan.reporting.ask import Option, Part
from llmplan.specs.record import as_dict
from llmplan.specs.serving import Server


class Start(NamedTuple):
    """The commands of one part: engine, files, benchmark; the benchmark's script where it has one.

    `command` starts one replica; `files` writes the files of a target, `measure` the benchmark.
    """

    device: str
    command: str | None
    files: str
    measure: str
    script: str | None

    def to_dict(self) -> dict[str, object]:
        """Return the record as plain data."""
        return as_dict(self)


def starts_of(option: Option, servers: Iterable[Server]) -> list[Start]:
    """Return how each part of an option is started and measured."""
    known = list(servers)
    return [_start(part, known) for part in option.parts]


def _start(part: Part, servers: list[Server]) -> Start:
    p = part.planned
    command = p.setup.launch.command if p.setup.launch else None
    return Start(
        p.setup.gpu, command, f"{p.deploy} --to compose -o ./deploy",
        f"{p.deploy} --to bench -o ./bench", _script(part, servers),
    )  # fmt: skip


def _script(part: Part, servers: list[Server]) -> str | None:
    """Return the lines of the benchmark that measures one replica; None where none is known."""
    p, d = part.planned, part.demand
    s = p.setup
    each = d.peak / p.replicas
    options = make_options(
        engine=s.engine, engine_version=s.engine_version, weight_format=s.weight_format,
        kv_format=s.kv_format, gpus=s.gpus, tp=s.tp, pp=s.pp, dp=s.dp, ep=s.ep,
        context_tokens=d.context_tokens, input_tokens=d.input_tokens,
        output_tokens=d.output_tokens, prefix_hit_rate=d.prefix_hit_rate,
        max_num_seqs=p.max_num_seqs,
        rate_per_s=each if d.kind == "rate" else None,
        concurrency=max(1, round(each)) if d.kind == "concurrency" else None,
    )  # fmt: skip
    try:
        deployment = deployment_of(part.model, part.stock.gpu, options, [s], servers)
        text = artefacts_of("bench", deployment).files[0].text
    except LlmplanError:
        return None
    return text.partition("exec ")[2].strip() or None
