"""SQLite and DuckDB files as outputs: a table `sweep`; a part and the state in one transaction."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pyarrow as pa

from llmplan.errors import InputError, OutsideError
from llmplan.sweeping.encode import plain_table
from llmplan.sweeping.outputs import State, WorkFolder

_TYPES = {"string": "TEXT", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}


class Database:
    """A database file under work; the state in it outranks the one beside it."""

    def __init__(
        self, work: WorkFolder, state: State, schema: pa.Schema, connect: Any, failure: Any
    ) -> None:
        self.work, self.path = work, work.path / "data"
        self.failure = failure
        if not state["next"] and not self._has_state(connect):
            for name in ("data", "data.wal", "data-journal"):
                (work.path / name).unlink(missing_ok=True)
        self.connection = connect(str(self.path))
        fields = plain_table(schema.empty_table()).schema
        columns = ", ".join(f'"{f.name}" {_TYPES[str(f.type)]}' for f in fields)
        self.connection.execute(f"CREATE TABLE IF NOT EXISTS sweep ({columns})")
        self.connection.execute("CREATE TABLE IF NOT EXISTS sweep_state (state TEXT)")
        found = self.connection.execute("SELECT state FROM sweep_state").fetchall()
        if found:
            state.update(json.loads(found[0][0]))

    def _has_state(self, connect: Any) -> bool:
        if not self.path.exists():
            return False
        try:
            connection = connect(str(self.path))
            try:
                return bool(connection.execute("SELECT state FROM sweep_state").fetchall())
            finally:
                connection.close()
        except self.failure:
            return False

    def append(self, data: bytes, state: State) -> None:
        """Insert rows and state in one transaction."""
        try:
            self.connection.execute("BEGIN")
            if data:
                self.insert(plain_table(pa.ipc.open_stream(data).read_all()))
            self.connection.execute("DELETE FROM sweep_state")
            self.connection.execute("INSERT INTO sweep_state VALUES (?)", [json.dumps(state)])
            self.connection.execute("COMMIT")
        except self.failure as e:
            with suppress(self.failure):
                self.connection.execute("ROLLBACK")
            raise OSError(None, str(e)) from None

    def insert(self, table: pa.Table) -> None:
        """Insert rows."""
        raise NotImplementedError

    def finish(self, schema: pa.Schema, empty: bytes) -> None:
        """Drop the state, and put the file in its place."""
        self.connection.execute("DROP TABLE sweep_state")
        self.close()
        self.path.replace(self.work.output)

    def close(self) -> None:
        """Close the database."""
        self.connection.close()


class Sqlite(Database):
    """A SQLite file."""

    def __init__(self, work: WorkFolder, state: State, schema: pa.Schema) -> None:
        import sqlite3

        def connect(path: str) -> Any:
            return sqlite3.connect(path, isolation_level=None)

        super().__init__(work, state, schema, connect, sqlite3.Error)

    def insert(self, table: pa.Table) -> None:
        """Insert rows one by one, as SQLite takes them."""
        marks = ", ".join("?" * table.num_columns)
        columns = [c.to_pylist() for c in table.columns]
        rows = zip(*columns, strict=True)
        self.connection.executemany(f"INSERT INTO sweep VALUES ({marks})", rows)  # noqa: S608 - question marks


class DuckDb(Database):
    """A DuckDB file."""

    def __init__(self, work: WorkFolder, state: State, schema: pa.Schema) -> None:
        try:
            import duckdb
        except ImportError:
            raise InputError("A DuckDB file needs duckdb.", "pip install duckdb.") from None
        super().__init__(work, state, schema, duckdb.connect, duckdb.Error)

    def insert(self, table: pa.Table) -> None:
        """Insert rows from Arrow."""
        self.connection.register("part", table)
        self.connection.execute("INSERT INTO sweep SELECT * FROM part")
        self.connection.unregister("part")


def full_disk(error: Exception) -> OutsideError:
    """Return the error of an output that cannot be written."""
    what = getattr(error, "strerror", None) or str(error)
    return OutsideError(
        f"The output cannot be written: {what.lower().rstrip('.')}.",
        "What was done is kept: the same command goes on from there.",
    )
