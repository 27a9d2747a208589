"""What a device is: memory, bandwidth, arithmetic rates, links, in the units people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

from llmplan.specs.record import Record, record

GIB = 1 << 30

ASSUMED_SHARE = {"amd": 0.999}
"""Share of the nominal memory taken as usable where no observation is on record, by vendor: AMD
drivers report nominal minus 0.02 GiB. Source: hardware notes of 2026-11-21, trap 7."""

ASSUMED_SHARE_OTHERS = 0.979
"""The same for other vendors: the lowest observed / nominal without ECC loss (0.979 RTX 4090,
0.980 RTX 5090, 0.983 RTX 3090, 0.984 A100-40). Source: hardware table of 2026-11-21."""


@record
class MigSlice(Record):
    """One MIG profile of a device: a fixed share of its SMs and of its memory slices.

    `bandwidth_share` is the share of the memory slices, so of capacity and bandwidth alike;
    `usable_memory_gib` is what the driver lists for an instance where that was seen.
    """

    profile: str
    memory_gib: float
    compute_share: float
    bandwidth_share: float
    max_instances: int
    usable_memory_gib: float | None = None

    def __post_init__(self) -> None:
        for name in ("compute_share", "bandwidth_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share: above 0 and at most 1")
        if not 0 < (self.usable_memory_gib or self.memory_gib) <= self.memory_gib < MAX_FACT:
            raise ValueError("memory_gib must be above 0, usable_memory_gib at most that")
        if self.max_instances < 1:
            raise ValueError("max_instances must be at least 1")


@record
class Accelerator(Record):
    """One device as the engine sees it.

    Memory in GiB, bandwidth in GB/s and rates in TFLOP/s, as data sheets and drivers print
    them; the properties give base units. `tflops_dense` never holds the
    2:4-sparse figure. `products` are the bare names (a100) that it shares with others,
    `driver_names` what its driver or system calls it (nvidia-smi, rocm-smi, sysctl), and
    `part_of` the device that a MIG instance, vGPU or rented share belongs to.
    """

    id: str
    name: str
    vendor: str
    architecture: str | None
    memory_gib: float | None
    memory_bandwidth_gb_per_s: float | None
    sources: tuple[str, ...]
    checked: str
    compute_capability: str | None = None
    released_year: int | None = None
    aliases: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    driver_names: tuple[str, ...] = ()
    usable_memory_gib: float | None = None
    usable_memory_note: str | None = None
    memory_type: str | None = None
    unified_memory: bool = False
    tflops_dense: Mapping[str, float] = field(default_factory=dict)
    fp32_tflops: float | None = None
    native_dtypes: tuple[str, ...] = ()
    link: str | None = None
    link_gb_per_s: float | None = None
    scale_up_devices: int = 1
    pcie_gb_per_s: float | None = None
    tdp_w: float | None = None
    form_factor: str | None = None
    mig: tuple[MigSlice, ...] = ()
    part_of: str | None = None
    confidence: str = "low"
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unverified: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("memory_gib", "memory_bandwidth_gb_per_s", "usable_memory_gib", "tdp_w"):
            value = getattr(self, name)
            if value is not None and not 0 < value < MAX_FACT:
                raise ValueError(f"{name} must be above 0 and finite, or null when unknown")
        if self.confidence not in CONFIDENCE:
            raise ValueError(f"confidence is one of {', '.join(CONFIDENCE)}")
        capability = self.compute_capability or "sm_80"
        if capability.startswith("sm_") and not _is_sm(capability):
            raise ValueError(f"compute_capability is written as sm_80, not {capability}")
        usable, nominal = self.usable_memory_gib, self.memory_gib
        if usable is not None and nominal is not None and usable > nominal * 1.001:
            raise ValueError(
                f"usable_memory_gib ({usable}) is above memory_gib ({nominal}): swap them?"
            )
        if self.scale_up_devices < 1:
            raise ValueError("scale_up_devices must be at least 1")
        if not self.sources:
            raise ValueError("sources must name at least one reference")

    @property
    def memory_bytes(self) -> int | None:
        """Nominal memory [bytes]."""
        return None if self.memory_gib is None else round(self.memory_gib * GIB)

    @cached_property
    def usable_memory_bytes(self) -> int | None:
        """Memory that driver and engine see, a share of the nominal if not observed [bytes]."""
        if self.usable_memory_gib is not None:
            return round(self.usable_memory_gib * GIB)
        return None if self.memory_bytes is None else round(self.memory_bytes * self.assumed_share)

    @property
    def assumed_share(self) -> float:
        """Share of the nominal memory taken as usable when none was observed."""
        return ASSUMED_SHARE.get(self.vendor, ASSUMED_SHARE_OTHERS)

    @property
    def usable_memory_observed(self) -> bool:
        """Whether the usable memory was read off a device; a note says how else it came."""
        return self.usable_memory_gib is not None and self.usable_memory_note is None

    @property
    def memory_bandwidth_bytes_per_s(self) -> float | None:
        """Peak memory bandwidth [bytes/s]."""
        rate = self.memory_bandwidth_gb_per_s
        return None if rate is None else rate * 1e9

    @cached_property
    def cuda_capability(self) -> float | None:
        """CUDA compute capability as a number (8.0 for sm_80), None for other vendors."""
        text = self.compute_capability or ""
        if not text.startswith("sm_"):
            return None
        digits = text.removeprefix("sm_").rstrip("af")
        return float(f"{digits[:-1]}.{digits[-1]}")


CONFIDENCE = ("high", "medium", "low")
MAX_FACT = 1e9
"""Beyond any memory, bandwidth or power of a device, in the units of its file."""


def _is_sm(capability: str) -> bool:
    digits = capability.removeprefix("sm_").rstrip("af")
    return digits.isascii() and digits.isdigit() and 2 <= len(digits) <= 4


@record
class Node(Record):
    """A machine with several equal devices, on premises or rented.

    `gpu` is a device id, or a product name where the offer does not say which form;
    `gpu_count` is null where no source states it, and `gpu_share` the share of each device that
    the machine gets (cloud sizes with an eighth of a device). `link_gb_per_s` is what one device
    sends to the others of the machine, `pair_gb_per_s` to any single one; both one way.
    `provider` sells it, `reseller` is the market where it was listed.
    """

    id: str
    gpu: str
    gpu_count: int | None
    sources: tuple[str, ...]
    checked: str
    provider: str | None = None
    reseller: str | None = None
    instance_type: str | None = None
    aliases: tuple[str, ...] = ()
    gpu_share: float = 1.0
    gpus_per_host: int | None = None
    usable_memory_gib: float | None = None
    fabric: str | None = None
    link_gb_per_s: float | None = None
    pair_gb_per_s: float | None = None
    vcpus: int | None = None
    host_memory_gib: float | None = None
    local_nvme_gb: float | None = None
    nics: int | None = None
    nic_gbit_per_s: float | None = None
    network_gbit_per_s: float | None = None
    confidence: str = "low"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.gpu_count is not None and self.gpu_count < 1:
            raise ValueError("gpu_count must be at least 1, or null when unknown")
        if not 0 < self.gpu_share <= 1:
            raise ValueError("gpu_share is a share: above 0 and at most 1")
        if self.confidence not in CONFIDENCE:
            raise ValueError(f"confidence is one of {', '.join(CONFIDENCE)}")


def accelerator_from_dict(data: Mapping[str, Any]) -> Accelerator:
    """Build an Accelerator from trusted plain data (the compiled index)."""
    plain = _tuples(data, "sources", "aliases", "products", "driver_names", "native_dtypes",
                    "conflicts", "notes")  # fmt: skip
    if "mig" in plain:
        plain["mig"] = tuple(MigSlice(**m) for m in plain["mig"])
    return Accelerator(**plain)


def node_from_dict(data: Mapping[str, Any]) -> Node:
    """Build a Node from trusted plain data (the compiled index)."""
    return Node(**_tuples(data, "sources", "aliases", "notes"))


def _tuples(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {k: tuple(v) if k in names else v for k, v in data.items()}
