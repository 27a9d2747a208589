"""What only a report asks: models by their names, how the load grows."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.specs.model import Model

TEXTS = {
    "title": "What the report is called.",
    "note": "A line under the title.",
    "date": "The date that the report shows.",
}
OPTIONS = {
    "users": ("number", "People who send requests."),
    "requests_per_user": ("number", "Requests of one user [1/hour]."),
    "profile": (
        "string",
        "Lengths and peaks of a kind of service: chat, rag, code, agents, batch.",
    ),
    "trace": ("string", "Trace file whose lengths and peaks are taken, from the plan's folder."),
    "headroom": ("number", "Peak load over mean load."),
    "percentile": ("string", "What the limits hold for: mean, p50, p90, p95, p99."),
    "prefer": ("string", "What options are ordered by: cheapest, fastest, fewest, quality."),
    "budget": ("number", "Most that the machines may cost [USD/hour]."),
    "max_gpus": ("number", "Most devices."),
    "provider": ("names", "Clouds that may be rented from."),
    "region": ("names", "Regions that may be rented in."),
    "license": ("names", "Licences that a model may have."),
    "commercial": ("boolean", "Only models that may be used commercially."),
    "api_price": ("prices", "Price of a hosted API, in and out [USD/million tokens]."),
}
"""Options of `plan` that the section `report` of a plan file takes, with their kind."""

GROWTH = {
    "per_quarter": "Growth of the load each quarter: 0.25 or 25%.",
    "quarters": "Quarters that are looked at (8).",
    "from": "The first one, such as 2027-Q1.",
}


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
