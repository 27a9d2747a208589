"""What was measured of speed: kernels of a device, coefficients fitted to public results, bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from llmplan.specs.record import Record, record


@record
class KernelTable(Record):
    """Measured efficiencies of one device, by framework: shares of its peak rates.

    `gemm` by the type that is multiplied: share of the bandwidth (`memory`, 16-bit weights) and of
    the matrix rate; `cache` by the type of keys: share of the bandwidth in decode attention;
    `attention`: share of the 16-bit rate in prefill attention. `stands_for`: device classes that
    have no table of their own.
    """

    id: str
    device: str
    stands_for: tuple[str, ...]
    memory: Mapping[str, float]
    gemm: Mapping[str, Mapping[str, float]]
    cache: Mapping[str, Mapping[str, float]]
    attention: Mapping[str, float]
    errors: Mapping[str, float]
    sources: tuple[str, ...]
    checked: str


@record
class Coefficients(Record):
    """Coefficients of the speed model: a base value each, and log offsets by group and label.

    Groups: `engine`, `era` (release of the engine), `recipe` (how its flags were chosen),
    `device_class`, `device`, `format`. `rows`: results that each label was fitted on.
    """

    id: str
    base: Mapping[str, float]
    offsets: Mapping[str, Mapping[str, Mapping[str, float]]]
    rows: Mapping[str, Mapping[str, int]]
    sources: tuple[str, ...]
    checked: str
    command: str
    pairs: Mapping[str, int] = field(default_factory=dict)


@record
class Bands(Record):
    """80 % intervals: 10th and 90th percentile of log(observed / predicted) of left-out results.

    By quantity, then by `engine|regime|basis`; `few` where an engine has few results, `all`.
    """

    id: str
    confidence: float
    quantiles: Mapping[str, Mapping[str, tuple[float, float]]]
    rows: Mapping[str, Mapping[str, int]]
    sources: tuple[str, ...]
    checked: str
    command: str


@record
class SpeedTable(Record):
    """All that a prediction of speed needs beside the setup."""

    kernels: Mapping[str, KernelTable]
    coefficients: Coefficients
    bands: Bands | None = None


def speed_table(entries: Mapping[str, Mapping[str, Any]]) -> SpeedTable:
    """Build the table from trusted plain data (the compiled index), by id."""
    kernels = {
        str(e["device"]): KernelTable(**{k: _tuple(v) for k, v in e.items()})
        for e in entries.values()
        if "gemm" in e
    }
    bands = entries.get("bands")
    return SpeedTable(
        kernels, Coefficients(**entries["coefficients"]), Bands(**bands) if bands else None
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
