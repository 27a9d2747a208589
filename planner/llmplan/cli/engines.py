"""`llmplan engines [QUERY]` and `llmplan engines show ID`."""

from __future__ import annotations

import click

from llmplan.cli.listing import none_found, print_rows, show_name
from llmplan.cli.options import output_options


@click.command("engines")
@click.argument("words", metavar="[QUERY | show ID]", nargs=-1)
@click.option("--csv", "as_csv", is_flag=True, help="Short for --format csv.")
@output_options
def command(
    words: tuple[str, ...], as_csv: bool, format: str, as_json: bool, offline: bool, quiet: bool
) -> None:
    """List serving engines and the stacks around them, or show one with every fact.

    What llmplan does not plan says what to use instead.

    Example: llmplan engines ; llmplan engines show vllm
    """
    from llmplan.catalog.serving import all_servers, show_server
    from llmplan.render import servers
    from llmplan.render.records import to_json

    format = "json" if as_json else "csv" if as_csv else format
    name = show_name(words)
    if name is not None:
        server = show_server(name)
        click.echo(to_json(server.to_dict()) if format == "json" else servers.server_text(server))
        return
    rows = servers.server_rows(all_servers(), words)
    if not rows:
        raise none_found("engine", " ".join(words))
    print_rows(rows, servers.HEADERS, servers.server_cells, format)
