"""Write docs/commands.md from the commands' own help."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "planner"))

HEAD = """# Commands

Written by `python tests/tools/write_docs.py` from the commands' own help; a test compares.
Exit codes: 0 answered and something fits, 1 answered and nothing fits, 2 wrong usage or input,
3 something outside llmplan failed. With `--json`, stdout holds one JSON document, errors included.
Every option with a value can come from the environment as `LLMPLAN_<OPTION>` (`LLMPLAN_GPU=h200`).
"""


def reference() -> str:
    """Return the page."""
    import click

    from llmplan.cli.main import COMMANDS, cli

    parts = [HEAD]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=click.Context(cli))
        usage = " ".join(command.collect_usage_pieces(context))
        lines = [line.strip() for line in (command.help or "").strip().splitlines()]
        parts.append(f"## llmplan {name}\n\n`llmplan {name} {usage}`\n\n" + "\n".join(lines) + "\n")
        options = [p for p in command.params if isinstance(p, click.Option)]
        if options:
            rows = ["| option | what it is |", "|---|---|"]
            for p in options:
                flags = ", ".join(p.opts)
                kind = "" if p.is_flag else f" {p.make_metavar(context)}"
                name_cell = f"`{flags}{kind}`".replace("|", "\\|")
                rows.append(f"| {name_cell} | {p.help} |")
            parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs/commands.md").write_text(reference(), encoding="utf-8")
