"""Names of parts of devices: `a100-40g-mig-1g.5gb`, `l40s-48q`, machines with half a device."""

from __future__ import annotations

import re

from llmplan.catalog.resolve import FoundGpu, find_gpu, load_accelerator, store
from llmplan.errors import AmbiguousName, InputError, UnknownName
from llmplan.specs.hardware import Accelerator, Node
from llmplan.specs.slices import fraction, mig_instance, vgpu_instance

_MIG = re.compile(r"(.+?)[-_ ]mig[-_ ]?([0-9]g\.[0-9]{1,3}gb)")
_VGPU = re.compile(r"(.+?)-(?:vgpu-)?([0-9]{1,3})([qc])")
"""GRID profiles as the hypervisor names them: device, GiB, and Q (workstation) or C (compute)."""


def find_slice(name: str) -> Accelerator | None:
    """Return the part of a device that a name means, None where it names no part.

    Raises UnknownName where the device has no such part.
    """
    text = name.strip().casefold()[:80]
    mig = _MIG.fullmatch(text)
    if mig:
        gpu = find_gpu(mig.group(1)).gpu
        for profile in gpu.mig:
            if profile.profile == mig.group(2):
                return mig_instance(gpu, profile)
        known = ", ".join(p.profile for p in gpu.mig)
        hint = f"It has {known}." if known else "MIG is on A30, A100, H100 and newer."
        raise UnknownName(f"{gpu.id} has no MIG profile {mig.group(2)!r}.", hint)
    vgpu = _VGPU.fullmatch(text)
    if vgpu and store().names("gpus").get(_key(vgpu.group(1))):
        gpu, size = find_gpu(vgpu.group(1)).gpu, int(vgpu.group(2))
        if gpu.vendor != "nvidia" or not gpu.memory_gib or not 1 <= size <= gpu.memory_gib:
            raise UnknownName(
                f"{gpu.id} has no vGPU of {size} GiB.",
                f"Give 1 to {gpu.memory_gib:g} GiB: {gpu.id}-8q." if gpu.memory_gib else None,
            )
        return vgpu_instance(gpu, memory_gib=float(size), kind=vgpu.group(3))
    return None


def _key(name: str) -> str:
    from llmplan.catalog.names import normalise

    return normalise(name)


def gpu_of_node(node: Node) -> FoundGpu:
    """Return the devices of a machine.

    Raises InputError where its offer says neither which devices nor how many.
    """
    if node.gpu_count is None:
        raise InputError(
            f"No source states how many devices {node.id} has.",
            f"Name the device with a count: {node.gpu}*2.",
        )
    if not store().has("gpus", node.gpu):
        members = sorted(store().groups("gpus").get(_key(node.gpu), ()))
        if not members:
            raise UnknownName(
                f"The machine {node.id} names a device that is not known: {node.gpu[:60]!r}.",
                "Add its YAML, or mend gpu in the machine's file.",
            )
        raise AmbiguousName(
            f"The offer {node.id} does not say which {node.gpu} it has: {', '.join(members)}.",
            f"Name the device with a count: {members[-1]}*{node.gpu_count}.",
        )
    gpu = load_accelerator(node.gpu)
    if node.gpu_share < 1:
        gpu = fraction(gpu, share=node.gpu_share, usable_gib=node.usable_memory_gib)
    return FoundGpu(gpu, node.gpu_count, node.id)
