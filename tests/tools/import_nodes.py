"""Rented and bought machines and their prices, for import_hardware.py."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from catalogue_yaml import TODAY

from llmplan.catalog.names import normalise

Record = dict[str, Any]
DEVICE_OF = {"a5000": "rtx-a5000", "a4000": "rtx-a4000"}
"""Device ids behind the names that offers use. `h100` and `a100-80g` stay: the form is not said."""

UNDATED = {
    "skypilot-catalog v8 snapshot (2026)": "2026",
    "skypilot-catalog v8 snapshot @8e50954 (date not recorded; 2025-H2..2026)": "2025/2026",
    "gpuhunt repo snapshot 2026-08-19 (table itself older)": "2026",
}
"""How the dates of the shared price list are written where it has no day."""

OWN_NAMES = ("aws", "azure", "gcp", "oci", "lambda")
"""Providers whose instance types are names of their own, not those of a device."""

GCP_DOCS = "https://docs.cloud.google.com/compute/docs/gpus"


def seller(text: str) -> tuple[str, str | None]:
    """Return provider and reseller.

    >>> seller("verda (via shadeform)"), seller("aws")
    (('verda', 'shadeform'), ('aws', None))
    """
    provider, _, rest = text.partition(" (via ")
    return provider, rest.rstrip(")") or None


def slug(provider: str, instance_type: str) -> str:
    """Return the id of a machine, as the shared facts make it."""
    text = f"{provider}-{instance_type}".lower()
    return re.sub(r"[^a-z0-9.]+", "-", text).strip("-")


def node_entries(nodes: list[Record], rows: list[Record], taken: set[str]) -> list[Record]:
    """Return the catalogue entries of all machines with a device: listed ones and priced ones."""
    nodes = [n for n in nodes if n.get("gpu")]
    known = {n["id"].strip("-") for n in nodes}
    for row in rows:
        id = slug(row["provider"], row["instance_type"])
        if id not in known and row["gpu"] and row["provider"] != "aws-govcloud":
            known.add(id)
            nodes.append({**row, "id": id, "sources": [row["source"]], "confidence": "medium"})
    taken = taken | {normalise(n["id"]) for n in nodes}
    spelt = Counter(normalise(a) for n in nodes for a in {*spellings(n)})
    entries = []
    for n in nodes:
        aliases = [a for a in spellings(n) if normalise(a) not in taken and
                   spelt[normalise(a)] == 1]  # fmt: skip
        entries.append(node_entry(n, aliases))
    return entries


def spellings(n: Record) -> list[str]:
    """Return how people write a machine besides its id."""
    provider, reseller = seller(n["provider"])
    type = n.get("instance_type")
    if not type:
        return [re.sub(r"-8$", "", n["id"])] if n["id"].startswith("hgx-") else []
    if type.startswith("TPU"):
        generation = re.sub(r" \(.*", "", type).lower().replace(" ", "-")
        return [f"gcp-{generation}"]
    names = [type] if provider in OWN_NAMES else []
    if reseller:
        names.append(f"{provider}-{type}")
    if provider == "azure":
        short = type.removeprefix("Standard_")
        names += [short, f"azure-{short}"]
    return names


def node_entry(n: Record, aliases: list[str]) -> Record:
    """Return the catalogue entry of one machine."""
    provider, reseller = seller(n["provider"])
    count = None if n.get("gpu_count") in (None, "") else float(n["gpu_count"])
    share = min(1.0, count or 1.0)
    listed_mib = n.get("gpu_mem_mib_ec2_api")
    entry = {
        "id": n["id"].strip("-"), "gpu": DEVICE_OF.get(n["gpu"], n["gpu"]),
        "gpu_count": None if count is None else max(1, int(count)),
        "gpu_share": share if share < 1 else None,
        # the listing shows what nvidia-smi does, of which an engine gets 98 % (trap 7)
        "usable_memory_gib": round(0.98 * float(listed_mib) / 1024, 2)
        if share < 1 and listed_mib else None,
        "provider": provider, "reseller": reseller, "instance_type": n.get("instance_type"),
        "aliases": aliases, "gpus_per_host": n.get("node_gpu_count"),
        "fabric": n.get("scale_up_fabric"),
        "link_gb_per_s": n.get("intra_node_unidir_gb_s_per_gpu"),
        "pair_gb_per_s": n.get("pairwise_unidir_gb_s"),
        "vcpus": whole(n.get("vcpus")), "host_memory_gib": number(n.get("host_mem_gib")),
        "local_nvme_gb": number(n.get("local_nvme_gb")),
        "nics": whole(n.get("nics") or n.get("efa_nics")), "nic_gbit_per_s": n.get("nic_gbps"),
        "network_gbit_per_s": number(n.get("network_gbps")), "confidence": n["confidence"],
        "notes": n.get("notes"), "checked": TODAY, "sources": n["sources"] or [GCP_DOCS],
    }  # fmt: skip
    return {k: v for k, v in entry.items() if k == "gpu_count" or v not in (None, [])}


def number(text: Any) -> float | None:
    """Return a number, None for what is empty or no number (Azure's blanks)."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def whole(text: Any) -> int | None:
    """Return a whole number, None for what is empty."""
    value = number(text)
    return None if value is None else int(value)


def price_lists(rows: list[Record]) -> list[Record]:
    """Return one price list a provider and source."""
    lists: dict[str, Record] = {}
    for row in rows:
        provider, reseller = seller(row["provider"])
        id = "-".join(p for p in (reseller, provider) if p)
        if row["instance_type"].startswith("TPU"):
            id += "-tpu"
        entry = lists.setdefault(id, {
            "id": id, "provider": provider, "reseller": reseller, "currency": "USD",
            "as_of": UNDATED.get(row["catalog_date"], row["catalog_date"]),
            "source": list_source(row), "checked": TODAY,
            "notes": [row["catalog_date"]] if row["catalog_date"] in UNDATED else None,
            "prices": [],
        })  # fmt: skip
        entry["prices"].append(price_row(row))
    return [{k: v for k, v in e.items() if v is not None} for e in lists.values()]


def list_source(row: Record) -> str:
    """Return the source of a row without what names only its own instance types."""
    return str(row["source"]).partition(" + website/")[0]


def price_row(row: Record) -> Record:
    """Return one row of a price list."""
    provider = row["provider"].replace("aws-govcloud", "aws")
    named = row["gpu"] != ""
    region: str | None = row["region"]
    if row["region"].startswith("("):
        region = None
    elif "flat price" in row["region"]:
        region = "all listed"
    regions = int(row["n_regions"]) if row["n_regions"] else None
    entry = {
        "instance_type": row["instance_type"],
        "node": slug(provider, row["instance_type"]) if named else None,
        "region": region, "regions": regions, "statistic": row["stat"],
        "usd_per_hour": float(row["price_ondemand_usd_h"]),
        "spot_usd_per_hour": number(row["price_spot_usd_h"]),
    }  # fmt: skip
    return {k: v for k, v in entry.items() if v is not None}
