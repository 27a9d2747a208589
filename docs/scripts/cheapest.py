"""The cheapest setup of each model that keeps a limit, for every number of users: a sweep.

    python cheapest.py [OUTPUT.csv]       needs the extra `sweep`

A sweep computes each point, `llmplan plan` searches: take the sweep where the whole surface is
wanted, here to see where one more user changes the device.
"""

import json
import subprocess
import sys

import pyarrow.csv as csv

import llmplan

PLAN = {
    "models": ["qwen3-8b", "qwen3-32b"],
    "gpus": ["l4", "l40s", "a100-80g-sxm", "h100-sxm"],
    "gpu_counts": [1, 2, 4],
    "weight_formats": ["fp8", "awq-int4"],
    "parallel": "all",
    "workload": {
        "context_tokens": 8192,
        "input_tokens": 2000,
        "output_tokens": 300,
        "concurrency": "8..128 x2",
    },
    "limits": {"tpot_s": "40ms"},
    "filter": "fits and meets_limits",
    "columns": ["model", "gpu", "gpus", "tp", "dp", "weight_format", "concurrency", "tpot_s",
                "tpot_s_high", "output_tokens_per_s"],
}  # fmt: skip


def prices() -> dict[str, float]:
    """Return public prices [USD/hour]: a device's share of the cheapest machine that has it.

    `price_provider` and `price_date` of a row say whose and of when. Or put your own here.
    """
    asked = [sys.executable, "-m", "llmplan", "gpus", "--json"]
    rows = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    return {row["id"]: row["usd_per_hour"] for row in rows if row["usd_per_hour"]}


def main(output: str | None) -> None:
    """Print the cheapest rows, and write all rows where a file is named."""
    table = llmplan.sweep(PLAN)  # an Arrow table: .to_pandas(), polars.from_arrow, DuckDB
    if output:
        csv.write_csv(table, output)
    usd_per_hour = prices()
    best: dict[tuple[str, int], tuple[float, dict]] = {}
    for row in table.to_pylist():
        usd = row["gpus"] * usd_per_hour[row["gpu"]]
        key = row["model"], row["concurrency"]
        if key not in best or usd < best[key][0]:
            best[key] = usd, row
    print("| model | users at once | setup | USD/hour | TPOT (its band's upper end) | tokens/s |")
    print("|---|---|---|---|---|---|")
    for (model, users), (usd, row) in sorted(best.items()):
        setup = f"{row['gpus']} x {row['gpu']} tp {row['tp']} dp {row['dp']} {row['weight_format']}"
        print(
            f"| {model} | {users} | {setup} | {usd:.2f} | {row['tpot_s'] * 1e3:.1f} ms"
            f" ({row['tpot_s_high'] * 1e3:.1f} ms) | {row['output_tokens_per_s']:,.0f} |"
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
