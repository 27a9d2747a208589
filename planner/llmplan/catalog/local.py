"""`--gpu local`: the devices that this machine reports, as entries of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from llmplan.catalog.names import normalise
from llmplan.catalog.resolve import FoundGpu, all_accelerators, find_gpu
from llmplan.errors import AmbiguousName, InputError, OutsideError, UnknownName
from llmplan.sources.driver_reports import Detected
from llmplan.sources.local_devices import Machine, read_machine
from llmplan.specs.hardware import GIB, Accelerator

MEMORY_TOLERANCE = 0.08
"""How far a driver's total may be from the data sheet's: ECC takes 1/16 of GDDR memory, the
firmware up to a further 1.5 %. Sizes sold under one name are 17 % apart or more (RTX 3080: 10 and
12 GiB). Source: nvidia-smi totals of 20 devices, hardware table of 2026-11-21."""

BRANDS = frozenset(
    "nvidia geforce quadro tesla amd instinct radeon graphics apple intel generation edition "
    "developer kit vf oam".split()
)
"""Words of a driver's name that tell no two devices apart."""

WAY_OUT = "Name the device instead: --gpu rtx-4090; llmplan gpus lists them."


class Group(NamedTuple):
    """Equal devices of this machine and the entry they are planned as, or why there is none."""

    devices: tuple[Detected, ...]
    gpu: Accelerator | None
    problem: InputError | None = None

    @property
    def memory_bytes(self) -> float:
        """Memory of all devices [bytes]."""
        each = (self.gpu and self.gpu.usable_memory_bytes) or self.devices[0].memory_bytes or 0
        return float(each * len(self.devices))


def find_local(machine: Machine | None = None) -> FoundGpu:
    """Return the devices of this machine: the equal ones with the most memory in all.

    Raises OutsideError (exit code 3) where no device or no driver is found, InputError where
    the catalogue does not hold what was found.
    """
    machine = machine or read_machine()
    if not machine.devices:
        raise _nothing(machine)
    groups = _groups(machine, all_accelerators())
    known = [g for g in groups if g.gpu is not None]
    if not known:
        raise groups[0].problem or _nothing(machine)
    best = max(known, key=lambda g: (g.memory_bytes, len(g.devices)))
    assert best.gpu is not None
    count = 1 if best.devices[0].profile else len(best.devices)
    others = [_described(g) for g in groups if g is not best]
    note = f"local is {_described(best)}, planned as {best.gpu.id}"
    if best.devices[0].profile and len(best.devices) > 1:
        note += ", one instance: an engine process takes no more"
    if others:
        note += f"; not planned with it: {', '.join(others)}"
    problems = "".join(f" {p}." for p in machine.problems)
    return FoundGpu(best.gpu, count, None, f"{note}.{problems}")


def some_of(found: FoundGpu, count: int) -> FoundGpu:
    """Return the local devices of `local*N`: N of those that are there."""
    if count > (found.devices or 1):
        raise InputError(
            f"This machine has {found.devices} of {found.gpu.id}, not {count}.",
            f"Plan devices that are not here by name: --gpu '{found.gpu.id}*{count}'.",
        )
    return found._replace(devices=count)


def _groups(machine: Machine, accelerators: list[Accelerator]) -> list[Group]:
    alike: dict[tuple[object, ...], list[Detected]] = {}
    for device in machine.devices:
        same = device._replace(uuid=None, reserved_bytes=None)
        alike.setdefault(tuple(same), []).append(device)
    groups = []
    for devices in alike.values():
        try:
            gpu = _entry(devices[0], accelerators)
            groups.append(Group(tuple(devices), _as_seen(gpu, devices[0], machine)))
        except InputError as e:
            groups.append(Group(tuple(devices), None, e))
    return groups


def _entry(device: Detected, accelerators: list[Accelerator]) -> Accelerator:
    """Return the entry of a device, or raise InputError with what else to do."""
    found = matching(device, accelerators)
    if len(found) > 1:
        ids = ", ".join(sorted(g.id for g in found))
        raise AmbiguousName(f"{_title(device)} may be several devices: {ids}.", "Name one of them.")
    if not found:
        same_name = matching(device._replace(memory_bytes=None), accelerators)
        near = f" {same_name[0].id} has {same_name[0].memory_gib:g} GiB." if same_name else ""
        raise UnknownName(
            f"The catalogue lacks {_title(device)}.{near}",
            "Give a YAML file with its facts, or the nearest device by name: llmplan gpus.",
        )
    if device.profile is None:
        return found[0]
    profile = device.profile.partition("+")[0]  # +me, +gfx: the same memory and SMs
    return find_gpu(f"{found[0].id}-mig-{profile}").gpu


