"""A report as one HTML file that stands alone: style, charts and text, no script, no request."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec

from llmplan.errors import InputError
from llmplan.render.report.blocks import Chart, Page

EXTRA = "pip install 'llmplan[report]'"


def check_extra() -> None:
    """Raise InputError where what HTML needs is not installed."""
    for name in ("jinja2", "vl_convert"):
        if find_spec(name) is None:
            hint = f"{EXTRA}, or write Markdown: -o report.md."
            raise InputError(f"A report in HTML needs {name}, which is not installed.", hint)


def html_page(page: Page) -> str:
    """Return the page as HTML; InputError where the extra is not installed."""
    check_extra()
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from llmplan.render.report.svg import svg_of

    def svg(chart: Chart) -> Markup:
        return Markup(svg_of(chart.spec, label=f"{chart.title}. {chart.caption}"))  # noqa: S704

    folder = files("llmplan.render.report")
    texts = {n: (folder / n).read_text(encoding="utf-8") for n in ("page.html", "page.css")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    template = environment.from_string(texts["page.html"])
    return template.render(page=page, css=Markup(texts["page.css"]), svg=svg)  # noqa: S704
