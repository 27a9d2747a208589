"""YAML text with the reason of each value above it.

Every string that could be read as anything else is double-quoted as JSON, which is YAML too, so
that no text of a user ends a value or starts a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llmplan.engines.starting import printable

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?:[:=][A-Za-z0-9_./-]+)*")
_WORDS = frozenset("y n yes no true false on off null none nan inf".split())
"""Words that YAML 1.1 reads as something else than text."""
WIDTH = 96


class Why(NamedTuple):
    """A value with the reason that stands above it."""

    value: Any
    reason: str


def yaml_text(documents: Sequence[Any], head: Sequence[str] = ()) -> str:
    """Return documents as one YAML file, comment lines on top."""
    parts = ["\n".join(_lines(d, 0)) for d in documents]
    return "\n".join([*(comment(line) for line in head), "\n---\n".join(parts)]) + "\n"


def comment(text: str) -> str:
    """Return text as one comment line; no backslash at its end could join the next one to it."""
    return f"# {printable(text)}".rstrip("\\ ")


def _lines(value: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    for key, item, reason in _entries(value):
        if reason:
            yield pad + comment(reason)
        start = f"{pad}{_scalar(key)}:" if key is not None else f"{pad}-"
        if isinstance(item, (Mapping, list, tuple)) and item:
            inner = list(_lines(item, depth + 1))
            # a list item that begins with a comment starts on a line of its own
            if key is not None or inner[0].lstrip().startswith("#"):
                yield start
                yield from inner
            else:
                yield f"{start} {inner[0][len(pad) + 2 :]}"
                yield from inner[1:]
        elif isinstance(item, str) and "\n" in item:
            yield f"{start} |"
            yield from (f"{pad}  {printable(line)}".rstrip() for line in item.strip().split("\n"))
        else:
            yield f"{start} {_scalar(item)}"


def _entries(value: Any) -> Iterator[tuple[Any, Any, str]]:
    pairs = value.items() if isinstance(value, Mapping) else ((None, v) for v in value)
    for key, item in pairs:
        if isinstance(item, Why):
            yield key, item.value, item.reason
        else:
            yield key, item, ""


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, (Mapping, list, tuple)):
        return "{}" if isinstance(value, Mapping) else "[]"
    text = printable(str(value))
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
