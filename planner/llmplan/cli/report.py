"""`llmplan report FILE`."""

from __future__ import annotations

from typing import Any

import click

from llmplan.cli.options import output_options
from llmplan.errors import InputError

KINDS = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown",
         ".json": "json"}  # fmt: skip
"""What is written, by the ending of the file."""


@click.command("report")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("-o", "--output", metavar="PATH",
              help="Write there: .html, .md or .json (default: Markdown on stdout).")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@output_options
def command(
    file: str, output: str | None, force: bool, format: str, as_json: bool, offline: bool,
    quiet: bool,
) -> int:  # fmt: skip
    """Write the capacity report of a plan file: what to run, on what, and why.

    FILE has the keys of a sweep (models, gpus, workload, limits) and a section `report` with
    title, growth and preferences: docs/report.md. The HTML is one file that needs nothing else
    (extra `report`); PDF is its print.
    Exit code 0: an option meets load and limits; 1: none does; 2: wrong input.

    Example: llmplan report plan.yaml -o report.html
    """
    import llmplan

    kind = _kind(output, "json" if as_json else format)
    if output is not None:
        _check(output, kind, force=force)
    report = llmplan.report(file, offline=offline)
    text = _rendered(report, kind)
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        _write(output, text, force=force)
        if as_json or format == "json":
            click.echo(_rendered(report, "json"))
        elif not quiet:
            click.echo(f"Wrote {output}: {report.recommendation.headline}.")
    return 0 if report.met else 1


def _kind(output: str | None, format: str) -> str:
    if output is None:
        if format == "csv":
            raise InputError("A report has no CSV.", "--format markdown or json; `plan` has CSV.")
        return "json" if format == "json" else "markdown"
    for ending, kind in KINDS.items():
        if output.lower().endswith(ending):
            return kind
    raise InputError(f"{output}: what is to be written?", "End it in .html, .md or .json.")


def _check(output: str, kind: str, *, force: bool) -> None:
    """Refuse before the work what cannot be written after it."""
    from pathlib import Path

    if kind == "html":
        from llmplan.render.report.html import check_extra

        check_extra()
    path = Path(output)
    if path.is_dir():
        raise InputError(f"{output} is a folder.", "Name a file: -o report.html.")
    if path.exists() and not force:
        raise InputError(f"{output} is there already.", "Give --force, or another name.")


def _rendered(report: Any, kind: str) -> str:
    if kind == "json":
        from llmplan.render.records import to_json

        return to_json(report.to_dict()) + "\n"
    from llmplan.render.report.page import page_of

    page = page_of(report)
    if kind == "html":
        from llmplan.render.report.html import html_page

        return html_page(page)
    from llmplan.render.report.markdown import markdown_page

    return markdown_page(page)


def _write(output: str, text: str, *, force: bool) -> None:
    from pathlib import Path

    from llmplan.deployment.artefacts import File, write_files

    path = Path(output)
    write_files([File(path.name, text)], str(path.parent), force=force)
