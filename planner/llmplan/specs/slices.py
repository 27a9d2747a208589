"""A part of a device as a device of its own: MIG instances, vGPU profiles, fractional rentals."""

from __future__ import annotations

from dataclasses import replace

from llmplan.specs.hardware import Accelerator, MigSlice

MIG_USABLE_SHARE = 0.916
"""Share of a slice's even part of the usable memory that an instance gets where no listing is on
record: the lowest seen, 16.00 GiB of an H200's 1g.18gb against 139.72 / 8 (others 0.92 to 0.99).
Source: `nvidia-smi mig -lgip` of A30, A100, H100, H200 and B200, hardware table of 2026-11-21."""


def mig_instance(gpu: Accelerator, profile: MigSlice) -> Accelerator:
    """Return one MIG instance of a device: its share of rates and memory, no link to others."""
    share = profile.bandwidth_share
    usable, note = profile.usable_memory_gib, None
    even = _even_part(gpu, share)
    if usable is not None and even is not None:
        # the driver lists what it hands out, of which an engine sees a little less
        usable = min(usable, even)
    elif even is not None:
        usable = round(even * MIG_USABLE_SHARE, 2)
        note = f"{MIG_USABLE_SHARE:.1%} of the even part, the least that listed instances show"
    part = _part(gpu, compute=profile.compute_share, memory=share)
    return replace(
        part,
        id=f"{gpu.id}-mig-{profile.profile}",
        name=f"{gpu.name} MIG {profile.profile}",
        driver_names=tuple(f"{n} MIG {profile.profile}" for n in gpu.driver_names),
        memory_gib=profile.memory_gib,
        usable_memory_gib=usable,
        usable_memory_note=note,
        notes=(*gpu.notes, "a MIG instance: no link to other instances, so no tensor parallelism"),
    )


def vgpu_instance(gpu: Accelerator, *, memory_gib: float, kind: str) -> Accelerator:
    """Return one vGPU of a device: its memory, and an even turn of the device's time.

    Time is shared by turns, so a vGPU alone on its device is faster than said here.
    """
    assert gpu.memory_gib is not None
    share = memory_gib / gpu.memory_gib
    return replace(
        _part(gpu, compute=share, memory=share),
        id=f"{gpu.id}-vgpu-{memory_gib:g}{kind}",
        name=f"{gpu.name}-{memory_gib:g}{kind.upper()}",
        memory_gib=memory_gib,
        usable_memory_gib=_even_part(gpu, share),
        usable_memory_note=f"{share:.1%} of the device's usable memory",
        notes=(*gpu.notes, "a vGPU: rates are an even turn of the device; alone it gets more"),
    )


def fraction(gpu: Accelerator, *, share: float, usable_gib: float | None) -> Accelerator:
    """Return the share of a device that a rented machine gets, as its provider lists it."""
    part = replace(
        _part(gpu, compute=share, memory=share),
        id=f"{gpu.id}-share-{share:g}",
        name=f"{gpu.name}, {share:g} of it",
        notes=(*gpu.notes, "a share of a device: rates are the even part"),
    )
    if gpu.memory_gib is None:
        return part
    if usable_gib is not None:
        note = "98 % of the memory that the provider lists"
    else:
        usable_gib, note = _even_part(gpu, share), f"{share:.1%} of the device's usable memory"
    return replace(
        part,
        memory_gib=gpu.memory_gib * share,
        usable_memory_gib=usable_gib,
        usable_memory_note=note,
    )


def _even_part(gpu: Accelerator, share: float) -> float | None:
    usable = gpu.usable_memory_bytes
    return None if usable is None else round(usable / 2**30 * share, 2)


def _part(gpu: Accelerator, *, compute: float, memory: float) -> Accelerator:
    rate, fp32 = gpu.memory_bandwidth_gb_per_s, gpu.fp32_tflops
    return replace(
        gpu,
        aliases=(),
        products=(),
        driver_names=(),
        usable_memory_gib=None,
        memory_bandwidth_gb_per_s=None if rate is None else rate * memory,
        tflops_dense={k: v * compute for k, v in gpu.tflops_dense.items()},
        fp32_tflops=None if fp32 is None else fp32 * compute,
        link=None,
        link_gb_per_s=None,
        scale_up_devices=1,
        tdp_w=None,
        mig=(),
        part_of=gpu.id,
    )
