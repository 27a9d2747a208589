"""`llmplan models [QUERY]`, `llmplan models show ID`, `llmplan models add PATH`."""

from __future__ import annotations

from typing import Any

import click

from llmplan.cli.listing import none_found, print_rows, show_name
from llmplan.cli.options import Count, Tokens, apply, complete_models, option, output_options

SORTS = ("id", "size", "active", "context", "kv", "released")

selection = apply([
    option("--sort", "sort", "Sort by this.", env="models-sort", type=click.Choice(SORTS),
           default="id"),
    option("--family", "family", "Only this family: qwen, llama, gemma ..."),
    option("--min-size", "min_size", "At least this many parameters, e.g. 7B.", type=Count()),
    option("--max-size", "max_size", "At most this many parameters.", type=Count()),
    option("--min-active", "min_active", "At least this many active parameters.", type=Count()),
    option("--max-active", "max_active", "At most this many active parameters.", type=Count()),
    option("--min-context", "min_context", "At least this long a context.", type=Tokens()),
    option("--licence", "licence", "Only licences whose name holds this: apache, mit, llama ..."),
    option("--attention", "attention", "Only this kind of attention: MHA, GQA, MLA, sliding ..."),
    option("--modality", "modality", "Only text, vision, encoder-decoder or embedding."),
    click.option("--csv", "as_csv", is_flag=True, help="Short for --format csv."),
    click.option("-o", "--output", help="File or folder that `add` writes to; - prints it."),
])  # fmt: skip


@click.command("models")
@click.argument(
    "words", metavar="[QUERY | show ID | add PATH]", nargs=-1, shell_complete=complete_models
)
@selection
@output_options
def command(
    words: tuple[str, ...],
    as_csv: bool,
    output: str | None,
    format: str,
    as_json: bool,
    offline: bool,
    quiet: bool,
    **wanted: Any,
) -> None:
    """List the models that go by QUERY, show one with every fact and its source, or add one.

    `add` writes a catalogue YAML, ready to review, from a config.json, a GGUF file or a Hub id:
    to -o, else to your own catalogue. ~ marks counts that nothing published confirms.

    Example: llmplan models qwen3 --max-size 40B ; llmplan models show deepseek-v3
    """
    format = "json" if as_json else "csv" if as_csv else format
    name = show_name(words)
    if name is not None:
        click.echo(_shown(name, format, offline=offline))
    elif len(words) == 2 and words[0] == "add":
        click.echo(_added(words[1], output, offline=offline))
    else:
        _list(" ".join(words), format, quiet=quiet, **wanted)


def _list(query: str, format: str, *, quiet: bool, sort: str, **wanted: Any) -> None:
    from llmplan.catalog.resolve import find_topic
    from llmplan.render import models

    rows = models.selected(
        models.model_rows(query),
        texts={"family": wanted["family"], "license": wanted["licence"],
               "attention": wanted["attention"], "modality": wanted["modality"]},
        least={"parameters": wanted["min_size"], "active_parameters": wanted["min_active"],
               "context_tokens": wanted["min_context"]},
        most={"parameters": wanted["max_size"], "active_parameters": wanted["max_active"]},
    )  # fmt: skip
    if not rows:
        topic = find_topic(query) if query else None
        if topic is None:
            raise none_found("model", query or "these filters")
        click.echo(models.topic_text(topic))
        return
    rows.sort(key=models.SORTS[sort])
    print_rows(rows, models.MODEL_HEADERS, models.model_cells, format)
    if format == "table" and query and not quiet:
        for line in models.variants_named(rows, query):
            click.echo(line)


def _shown(name: str, format: str, *, offline: bool) -> str:
    from llmplan.catalog.resolve import find_topic
    from llmplan.render import models
    from llmplan.render.records import to_json

    topic = find_topic(name)
    if topic is not None:
        return to_json(topic.to_dict()) if format == "json" else models.topic_text(topic)
    if format == "json":
        return to_json(models.model_entry(name, offline=offline))
    return models.model_text(name, offline=offline)


def _added(path: str, output: str | None, *, offline: bool) -> str:
    from llmplan.catalog.resolve import find_model
    from llmplan.catalog.write import add_model, entry_text

    model = find_model(path, offline=offline).model
    if output == "-":
        return entry_text(model).rstrip("\n")
    target = add_model(model, output)
    return f"Wrote {target}. Review it, then: llmplan check {target}"
