"""Devices and machines as rows, sorted and filtered, and single entries in full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmplan.catalog.offers import all_prices, cheapest_by_gpu, node_prices
from llmplan.catalog.resolve import all_accelerators, load_accelerator, store
from llmplan.specs.hardware import Accelerator, Node, node_from_dict
from llmplan.specs.prices import Price, cheapest
from llmplan.specs.units import GIB

Row = dict[str, Any]

SORTS = {
    "memory": ("memory_bytes", True),
    "bandwidth": ("memory_bandwidth_bytes_per_s", True),
    "flops": ("dense_16bit_flop_per_s", True),
    "price": ("usd_per_hour", False),
    "price-per-gb": ("usd_per_gib_hour", False),
    "price-per-tflop": ("usd_per_tflop_hour", False),
    "power": ("tdp_w", False),
    "year": ("released_year", True),
}
"""What a listing is sorted by: its key, and whether the most comes first."""


def device_facts(gpu: Accelerator, count: float = 1) -> Row:
    """Return what the listing says of devices, in base units; `count` of them together."""
    rates = gpu.tflops_dense
    return {
        "memory_bytes": _times(gpu.memory_bytes, count),
        "usable_memory_bytes": _times(gpu.usable_memory_bytes, count),
        "usable_memory_basis": "measured" if gpu.usable_memory_observed else "assumed",
        "memory_bandwidth_bytes_per_s": _times(gpu.memory_bandwidth_bytes_per_s, count),
        "dense_16bit_flop_per_s": _tera(rates.get("bf16") or rates.get("fp16"), count),
        "dense_fp8_flop_per_s": _tera(rates.get("fp8"), count),
        "compute_capability": gpu.compute_capability,
        "tdp_w": _times(gpu.tdp_w, count),
        "released_year": gpu.released_year,
    }


def _times(value: float | None, count: float) -> float | None:
    if value is None:
        return None
    total = value * count
    return round(total) if isinstance(value, int) else total


def _tera(rate: float | None, count: float) -> float | None:
    return None if rate is None else rate * count * 1e12


def price_facts(price: Price | None, usd_per_hour: float | None, facts: Row) -> Row:
    """Return what a row says of its price, whole and by memory and arithmetic [USD/hour]."""
    memory, flops = facts["memory_bytes"], facts["dense_16bit_flop_per_s"]
    each = usd_per_hour if price is not None else None
    return {
        "usd_per_hour": usd_per_hour,
        "price_provider": price.provider if price else None,
        "price_instance_type": price.instance_type if price else None,
        "price_region": price.region if price else None,
        "price_date": price.as_of if price else None,
        "usd_per_gib_hour": each / (memory / GIB) if each and memory else None,
        "usd_per_tflop_hour": each / (flops / 1e12) if each and flops else None,
    }


def gpu_rows(words: Sequence[str], provider: str | None = None) -> list[Row]:
    """Return the rows of the devices whose names hold every word, each with its cheapest offer."""
    best = cheapest_by_gpu(_of_provider(all_prices(), provider))
    rows = []
    for gpu in all_accelerators():
        if not _holds(words, (gpu.id, gpu.name, gpu.vendor, gpu.architecture, *gpu.aliases)):
            continue
        price = best.get(gpu.id)
        if provider and price is None:
            continue
        facts = device_facts(gpu)
        each = price.usd_per_gpu_hour if price else None
        rows.append({
            "id": gpu.id, "name": gpu.name, "vendor": gpu.vendor,
            "architecture": gpu.architecture, **facts, **price_facts(price, each, facts),
        })  # fmt: skip
    return rows


def node_rows(words: Sequence[str], provider: str | None = None) -> list[Row]:
    """Return the rows of the machines whose names hold every word, each with its cheapest offer."""
    offers: dict[str, list[Price]] = {}
    for price in _of_provider(all_prices(), provider):
        offers.setdefault(price.node, []).append(price)
    rows = []
    for node in map(node_from_dict, store().entries("nodes")):
        if not _holds(words, (node.id, node.gpu, node.provider, node.instance_type)):
            continue
        if provider and not _same(provider, (node.provider, node.reseller)):
            continue
        rows.append(_node_row(node, cheapest(offers.get(node.id, ()))))
    return rows


def _node_row(node: Node, price: Price | None) -> Row:
    known = store().has("gpus", node.gpu)
    gpu = load_accelerator(node.gpu) if known else None
    count = None if node.gpu_count is None else node.gpu_count * node.gpu_share
    facts = dict.fromkeys(_FACTS) if gpu is None or count is None else device_facts(gpu, count)
    return {
        "id": node.id, "gpu": node.gpu, "gpus": count, "provider": node.provider,
        "vendor": gpu.vendor if gpu else None, "architecture": gpu.architecture if gpu else None,
        "vcpus": node.vcpus, "host_memory_gib": node.host_memory_gib,
        "network_gbit_per_s": node.network_gbit_per_s, **facts,
        **price_facts(price, price.usd_per_hour if price else None, facts),
        "spot_usd_per_hour": price.spot_usd_per_hour if price else None,
    }  # fmt: skip


_FACTS = (
    "memory_bytes", "usable_memory_bytes", "usable_memory_basis", "memory_bandwidth_bytes_per_s",
    "dense_16bit_flop_per_s", "dense_fp8_flop_per_s", "compute_capability", "tdp_w",
    "released_year",
)  # fmt: skip


def _of_provider(prices: list[Price], provider: str | None) -> list[Price]:
    if provider is None:
        return prices
    return [p for p in prices if _same(provider, (p.provider, p.reseller))]


def _same(wanted: str, names: Iterable[str | None]) -> bool:
    return wanted.casefold() in [(n or "").casefold() for n in names]


def _holds(words: Sequence[str], names: Iterable[str | None]) -> bool:
    text = " ".join(n or "" for n in names).casefold()
    return all(w.casefold() in text for w in words)


def selected(
    rows: Iterable[Row],
    *,
    vendor: str | None = None,
    architecture: str | None = None,
    min_memory_bytes: int | None = None,
    max_usd_per_hour: float | None = None,
) -> list[Row]:
    """Return the rows that pass every filter; what is unknown passes no limit on it."""
    kept = []
    for row in rows:
        if vendor and not _same(vendor, (row["vendor"],)):
            continue
        if architecture and not _holds((architecture,), (row["architecture"],)):
            continue
        if min_memory_bytes and (row["memory_bytes"] or 0) < min_memory_bytes:
            continue
        price = row["usd_per_hour"]
        if max_usd_per_hour is not None and (price is None or price > max_usd_per_hour):
            continue
        kept.append(row)
    return kept


def in_order(rows: list[Row], sort: str | None) -> list[Row]:
    """Return the rows sorted, unknown last, equal ones by id."""
    if sort is None:
        return sorted(rows, key=lambda row: str(row["id"]))
    key, most_first = SORTS[sort]

    def rank(row: Row) -> tuple[bool, float, str]:
        value = row[key]
        return value is None, -(value or 0) if most_first else (value or 0), row["id"]

    return sorted(rows, key=rank)


GPU_HEADERS = ["id", "name", "memory", "usable", "GB/s", "16-bit TFLOP/s", "fp8", "capability", "W",
               "$/h", "from", "as of", "$/GiB/h", "$/TFLOP/h"]  # fmt: skip


def gpu_cells(row: Row) -> list[Any]:
    """Return a device row as table cells."""
    usable = row["usable_memory_bytes"]
    mark = "" if row["usable_memory_basis"] == "measured" else "~"
    return [
        row["id"],
        row["name"],
        _shown(row["memory_bytes"], GIB, "{:g} GiB"),
        f"{mark}{usable / GIB:.1f} GiB" if usable else "",
        _shown(row["memory_bandwidth_bytes_per_s"], 1e9, "{:,.0f}"),
        _shown(row["dense_16bit_flop_per_s"], 1e12, "{:,.0f}"),
        _shown(row["dense_fp8_flop_per_s"], 1e12, "{:,.0f}"),
        row["compute_capability"],
        _shown(row["tdp_w"], 1, "{:g}"),
        *_price_cells(row),
    ]


NODE_HEADERS = ["id", "GPU", "GPUs", "vCPUs", "host GiB", "Gbit/s", "memory", "GB/s",
                "16-bit TFLOP/s", "$/h", "from", "as of", "$/GiB/h", "$/TFLOP/h", "spot $/h",
                "region"]  # fmt: skip


def node_cells(row: Row) -> list[Any]:
    """Return a machine row as table cells."""
    return [
        row["id"],
        row["gpu"],
        _shown(row["gpus"], 1, "{:g}"),
        row["vcpus"],
        _shown(row["host_memory_gib"], 1, "{:g}"),
        _shown(row["network_gbit_per_s"], 1, "{:g}"),
        _shown(row["memory_bytes"], GIB, "{:g} GiB"),
        _shown(row["memory_bandwidth_bytes_per_s"], 1e9, "{:,.0f}"),
        _shown(row["dense_16bit_flop_per_s"], 1e12, "{:,.0f}"),
        *_price_cells(row),
        _shown(row["spot_usd_per_hour"], 1, "{:.2f}"),
        row["price_region"],
    ]


def _price_cells(row: Row) -> list[Any]:
    return [
        _shown(row["usd_per_hour"], 1, "{:.2f}"),
        row["price_provider"],
        row["price_date"],
        _shown(row["usd_per_gib_hour"], 1, "{:.4f}"),
        _shown(row["usd_per_tflop_hour"], 1, "{:.5f}"),
    ]


def _shown(value: float | None, unit: float, form: str) -> str:
    return form.format(value / unit) if value else ""


def prices_of(thing: Accelerator | Node) -> list[Price]:
    """Return the offers of a machine, or of every machine with a device, cheapest device first."""
    if isinstance(thing, Node):
        return node_prices(thing.id)
    prices = [p for p in all_prices() if p.gpu == thing.id]
    return sorted(prices, key=lambda p: (p.usd_per_gpu_hour is None, p.usd_per_gpu_hour or 0))


def facts_entry(thing: Accelerator | Node) -> Row:
    """Return every fact of a device or machine, with the prices on record."""
    return thing.to_dict() | {"prices": [p.to_dict() for p in prices_of(thing)]}


def facts_text(thing: Accelerator | Node) -> str:
    """Return a device or machine for reading: every fact, sources, conflicts and prices."""
    title = thing.name if isinstance(thing, Accelerator) else f"{thing.gpu_count} x {thing.gpu}"
    lines = [f"{title} ({thing.id})"]
    for key, value in thing.to_dict().items():
        if key in ("id", "name") or value in (None, [], {}):
            continue
        for item in value if isinstance(value, list) else [value]:
            shown = _pairs(item) if isinstance(item, Mapping) else item
            lines.append(f"{key}: {shown}")
    return "\n".join([*lines, *map(_price_line, prices_of(thing))])


def _pairs(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}"
                     for k, v in facts.items() if v is not None)  # fmt: skip


def _price_line(price: Price) -> str:
    each = price.usd_per_gpu_hour
    spot = price.spot_usd_per_hour
    parts = [
        f"price: ${price.usd_per_hour:,.2f}/h {price.provider} {price.instance_type}",
        f"${each:,.2f} a device" if each and each != price.usd_per_hour else None,
        f"spot ${spot:,.2f}" if spot else None,
        price.region or f"median of {price.regions} regions",
        price.as_of,
        f"listed by {price.reseller}" if price.reseller else None,
    ]
    return ", ".join(p for p in parts if p)
