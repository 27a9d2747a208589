"""The measured kernels and fitted coefficients of the catalogue, read once."""

from __future__ import annotations

from functools import cache

from llmplan.catalog.resolve import store
from llmplan.specs.speed import SpeedTable, speed_table


@cache
def open_speed_table() -> SpeedTable:
    """Return the table that predictions of speed need."""
    found = store()
    return speed_table({id: found.entry("speed", id) for id in found.ids("speed")})
