"""Write the reports of docs/examples and what they decided; no arguments."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs/examples"
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "planner"))

HEAD = """# Worked examples

Four plan files, the reports that `llmplan report` makes of them, and what they decided.
Written by `python tests/tools/write_examples.py`; a test compares them.

| plan | question | decided | report |
| --- | --- | --- | --- |
"""

TAIL = """
Why, what speaks against it, what it costs, when more is due and how sure each number is stand in
the reports. The HTML files open offline; GitHub shows the Markdown.
"""


def pages(plan: Path) -> dict[str, str]:
    """Return the Markdown and HTML of a plan, by suffix, and what it decided under ``."""
    import llmplan
    from llmplan.render.report.html import html_page
    from llmplan.render.report.markdown import markdown_page
    from llmplan.render.report.page import page_of

    report = llmplan.report(plan)
    page = page_of(report)
    return {
        ".md": markdown_page(page),
        ".html": html_page(page),
        "": report.recommendation.headline,
    }


def question(plan: Path) -> str:
    """Return the first line of a plan file, a comment that says what is asked."""
    return plan.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def plans() -> list[Path]:
    """Return the plan files of the examples."""
    return sorted(EXAMPLES.glob("*.yaml"))


def readme(decided: dict[str, str]) -> str:
    """Return the page of the folder, from what each plan decided."""
    rows = [
        f"| [{p.stem}]({p.name}) | {question(p)} | {decided[p.stem]} | "
        f"[md]({p.stem}.md), [html]({p.stem}.html) |\n"
        for p in plans()
    ]
    return HEAD + "".join(rows) + TAIL


if __name__ == "__main__":
    decided = {}
    for plan in plans():
        found = pages(plan)
        decided[plan.stem] = found.pop("")
        for suffix, text in found.items():
            plan.with_suffix(suffix).write_text(text, encoding="utf-8")
    (EXAMPLES / "README.md").write_text(readme(decided), encoding="utf-8")
