"""Names as people write them: any case, any separators; suggestions for what nearly fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def normalise(name: str) -> str:
    """Return the key a name is looked up by: separators count only between two digits.

    >>> normalise("RTX 4090"), normalise("rtx-4090"), normalise("Llama_3.1 8B")
    ('rtx4090', 'rtx4090', 'llama3-1-8b')
    """
    key: list[str] = []
    gap = False
    for char in name.casefold():
        if not char.isalnum():
            gap = True
            continue
        if gap and key and key[-1].isdigit() and char.isdigit():
            key.append("-")
        gap = False
        key.append(char)
    return "".join(key)


def name_table(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return normalised name -> ids for ids, aliases and Hub ids, with and without the owner."""
    table: dict[str, list[str]] = {}
    for entry in entries:
        for name in entry_names(entry):
            ids = table.setdefault(normalise(name), [])
            if entry["id"] not in ids:
                ids.append(entry["id"])
    for entry in entries:
        table[normalise(entry["id"])] = [entry["id"]]
    return table


def entry_names(entry: Mapping[str, Any]) -> list[str]:
    """Return every name an entry goes by, Hub ids with and without their owner."""
    names = [entry["id"], *entry.get("aliases", ())]
    hubs = [entry.get("hub_id")]
    hubs += [a["hub_id"] for a in entry.get("artifacts", ())]
    for variant in entry.get("variants", ()):
        names += [variant["name"], *variant.get("aliases", ())]
        hubs += [variant.get("hub_id"), *(a["hub_id"] for a in variant.get("artifacts", ()))]
    names += [n for hub in hubs if hub for n in dict.fromkeys((hub, hub.rpartition("/")[2]))]
    return names


def group_table(
    entries: Iterable[Mapping[str, Any]], fields: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return normalised group name -> ids: usual checkpoints, product and drivers' names."""
    table: dict[str, list[str]] = {}
    for entry in entries:
        for name in (n for field in fields for n in entry.get(field) or ()):
            ids = table.setdefault(normalise(name), [])
            if entry["id"] not in ids:
                ids.append(entry["id"])
    return table


MAX_COMPARED = 80
"""Characters of a name that are compared: longer ones are no slip of the pen."""


def close_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known names nearest to a misspelt one, best first."""
    from difflib import SequenceMatcher

    wanted = normalise(name[:MAX_COMPARED])
    scored = []
    for candidate in known:
        key = normalise(candidate)
        score = SequenceMatcher(None, wanted, key).ratio()
        if wanted and (wanted in key or key in wanted):
            score += 0.25
        scored.append((-score, candidate))
    return [c for score, c in sorted(scored)[:count] if score <= -0.6]
