"""Write hardware/ from the shared facts: `python tests/tools/import_hardware.py SHARED`.

SHARED is the folder with data/hardware; GPUS and NODES below say what is taken. Run
`llmplan check hardware` after.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from catalogue_yaml import ROOT, TODAY, reference, write

sys.path.insert(0, str(ROOT / "planner"))

from llmplan.catalog.names import normalise

GPUS = """
    p100 p40 v100-16g v100-32g t4 a2 a10 a10g a16 a30 a40 a100-40g a100-80g-sxm a100-80g-pcie
    a800 l4 l20 l40 l40s h100-sxm h100-pcie h100-nvl h800 h20 h20-141g h200 h200-nvl gh200-96g
    gh200-144g b200 b300 gb200 gb300 rtx-pro-6000-server
    rtx-pro-6000 rtx-6000-ada rtx-5000-ada rtx-4000-ada a6000 rtx-a5000 rtx-a4000 titan-rtx
    gtx-1080ti rtx-2060-12g rtx-2080ti rtx-3060-12g rtx-3070 rtx-3080-10g rtx-3080-12g rtx-3090
    rtx-3090ti rtx-4060 rtx-4060ti-8g rtx-4060ti-16g rtx-4070 rtx-4070ti rtx-4080 rtx-4090
    rtx-4090d rtx-5060ti-16g rtx-5070 rtx-5070ti rtx-5080 rtx-5090
    dgx-spark jetson-agx-orin-64g
    mi100 mi210 mi300x mi308x mi325x mi350x mi355x rx-7900xtx rx-9070xt w7900 r9700
    strix-halo
    m1-max-32g m1-max-64g m2-ultra-192g m3-max-40c-64g m3-max-40c-128g m3-ultra-512g m4-16g
    m4-pro-48g m4-max-40c-64g m4-max-40c-128g
    arc-b580 arc-pro-b60 gaudi2 gaudi3
