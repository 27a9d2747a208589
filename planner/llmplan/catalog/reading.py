"""Files from people, read no further than they may be long."""

from __future__ import annotations

import stat
from pathlib import Path

from llmplan.errors import CatalogFileError, InputError


def read_bounded(path: Path, limit: int) -> str:
    """Return the text of a regular file of at most `limit` bytes, or one clear error."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CatalogFileError(f"{path}: not a regular file.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise InputError(f"{path}: {reason.lower()}.") from None
    if len(data) > limit:
        raise CatalogFileError(f"{path}: more than the {limit:,} bytes that such a file may have.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CatalogFileError(f"{path}: not UTF-8 text.") from None
