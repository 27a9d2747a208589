"""Write what pages show of the program: commands, scores, files of deploy, engines, tools."""

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


_FILES = re.compile(r"(<!-- deploy: (.*?) -->\n).*?(<!-- /deploy -->)", re.DOTALL)
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)
LANGUAGES = {".sh": "sh", ".yaml": "yaml", ".py": "python", ".service": "ini"}


def shown(page: str) -> str:
    """Return a page with the files that its marks ask for, and its tables of facts."""
    return _TABLE.sub(_table, _FILES.sub(_files, page))


def _files(match: re.Match[str]) -> str:
    """Return what `llmplan deploy` writes: `MODEL GPU TARGET key=value ...`."""
    import llmplan

    model, gpu, to, *rest = match[2].split()
    options = {k: int(v) if v.isdigit() else v for k, v in (r.split("=") for r in rest)}
    made = llmplan.deploy(model, gpu, to, offline=True, **options)
    assert made is not None
    parts = [match[1].strip()]
    for file in made.files:
        language = LANGUAGES.get(Path(file.name).suffix, "")
        parts += ["", f"`{file.name}`:", "", f"```{language}", file.text.rstrip(), "```"]
    return "\n".join([*parts, "", match[3]])


def _table(match: re.Match[str]) -> str:
    rows = {"targets": _targets, "recipes": _recipes, "engines": _engines}[match[2]]()
    return "\n".join([match[1].strip(), "", *rows, "", match[3]])


def _targets() -> list[str]:
    from llmplan.deployment.run import target_module, target_names

    rows = ["| target | what | engines |", "|---|---|---|"]
    for name in target_names():
        module = target_module(name)
        what = (module.__doc__ or "").strip().splitlines()[0]
        engines = ", ".join(module.ENGINES) or "all with an image, or none needed"
        rows.append(f"| [{name}](deploy/{name}.md) | {what} | {engines} |")
    return rows


def _recipes() -> list[str]:
    from llmplan.deployment.checkpoints import RECIPES

    rows = ["| formats | tool | source | read |", "|---|---|---|---|"]
    names = {":": "...", "-": "..."}
    for r in RECIPES:
        formats = f"`{r.formats}{names.get(r.formats[-1], '')}`"
        rows.append(f"| {formats} | {r.tool} | {r.source} | {r.date} |")
    return rows


def _engines() -> list[str]:
    from llmplan.catalog.serving import all_servers
    from llmplan.render.servers import server_rows

    rows = ["| name | what | in llmplan |", "|---|---|---|"]
    for r in server_rows(all_servers(), ()):
        planned = f"`--engine {r['id']}`" if r["planned"] else r["instead"]
        rows.append(f"| {r['name']} | {r['what']} | {planned} |")
    return rows


_SPEED = re.compile(r"(<!-- speed by (\w+) -->\n).*?(<!-- /speed -->)", re.DOTALL)
SPEED_PAGES = ("README.md", "docs/speed.md", "docs/speed/scores.md")
LEAST = 20
"""Results below which a group other than a quantity is left to `llmplan validate`."""


def speed_pages() -> dict[str, str]:
    """Return the pages with scores of speed, with the scores of today."""
    from llmplan.catalog.speed_table import open_speed_table
    from llmplan.measured.rows import own_measurements, speed_rows
    from llmplan.measured.speed_scores import speed_scores
    from llmplan.measured.speed_summary import speed_summaries
    from llmplan.render.scores import speed_scores_table

    rows = speed_rows([own_measurements("speed")])
    scores = list(speed_scores(rows, open_speed_table()))

    def table(match: re.Match[str]) -> str:
        least = 1 if match[2] == "test" else LEAST
        found = [s for s in speed_summaries(scores, match[2]) if s.rows >= least]
        return f"{match[1]}\n{speed_scores_table(found, markdown=True)}\n\n{match[3]}"

    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in SPEED_PAGES}
    return {name: _SPEED.sub(table, text) for name, text in texts.items()}


SCREEN = ("fit", "mixtral-8x7b", "--gpu", "a100-40g")
"""The command whose screen the README shows."""


def readme(page: str) -> str:
    """Return the README with the screen of today."""
    import subprocess

    command = [sys.executable, "-m", "llmplan", *SCREEN]
    done = subprocess.run(command, cwd=ROOT / "planner", capture_output=True, text=True, check=True)
    asked = f"$ llmplan {' '.join(SCREEN)}\n"
    before, _, rest = page.partition(asked)
    return before + asked + done.stdout.strip() + "\n```" + rest.partition("```")[2]


def pages_of_deploy() -> list[Path]:
    """Return the pages with marks of `shown`."""
    return [ROOT / "docs/deploy.md", *sorted((ROOT / "docs/deploy").glob("*.md"))]


if __name__ == "__main__":
    for path in pages_of_deploy():
        path.write_text(shown(path.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "docs/commands.md").write_text(reference(), encoding="utf-8")
    for name, text in speed_pages().items():
        (ROOT / name).write_text(text, encoding="utf-8")
    front = ROOT / "README.md"
    front.write_text(readme(front.read_text(encoding="utf-8")), encoding="utf-8")
    for path in sorted((ROOT / "docs/memory").glob("*.md")):
        path.write_text(scored(path.read_text(encoding="utf-8")), encoding="utf-8")
