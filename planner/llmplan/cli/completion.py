"""`llmplan completion SHELL`."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL: commands, options, model and device names.

    Example: llmplan completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    from llmplan.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None  # click ships all three
    click.echo(found(cli, {}, "llmplan", "_LLMPLAN_COMPLETE").source())
