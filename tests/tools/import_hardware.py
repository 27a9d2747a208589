"""Write hardware/ from the shared facts: `python tests/tools/import_hardware.py SHARED`.

SHARED is the folder with data/hardware. What is added to it stands in hardware_additions.yaml,
with its sources. Run `llmplan check hardware` after.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from catalogue_yaml import ROOT, TODAY, reference, write

sys.path.insert(0, str(ROOT / "planner"))

from import_nodes import node_entries, price_lists

from llmplan.catalog.names import normalise
from llmplan.specs.hardware import CONFIDENCE

ADDITIONS = yaml.safe_load((Path(__file__).parent / "hardware_additions.yaml").read_text())
UNIFIED = ("dgx-spark", "jetson", "strix-halo", "mi300a")
NOT_FOUND = "none found with its figures (2026-11-21); the name is the maker's"
Record = dict[str, Any]


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


def usable_memory(shared: Path, d: Record) -> tuple[float | None, str | None]:
    """Return usable GiB and how it came, where it was not seen by an engine itself.

    nvidia-smi shows 0.4 to 2 % more than an engine gets (trap 7): 98 % of its figure is taken.
    """
    known = ADDITIONS["usable"].get(d["id"])
    if known:
        return known["gib"], known["why"]
    if d["memory_gib_usable"] is not None:
        seen = "memory_gib_usable_range" in d
        return d["memory_gib_usable"], None if seen else d.get("usable_rule")
    rows = csv.DictReader((shared / "data/hardware/usable_memory.csv").read_text().splitlines())
    for row in rows:
        if row["gpu"] == d["id"] and "nvidia-smi" in row["seen_by"]:
            share = round(0.98 * float(row["total_gib"]), 2)
            return share, f"98 % of the {row['total_gib']} GiB of nvidia-smi ({row['source'][:60]})"
    if d["id"] in ECC_GDDR6:
        return round(d["memory_gib_nominal"] * 15 / 16 * 0.98, 2), "98 % of nominal less ECC's 1/16"
    return None, None


PER_CARD = ("memory_gib_nominal", "memory_bandwidth_gb_s", "fp32_tflops", "tdp_w")


def per_device(d: Record) -> Record:
    """Return the record of one device of a card that its driver shows as several."""
    count = ADDITIONS["devices_per_card"].get(d["id"])
    if not count:
        return d
    made = dict(d)
    for key in PER_CARD:
        if made.get(key):
            made[key] /= count
    made["tensor_tflops_dense"] = {
        k: v / count for k, v in (d["tensor_tflops_dense"] or {}).items()
    }
    made["max_scale_up_gpus"] = (d.get("max_scale_up_gpus") or 1) * count
    made["unverified"] = _scaled(d.get("unverified") or {}, count)
    fabric = made.pop("infinity_fabric_unidir_gb_s_per_gpu", None)
    made["notes"] = [
        *d["notes"],
        f"the driver shows {count} devices a card: all figures here are of one, power is its share",
        *([f"Infinity Fabric of the whole card: {fabric} GB/s one way"] if fabric else []),
    ]
    return made


def _scaled(values: Record, count: int) -> Record:
    return {k: _scaled(v, count) if isinstance(v, dict) else v / count for k, v in values.items()}


def mig_entries(d: Record) -> list[Record]:
    """Return the MIG profiles of a device: shares of SMs and of memory slices.

    The memory slices are what the profile's name rounds to: eighths where the whole device has
    seven compute slices, quarters where it has four.
    """
    profiles = [*(d.get("mig_profiles") or ()), *ADDITIONS["mig_profiles"].get(d["id"], ())]
    if not profiles:
        return []
    whole = max(p["compute_slices"] for p in profiles)
    slices = 8 if whole == 7 else whole
    total = max(p["nominal_gb"] for p in profiles)
    listed = {
        **(d.get("mig_usable_gib_observed") or {}),
        **ADDITIONS["mig_listed"].get(d["id"], {}),
    }
    entries = []
    for p in profiles:
        share = round(p["nominal_gb"] / total * slices) / slices
        entry = {
            "profile": p["profile"], "memory_gib": d["memory_gib_nominal"] * share,
            "compute_share": int(p["compute_slices"] / whole * 1e6) / 1e6,
            "bandwidth_share": share, "max_instances": p["max_instances"],
            "usable_memory_gib": listed.get(p["profile"]),
        }  # fmt: skip
        entries.append({k: v for k, v in entry.items() if v is not None})
    return entries


def link_of(d: Record) -> tuple[str | None, float | None]:
    """Return the name and one-way GB/s of the link between devices."""
    if d.get("infinity_fabric_unidir_gb_s_per_gpu"):
        return "Infinity Fabric", d["infinity_fabric_unidir_gb_s_per_gpu"]
    if d.get("interconnect_unidir_gb_s"):
        return "vendor link", d["interconnect_unidir_gb_s"]
    link = (d.get("nvlink_bidir_gb_s_per_gpu") or 0) / 2 or None
    return (f"NVLink {d['nvlink_gen']}" if d.get("nvlink_gen") and link else None), link


def names_of(d: Record) -> tuple[str, str | None, list[str]]:
    """Return name, a detail that belongs to the notes, and what drivers call the device."""
    if d["vendor"] == "cpu":
        return d["name"], None, []
    name, _, detail = d["name"].partition(" (")
    if d["vendor"] == "apple":
        for word in ("PRO", "MAX", "ULTRA"):
            name = name.replace(word, word.capitalize())
        name = re.sub(r"(\d+)C ", r"\1-core ", name)
        chip = re.sub(r" (\d+-core )?\d+GB$", "", name)
        return name, None, [chip]
    return name, detail.replace(")", "") or None, ADDITIONS["driver_names"].get(d["id"], [])


DISAGREEING = re.compile(
    r"conflict|\bsays\b|\blists\b|quoted as|\brange \d|is wrong|is low;|earlier doc|pages:"
    r"| vs ml-eng| vs 8\.0"
)
"""How the notes of the shared facts say that sources disagree."""


def gpu_entry(shared: Path, d: Record) -> Record:
    """Return the catalogue entry of one shared device record."""
    usable, usable_note = usable_memory(shared, d)
    d = per_device(d)
    name, detail, driver_names = names_of(d)
    rates = {k: v for k, v in (d.get("tensor_tflops_dense") or {}).items() if k != "note"}
    kind, link = link_of(d)
    said = [*(d.get("notes") or ()), *([detail] if detail else []), *cpu_notes(d)]
    flags = [re.sub(r"\d+\.\d{5,}", lambda m: f"{float(m[0]):g}", f) for f in d.get("flags") or ()]
    conflicts = [*flags, *(n for n in said if DISAGREEING.search(n))]
    mig = mig_entries(d)
    sources = [*(d["sources"] or [NOT_FOUND]), *(ADDITIONS["mig_sources"] if mig else [])]
    entry = {
        "id": d["id"], "name": name, "vendor": d["vendor"], "architecture": d["architecture"],
        "compute_capability": d.get("compute_capability"), "released_year": d["release_year"],
        "aliases": d.get("aliases") or [], "products": products_of(d["id"]),
        "driver_names": driver_names,
        "memory_gib": d["memory_gib_nominal"], "usable_memory_gib": usable,
        "usable_memory_note": usable_note, "memory_type": d["memory_type"],
        "unified_memory": d["vendor"] == "apple" or d["id"].startswith(UNIFIED),
        "memory_bandwidth_gb_per_s": d["memory_bandwidth_gb_s"],
        "fp32_tflops": d.get("fp32_tflops"), "tflops_dense": rates,
        "native_dtypes": sorted(k for k, v in (d.get("native") or {}).items() if v),
        "link": kind, "link_gb_per_s": link, "scale_up_devices": d.get("max_scale_up_gpus") or 1,
        "pcie_gb_per_s": d.get("pcie_unidir_gb_s"), "tdp_w": d.get("tdp_w"),
        "form_factor": d.get("form_factor"), "mig": mig,
        "confidence": d["confidence"] if d["confidence"] in CONFIDENCE else "low",
        "conflicts": conflicts, "notes": [n for n in said if n not in conflicts],
        "unverified": d.get("unverified") or {}, "checked": TODAY,
        "sources": [reference(s) for s in sources],
    }  # fmt: skip
    required = ("architecture", "memory_gib", "memory_bandwidth_gb_per_s")
    return {k: v for k, v in entry.items() if k in required or v not in (None, [], {}, False)}


def cpu_notes(d: Record) -> list[str]:
    """Return what a processor's record says of its memory."""
    if d["vendor"] != "cpu":
        return []
    return [
        f"bandwidth of {d['memory_channels']} channels: {d['method']}",
        "memory is what the machine has: give it as --host-ram",
    ]


