"""Sizes and counts as people write them, and as sentences print them. Inside, base units only."""

from __future__ import annotations

import re

from llmplan.errors import InputError

GIB = 1 << 30
_TOKENS = {"": 1, "k": 1024, "m": 1024 * 1024}
_BYTES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "k": 2**10, "m": 2**20, "g": 2**30,
}  # fmt: skip
_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_GROUPED = re.compile(r"\s*[0-9]{1,3}(,[0-9]{3})+\s*")
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*")
MAX_TOKENS = 1 << 30


def parse_tokens(text: str | int) -> int:
    """Return a token count from `8192`, `8,192`, `32k` (32,768) or `1M`.

    >>> parse_tokens("32k"), parse_tokens(8192), parse_tokens("1m")
    (32768, 8192, 1048576)
    """
    shown = str(text)
    plain = shown.replace(",", "") if _GROUPED.fullmatch(shown[:40]) else shown
    value = _parse(plain, _TOKENS, "a token count", "8192, 32k or 1m")
    if not 1 <= value <= MAX_TOKENS:
        raise InputError(f"{text!r} tokens is out of range.", f"Give 1 to {MAX_TOKENS:,}.")
    return value


def parse_bytes(text: str | int) -> int:
    """Return bytes from `4000000000`, `4GB` or `4 GiB`.

    >>> parse_bytes("4GiB"), parse_bytes("1.5GB")
    (4294967296, 1500000000)
    """
    return _parse(str(text), _BYTES, "a size", "4GiB or 4GB")


def parse_count(text: str | int) -> int:
    """Return a count of parameters from `7B`, `1.5b`, `350M` or `1T`.

    >>> parse_count("7B"), parse_count("1.5b")
    (7000000000, 1500000000)
    """
    return _parse(str(text), _COUNTS, "a count of parameters", "7B or 350M")


def _parse(text: str, units: dict[str, int], what: str, example: str) -> int:
    match = _NUMBER.fullmatch(text[:40]) if len(text) <= 40 else None
    if match is None or match.group(2).lower() not in units:
        raise InputError(f"{text[:40]!r} is not {what}.", f"Write it as {example}.")
    value = round(float(match.group(1)) * units[match.group(2).lower()])
    if value < 1:
        raise InputError(f"{text[:40]!r} is less than one.", f"Write it as {example}.")
    return value


def gib(size_bytes: float) -> str:
    """Return bytes as GiB text.

    >>> gib(93405585408)
    '87.0 GiB'
    """
    return f"{size_bytes / GIB:.1f} GiB"


def tokens_text(count: int) -> str:
    """Return a token count with thousands separators.

    >>> tokens_text(32768)
    '32,768'
    """
    return f"{count:,}"


def count_text(count: int) -> str:
    """Return a parameter count in the field's short form.

    >>> count_text(46702792704), count_text(109482240)
    ('46.7B', '109M')
    """
    if count >= 10**12:
        return f"{count / 10**12:.2f}T"
    if count >= 10**9:
        return f"{count / 10**9:.1f}B"
    return f"{count / 10**6:.0f}M"


_SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
MAX_SECONDS = 1e6


def parse_seconds(text: str | float) -> float:
    """Return seconds from `0.5`, `0.5s` or `500ms`.

    >>> parse_seconds("500ms"), parse_seconds(2), parse_seconds("1.5 s")
    (0.5, 2.0, 1.5)
    """
    shown = str(text)
    match = _NUMBER.fullmatch(shown[:40]) if len(shown) <= 40 else None
    if match is None or match.group(2).lower() not in _SECONDS:
        raise InputError(f"{shown[:40]!r} is not a time.", "Write it as 500ms or 0.5s.")
    value = float(match.group(1)) * _SECONDS[match.group(2).lower()]
    if not 0 < value <= MAX_SECONDS:
        raise InputError(f"{shown[:40]!r} is out of range.", "Write it as 500ms or 0.5s.")
    return value
