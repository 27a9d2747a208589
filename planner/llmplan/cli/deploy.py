"""`llmplan deploy MODEL --gpu GPU --to TARGET`."""

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
from llmplan.deployment.run import DEFAULT, engine_for, target_names


@click.command("deploy")
@click.argument("model", shell_complete=complete_models)
@option("--gpu", "gpu", "Device, node, YAML or local; counts as a100-40g*8.", required=True,
        shell_complete=complete_gpus)  # fmt: skip
@option("--to", "to", "What to write.", type=click.Choice(target_names()), default=DEFAULT,
        show_default=True)  # fmt: skip
@click.option("-o", "--directory", metavar="DIR", help="Write the files there, not on stdout.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@option("--pick", "pick", "Which setup, by its number on the screen of fit.", type=int, default=1,
        show_default=True)  # fmt: skip
@option("--devices-per-node", "devices_per_node",
        "Devices of one machine (default: the node's own, or 8).",
        type=click.IntRange(1, 4096))  # fmt: skip
@option("--autoscaler", "autoscaler", "Autoscaler of k8s.",
        type=click.Choice(["hpa", "keda", "none"]), default="hpa", show_default=True)  # fmt: skip
@planning_options
@output_options
def command(
    model: str,
    gpu: str,
    directory: str | None,
    force: bool,
    format: str,
    as_json: bool,
    offline: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Write the files that start MODEL on this hardware: the best setup of fit, or the one picked.

    What the options fix stays fixed. Secrets are only referred to. Every value has its reason
    beside it; files are written whole or not at all. A checkpoint that nobody publishes comes
    with the script that makes it.
    Exit code 0: written; 1: no setup fits; 2: wrong input.

    Example: llmplan deploy llama-3.1-8b --gpu h100-sxm --to k8s -o ./deploy
    """
    import llmplan

    done = llmplan.deploy(model, gpu, offline=offline, **given)
    if done is None:
        return _nothing_fits(model, gpu, as_json or format == "json", offline=offline, **given)
    paths = _written(done, directory, force=force)
    if as_json or format == "json":
        from llmplan.render.records import to_json

        click.echo(to_json(done.to_dict()))
    elif directory is None:
        _print(done, quiet=quiet)
    elif not quiet:
        for path in paths:
            click.echo(f"Wrote {path}.")
        for note in done.notes:
            click.echo(note)
    return 0


def _written(done: Any, output: str | None, *, force: bool) -> list[Any]:
    from llmplan.deployment.artefacts import write_files

    return [] if output is None else list(write_files(done.files, output, force=force))


def _print(done: Any, *, quiet: bool) -> None:
    """Print the files of the target, scripts of checkpoints apart: notes go to stderr."""
    first, *rest = done.files
    click.echo(first.text.rstrip("\n"))
    for file in rest:
        click.echo(f"\n# --- {file.name}\n{file.text}".rstrip("\n"))
    if not quiet:
        for note in done.notes:
            click.echo(note, err=True)


def _nothing_fits(model: str, gpu: str, as_json: bool, *, offline: bool, **given: Any) -> int:
    import llmplan
    from llmplan.render.records import to_json

    given["engine"] = engine_for(given.pop("to"), given["engine"])
    for name in ("pick", "devices_per_node", "autoscaler"):
        given.pop(name)
    asked = llmplan.estimate(model, gpu, offline=offline, **given)
    if as_json:
        click.echo(to_json({"schema": "llmplan.deploy/1", "setup": asked.to_dict(), "files": []}))
        return 1
    click.echo(f"No setup fits: {asked.reason}", err=True)
    for remedy in asked.remedies:
        click.echo(f"  - {remedy}", err=True)
    return 1
