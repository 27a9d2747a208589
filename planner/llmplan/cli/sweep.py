"""`llmplan sweep FILE -o OUTPUT`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmplan.cli.options import option
from llmplan.extras import require

if TYPE_CHECKING:
    from llmplan.sweeping.run import Summary


OUTPUT = "File (.parquet .csv .jsonl .sqlite .duckdb), or a folder of Parquet parts."


def _schema(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if not asked or context.resilient_parsing:
        return
    from llmplan.catalog.plan_schema import plan_schema
    from llmplan.render.records import to_json

    click.echo(to_json(plan_schema()))
    context.exit()


@click.command("sweep")
@click.argument("file", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help=OUTPUT)
@option("--workers", "workers", "Processes (default: one a core).", type=click.IntRange(1, 4096))
@option("--ray", "ray", "Address of a Ray cluster to compute on: auto, HOST:PORT.")
@click.option("--schema", is_flag=True, is_eager=True, expose_value=False, callback=_schema,
              help="Print the JSON schema of plan files, for editors.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Drop what an unfinished sweep left.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@option("--offline", "offline", "Never use the network: Hub ids come from the cache only.",
        is_flag=True)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
def command(
    file: str, output: str, workers: int | None, ray: str | None, restart: bool, as_json: bool,
    offline: bool, quiet: bool,
) -> int:  # fmt: skip
    """Compute the grid of a plan FILE: every model, device, split and load that it combines.

    The output appears when it is whole. Interrupted, the same command goes on where it was.
    Exit code 0: a row fits (and keeps the plan's limits); 1: none does; 2: wrong input;
    3: a disk or a worker failed.

    Example: llmplan sweep plan.yaml -o out.parquet
    """
    require("A sweep", "sweep", "numpy", "pyarrow")
    from llmplan.catalog.plan_file import read_plan
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.sweeping.run import sweep_file
    from llmplan.sweeping.space import space_of

    space = space_of(read_plan(Path(file)), offline=offline)
    summary = sweep_file(
        space,
        open_speed_table(),
        Path(output),
        workers=workers or len(os.sched_getaffinity(0)),
        restart=restart,
        quiet=quiet or as_json,
        ray=ray,
    )
    _print(summary, as_json=as_json, quiet=quiet)
    return 0 if summary.fitting else 1


def _print(summary: Summary, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        from llmplan.render.records import to_json

        click.echo(to_json(summary.to_dict()))
    elif not quiet:
        click.echo(
            f"{summary.output}: {summary.rows:,} rows of {summary.points:,} points, "
            f"{summary.fitting:,} fit."
        )
        for why, points in sorted(summary.left_out.items(), key=lambda item: -item[1]):
            click.echo(f"  left out: {points:,} {why}")
