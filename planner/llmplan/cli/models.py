"""`llmplan models [QUERY]` and `llmplan models show ID`."""

from __future__ import annotations

import click

from llmplan.cli.listing import none_found, print_rows, show_name
from llmplan.cli.options import complete_models, output_options


@click.command("models")
@click.argument("words", metavar="[QUERY | show ID]", nargs=-1, shell_complete=complete_models)
@output_options
def command(words: tuple[str, ...], format: str, as_json: bool, offline: bool, quiet: bool) -> None:
    """List the models whose name holds QUERY, or show one with every fact and its source.

    Example: llmplan models qwen3 ; llmplan models show deepseek-v3
    """
    from llmplan.render import catalog
    from llmplan.render.records import to_json

    format = "json" if as_json else format
    name = show_name(words)
    if name is not None:
        text = to_json(catalog.model_entry(name)) if format == "json" else catalog.model_text(name)
        click.echo(text)
        return
    rows = catalog.model_rows(" ".join(words))
    if not rows:
        raise none_found("model", " ".join(words))
    print_rows(rows, catalog.MODEL_HEADERS, catalog.model_cells, format)
