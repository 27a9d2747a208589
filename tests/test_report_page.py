"""Pages of reports: they stand alone, hostile names stay text, every chart has its numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from reports import reported

from llmplan.render.report.blocks import Chart, Page, table
from llmplan.render.report.html import html_page
from llmplan.render.report.markdown import markdown_page, plain
from llmplan.render.report.page import page_of
from llmplan.render.report.svg import svg_of
from llmplan.reporting.ask import Option
from llmplan.reporting.report import Report

HOSTILE = (
    "</title></svg><script>alert(1)</script><img src=http://x.example/a onerror=a()>|`*_[x](y)"
)
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Elements(HTMLParser):
    """Collects elements with their attributes, and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(html)
    assert parser.open == []
    return parser.found


@pytest.fixture(scope="module", params=["SMALL", "FLIGHT", "TOGETHER", "NOTHING"])
def page(request: pytest.FixtureRequest) -> Page:
    return page_of(reported(request.param))


@pytest.fixture(scope="module")
def html(page: Page) -> str:
    return html_page(page)


def test_the_file_stands_alone(html: str) -> None:
    """No script, nothing that a browser would fetch; what links there are stay in the page."""
    for tag, attrs in elements(html):
        assert tag not in {"script", "iframe", "object", "embed", "img", "use", "image", "base"}
        assert not [a for a in attrs if a.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attrs.get(name) or "#").startswith(("#", "data:,"))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(|@font-face", style[1])
    assert "default-src 'none'" in html


def test_what_reads_the_page_aloud_finds_its_way(html: str, page: Page) -> None:
    found = elements(html)
    assert ("html", {"lang": "en"}) in found
    assert [t for t, _ in found].count("h1") == 1
    levels = [int(t[1]) for t, _ in found if re.fullmatch("h[1-6]", t)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attrs in found:
        if tag == "svg":
            assert attrs["role"] == "img"
            assert attrs["aria-label"]
        if tag == "th":
            assert attrs["scope"] in {"col", "row"}
    assert [t for t, _ in found].count("table") == [t for t, _ in found].count("caption")


def test_every_chart_has_its_numbers_below(html: str, page: Page) -> None:
    charts = [b for s in page.sections for b in s.blocks if isinstance(b, Chart)]
    figures = re.findall(r"<figure>(.*?)</figure>", html, re.DOTALL)
    assert len(figures) == len(charts)
    for figure, chart in zip(figures, charts, strict=True):
        assert figure.index("<svg") < figure.index("<details>") < figure.index("<table>")
        assert figure.count("<tr>") == 1 + len(chart.table.rows)
        assert chart.table.rows
        assert all(len(row) == len(chart.table.headers) for row in chart.table.rows)


def test_a_small_report_is_small(html: str) -> None:
    assert len(html) < 400_000


def _hostile(report: Report) -> Report:
    def renamed(option: Option) -> Option:
        return replace(option, parts=tuple(
            replace(p, model=replace(p.model, id=HOSTILE, name=HOSTILE)) for p in option.parts
        ))  # fmt: skip

    ask = replace(report.ask, title=HOSTILE, note=HOSTILE, models=report.ask.models * 2)
    options = tuple(map(renamed, report.options))
    found = report.recommendation._replace(headline=HOSTILE)
    return replace(report, ask=ask, options=options, recommendation=found)


def test_hostile_names_stay_text() -> None:
    page = page_of(_hostile(reported("SMALL")))
    html = html_page(page)
    tags = {tag for tag, _ in elements(html)}
    assert not tags & {"script", "img"}
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "`" not in markdown_page(page).splitlines()[0].replace("\\`", "")


def test_charts_keep_hostile_names_as_text() -> None:
    from llmplan.render.report import charts

    rows = [{"option": HOSTILE, "tokens": 1.0, "requests": 9.0},
            {"option": HOSTILE, "tokens": 2.0, "requests": 4.0}]  # fmt: skip
    svg = svg_of(charts.lengths(rows, asked=2), label=f'a " {HOSTILE}')
    assert "<script" not in svg
    assert {tag for tag, _ in elements(svg)} <= {"svg", "g", "path", "line", "text", "rect",
                                                 "defs", "clippath", "lineargradient"}  # fmt: skip


def test_markdown_shows_its_signs(page: Page) -> None:
    text = markdown_page(page)
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.count(" |") == _columns(text, line)
    assert plain("a|b\n# c") == "a\\|b \\# c"


def _columns(text: str, line: str) -> int:
    """Return the columns of the table that a line stands in."""
    lines = text.splitlines()
    at = lines.index(line)
    while lines[at - 1].startswith("|"):
        at -= 1
    return lines[at].count(" |")


def test_headers_and_rows_have_as_many_cells(page: Page) -> None:
    assert table("", "a | b", [["1", "2"]], "lr").headers == ("a", "b")
    for section in page.sections:
        for block in section.blocks:
            if hasattr(block, "headers"):
                assert all(len(row) == len(block.headers) for row in block.rows)


@pytest.mark.parametrize("count", [1, 10, 200])
def test_many_candidates_stay_under_five_megabytes(count: int) -> None:
    report = reported("SMALL")
    first = report.options[0]
    options = tuple(replace(first, number=i) for i in range(1, count + 1))
    options = (*report.options, *options[len(report.options) :])[:count]
    curves = report.curves
    kept = {o.number for o in options}
    curves = curves._replace(
        speed=tuple(p for p in curves.speed if p.option in kept),
        cost=tuple(p for p in curves.cost if p.option in kept),
        lengths=tuple(p for p in curves.lengths if p.option in kept),
    )
    growing = None if count == 1 else report.growing
    html = html_page(page_of(replace(report, options=options, curves=curves, growing=growing)))
    assert len(html.encode()) < 5_000_000
    assert html.count('<th scope="row">') > count