def corrected(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with what is known to be wrong mended; the old figure becomes a conflict."""
    said = ADDITIONS["corrections"].get(entry["id"])
    if said is None:
        return entry
    old = ", ".join(f"{k} {entry.get(k)}" for k in said["set"])
    conflict = f"the collected facts said {old}; {said['why']}"
    return entry | said["set"] | {"conflicts": [*entry.get("conflicts", ()), conflict]}


def main(shared: Path) -> None:
    """Write hardware/<vendor>/, hardware/nodes/ and hardware/prices/."""
    folder = shared / "data/hardware"
    devices = [d for file in sorted(folder.glob("*.yaml"))
               for d in yaml.safe_load(file.read_text()).get("devices", ())]  # fmt: skip
    devices += ADDITIONS["devices"]
    rows = list(csv.DictReader((folder / "prices.csv").read_text().splitlines()))
    shared_nodes = yaml.safe_load((folder / "nodes.yaml").read_text())["nodes"]
    bare = {normalise(name) for d in devices for name in products_of(d["id"])}
    taken = bare | {normalise(d["id"]) for d in devices}
    machines = {normalise(n["id"]) for n in shared_nodes}
    for d in devices:
        d["aliases"] = [a for a in d.get("aliases") or () if normalise(a) not in machines
                        and re.sub("gb$", "g", normalise(a)) not in bare]  # fmt: skip
        taken |= {normalise(a) for a in d["aliases"]}
    nodes, prices = node_entries(shared_nodes, rows, taken), price_lists(rows)
    for old in ("nodes", "prices"):
        shutil.rmtree(ROOT / "hardware" / old, ignore_errors=True)
    for d in devices:
        target = ROOT / "hardware" / d["vendor"] / f"{d['id']}.yaml"
        write(target, corrected(gpu_entry(shared, d)), "../.schema.json")
    for entry in nodes:
        owner = (entry.get("reseller") or entry["provider"]).replace("/", "-")
        target = ROOT / "hardware/nodes" / owner / f"{entry['id']}.yaml"
        write(target, entry, "../../.node-schema.json")
    for entry in prices:
        target = ROOT / "hardware/prices" / f"{entry['id']}.yaml"
        write(target, entry, "../.prices-schema.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
