"""Reports in a real browser: screenshots, no errors, no requests, axe-core, time to open.

Opt-in: `bash tests/peers/setup.sh browser && pytest -m peer tests/peers/test_report_browser.py`.
CHROMIUM names the browser where it is another one; SCREENSHOTS a folder that keeps the pictures.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from reports import SMALL, reported

import llmplan
from llmplan.render.report.html import html_page
from llmplan.render.report.page import page_of

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="setup.sh browser was not run"
    ),
]
WIDTHS = (390, 820, 1440)
SCHEMES = ("light", "dark")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
OPEN_S = 1.0
"""Time in which a report opens (issue: under a second)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CHROMIUM", ""), "chromium-headless-shell", "chromium")
    path = next((shutil.which(n) for n in names if n and shutil.which(n)), None)
    with sync_playwright() as p:
        found = p.chromium.launch(executable_path=path, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return files: the worked examples, one where nothing fits, one of 200 candidates."""
    folder = tmp_path_factory.mktemp("reports")
    texts = {p.stem: html_page(page_of(llmplan.report(p)))
             for p in sorted((ROOT / "docs/examples").glob("*.yaml"))}  # fmt: skip
    texts["nothing"] = html_page(page_of(reported("NOTHING")))
    report = reported("SMALL")
    many = tuple(replace(report.options[0], number=i) for i in range(4, 201))
    texts["many"] = html_page(page_of(replace(report, options=(*report.options, *many))))
    found = {}
    for name, text in texts.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(text, encoding="utf-8")
    return found


def _open(browser: Any, path: Path, width: int, scheme: str) -> tuple[Any, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, heard = context.new_page(), []
    page.on("console", lambda m: heard.append(f"console: {m.text}"))
    page.on("pageerror", lambda e: heard.append(f"error: {e}"))
    page.on("request", lambda r: heard.append(f"request: {r.url}")
            if not r.url.startswith(("file:", "data:")) else None)  # fmt: skip
    page.goto(path.as_uri())
    return page, heard


NAMES = ("chat-70b", "code-completion", "laptop", "old-gpus", "nothing", "many")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_report_looks_right(
    browser: Any, pages: dict[str, Path], tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    """Nothing is said on the console or asked of the network, nothing sticks out of the page."""
    page, heard = _open(browser, pages[name], width, scheme)
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    picture = page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
    assert len(picture) > 10_000
    assert heard == []
    sizes = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert sizes[0] <= sizes[1]
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (_light(ink) > _light(paper)) is (scheme == "dark")
    fill = page.evaluate(
        "(e => e ? getComputedStyle(e).fill : 'rgb(1, 1, 1)')(document.querySelector('svg text'))"
    )
    assert fill.startswith("rgb")
    assert abs(_light(fill) - _light(paper)) > 150 or name == "nothing"
    page.context.close()


def _light(color: str) -> int:
    return sum(int(x) for x in color[color.index("(") + 1 : color.index(")")].split(",")[:3])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    page, _ = _open(browser, pages[name], 820, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    serious = [
        (v["id"], v["nodes"][0]["html"][:200])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical", "moderate")
    ]
    assert found["passes"]
    assert serious == []
    page.context.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_report_opens_at_once(browser: Any, pages: dict[str, Path], name: str) -> None:
    page, _ = _open(browser, pages[name], 1440, "light")
    took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"{name}: {pages[name].stat().st_size:,} bytes, loaded in {took:.0f} ms")
    assert 0 < took < OPEN_S * 1000
    page.context.close()


def test_a_print_is_light_and_whole(browser: Any, pages: dict[str, Path]) -> None:
    """On paper the page is dark on light in dark mode too, and tables are not cut off."""
    page, _ = _open(browser, pages["chat-70b"], 820, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert _light(ink) < _light(paper)
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == (
        "visible"
    )
    assert len(page.pdf(format="A4")) > 20_000
    page.context.close()


def test_the_same_plan_gives_the_same_page() -> None:
    again = html_page(page_of(llmplan.report(SMALL)))
    assert again == html_page(page_of(reported("SMALL")))
