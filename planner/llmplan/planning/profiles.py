"""Named loads: lengths and peaks of public traces, the one place that holds them."""

from __future__ import annotations

from llmplan.errors import UnknownName
from llmplan.specs.traffic import Traffic

PROFILES: tuple[Traffic, ...] = (
    Traffic(
        "chat", 1154.7, 211.1,
        {"p50": 1020, "p90": 2734, "p95": 4083, "p99": 4142},
        {"p50": 129, "p90": 424, "p95": 451, "p99": 601},
        1.51, 5.53, 19366, "Azure LLM inference trace 2023, conversation (Splitwise, ISCA 2024)",
        "2023-11",
    ),
    Traffic(
        "code", 2047.8, 27.9,
        {"p50": 1469, "p90": 5187, "p95": 7303, "p99": 7436},
        {"p50": 13, "p90": 55, "p95": 90, "p99": 251},
        3.80, 2.57, 8819, "Azure LLM inference trace 2023, code (Splitwise, ISCA 2024)", "2023-11",
    ),
    Traffic(
        "rag", 15325.5, 149.1,
        {"p50": 11587, "p90": 38611, "p95": 48904, "p99": 66456},
        {"p50": 69, "p90": 389, "p95": 519, "p99": 768},
        1.23, 3.91, 3993, "Mooncake synthetic trace (FAST 2025 release)", "2025-02",
        "Up to 64 % of the prompts are prefixes seen before; give --prefix-hit-rate for a cache.",
    ),
    Traffic(
        "agents", 8596.0, 182.0, {}, {}, None, None, 23608,
        "Mooncake tool and agent trace (FAST 2025 release), means of its README", "2025-02",
        "Percentiles and peaks of this trace are not on record: give --context and --headroom.",
    ),
    Traffic(
        "batch", 1154.7, 211.1,
        {"p50": 1020, "p90": 2734, "p95": 4083, "p99": 4142},
        {"p50": 129, "p90": 424, "p95": 451, "p99": 601},
        1.0, None, 19366, "lengths of the Azure conversation trace 2023; no peaks: work waits "
        "(assumed)", "2023-11",
    ),
)  # fmt: skip
"""Statistics over whole traces, computed from the public files in 2026-11. Peaks: the busiest
minute by the clock over the mean of all minutes; over those with requests only, the code trace,
silent for a quarter of its time, has 2.99 and the conversation 1.56 (trace notes of 2026-11)."""

DEFAULT_HEADROOM = 1.51
"""Busiest minute over the mean where the load names no trace: the Azure conversation trace of
2023; four public traces have 1.21 to 3.80."""

DEFAULT_HEADROOM_SOURCE = "busiest minute over mean of the Azure conversation trace 2023"


def profile_names() -> list[str]:
    """Return the names of the profiles."""
    return [p.name for p in PROFILES]


def find_profile(name: str) -> Traffic:
    """Return a profile by name."""
    for profile in PROFILES:
        if profile.name == name.strip().lower():
            return profile
    raise UnknownName(
        f"There is no profile {name[:40]!r}.", f"Known: {', '.join(profile_names())}."
    )