def matching(device: Detected, accelerators: Iterable[Accelerator]) -> list[Accelerator]:
    """Return the entries that a device may be: by its driver's name, then by its memory.

    `driver_names` of an entry count first, then its own names without words that only say the
    vendor, then its product names; what the driver says of memory and capability must agree.
    """
    fitting = [g for g in accelerators if g.vendor == device.vendor and _agrees(g, device)]
    exact = normalise(device.name)
    key = _key(device.name)
    keys = {key, f"{key}{device.cores}c"} if device.cores else {key}
    tests = (
        lambda g: exact in map(normalise, getattr(g, "driver_names", ())),
        lambda g: keys & {_key(n) for n in (g.id, g.name, *g.aliases)},
        lambda g: keys & {_key(n) for n in g.products},
    )
    for test in tests:
        named = [g for g in fitting if test(g)]
        if named:
            return named
    return []


def _agrees(gpu: Accelerator, device: Detected) -> bool:
    known, said = gpu.compute_capability, device.capability
    if known and said and known.rstrip("af") != said.rstrip("af"):
        return False
    if device.cores and any(
        part.endswith("c") and part[:-1].isdigit() and int(part[:-1]) != device.cores
        for part in gpu.id.split("-")
    ):
        return False
    shared = gpu.unified_memory and gpu.vendor != "apple"
    if device.memory_bytes is None or gpu.memory_bytes is None or shared:
        return True
    return abs(device.memory_bytes / gpu.memory_bytes - 1) <= MEMORY_TOLERANCE


def _key(name: str) -> str:
    """Return a name without vendor, brand and memory size: NVIDIA A100-SXM4-80GB -> a100sxm4."""
    words = "".join(c if c.isalnum() else " " for c in name.casefold()).split()
    kept = (w for w in words if w not in BRANDS and not _is_size(w))
    return normalise(" ".join(kept))


def _is_size(word: str) -> bool:
    return word.rstrip("gib").isdigit() and not word.isdigit()


def _as_seen(gpu: Accelerator, device: Detected, machine: Machine) -> Accelerator:
    """Return the entry with the memory that was observed on this machine.

    AMD's total is what an engine sees. NVIDIA's still holds what the CUDA context reserves, so it
    only lowers the usable memory on record. Unified memory: the system's where the driver gives
    none (GB10, Jetson), the larger of carve-out and GTT on AMD (the amdgpu driver allocates from
    GTT where that is larger), a raised wired limit on a Mac.
    """
    if device.profile:
        return gpu
    total = device.memory_bytes
    if gpu.vendor == "apple":
        seen = machine.wired_limit_bytes
    elif gpu.unified_memory:
        seen = max(total or 0, machine.gtt_bytes or 0) if gpu.vendor == "amd" else total
        seen = seen or machine.memory_bytes
    elif gpu.vendor == "nvidia" and total is not None:
        seen = min(total - (device.reserved_bytes or 0), gpu.usable_memory_bytes or total)
        if seen == gpu.usable_memory_bytes:
            return gpu
    else:
        seen = total
    if not seen or (gpu.memory_bytes and seen > gpu.memory_bytes):
        return gpu
    note = f"usable memory {seen / GIB:.2f} GiB observed on this machine"
    return replace(
        gpu, usable_memory_gib=seen / GIB, usable_memory_note=None, notes=(*gpu.notes, note)
    )


def _described(group: Group) -> str:
    device = group.devices[0]
    gpu = group.gpu
    usable = f" ({gpu.usable_memory_bytes / GIB:.2f} GiB usable)" if (
        gpu and gpu.usable_memory_bytes
    ) else ""  # fmt: skip
    return f"{len(group.devices)} x {_title(device)}{usable}"


def _title(device: Detected) -> str:
    """Return a device as its driver names it, with the memory and slice that it reports."""
    parts = [device.name or "a device without a name"]
    if device.profile:
        parts.append(f"MIG {device.profile}")
    if device.cores:
        parts.append(f"{device.cores} cores")
    if device.memory_bytes:
        parts.append(f"{device.memory_bytes / GIB:.2f} GiB")
    return ", ".join(parts)


def _nothing(machine: Machine) -> OutsideError:
    memory = f", {machine.memory_bytes / GIB:.0f} GiB of memory" if machine.memory_bytes else ""
    host = f" (processor: {machine.cpu or 'not named'}{memory})"
    if machine.problems:
        said = "; ".join(machine.problems)
        return OutsideError(f"This machine's driver does not answer: {said}{host}.", WAY_OUT)
    return OutsideError(
        f"No device was found on this machine{host}: nvidia-smi, amd-smi and rocm-smi are missing "
        "or list none.",
        WAY_OUT,
    )
