"""Write docs/commands.md from the commands' own help, and the scores into docs/memory/."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "planner"))

HEAD = """# Commands

Written by `python tests/tools/write_docs.py` from the commands' own help; a test compares.
Exit codes: 0 answered and something fits, 1 answered and nothing fits, 2 wrong usage or input,
3 something outside llmplan failed. With `--json`, stdout holds one JSON document, errors included.
Every option with a value can come from the environment as `LLMPLAN_<OPTION>` (`LLMPLAN_GPU=h200`).
"""


_SCORES = re.compile(r"(<!-- scores: (.*?) -->\n).*?(<!-- /scores -->)", re.DOTALL)


def reference() -> str:
    """Return the page of commands."""
    import click

    from llmplan.cli.main import COMMANDS, cli

    parts, top = [HEAD], click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None
        parts.append(_section(command, name))
        if isinstance(command, click.Group):
            parts += [_section(c, f"{name} {sub}") for sub, c in command.commands.items()]
    return "\n".join(parts)


def _section(command: Any, name: str) -> str:
    import click

    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [line.strip() for line in (command.help or "").strip().splitlines()]
    text = f"## llmplan {name}\n\n`llmplan {name} {usage}`\n\n" + "\n".join(lines) + "\n"
    rows = ["| option | what it is |", "|---|---|"]
    for p in command.params:
        if isinstance(p, click.Option):
            kind = "" if p.is_flag else f" {p.make_metavar(context)}"
            cell = f"`{', '.join(p.opts)}{kind}`".replace("|", "\\|")
            rows.append(f"| {cell} | {p.help} |")
    return text + ("\n" + "\n".join(rows) + "\n" if len(rows) > 2 else "")


def scored(page: str) -> str:
    """Return a page with its tables of scores: of rows that no constant was read off."""
    from llmplan.measured.bands import held_out
    from llmplan.measured.memory import memory_scores
    from llmplan.measured.rows import own_measurements, read_rows
    from llmplan.measured.summary import summaries

    found = summaries(held_out(memory_scores(read_rows([own_measurements("memory")]))))

    def table(match: re.Match[str]) -> str:
        rows = ["| engine | figure | rows | skipped | median error | 90th percentile |"]
        rows.append("|---|---|--:|--:|--:|--:|")
        for s in found:
            if set(s.group) & set(match[2].split()):
                assert s.median is not None
                rows.append(
                    f"| {s.group[0]} | {s.group[1]} | {s.rows} | {s.skipped} | {s.median:.2%} |"
                    f" {s.p90:.2%} |"
                )
        return "\n".join([match[1].strip(), "", *rows, "", match[3]])

    return _SCORES.sub(table, page)


if __name__ == "__main__":
    (ROOT / "docs/commands.md").write_text(reference(), encoding="utf-8")
    for path in sorted((ROOT / "docs/memory").glob("*.md")):
        path.write_text(scored(path.read_text(encoding="utf-8")), encoding="utf-8")
