"""Plans that tests report on, made once a session."""

from __future__ import annotations

from functools import cache
from typing import Any

import llmplan
from llmplan.reporting.report import Report

SMALL: dict[str, Any] = {
    "models": "llama-3.1-8b",
    "gpus": ["l4", "l40s", "rtx-4090"],
    "workload": {"rate_per_s": 3, "input_tokens": 1000, "output_tokens": 200},
    "limits": {"ttft_s": "1s", "tpot_s": "60ms"},
    "report": {
        "title": "A small service",
        "growth": {"per_quarter": "30%", "quarters": 6, "from": "2027-Q3"},
        "api_price": [0.2, 0.4],
    },
}
FLIGHT: dict[str, Any] = {
    "models": "qwen3-8b",
    "gpus": ["l4"],
    "workload": {"concurrency": 24, "input_tokens": 800, "output_tokens": 300},
    "limits": {"tpot_s": "80ms"},
}
TOGETHER: dict[str, Any] = {
    "models": "llama-3.1-8b",
    "gpus": ["rtx-3090*1", "t4*2"],
    "workload": {"rate_per_s": 2.6, "input_tokens": 1200, "output_tokens": 250},
    "limits": {"ttft_s": "3s", "tpot_s": "100ms"},
    "report": {"growth": {"per_quarter": 0.2}},
}
NOTHING: dict[str, Any] = {
    "models": "llama-3.1-405b",
    "gpus": ["t4*1", "l4*1"],
    "workload": {"rate_per_s": 3},
}


@cache
def reported(name: str) -> Report:
    """Return the report of a plan above, by its name."""
    return llmplan.report(globals()[name])
