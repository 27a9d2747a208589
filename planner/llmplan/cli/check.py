"""`llmplan check FILE...`."""

from __future__ import annotations

from pathlib import Path

import click

from llmplan.cli.options import output_options
from llmplan.errors import CatalogFileError, InputError


@click.command("check")
@click.argument("files", nargs=-1, required=True)
@output_options
def command(files: tuple[str, ...], format: str, as_json: bool, offline: bool, quiet: bool) -> int:
    """Validate YAML files or folders: models, devices, machines, plans of sweeps and reports.

    Prints file, line and field of every fault with the edit that mends it; exit code 2.
    With --json each fault has them as file, line, field, message and hint.

    Example: llmplan check models hardware
    """
    from llmplan.catalog.check import check_files, expand
    from llmplan.memory.faults import model_faults
    from llmplan.render.records import to_json

    paths = expand([Path(f) for f in files])
    if not paths:
        raise InputError("No YAML files there.", "Give files or folders with .yaml files.")
    alone = frozenset(Path(f) for f in files if not Path(f).is_dir())
    faults = check_files(paths, alone=alone, rules=model_faults)
    if as_json or format == "json":
        click.echo(to_json({"checked": len(paths), "faults": [_record(e) for e in faults]}))
    else:
        for fault in faults:
            click.echo(fault.one_line())
        if not quiet:
            good = len(paths) - len({e.file for e in faults})
            click.echo(f"{good} of {len(paths)} files are right.")
    return CatalogFileError.exit_code if faults else 0


def _record(fault: CatalogFileError) -> dict[str, object]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "field": fault.field,
        "message": fault.message,
        "hint": fault.hint,
    }
