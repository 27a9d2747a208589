"""Parts of llmplan that need further packages."""

from __future__ import annotations

from importlib.util import find_spec

from llmplan.errors import InputError


def require(what: str, extra: str, *packages: str) -> None:
    """Raise InputError that names the extra where a package is missing."""
    missing = [p for p in packages if find_spec(p) is None]
    if missing:
        hint = f"pip install 'llmplan[{extra}]'."
        raise InputError(f"{what} needs {' and '.join(missing)}.", hint)
