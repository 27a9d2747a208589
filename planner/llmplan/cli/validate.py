"""`llmplan validate`."""

from __future__ import annotations

from typing import Any

import click

from llmplan.cli.options import output_options

KINDS = ("memory", "speed")
GROUPS = ("test", "version", "engine", "device", "class", "model", "regime")


@click.command("validate")
@click.option("--measurements", "files", multiple=True, metavar="FILE",
              help="Rows to score (default: the project's own).")  # fmt: skip
@click.option("--kind", type=click.Choice(KINDS), default="memory", show_default=True,
              help="What is scored.")  # fmt: skip
@click.option("--by", type=click.Choice(GROUPS), default="test", show_default=True,
              help="What the errors are grouped by (the last three: speed).")  # fmt: skip
@click.option("--held-out", is_flag=True,
              help="Memory: leave out rows that a constant was read off.")  # fmt: skip
@click.option("--left-out", type=click.Choice(["device", "model"]),
              help="Speed: what the rows of --rows are predicted without.")  # fmt: skip
@click.option("--rows", "out", metavar="OUT.jsonl", help="Write every test of every row there.")
@output_options
def command(
    files: tuple[str, ...],
    kind: str,
    by: str,
    held_out: bool,
    left_out: str | None,
    out: str | None,
    format: str,
    as_json: bool,
    offline: bool,
    quiet: bool,
) -> None:
    """Score predictions on public measurements: median and 90th-percentile error.

    Nothing is dropped silently: what cannot be predicted is a row with the reason. A value that
    several rows repeat counts once. Speed is scored three ways: by the coefficients in use, and by
    fits that never saw the row's device, or its model.

    Example: llmplan validate --kind speed --by engine --rows out.jsonl
    """
    from llmplan.errors import InputError

    format = "json" if as_json else format
    if kind == "speed":
        if held_out:
            raise InputError("--held-out is of memory.", "Speed has --left-out device or model.")
        text, why = _speed(list(files), by, left_out, out, format)
    else:
        if left_out or by in GROUPS[4:]:
            given = "--left-out" if left_out else f"--by {by}"
            raise InputError(f"{given} is of speed.", "Add --kind speed.")
        text, why = _memory(list(files), by, held_out, out, format)
    click.echo(text)
    if format == "table" and not quiet:
        for line in reasons(why):
            click.echo(line)


def _memory(
    files: list[str], by: str, held_out: bool, out: str | None, format: str
) -> tuple[str, list[str]]:
    from llmplan.measured import bands
    from llmplan.measured.memory import memory_scores
    from llmplan.measured.rows import own_measurements, read_rows
    from llmplan.measured.summary import summaries

    scores = list(memory_scores(read_rows(files or [own_measurements("memory")])))
    if out:
        scores = bands.with_bands(scores, bands.own_scores() if files else scores)
    if held_out:
        scores = bands.held_out(scores)
    if out:
        _write(out, [s.to_dict() for s in scores])
    return _shown(summaries(scores, by), format), [s.skipped for s in scores if s.skipped]


def _speed(
    files: list[str], by: str, left_out: str | None, out: str | None, format: str
) -> tuple[str, list[str]]:
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.measured.rows import own_measurements, speed_rows
    from llmplan.measured.speed_scores import IN_USE, speed_scores
    from llmplan.measured.speed_summary import speed_summaries
    from llmplan.render.scores import speed_scores_text

    rows = speed_rows(files or [own_measurements("speed")])
    scores = list(speed_scores(rows, open_speed_table()))
    if out:
        _write(out, [s.to_dict(left_out or IN_USE) for s in scores])
    why = [s.skipped for s in scores if s.skipped]
    return speed_scores_text(speed_summaries(scores, by), format), why


def _write(out: str, rows: list[dict[str, Any]]) -> None:
    import json
    from pathlib import Path

    from llmplan.errors import OutsideError

    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
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


def reasons(skipped: list[str]) -> list[str]:
    """Return the reasons of what is skipped, with how often each stands."""
    counts: dict[str, int] = {}
    for why in skipped:
        counts[why] = counts.get(why, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return [f"Skipped {n}: {why}" for why, n in ranked]
