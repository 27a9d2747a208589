"""Engines and stacks as rows and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llmplan.specs.serving import Server

HEADERS = ("id", "kind", "status", "planned", "devices", "read at")


def server_rows(servers: Iterable[Server], words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows whose names hold every word: what is planned first."""
    found = [s for s in servers if all(w.casefold() in _names(s) for w in words)]
    found.sort(key=lambda s: (not s.planned, ("engine", "stack", "other").index(s.kind), s.id))
    return [
        {"id": s.id, "name": s.name, "kind": s.kind, "status": s.status, "planned": s.planned,
         "devices": list(s.devices), "read": s.read, "what": s.what, "instead": s.instead}
        for s in found
    ]  # fmt: skip


def server_cells(row: dict[str, Any]) -> list[Any]:
    """Return one row of the table."""
    planned = "yes" if row["planned"] else "see show"
    devices = ", ".join(row["devices"])
    return [row["id"], row["kind"], row["status"], planned, devices, row["read"]]


def server_text(server: Server) -> str:
    """Return every fact of an engine, one a line, with its sources."""
    lines = [f"{server.name} ({server.kind}, {server.status}): {server.what}"]
    lines += [server.instead] if server.instead else []
    skipped = ("id", "name", "kind", "status", "what", "instead", "images", "sources", "notes")
    for name, value in server.to_dict().items():
        if name not in skipped and value not in (None, [], {}, False):
            lines.append(f"  {name.replace('_', ' ')}: {_text(value)}")
    for image in server.images:
        since = f" from {image.since}" if image.since else ""
        lines.append(f"  image ({image.vendor}{since}): {image.repository}:{image.tag}"
                     f" [{image.ref}, {image.date}]")  # fmt: skip
    lines += [f"Note: {note}" for note in server.notes]
    return "\n".join([*lines, f"Sources ({server.checked}): {'; '.join(server.sources)}"])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _names(server: Server) -> str:
    return " ".join((server.id, server.name, *server.aliases)).casefold()
