"""Rows of a part of the grid in the bytes of a format: what workers hand back."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

SUFFIXES = {
    ".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".sqlite": "sqlite", ".db": "sqlite", ".duckdb": "duckdb",
}  # fmt: skip
"""Formats by the suffix of the output; a name without one is a folder of Parquet parts."""

COMPRESSION = "snappy"
"""Codec of Parquet columns: of snappy, lz4, zstd and none the fastest over whole sweeps
(measured 2026-11); speed's columns hardly shrink under any."""


def encoded(table: pa.Table, format: str, *, first: bool) -> bytes:
    """Return rows in the bytes of a format, `first` with the header of the whole file.

    Databases take an Arrow stream.
    """
    if format == "parquet":
        return parquet_bytes(table)
    if format == "csv":
        return _csv(plain_table(table), header=first)
    if format == "jsonl":
        return _jsonl(plain_table(table))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a Parquet file of one row group."""
    sink = pa.BufferOutputStream()
    write_parquet(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def write_parquet(table: pa.Table, where: Any, metadata: dict[str, str] | None = None) -> None:
    """Write a Parquet file of one row group; what repeats from row to row by a dictionary."""
    floats = {f.name for f in table.schema if pa.types.is_float64(f.type)}
    repeated = [n for n in table.schema.names if n not in floats]
    if metadata is not None:
        table = table.replace_schema_metadata(metadata)
    pq.write_table(
        table, where, compression=COMPRESSION, use_dictionary=repeated,
        row_group_size=max(1, table.num_rows),
    )  # fmt: skip


def plain_table(table: pa.Table) -> pa.Table:
    """Return a table with text in place of dictionaries."""
    fields = [
        pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type)
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _csv(table: pa.Table, *, header: bool) -> bytes:
    sink = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed")
    pyarrow.csv.write_csv(table, sink, options)
    return bytes(sink.getvalue().to_pybytes())


def _jsonl(table: pa.Table) -> bytes:
    columns = [c.to_pylist() for c in table.columns]
    names, dumps = table.schema.names, json.JSONEncoder(separators=(",", ":")).encode
    rows = (dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
    return "".join(f"{row}\n" for row in rows).encode()
