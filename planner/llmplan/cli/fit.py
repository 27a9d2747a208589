"""`llmplan fit MODEL --gpu GPU`."""

from __future__ import annotations

from typing import Any

import click

from llmplan.cli.options import (
    complete_gpus,
    complete_models,
    option,
    output_options,
    planning_options,
)


@click.command("fit")
@click.argument("model", shell_complete=complete_models)
@option("--gpu", "gpu", "Device, node, YAML or local; counts as a100-40g*8.", required=True,
        shell_complete=complete_gpus)  # fmt: skip
@planning_options
@output_options
def command(
    model: str, gpu: str, format: str, as_json: bool, offline: bool, quiet: bool, **given: Any
) -> int:
    """Tell whether MODEL runs on this hardware, with how much room, and the best setups there.

    MODEL is an id, an alias, a Hub id, or a path to a YAML or config.json.
    Exit code 0: at least one setup fits and can be started; 1: none does; 2: wrong input.

    Example: llmplan fit mixtral-8x7b --gpu a100-40g
    """
    import llmplan

    answer = llmplan.fit(model, gpu, offline=offline, **given)
    click.echo(_render(answer, "json" if as_json else format, quiet))
    asked = answer.requested
    return 0 if answer.setups or (asked.fits and asked.supported) else 1


def _render(answer: Any, format: str, quiet: bool) -> str:
    if format in ("json", "csv"):
        from llmplan.render.records import setup_rows, to_csv, to_json

        return to_json(answer.to_dict()) if format == "json" else to_csv(*setup_rows(answer))
    from llmplan.render.fit_table import fit_screen

    return fit_screen(answer, markdown=format == "markdown", quiet=quiet)