""".split()
UNIFIED = ("dgx-spark", "jetson", "strix-halo")


def products_of(id: str) -> list[str]:
    """Return the bare names that an id is one variant of.

    >>> products_of("a100-80g-sxm"), products_of("m3-max-40c-64g"), products_of("rtx-4090")
    (['a100-80g', 'a100'], ['m3-max-40c', 'm3-max'], [])
    """
    found, rest = [], id
    while True:
        shorter = re.sub(r"-(sxm|pcie|nvl|server|\d+g|\d+c)$", "", rest)
        if shorter == rest:
            return found
        found.append(shorter)
        rest = shorter


ECC_GDDR6 = ("a2", "a16", "l20")
"""Data-centre cards whose GDDR6 gives 1/16 to ECC, as A10, A40, L4 and L40S show (trap 8)."""


def usable_memory(shared: Path, d: dict[str, Any]) -> tuple[float | None, str | None]:
    """Return usable GiB and how it came, where it was not seen by an engine itself.

    nvidia-smi shows 0.4 to 2 % more than an engine gets (trap 7): 98 % of its figure is taken.
    """
    if d["memory_gib_usable"] is not None:
        return d["memory_gib_usable"], d.get("usable_rule")
    rows = csv.DictReader((shared / "data/hardware/usable_memory.csv").read_text().splitlines())
    for row in rows:
        if row["gpu"] == d["id"] and "nvidia-smi" in row["seen_by"]:
            share = round(0.98 * float(row["total_gib"]), 2)
            return share, f"98 % of the {row['total_gib']} GiB of nvidia-smi ({row['source'][:60]})"
    if d["id"] in ECC_GDDR6:
        return round(d["memory_gib_nominal"] * 15 / 16 * 0.98, 2), "98 % of nominal less ECC's 1/16"
    return None, None


def gpu_entry(shared: Path, d: dict[str, Any]) -> dict[str, Any]:
    """Return the catalogue entry of one shared device record."""
    name, _, detail = d["name"].partition(" (")
    rates = {k: v for k, v in (d.get("tensor_tflops_dense") or {}).items() if k != "note"}
    link = (d.get("nvlink_bidir_gb_s_per_gpu") or 0) / 2 or None
    kind = f"NVLink {d['nvlink_gen']}" if d.get("nvlink_gen") and link else None
    if d.get("infinity_fabric_unidir_gb_s_per_gpu"):
        link, kind = d["infinity_fabric_unidir_gb_s_per_gpu"], "Infinity Fabric"
    elif d.get("interconnect_unidir_gb_s"):
        link, kind = d["interconnect_unidir_gb_s"], "vendor link"
    native = d.get("native") or {}
    notes = list(d.get("notes") or ())
    if detail:
        notes.append(detail.rstrip(")"))
    usable, usable_note = usable_memory(shared, d)
    unified = d["vendor"] == "apple" or d["id"].startswith(UNIFIED)
    entry = {
        "id": d["id"], "name": name, "vendor": d["vendor"], "architecture": d["architecture"],
        "compute_capability": d.get("compute_capability"), "released_year": d["release_year"],
        "aliases": d.get("aliases") or [], "products": products_of(d["id"]),
        "memory_gib": d["memory_gib_nominal"], "usable_memory_gib": usable,
        "usable_memory_note": usable_note, "memory_type": d["memory_type"],
        "unified_memory": unified, "memory_bandwidth_gb_per_s": d["memory_bandwidth_gb_s"],
        "fp32_tflops": d.get("fp32_tflops"), "tflops_dense": rates,
        "native_dtypes": sorted(k for k, v in native.items() if v),
        "link": kind, "link_gb_per_s": link, "scale_up_devices": d.get("max_scale_up_gpus") or 1,
        "pcie_gb_per_s": d.get("pcie_unidir_gb_s"), "tdp_w": d.get("tdp_w"),
        "form_factor": d.get("form_factor"), "confidence": d["confidence"],
        "conflicts": list(d.get("flags") or ()), "notes": notes,
        "unverified": d.get("unverified") or {}, "checked": TODAY,
        "sources": [reference(s) for s in d["sources"]],
    }  # fmt: skip
    required = ("architecture", "memory_gib", "memory_bandwidth_gb_per_s")
    return {k: v for k, v in entry.items() if k in required or v not in (None, [], {}, False)}


def node_entry(n: dict[str, Any]) -> dict[str, Any]:
    """Return the catalogue entry of one shared node record."""
    entry = {
        "id": n["id"], "gpu": n["gpu"], "gpu_count": int(n["gpu_count"]),
        "provider": n.get("provider"), "fabric": n.get("scale_up_fabric"),
        "host_memory_gib": n.get("host_mem_gib"), "network_gbit_per_s": n.get("network_gbps"),
        "sources": n["sources"], "checked": TODAY,
    }  # fmt: skip
    return {k: v for k, v in entry.items() if v is not None}


NODES = """
    dgx-a100-40g dgx-a100-80g dgx-h100 dgx-h200 dgx-b200 dgx-b300 mi300x-oam-8
    aws-p4d.24xlarge aws-p4de.24xlarge aws-p5.48xlarge aws-p5en.48xlarge aws-g5.12xlarge
    aws-g6e.12xlarge aws-g4dn.12xlarge
""".split()


def main(shared: Path) -> None:
    """Write hardware/<vendor>/ and hardware/nodes/."""
    bare = {normalise(name) for id in GPUS for name in products_of(id)}
    for file in sorted((shared / "data/hardware").glob("*.yaml")):
        data = yaml.safe_load(file.read_text())
        for d in data.get("devices", ()):
            if d["id"] in GPUS:
                d["aliases"] = [a for a in d.get("aliases") or ()
                                if re.sub("gb$", "g", normalise(a)) not in bare]  # fmt: skip
                target = ROOT / "hardware" / d["vendor"] / f"{d['id']}.yaml"
                write(target, gpu_entry(shared, d), "../.schema.json")
        for n in data.get("nodes", ()):
            if n["id"] in NODES:
                target = ROOT / "hardware/nodes" / f"{n['id']}.yaml"
                write(target, node_entry(n), "../.node-schema.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
