"""Vega-Lite specifications as SVG that stands in a page; no script, nothing fetched."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from html import escape
from typing import Any

from llmplan.errors import InputError

VEGA_LITE = "5.20"
"""Version of Vega-Lite that specifications are written for."""

_ROOT = re.compile(r"<svg [^>]*?viewBox=\"([0-9. -]+)\"[^>]*>")
_ROLE = re.compile(r" (?:role|aria-[a-z]+)=\"[^\"]*\"")
_CLIP = re.compile(r"(?<=[\"#])clip[0-9]+(?=[\")])")


def svg_of(spec: dict[str, Any], *, label: str) -> str:
    """Return a chart as an SVG element with a label for those who do not see it."""
    import vl_convert

    text_of = json.dumps(spec)
    text: str = vl_convert.vegalite_to_svg(text_of, vl_version=VEGA_LITE, allowed_base_urls=[])
    root = _ROOT.search(text)
    if root is None:
        raise InputError(
            "The charting library gave no SVG.", "Reinstall: pip install 'llmplan[report]'."
        )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{root[1]}" role="img" '
        f'aria-label="{escape(label, quote=True)}">'
    )
    return head + _plain(text[root.end() :], sha256(text_of.encode()).hexdigest()[:8])


def _plain(marks: str, key: str) -> str:
    """Return marks without roles, as the label speaks for all, and with ids of their own chart.

    The library counts ids over a whole process: the same plan would give another page.
    """
    clips: dict[str, str] = {}
    return _CLIP.sub(
        lambda m: clips.setdefault(m[0], f"clip-{key}-{len(clips) + 1}"), _ROLE.sub("", marks)
    )
