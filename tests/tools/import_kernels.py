"""Write hardware/speed/kernels-*.yaml from the tables of fitted kernel efficiencies.

`python tests/tools/import_kernels.py ../shared/data/kernels`: one file a measured device. The
tables are fits of the soft roofline to aiconfigurator's public kernel measurements (Apache-2.0).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

from catalogue_yaml import ROOT, write

SOURCE = (
    "ai-dynamo/aiconfigurator@095f58a aic-core/src/aiconfigurator_core/systems/data (2026-08-21), "
    "soft roofline fitted per device, framework and type"
)
DEVICES = {
    "a100_sxm": ("a100-80g-sxm", ["a100"]),
    "h100_sxm": ("h100-sxm", ["hopper"]),
    "h200_sxm": ("h200", []),
    "b200_sxm": ("b200", ["blackwell-server"]),
    "b300_sxm": ("b300", []),
    "gb200": ("gb200", []),
    "gb300": ("gb300", []),
    "l40s": ("l40s", ["ada", "ampere-gddr"]),
    "rtx_pro_6000_server": ("rtx-pro-6000-server", ["blackwell-gddr"]),
    "b60": ("arc-pro-b60", ["intel"]),
}
TYPES = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4",
         "int4_wo": "int4", "int8_wo": "int8_weight_only", "sq": "int8"}  # fmt: skip
FRAMEWORKS = ("vllm", "sglang", "trtllm")
HEADS = "_hd128"
ARTEFACTS = {("vllm", "fp8_block")}
"""Rows with the host's time in them (kernel efficiency notes of 2026-11): left out."""


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of one CSV file."""
    with (folder / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def entry(folder: Path, system: str) -> dict[str, Any]:
    """Return the entry of one device: shares by framework, vLLM's where one has none."""
    device, stands_for = DEVICES[system]
    gemm = {f: {} for f in FRAMEWORKS}
    memory, errors = {}, {}
    for row in table(folder, "eff_gemm_fit.csv"):
        framework, kind = row["framework"], TYPES.get(row["dtype"])
        if row["system"] != system or kind is None or (framework, row["dtype"]) in ARTEFACTS:
            continue
        gemm[framework][kind] = round(float(row["eff_compute"]), 4)
        errors[f"{framework} gemm {kind}"] = round(float(row["mape"]), 3)
        if kind == "bf16":
            memory[framework] = round(float(row["eff_mem"]), 4)
    cache, attention = _attention(folder, system, errors)
    for part in (gemm, memory, cache, attention):
        for framework in FRAMEWORKS:
            if not part.get(framework):
                part[framework] = part["vllm"]
    return {
        "id": f"kernels-{device}", "device": device, "stands_for": stands_for,
        "memory": memory, "gemm": gemm, "cache": cache, "attention": attention,
        "errors": errors, "sources": [SOURCE], "checked": "2026-11-21",
    }  # fmt: skip


def _attention(
    folder: Path, system: str, errors: dict[str, float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    cache: dict[str, Any] = {f: {} for f in FRAMEWORKS}
    attention: dict[str, Any] = {}
    for row in table(folder, "eff_attention_fit.csv"):
        if row["system"] != system or not row["op"].endswith(HEADS):
            continue
        framework, kind = row["framework"], row["dtype"]
        if row["op"].startswith("decode"):
            name = "fp8" if kind == "fp8" else "bf16"
            cache[framework][name] = round(float(row["eff_mem"]), 4)
            errors[f"{framework} decode {name}"] = round(float(row["mape"]), 3)
        elif kind == "bfloat16/kv_bfloat16":
            attention[framework] = round(float(row["eff_compute"]), 4)
            errors[f"{framework} prefill bf16"] = round(float(row["mape"]), 3)
    return cache, attention


def int4_everywhere(entries: dict[str, dict[str, Any]]) -> None:
    """Give weight-only types that A100 alone was measured in to all devices without them.

    They multiply in 16 bits after unpacking, so that A100's share of that rate stands for them.
    """
    measured = entries["a100_sxm"]["gemm"]["trtllm"]
    for found in entries.values():
        for shares in found["gemm"].values():
            for kind in ("int4", "int8_weight_only", "int8"):
                shares.setdefault(kind, measured[kind])


def main(folder: Path) -> None:
    """Write all entries."""
    entries = {system: entry(folder, system) for system in DEVICES}
    int4_everywhere(entries)
    for found in entries.values():
        write(ROOT / "hardware/speed" / f"{found['id']}.yaml", found, None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
