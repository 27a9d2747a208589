"""Whether a model's licence allows a use, by its identifier: no legal advice."""

from __future__ import annotations

from llmplan.specs.model import Model

NON_COMMERCIAL = ("-nc", "noncommercial", "non-commercial", "research")
"""Parts of identifiers of licences that do not allow commercial use (SPDX and Hub names)."""

NON_COMMERCIAL_NAMES = ("mrl", "exaone")
"""Mistral Research License, EXAONE AI Model License 1.1-NC: their names do not say it (2026-11)."""

UNCLEAR = (None, "other", "unknown")


def licence_problem(model: Model, *, allowed: tuple[str, ...], commercial: bool) -> str | None:
    """Return why the licence does not meet what was asked, or None."""
    name = model.license
    if allowed and (name or "").casefold() not in {a.casefold() for a in allowed}:
        wanted = " or ".join(allowed)
        return f"{model.id} is under {name or 'a licence not on record'}, not {wanted}."
    if commercial and name in UNCLEAR:
        return f"The licence of {model.id} is not on record: commercial use cannot be checked."
    text = (name or "").casefold()
    forbidden = text in NON_COMMERCIAL_NAMES or any(part in text for part in NON_COMMERCIAL)
    if commercial and forbidden:
        return f"{model.id} is under {name}, which does not allow commercial use."
    return None
