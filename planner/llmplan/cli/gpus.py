"""`llmplan gpus [QUERY]` and `llmplan gpus show ID`."""

from __future__ import annotations

import click

from llmplan.cli.listing import none_found, print_rows, show_name
from llmplan.cli.options import Size, apply, complete_gpus, option, output_options
from llmplan.errors import UnknownName

SORTS = (
    "memory",
    "bandwidth",
    "flops",
    "price",
    "price-per-gb",
    "price-per-tflop",
    "power",
    "year",
)
NODES_NAMED = 6
"""Machines that a listing of devices names before it points at --nodes."""

selection = apply([
    option("--sort", "sort", "Sort by this: the most first, prices and power the least first.",
           env="gpus-sort", type=click.Choice(SORTS)),
    option("--vendor", "vendor", "Only this vendor: nvidia, amd, apple, intel ..."),
    option("--architecture", "architecture", "Only architectures whose name holds this."),
    option("--min-memory", "min_memory", "At least this much memory, e.g. 40GiB.", type=Size()),
    option("--max-price", "max_price", "At most this many US dollars an hour.", type=float),
    option("--provider", "provider", "Only what this provider rents, at its prices."),
    click.option("--nodes", is_flag=True, help="List machines instead, with all their devices."),
    click.option("--csv", "as_csv", is_flag=True, help="Short for --format csv."),
])  # fmt: skip


@click.command("gpus")
@click.argument("words", metavar="[QUERY | show ID]", nargs=-1, shell_complete=complete_gpus)
@selection
@output_options
def command(
    words: tuple[str, ...],
    sort: str | None,
    vendor: str | None,
    architecture: str | None,
    min_memory: int | None,
    max_price: float | None,
    provider: str | None,
    nodes: bool,
    as_csv: bool,
    format: str,
    as_json: bool,
    offline: bool,
    quiet: bool,
) -> None:
    """List the devices whose name holds QUERY, or show one with every fact and its source.

    Prices are of one whole device, on demand, at the cheapest provider on record; ~ marks
    usable memory that was not read off a device. With --nodes, of the whole machine.

    Example: llmplan gpus --sort price-per-gb --min-memory 40GiB ; llmplan gpus show h100-sxm
    """
    from llmplan.render import devices

    format = "json" if as_json else "csv" if as_csv else format
    name = show_name(words)
    if name is not None:
        click.echo(_shown(name, format))
        return
    rows = devices.selected(
        (devices.node_rows if nodes else devices.gpu_rows)(words, provider),
        vendor=vendor,
        architecture=architecture,
        min_memory_bytes=min_memory,
        max_usd_per_hour=max_price,
    )
    machines = [] if nodes or format != "table" or quiet else _machines(words)
    if not rows and not machines:
        raise none_found("gpu", " ".join(words)) if words else _none_left()
    if machines:
        more = f" and {len(machines) - NODES_NAMED} more" if len(machines) > NODES_NAMED else ""
        listed = ", ".join(machines[:NODES_NAMED])
        click.echo(f"Machines (--nodes): {listed}{more}")
    if rows:
        headers = devices.NODE_HEADERS if nodes else devices.GPU_HEADERS
        cells = devices.node_cells if nodes else devices.gpu_cells
        print_rows(devices.in_order(rows, sort), headers, cells, format)


def _none_left() -> UnknownName:
    return UnknownName("Nothing passes these filters.", "Widen them, or list all: llmplan gpus.")


def _machines(words: tuple[str, ...]) -> list[str]:
    """Return the ids of the machines that a query means besides devices."""
    from llmplan.catalog.resolve import store

    if not words:
        return []
    return [n for n in store().ids("nodes") if all(w.casefold() in n for w in words)]


def _shown(name: str, format: str) -> str:
    from llmplan.catalog.resolve import find_gpu, find_node
    from llmplan.render import devices
    from llmplan.render.records import to_json

    thing = find_node(name) or find_gpu(name).gpu
    return to_json(devices.facts_entry(thing)) if format == "json" else devices.facts_text(thing)
