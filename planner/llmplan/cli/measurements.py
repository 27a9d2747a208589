"""`llmplan measurements add`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from llmplan.errors import InputError

LOGS = {"vllm_log": "vllm", "sglang_log": "sglang", "llama_log": "llama.cpp"}


@click.group("measurements")
def command() -> None:
    """Measured results of your own, in the schema that `validate` scores.

    Example: llmplan measurements add --vllm-log server.log -o mine.jsonl
    """


@command.command("add")
@click.option("--vllm-log", metavar="FILE", help="A start-up log of vLLM.")
@click.option("--sglang-log", metavar="FILE", help="A start-up log of SGLang.")
@click.option("--llama-log", metavar="FILE", help="A start-up log of llama.cpp.")
@click.option("--gpu", metavar="GPU", help="The device, which logs seldom name.")
@click.option("-o", "--output", metavar="FILE", help="Append the row there (default: print it).")
def add(output: str | None, gpu: str | None, **logs: str | None) -> None:
    """Read a start-up log into a row: its settings, and the figures that it printed.

    What the log does not say is null: fill it in, and the source, before you share it.

    Example: llmplan measurements add --vllm-log server.log --gpu h100-sxm -o mine.jsonl
    """
    from llmplan.measured.logs import read_log

    given = [(LOGS[name], path) for name, path in logs.items() if path]
    if not given:
        raise InputError("No log was given.", "Give --vllm-log, --sglang-log or --llama-log.")
    rows = [read_log(path, engine) | ({"gpu": gpu} if gpu else {}) for engine, path in given]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if output is None:
        click.echo(text, nl=False)
        return
    _append(output, text)
    click.echo(f"Added {len(rows)} to {output}. Score it: llmplan validate --measurements {output}")


def _append(output: str, text: str) -> None:
    from llmplan.errors import OutsideError

    try:
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        raise OutsideError(f"{output}: {(e.strerror or str(e)).lower()}.") from None
