"""The `llmplan` command: commands are loaded when they are called, errors become one line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from llmplan.errors import InputError, LlmplanError, OutsideError
from llmplan.version import __version__

COMMANDS = {
    "fit": "Does it run on this hardware, with how much room, and which setups are best there?",
    "plan": "Which hardware, how many, which setup meets a load within limits at the least cost?",
    "report": "A capacity report of a plan file: HTML or Markdown, to read, sign and verify.",
    "models": "What models are known; `models show ID` gives every fact and its source.",
    "gpus": "What devices are known; `gpus show ID` gives every fact and its source.",
    "sweep": "Many combinations at once, to Parquet, CSV, JSON lines or a database.",
    "deploy": "The files or the command that start a setup: docker, Kubernetes, systemd ...",
    "engines": "What serving engines are known; `engines show ID` gives facts and sources.",
    "measurements": "Start-up logs of your own, read into rows that `validate` scores.",
    "validate": "How well predictions agree with public measurements, by engine and test.",
    "check": "Whether catalogue files are right, with the line at fault.",
    "completion": "The completion script for your shell.",
}
INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands stand in modules of their own, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the contract."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if name not in COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"llmplan.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="llmplan %(version)s")
def cli() -> None:
    """Plan the serving of open LLMs: memory, setups, commands. Works offline."""


def run(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of the contract."""
    args = list(sys.argv[1:] if argv is None else argv)
    gc.disable()  # one short run: collecting costs start-up time and frees nothing needed
    try:
        code = _run(args or ["--help"])
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        code = 0
    except OSError as e:
        _silence_stdout()
        code = _report(OutsideError(f"Cannot write the answer: {e.strerror or e}."), [])
    sys.exit(code)


def _run(args: list[str]) -> int:
    try:
        result: Any = cli.main(args, prog_name="llmplan", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except LlmplanError as e:
        return _report(e, args)
    except click.exceptions.Exit as e:
        return e.exit_code
    except SystemExit:  # click's own answer to a closed pipe, and its only one here
        return 0
    except (click.Abort, KeyboardInterrupt):
        _say("Interrupted.")
        return INTERRUPTED
    except click.ClickException as e:
        where = getattr(e, "ctx", None)
        path = where.command_path if where else "llmplan"
        return _report(InputError(_sentence(e.format_message()), f"See: {path} --help"), args)


def _report(error: LlmplanError, args: list[str]) -> int:
    if _wants_json(args):
        import json

        click.echo(json.dumps({"error": error.to_dict()}, indent=2))
    else:
        _say(f"llmplan: {error.one_line()}")
    return error.exit_code


def _say(text: str) -> None:
    """Print a line on stderr; where that cannot be written, the exit code still speaks."""
    with suppress(OSError):
        click.echo(text, err=True)


def _wants_json(args: list[str]) -> bool:
    if "--json" in args or "--format=json" in args:
        return True
    asked = [args[i + 1] for i, a in enumerate(args[:-1]) if a == "--format"]
    return "json" in (asked or [os.environ.get("LLMPLAN_FORMAT", "")])


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "?")) else f"{line}."


def _silence_stdout() -> None:
    if sys.stdout is not None:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
