"""How far a long run is, on a terminal; nothing where the errors go to a file or a pipe."""

from __future__ import annotations

import sys
import time

EVERY_S = 0.5
MINUTE, HOUR = 60, 3600


class Progress:
    """One line that is written over: points, share, rate, and the time that is left."""

    def __init__(self, total: int, done: int = 0, *, quiet: bool = False) -> None:
        self.total, self.first, self.done = total, done, done
        self.started = self.shown = time.monotonic()
        self.on = not quiet and sys.stderr is not None and sys.stderr.isatty()

    def add(self, points: int) -> None:
        """Count points, and show the line now and then."""
        self.done += points
        now = time.monotonic()
        if self.on and now - self.shown >= EVERY_S:
            self.shown = now
            self._write(self.line(now - self.started))

    def line(self, seconds: float) -> str:
        """Return the line after so many seconds of this run."""
        rate = (self.done - self.first) / seconds if seconds > 0 else 0.0
        left = f", {duration((self.total - self.done) / rate)} left" if rate else ""
        share = self.done / self.total if self.total else 1.0
        return f"{self.done:,} of {self.total:,} points ({share:.0%}), {rate:,.0f}/s{left}"

    def end(self) -> None:
        """Take the line away."""
        if self.on:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(4.2), duration(95), duration(7300)
    ('4 s', '1 min 35 s', '2 h 1 min')
    """
    s = round(seconds)
    if s < MINUTE:
        return f"{s} s"
    if s < HOUR:
        return f"{s // MINUTE} min {s % MINUTE} s"
    return f"{s // HOUR} h {s % HOUR // MINUTE} min"
