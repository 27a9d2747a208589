"""What `deploy` makes: files with fixed names, written all or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from llmplan.errors import InputError, OutsideError

EXECUTABLE = 0o755
READABLE = 0o644


class File(NamedTuple):
    """One file: its name (never a user's), its text, whether it is run."""

    name: str
    text: str
    executable: bool = False


def write_files(files: Sequence[File], folder: str, *, force: bool = False) -> list[Path]:
    """Write every file into a folder, or none; those that are there stay, unless forced.

    Raises InputError where a file is there already, OutsideError where one cannot be written.
    """
    target = Path(folder)
    paths = [target / f.name for f in files]
    taken = [p for p in paths if p.is_symlink() or p.exists()]
    if taken and not force:
        raise InputError(f"{taken[0]} is there already.", "Give --force, or another folder.")
    folders = [p for p in paths if p.is_dir()]
    if folders:
        raise InputError(f"{folders[0]} is a folder.", "Give another folder: -o DIR.")
    written: list[tuple[str, Path]] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file, path in zip(files, paths, strict=True):
            written.append((_temporary(file, target), path))
        for name, path in written:
            os.replace(name, path)  # noqa: PTH105 - one call, both names at hand
    except OSError as e:
        raise OutsideError(f"{target}: {(e.strerror or str(e)).lower()}.") from None
    finally:
        for name, _ in written:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - there only where something failed
    return paths


def _temporary(file: File, folder: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=".llmplan-", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as out:
        out.write(file.text)
    Path(name).chmod(EXECUTABLE if file.executable else READABLE)
    return name
