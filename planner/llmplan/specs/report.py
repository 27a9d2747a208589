"""What only a report asks: models by their names, how the load grows."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.specs.model import Model


class Named(NamedTuple):
    """A model as a plan names it, with the weight format that the name implies, if any."""

    name: str
    model: Model
    weight_format: str | None = None


class Growth(NamedTuple):
    """How the load grows: by `per_quarter` (0.25: a quarter more each) over so many quarters.

    `year` and `quarter` name the first one, null where the plan does not say.
    """

    per_quarter: float
    quarters: int
    year: int | None = None
    quarter: int | None = None

    def name(self, index: int) -> str:
        """Return the name of a quarter, counted from the first one.

        >>> Growth(0.1, 8, 2027, 3).name(2), Growth(0.1, 8).name(2)
        ('2028-Q1', 'Q+2')
        """
        if self.year is None or self.quarter is None:
            return f"Q+{index}" if index else "today"
        at = self.quarter - 1 + index
        return f"{self.year + at // 4}-Q{at % 4 + 1}"
