"""Outputs that appear whole or not at all, and go on after an interruption.

Beside the output stands a folder `<output>.sweep` while a sweep runs: its lock, the data so far,
and the state that says how much of it is done. At the end the data take the output's place.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from llmplan.errors import InputError, OutsideError
from llmplan.sweeping.footer import joined_footer

State = dict[str, Any]


class Output(Protocol):
    """Takes encoded parts in their order."""

    def append(self, data: bytes, state: State) -> None:
        """Keep a part and the state after it, both or neither."""

    def finish(self, schema: pa.Schema, empty: bytes) -> None:
        """Put the whole output in its place; `empty` is the encoding of no rows."""

    def close(self) -> None:
        """Let go of the files, finished or not."""


class WorkFolder:
    """The folder beside an output, held by one sweep at a time."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(f"{output.name}.sweep")
        self._lock: Any = None

    def __enter__(self) -> WorkFolder:
        """Take the folder, or refuse where another sweep holds it."""
        try:
            while True:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = _locked(self.path / "lock")
                if _is_there(self._lock, self.path / "lock"):
                    return self
                self._lock.close()  # the sweep that held it has just finished
        except BlockingIOError:
            raise InputError(
                f"Another sweep writes {self.output}.", "Wait for it, or give another -o."
            ) from None
        except OSError as e:
            raise OutsideError(f"{self.path}: {(e.strerror or str(e)).lower()}.") from None

    def __exit__(self, *exception: object) -> None:
        """Let go of the folder; what it holds stays."""
        self._lock.close()

    def state(self, key: str, *, restart: bool) -> State:
        """Return how far an earlier run of the same sweep came; refuse another sweep's folder."""
        path = self.path / "state.json"
        if restart:
            self.clear()
        try:
            state: State = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            state = {"key": key, "next": 0, "bytes": 0, "rows": 0, "fitting": 0, "left_out": {},
                     "ends": []}  # fmt: skip
            self.save(state)
        except (ValueError, OSError):
            state = {"key": None}
        if state["key"] != key:
            raise InputError(
                f"{self.path} holds an unfinished sweep of another plan, catalogue or version.",
                "Drop it with --restart, or give another -o.",
            )
        return state

    def save(self, state: State) -> None:
        """Replace the state by another one, in one step."""
        path = self.path / "state.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(state), encoding="utf-8")
        new.replace(path)

    def clear(self) -> None:
        """Remove what an earlier run left but the lock."""
        for path in self.path.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        """Remove the folder; its lock goes last."""
        self.clear()
        shutil.rmtree(self.path)


def _locked(path: Path) -> Any:
    """Return the open file, locked; the system lets go of it when the process ends."""
    file = path.open("a+b")
    try:
        try:
            import fcntl
        except ImportError:  # Windows
            import msvcrt

            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            except OSError:
                raise BlockingIOError from None
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file


def _is_there(file: Any, path: Path) -> bool:
    """Return whether an open file is the one of that name still."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


class AppendedFile:
    """A text file, or Parquet files one after the other whose footers are joined at the end."""

    def __init__(self, work: WorkFolder, state: State, format: str) -> None:
        self.work, self.format, self.path = work, format, work.path / "data"
        self.file = self.path.open("ab")
        if self.file.tell() < state["bytes"]:
            self.file.close()
            raise InputError(f"{self.path} is shorter than it was.", "Begin anew with --restart.")
        self.file.truncate(state["bytes"])  # what came after the last state is done again
        self.state = state

    def append(self, data: bytes, state: State) -> None:
        """Append the bytes, then the state that counts them."""
        if data:
            self.file.seek(0, os.SEEK_END)
            self.file.write(data)
            self.file.flush()
            state["ends"] = [*state["ends"], state["bytes"] + len(data)]
            state["bytes"] += len(data)
        self.work.save(state)
        self.state = state

    def finish(self, schema: pa.Schema, empty: bytes) -> None:
        """Write what an output without rows has, or the footer; sync, and rename."""
        if not self.state["ends"]:
            self.file.write(empty)
        elif self.format == "parquet":
            with self.path.open("rb") as written:
                starts = [0, *self.state["ends"][:-1]]
                self.file.write(
                    joined_footer(written, zip(starts, self.state["ends"], strict=True))
                )
        self.file.flush()
        os.fsync(self.file.fileno())
        self.close()
        self.path.replace(self.work.output)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
