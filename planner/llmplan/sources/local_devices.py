"""The devices of this machine, asked from the tools that the drivers bring along.

Every tool runs without a shell, with a time limit, in the C locale. Devices that
CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES hide from an engine are hidden
here too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from llmplan.sources.driver_reports import (
    MIB,
    NVIDIA_FIELDS,
    NVIDIA_OLD_FIELDS,
    Detected,
    messages,
    number,
    parse_amd_smi,
    parse_apple,
    parse_cpuinfo,
    parse_meminfo,
    parse_mig_list,
    parse_nvidia_smi,
    parse_rocm_smi,
)

TOOL_SECONDS = 5
"""Longest wait for a tool [s]: they answer in under 2 s unless the driver hangs."""
MAX_REPORT = 4 << 20
"""Characters of a report that are read: eight devices take under 100 kB."""
ELSEWHERE = {
    "nvidia-smi": ("/usr/lib/wsl/lib",),
    "amd-smi": ("/opt/rocm/bin",),
    "rocm-smi": ("/opt/rocm/bin",),
    "sysctl": ("/usr/sbin",),
    "system_profiler": ("/usr/sbin",),
}
"""Where tools stand that PATH may lack: inside WSL, and as ROCm and macOS install them."""


class Ran(NamedTuple):
    """What a tool said; `code` is None where it could not be run to its end."""

    code: int | None
    text: str


class Machine(NamedTuple):
    """What this machine has; `problems` are tools that are there and failed."""

    devices: tuple[Detected, ...]
    problems: tuple[str, ...]
    cpu: str | None
    memory_bytes: int | None
    gtt_bytes: int | None = None
    wired_limit_bytes: int | None = None


Run = Callable[..., "Ran | None"]


def run_tool(name: str, *args: str) -> Ran | None:
    """Return what a tool printed, or None where it is not installed."""
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(ELSEWHERE.get(name, ())))
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # a fixed list of words, no shell
            [path, *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(None, f"no answer in {TOOL_SECONDS} s")
    except OSError as e:
        return Ran(None, e.strerror or str(e))
    said = done.stdout or done.stderr
    return Ran(done.returncode, said[:MAX_REPORT].decode("utf-8", "replace"))


def read_machine(
    run: Run = run_tool,
    env: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
    platform: str = sys.platform,
) -> Machine:
    """Return the devices that an engine started here would see, and the machine's memory."""
    if platform == "darwin":
        return _mac(run)
    devices, problems = _nvidia(run, env)
    devices = _jetson(devices, root)
    amd, faults = _amd(run, env)
    return Machine(
        (*devices, *amd),
        (*problems, *faults),
        parse_cpuinfo(_text(root / "proc/cpuinfo")),
        parse_meminfo(_text(root / "proc/meminfo")),
        gtt_bytes=_gtt_bytes(root),
    )


def _nvidia(run: Run, env: Mapping[str, str]) -> tuple[list[Detected], list[str]]:
    said = None
    for fields in (NVIDIA_FIELDS, NVIDIA_OLD_FIELDS):
        said = run("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
        if said is None or "is not a valid field to query" not in said.text:
            break
    if said is None or said.text.startswith("No devices were found"):
        return [], []
    try:
        devices = parse_nvidia_smi(said.text) if said.code is not None else []
    except ValueError as e:
        return [], [f"nvidia-smi printed {e}"]
    problems = [f"nvidia-smi: {line}" for line in messages(said.text)]
    if not devices:
        return [], problems[:1] or [f"nvidia-smi ended with code {said.code}"]
    if any(d.mig for d in devices):
        devices = _slices(devices, run("nvidia-smi", "-L"), problems)
    return visible(devices, env.get("CUDA_VISIBLE_DEVICES")), problems


def _slices(devices: list[Detected], listed: Ran | None, problems: list[str]) -> list[Detected]:
    """Return the devices with those in MIG mode replaced by their instances."""
    instances = parse_mig_list(listed.text) if listed else {}
    found = []
    for place, device in enumerate(devices):
        own = instances.get(device.uuid or "", []) if device.mig else []
        found += [
            device._replace(uuid=uuid, profile=profile, memory_bytes=None, reserved_bytes=None)
            for profile, uuid in own
        ]
        if not device.mig:
            found.append(device)
        elif not own:
            problems.append(f"{device.name} number {place} is in MIG mode without an instance")
    return found


def _amd(run: Run, env: Mapping[str, str]) -> tuple[list[Detected], list[str]]:
    problems = []
    asked = (
        ("amd-smi", ("static", "--asic", "--vram", "--json"), parse_amd_smi),
        ("rocm-smi", ("--showproductname", "--showmeminfo", "vram", "--json"), parse_rocm_smi),
    )
    for tool, args, parse in asked:
        said = run(tool, *args)
        if said is None:
            continue
        try:
            devices = parse(said.text)
        except ValueError as e:
            line = next(iter(messages(said.text)), str(e))
            problems.append(f"{tool}: {line}")
            continue
        if devices:
            shown = visible(devices, env.get("ROCR_VISIBLE_DEVICES"))
            hip = env.get("HIP_VISIBLE_DEVICES", env.get("CUDA_VISIBLE_DEVICES"))
            return visible(shown, hip), []
    return [], problems


def _mac(run: Run) -> Machine:
    chip = run("sysctl", "-n", "machdep.cpu.brand_string", "hw.memsize")
    if chip is None or chip.code is None:
        return Machine((), (f"sysctl: {chip.text if chip else 'not found'}",), None, None)
    shown = run("system_profiler", "SPDisplaysDataType", "-json")
    limit = run("sysctl", "-n", "iogpu.wired_limit_mb")
    wired = number(limit.text) if limit and limit.code == 0 else None
    name, _, memory = chip.text.strip().partition("\n")
    try:
        devices = parse_apple(chip.text, shown.text if shown else "")
    except ValueError as e:
        return Machine((), (f"sysctl printed {e}",), None, None)
    return Machine(
        tuple(devices),
        (),
        name or None,
        number(memory),
        wired_limit_bytes=wired * MIB if wired else None,
    )


def visible(devices: list[Detected], text: str | None) -> list[Detected]:
    """Return the devices that a *_VISIBLE_DEVICES variable leaves, in its order.

    Numbers and UUIDs (or their beginnings) are read as CUDA does: the list ends at the first
    that names no device, an empty one hides all. Numbers count as nvidia-smi does.
    """
    if text is None:
        return devices
    chosen: list[int] = []
    for word in (w.strip() for w in text.split(",")):
        at = number(word)
        named = [
            i
            for i, d in enumerate(devices)
            if i == at or (at is None and word and (d.uuid or "").startswith(word))
        ]
        if len(named) != 1 or named[0] in chosen:
            break
        chosen += named
    return [devices[i] for i in chosen]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_REPORT).decode("utf-8", "replace")
    except OSError:
        return ""


def _gtt_bytes(root: Path) -> int | None:
    """Return the system memory that an AMD integrated GPU may map, by the amdgpu driver [bytes]."""
    paths = sorted(root.glob("sys/class/drm/card*/device/mem_info_gtt_total"))
    return max((s for s in (number(_text(p)) for p in paths) if s), default=None)


def _jetson(devices: list[Detected], root: Path) -> list[Detected]:
    """Return the devices with the board's name where the driver gives only the chip's."""
    board = _text(root / "proc/device-tree/model").strip("\0\n ")
    if not board.startswith("NVIDIA Jetson"):
        return devices
    own = devices[0] if devices else Detected("nvidia", board, None)
    return [own._replace(name=board)]
