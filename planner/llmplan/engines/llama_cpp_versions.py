"""What changed in llama.cpp's memory, by build: one table, the latest row not after a build holds.

Builds are counted from the dates on which the changes were merged, between builds whose dates
are known; a build within some tens of a row may still follow the row before.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from llmplan.errors import InputError

NEWEST = "0c1e57098"
"""Newest state that was read (2026-10-01, vendored in PyPI llama-cpp-python 0.3.36)."""
MAX_BUILD = 10**6
_BUILD = re.compile(r"b?([1-9]\d{3,5})")


class Rules(NamedTuple):
    """Memory rules from a build on.

    `padding` and `flash_padding` are the cells that a cache is rounded up to without and with
    flash attention. `latent` says what MLA caches: heads expanded, the latent with its values
    apart, or the latent alone. `windows`: sliding layers keep their window alone.
    `encoder_cache`: models that only embed had a cache too. `flash`: flash attention is on
    unless refused. `slots_apart`: a micro-batch sees the cells of its own slot. `fused`:
    graphs with fused gates, which keep gate, up and product. `few_outputs`: the server
    reserves logits for one token a slot. `output_first`: of the layers on the device, the
    output matrix is the first. `fit`: --fit leaves its margin free.
    """

    build: int
    date: str
    source: str
    padding: int = 32
    flash_padding: int = 32
    latent: str = "expanded"
    windows: bool = False
    encoder_cache: bool = True
    flash: bool = False
    slots_apart: bool = False
    fused: bool = False
    few_outputs: bool = False
    output_first: bool = False
    fit: bool = False


def _table() -> tuple[Rules, ...]:
    rows = [Rules(1602, "2023-12-02", "pull request 4280 (cache padded to 32)")]
    changes: tuple[tuple[int, str, str, dict[str, Any]], ...] = (
        (2781, "2024-04-30", "5021 and 6438", {"padding": 256, "flash_padding": 256}),
        (2880, "2024-05-13", "7257", {"padding": 32}),
        (5130, "2025-04-15", "12801", {"latent": "with values"}),
        (5315, "2025-05-08", "13108", {"encoder_cache": False}),
        (5434, "2025-05-20", "13194", {"windows": True}),
        (5913, "2025-07-16", "14363, 14274 and 14158", {"slots_apart": True, "fused": True}),
        (6325, "2025-08-30", "15434", {"flash": True}),
        (6868, "2025-10-28", "16812", {"padding": 1, "flash_padding": 1}),
        (6972, "2025-11-07", "17046", {"padding": 256, "flash_padding": 256}),
        (7407, "2025-12-15", "16653", {"fit": True, "output_first": True}),
        (7830, "2026-01-25", "19067", {"latent": "alone"}),
        (9430, "2026-06-01", "23861", {"few_outputs": True}),
    )
    for build, date, pulls, change in changes:
        source = f"ggml-org/llama.cpp pull request {pulls}"
        rows.append(rows[-1]._replace(build=build, date=date, source=source, **change))
    return tuple(rows)


TABLE = _table()


def check(version: str, name: str) -> str:
    """Return a build as `b3609`, or the newest state as it is; anything else is an error."""
    if version == NEWEST:
        return version
    match = _BUILD.fullmatch(version.strip().lower())
    if not match:
        raise InputError(
            f"{version[:40]!r} is not a version of {name} that llmplan knows.",
            f"Give a build such as b6325, or {NEWEST}.",
        )
    return f"b{int(match[1])}"


def rules_of(version: str) -> Rules:
    """Return the rules of a checked version; builds before the table take its first row."""
    build = MAX_BUILD if version == NEWEST else int(version.removeprefix("b"))
    return next((r for r in reversed(TABLE) if r.build <= build), TABLE[0])


def build_on(date: str) -> str:
    """Return the build whose rules held on a day (2024-05-13)."""
    found = next((r for r in reversed(TABLE) if r.date <= date), TABLE[0])
    return f"b{found.build}"
