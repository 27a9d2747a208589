"""What the drivers' own tools print, read as plain data; nothing here runs a tool.

A report that cannot be read raises ValueError with the reason: a device is never left out
silently. The shapes are those of nvidia-smi, amd-smi, rocm-smi, sysctl and system_profiler.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

MIB = 1 << 20
MAX_NAME = 100
"""Characters of a device's name that are kept: NVML's own limit is 96
(NVML_DEVICE_NAME_V2_BUFFER_SIZE in nvml.h)."""
MAX_DEVICES = 1024
"""Beyond any machine: slices of 16 devices are under 128."""


class Detected(NamedTuple):
    """One device as its driver reports it; None where the driver does not say."""

    vendor: str
    name: str
    memory_bytes: int | None
    reserved_bytes: int | None = None
    capability: str | None = None
    uuid: str | None = None
    profile: str | None = None
    cores: int | None = None
    mig: bool = False


NVIDIA_FIELDS = (
    "index", "uuid", "name", "memory.total", "memory.reserved", "compute_cap", "mig.mode.current",
)  # fmt: skip
NVIDIA_OLD_FIELDS = ("index", "uuid", "name", "memory.total")
"""What drivers before 510 know too: they refuse the whole query for one unknown field."""


def parse_nvidia_smi(text: str) -> list[Detected]:
    """Return the devices of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`.

    Rows begin with the device's number; the driver's messages stand between them and are left to
    `messages`. Memory is in MiB. Raises ValueError for a row that is cut off.
    """
    found = []
    for line in text.splitlines():
        if not line[:1].isdigit():
            continue
        cells = [c.strip() for c in line.split(",")]
        if len(cells) not in (len(NVIDIA_FIELDS), len(NVIDIA_OLD_FIELDS)):
            raise ValueError(f"a row of {len(cells)} values: {line[:60]!r}")
        row = dict(zip(NVIDIA_FIELDS, cells, strict=False))
        capability = row.get("compute_cap", "")
        known = re.fullmatch(r"(\d{1,2})\.(\d)", capability, re.ASCII)
        found.append(
            Detected(
                "nvidia",
                _clean(row["name"]),
                _mib(row["memory.total"]),
                _mib(row.get("memory.reserved", "")),
                f"sm_{known[1]}{known[2]}" if known else None,
                row["uuid"],
                mig=row.get("mig.mode.current") == "Enabled",
            )
        )
    return _bounded(found)


MIG_PARENT = re.compile(r"^GPU \d+: .* \(UUID: (GPU-[\w-]+)\)")
MIG_SLICE = re.compile(r"^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[\w/-]+)\)")


def parse_mig_list(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return the MIG instances of `nvidia-smi -L`: device UUID -> (profile, UUID) of each."""
    found: dict[str, list[tuple[str, str]]] = {}
    parent = None
    for line in text.splitlines():
        if match := MIG_PARENT.match(line):
            parent = found.setdefault(match[1], [])
        elif (match := MIG_SLICE.match(line)) and parent is not None:
            parent.append((match[1], match[2]))
    return found


def parse_amd_smi(text: str) -> list[Detected]:
    """Return the devices of `amd-smi static --asic --vram --json`.

    What the tool calls MB is MiB: it prints 65520 where rocm-smi prints 68702699520 bytes.
    """
    data = json_of(text)
    rows = data.get("gpu_data", data) if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise ValueError("no list of devices")
    found = []
    for row in rows:
        asic, vram = _dict(_dict(row).get("asic")), _dict(_dict(row).get("vram"))
        size = vram.get("size")
        value = _dict(size).get("value") if isinstance(size, dict) else size
        found.append(
            Detected(
                "amd",
                _name_in_brackets(str(asic.get("market_name", ""))),
                _mib(str(value)),
                capability=_gfx(asic.get("target_graphics_version")),
            )
        )
    return _bounded(found)


def parse_rocm_smi(text: str) -> list[Detected]:
    """Return the devices of `rocm-smi --showproductname --showmeminfo vram --json`, in bytes.

    Keys are `Card series` up to ROCm 5 and `Card Series` since; warnings may come first.
    """
    data = json_of(text)
    if not isinstance(data, dict):
        raise ValueError("no cards")
    found = []
    for key, row in data.items():
        if not re.fullmatch(r"card\d+", key, re.ASCII):
            continue
        facts = {str(k).casefold(): str(v) for k, v in _dict(row).items()}
        total = facts.get("vram total memory (b)", "")
        found.append(
            Detected(
                "amd",
                _name_in_brackets(facts.get("card series") or facts.get("device name") or ""),
                number(total),
                capability=_gfx(facts.get("gfx version")),
            )
        )
    return _bounded(found)


def parse_apple(sysctl: str, displays: str) -> list[Detected]:
    """Return the GPU of a Mac with Apple silicon; none for one with an Intel processor.

    `sysctl -n machdep.cpu.brand_string hw.memsize` gives the chip and the bytes of memory,
    `system_profiler SPDisplaysDataType -json` the number of GPU cores.
    """
    lines = sysctl.splitlines()
    if not lines or not lines[0].startswith("Apple "):
        return []
    if len(lines) < 2:
        raise ValueError("no memory size")
    cores = None
    try:
        report = json_of(displays)
        rows = report.get("SPDisplaysDataType", []) if isinstance(report, dict) else []
        counts = [number(str(_dict(r).get("sppci_cores", ""))) for r in rows]
        cores = next((c for c in counts if c), None)
    except ValueError:
        pass  # the chip and its memory may be enough
    return [Detected("apple", _clean(lines[0]), number(lines[1]), cores=cores)]


def parse_meminfo(text: str) -> int | None:
    """Return the memory that the system has, from /proc/meminfo (MemTotal, in KiB) [bytes]."""
    match = re.search(r"^MemTotal:\s*(\d{1,15}) kB$", text, re.MULTILINE | re.ASCII)
    return int(match[1]) * 1024 if match else None


def parse_cpuinfo(text: str) -> str | None:
    """Return the processor's name from /proc/cpuinfo; Arm systems do not give one."""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return _clean(match[1]) if match else None


def messages(text: str) -> list[str]:
    """Return the lines of a report that are no rows: what the driver wants to be known."""
    own = (line for line in text.splitlines() if not line[:1].isdigit() and line[:1] not in "[{")
    lines = (_clean(line) for line in own)
    return [line for line in lines if line][:3]


def json_of(text: str) -> Any:
    """Return the JSON that follows any warnings, or ValueError."""
    start = re.search(r"^\s*[\[{]", text, re.MULTILINE)
    if start is None:
        raise ValueError("no JSON in it")
    try:
        return json.JSONDecoder().raw_decode(text[start.end() - 1 :])[0]
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError as e:
        raise ValueError(f"not valid JSON: {str(e)[:80]}") from None


def number(text: str) -> int | None:
    """Return a count of at most 16 digits, None for anything else ([N/A], [Not Supported])."""
    digits = text.strip()
    return int(digits) if re.fullmatch(r"\d{1,16}", digits, re.ASCII) else None


def _bounded(found: list[Detected]) -> list[Detected]:
    if len(found) > MAX_DEVICES:
        raise ValueError(f"{len(found)} devices")
    return found


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c != "\ufffd").strip()[:MAX_NAME]


def _name_in_brackets(text: str) -> str:
    """Return the product where the chip stands first: Navi 31 [Radeon RX 7900 XTX]."""
    match = re.search(r"\[([^\]]+)\]", text)
    return _clean(match[1] if match else text)


def _mib(text: str) -> int | None:
    mib = number(text.removesuffix(" MiB").removesuffix(" MB"))
    return None if mib is None else mib * MIB


def _gfx(text: object) -> str | None:
    name = str(text or "").partition(":")[0]
    return name if re.fullmatch(r"gfx[0-9a-f]{3,4}", name) else None
