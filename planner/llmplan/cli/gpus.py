"""`llmplan gpus [QUERY]` and `llmplan gpus show ID`."""

from __future__ import annotations

import click

from llmplan.cli.listing import none_found, print_rows, show_name
from llmplan.cli.options import complete_gpus, output_options


@click.command("gpus")
@click.argument("words", metavar="[QUERY | show ID]", nargs=-1, shell_complete=complete_gpus)
@output_options
def command(words: tuple[str, ...], format: str, as_json: bool, offline: bool, quiet: bool) -> None:
    """List the devices whose name holds QUERY, or show one with every fact and its source.

    Example: llmplan gpus a100 ; llmplan gpus show h100-sxm
    """
    from llmplan.catalog.resolve import all_accelerators, find_gpu, find_node, store
    from llmplan.render import catalog
    from llmplan.render.records import to_json

    format = "json" if as_json else format
    name = show_name(words)
    if name is not None:
        thing = find_node(name) or find_gpu(name).gpu
        click.echo(to_json(thing.to_dict()) if format == "json" else catalog.facts_text(thing))
        return
    query = [w.casefold() for w in words]
    found = [
        g
        for g in all_accelerators()
        if all(w in f"{g.id} {g.name} {g.vendor} {g.architecture}".casefold() for w in query)
    ]
    nodes = [n for n in store().ids("nodes") if query and all(w in n for w in query)]
    if nodes and format == "table":
        click.echo("Nodes: " + ", ".join(nodes))
    if nodes and not found:
        return
    if not found:
        raise none_found("gpu", " ".join(words))
    rows = [catalog.gpu_row(g) for g in found]
    print_rows(rows, catalog.GPU_HEADERS, catalog.gpu_cells, format)
