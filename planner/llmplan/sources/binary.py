"""Binary files from people, opened only where they are regular files."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from llmplan.errors import CatalogFileError, InputError


class StoredTensor(NamedTuple):
    """One tensor as a file's header describes it: its shape rows first, its size in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """Number of stored elements [elements]."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def open_binary(path: Path) -> tuple[BinaryIO, int]:
    """Return a regular file opened for reading, and its size [bytes], or one clear error."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CatalogFileError(f"{path}: not a regular file.")
        return path.open("rb"), status.st_size
    except (OSError, ValueError) as e:
        raise unreadable(path, e) from None


def unreadable(path: Path, error: OSError | ValueError) -> InputError:
    """Return the one line for a file that the system does not let us read."""
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(f"{path}: {reason.lower()}.")


def shown(text: str) -> str:
    """Return a name out of a file as it may stand in a message: short, printable, quoted."""
    return repr("".join(c if c.isprintable() else "?" for c in text[:80]))
