"""How requests of a service look: lengths and peaks, as a public trace or a user's own has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmplan.specs.record import as_dict


class Traffic(NamedTuple):
    """Statistics of requests; null where a source does not state them.

    Means in tokens; percentiles of lengths by name (`p50`, `p90`, `p95`, `p99`) in tokens.
    `peak_over_mean`: requests of the busiest minute over those of the mean one. `note` says what
    else a reader must know.
    """

    name: str
    input_tokens: float
    output_tokens: float
    input_percentiles: Mapping[str, float]
    output_percentiles: Mapping[str, float]
    peak_over_mean: float | None
    rate_per_s: float | None
    requests: int | None
    source: str
    date: str | None
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)
