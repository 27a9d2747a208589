"""`llmplan validate`."""

from __future__ import annotations

from typing import Any

import click

from llmplan.cli.options import output_options

KINDS = ("memory", "speed")


@click.command("validate")
@click.option("--measurements", "files", multiple=True, metavar="FILE",
              help="Rows to score (default: the project's own).")  # fmt: skip
@click.option("--kind", type=click.Choice(KINDS), default="memory", show_default=True,
              help="What is scored.")  # fmt: skip
@click.option("--by", type=click.Choice(["test", "version", "engine", "device"]), default="test",
              show_default=True, help="What the errors are grouped by.")  # fmt: skip
@click.option("--held-out", is_flag=True,
              help="Leave out rows that a constant was read off.")  # fmt: skip
@click.option("--rows", "out", metavar="OUT.jsonl", help="Write every test of every row there.")
@output_options
def command(
    files: tuple[str, ...],
    kind: str,
    by: str,
    held_out: bool,
    out: str | None,
    format: str,
    as_json: bool,
    offline: bool,
    quiet: bool,
) -> None:
    """Score predictions on public measurements: median and 90th-percentile error.

    Nothing is dropped silently: what cannot be predicted is a row with the reason. A value that
    several rows repeat counts once.

    Example: llmplan validate --kind memory --by version --rows out.jsonl
    """
    from llmplan.errors import InputError
    from llmplan.measured import bands
    from llmplan.measured.memory import memory_scores
    from llmplan.measured.rows import own_measurements, read_rows
    from llmplan.measured.summary import summaries

    if kind == "speed":
        raise InputError("This version does not predict speed.", "Score memory: --kind memory.")
    scores = list(memory_scores(read_rows(list(files) or [own_measurements(kind)])))
    if out:
        scores = bands.with_bands(scores, bands.own_scores() if files else scores)
    if held_out:
        scores = bands.held_out(scores)
    if out:
        _write(out, scores)
    format = "json" if as_json else format
    click.echo(_shown(summaries(scores, by), format))
    if format == "table" and not quiet:
        for line in reasons(scores):
            click.echo(line)


def _write(out: str, scores: list[Any]) -> None:
    import json
    from pathlib import Path

    from llmplan.errors import OutsideError

    text = "".join(json.dumps(s.to_dict(), allow_nan=False) + "\n" for s in scores)
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as e:
        raise OutsideError(f"{out}: {(e.strerror or str(e)).lower()}.") from None


def _shown(found: list[Any], format: str) -> str:
    from llmplan.render.records import to_csv, to_json
    from llmplan.render.tables import table

    if format == "json":
        return to_json([s.to_dict() for s in found])
    headers = ["group", "rows", "skipped", "median error", "90th percentile", "bias"]
    if format == "csv":
        return to_csv(headers, [[" ".join(s.group), *s[1:]] for s in found])
    rows = [[" ".join(s.group), s.rows, s.skipped, *map(_percent, s[3:])] for s in found]
    return table(headers, rows, markdown=format == "markdown",
                 align=("left", *["right"] * 5))  # fmt: skip


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def reasons(scores: list[Any]) -> list[str]:
    """Return the reasons of what is skipped, with how often each stands."""
    counts: dict[str, int] = {}
    for score in scores:
        if score.skipped:
            counts[score.skipped] = counts.get(score.skipped, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return [f"Skipped {n}: {why}" for why, n in ranked]
