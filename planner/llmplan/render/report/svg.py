"""Vega-Lite specifications as SVG that stands in a page; no script, nothing fetched."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

from llmplan.errors import InputError

VEGA_LITE = "5.20"
"""Version of Vega-Lite that specifications are written for."""

_ROOT = re.compile(r"<svg [^>]*?viewBox=\"([0-9. -]+)\"[^>]*>")


def svg_of(spec: dict[str, Any], *, label: str) -> str:
    """Return a chart as an SVG element with a label for those who do not see it."""
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(
        json.dumps(spec), vl_version=VEGA_LITE, allowed_base_urls=[]
    )
    root = _ROOT.search(text)
    if root is None:
        raise InputError(
            "The charting library gave no SVG.", "Reinstall: pip install 'llmplan[report]'."
        )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{root[1]}" role="img" '
        f'aria-label="{escape(label, quote=True)}">'
    )
    return head + text[root.end() :]
