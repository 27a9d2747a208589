"""`--gpu local`: what drivers report is read, matched to the catalogue, and said plainly."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Cli
from hypothesis import given, settings
from hypothesis import strategies as st

from llmplan.catalog.local import find_local, matching, some_of
from llmplan.catalog.resolve import all_accelerators
from llmplan.errors import AmbiguousName, InputError, OutsideError, UnknownName
from llmplan.sources import driver_reports as reports
from llmplan.sources.driver_reports import Detected
from llmplan.sources.local_devices import Machine, Ran, read_machine, run_tool, visible

RECORDED = ROOT / "tests/recorded"
MIB = 1 << 20
Tools = dict[tuple[str, ...], Ran]


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def machine(
    tools: dict[str, str | Ran], env: dict[str, str] | None = None, **rest: object
) -> Machine:
    """Read a machine whose tools print recorded reports; keys are a tool and a word it is given."""

    def run(tool: str, *args: str) -> Ran | None:
        line = " ".join((tool, *args))
        for words, said in tools.items():
            if all(w in line for w in words.split()):
                if isinstance(said, Ran):
                    return said
                return Ran(0, recorded(said))
        return None

    return read_machine(run, env or {}, **{"root": Path("/nowhere"), "platform": "linux", **rest})


@pytest.mark.parametrize(
    ("vendor", "name", "mib", "cores", "id"),
    [
        ("nvidia", "NVIDIA A100-SXM4-40GB", 40960, None, "a100-40g"),
        ("nvidia", "NVIDIA A100-PCIE-40GB", 40960, None, "a100-40g"),
        ("nvidia", "NVIDIA A100-SXM4-80GB", 81920, None, "a100-80g-sxm"),
        ("nvidia", "NVIDIA A100 80GB PCIe", 81920, None, "a100-80g-pcie"),
        ("nvidia", "NVIDIA H100 80GB HBM3", 81559, None, "h100-sxm"),
        ("nvidia", "NVIDIA H100 PCIe", 81559, None, "h100-pcie"),
        ("nvidia", "NVIDIA H100 NVL", 95830, None, "h100-nvl"),
        ("nvidia", "NVIDIA H200", 143771, None, "h200"),
        ("nvidia", "NVIDIA B200", 183359, None, "b200"),
        ("nvidia", "NVIDIA GeForce RTX 4090", 24564, None, "rtx-4090"),
        ("nvidia", "NVIDIA GeForce RTX 3080", 10240, None, "rtx-3080-10g"),
        ("nvidia", "NVIDIA GeForce RTX 3080", 12288, None, "rtx-3080-12g"),
        ("nvidia", "NVIDIA GeForce RTX 4060 Ti", 16380, None, "rtx-4060ti-16g"),
        ("nvidia", "NVIDIA GeForce RTX 5090", 32607, None, "rtx-5090"),
        ("nvidia", "NVIDIA A10G", 23028, None, "a10g"),
        ("nvidia", "NVIDIA L4", 23034, None, "l4"),
        ("nvidia", "NVIDIA L40S", 46068, None, "l40s"),
        ("nvidia", "Tesla T4", 15360, None, "t4"),
        ("nvidia", "Tesla V100-SXM2-16GB", 16160, None, "v100-16g"),
        ("nvidia", "NVIDIA RTX A6000", 49140, None, "a6000"),
        ("nvidia", "NVIDIA RTX A6000", 46068, None, "a6000"),
        ("nvidia", "NVIDIA RTX 6000 Ada Generation", 49140, None, "rtx-6000-ada"),
        ("nvidia", "NVIDIA GB10", None, None, "dgx-spark"),
        ("amd", "AMD Instinct MI300X", 196592, None, "mi300x"),
        ("amd", "AMD Instinct MI300X VF", 196592, None, "mi300x"),
        ("amd", "AMD Instinct MI210", 65520, None, "mi210"),
        ("amd", "Radeon RX 7900 XTX", 24560, None, "rx-7900xtx"),
        ("apple", "Apple M3 Max", 65536, 40, "m3-max-40c-64g"),
        ("apple", "Apple M2 Ultra", 196608, 76, "m2-ultra-192g"),
    ],
)
def test_driver_names_are_matched(
    vendor: str, name: str, mib: int | None, cores: int | None, id: str
) -> None:
    """Names and totals as nvidia-smi, amd-smi and sysctl print them on those devices."""
    device = Detected(vendor, name, mib and mib * MIB, cores=cores)
    assert [g.id for g in matching(device, all_accelerators())] == [id]


def test_driver_names_of_the_catalogue_match_their_entry() -> None:
    """Whatever an entry says its driver calls it leads to that entry."""
    accelerators = all_accelerators()
    for gpu in accelerators:
        for name in getattr(gpu, "driver_names", ()):
            found = matching(Detected(gpu.vendor, name, gpu.memory_bytes), accelerators)
            assert gpu in found, name


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("NVIDIA GeForce RTX 3060", 8192),  # sold with 8 and 12 GiB at different bandwidths
        ("NVIDIA GeForce RTX 4090", 49140),  # a modified card
        ("GRID A100-10C", 10240),  # a virtual slice
        ("", 24564),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376),
    ],
)
def test_other_memory_or_name_is_no_match(name: str, mib: int) -> None:
    device = Detected("nvidia", name, mib * MIB)
    assert matching(device, all_accelerators()) == []
    with pytest.raises(UnknownName) as e:
        find_local(Machine((device,), (), None, None))
    assert "YAML" in e.value.one_line()
    assert e.value.exit_code == 2


def test_equal_devices_are_planned_and_others_named() -> None:
    found = find_local(machine({"nvidia-smi --query": "nvidia-smi-a100-h100.csv"}))
    assert (found.gpu.id, found.devices) == ("a100-40g", 3)
    assert found.note is not None
    assert "1 x NVIDIA H100 80GB HBM3" in found.note
    assert found.gpu.usable_memory_bytes is not None
    assert found.gpu.usable_memory_bytes <= (40960 - 605) * MIB


def test_old_drivers_are_asked_for_less() -> None:
    tools: dict[str, str | Ran] = {
        "nvidia-smi compute_cap": Ran(2, recorded("nvidia-smi-unknown-field.txt")),
        "nvidia-smi --query": "nvidia-smi-old-driver.csv",
    }
    found = find_local(machine(tools))
    assert (found.gpu.id, found.devices) == ("v100-16g", 2)


def test_unified_memory_is_the_systems(tmp_path: Path) -> None:
    """GB10 reports no memory; CUDA sees all that the system has (121.69 GiB)."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(recorded("meminfo-gb10.txt"))
    found = find_local(machine({"nvidia-smi --query": "nvidia-smi-gb10.csv"}, root=tmp_path))
    assert found.gpu.id == "dgx-spark"
    assert found.gpu.usable_memory_bytes == 127_600_748 * 1024
    assert found.gpu.usable_memory_observed


def test_amd_unified_memory_is_the_larger_of_carve_out_and_gtt() -> None:
    """HIP reports 98304 MiB where the carve-out is 4 GiB and GTT 103079215104 bytes."""
    from dataclasses import replace

    from llmplan.catalog.local import _as_seen

    (device,) = reports.parse_amd_smi(recorded("amd-smi-strix-halo.json"))
    entry = next(g for g in all_accelerators() if g.id.startswith("strix-halo"))
    entry = replace(entry, memory_gib=128, usable_memory_gib=None)
    seen = _as_seen(entry, device, Machine((device,), (), None, None, gtt_bytes=103_079_215_104))
    assert seen.usable_memory_bytes == 98304 * MIB


def test_gtt_is_read_from_the_driver(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/drm/card1/device"
    folder.mkdir(parents=True)
    (folder / "mem_info_gtt_total").write_text("103079215104\n")
    tools: dict[str, str | Ran] = {"amd-smi static": "amd-smi-strix-halo.json"}
    assert machine(tools, root=tmp_path).gtt_bytes == 96 << 30


def test_amd_tools_agree() -> None:
    """Amd-smi's 65520 MB and rocm-smi's 68702699520 bytes are the same MI210."""
    new = find_local(machine({"amd-smi static": "amd-smi-mi210.json"}))
    old = find_local(machine({"rocm-smi": "rocm-smi-5.json"}))
    assert new.gpu.id == old.gpu.id == "mi210"
    assert new.gpu.usable_memory_bytes == old.gpu.usable_memory_bytes == 68_702_699_520


def test_warnings_before_the_json_and_a_processors_own_graphics() -> None:
    found = find_local(machine({"rocm-smi": "rocm-smi-7900xtx.json"}))
    assert (found.gpu.id, found.devices) == ("rx-7900xtx", 1)
    assert "Raphael" in (found.note or "")
    assert find_local(machine({"amd-smi static": "amd-smi-permission.txt"})).gpu.id == "mi300x"


def test_a_mac_is_its_chip_memory_and_gpu_cores() -> None:
    tools: dict[str, str | Ran] = {
        "sysctl hw.memsize": "sysctl-m3-max.txt",
        "system_profiler": "system-profiler-m3-max.json",
    }
    found = find_local(machine(tools, platform="darwin"))
    assert (found.gpu.id, found.devices) == ("m3-max-40c-64g", 1)
    assert found.gpu.usable_memory_gib == 48  # macOS lets 3/4 of 64 GiB be wired
    tools["sysctl iogpu.wired_limit_mb"] = Ran(0, "57344\n")
    assert find_local(machine(tools, platform="darwin")).gpu.usable_memory_gib == 56
    tools["sysctl iogpu.wired_limit_mb"] = Ran(1, "sysctl: unknown oid")
    assert find_local(machine(tools, platform="darwin")).gpu.usable_memory_gib == 48


def test_a_mac_with_an_intel_processor_has_no_device() -> None:
    said = Ran(0, "Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz\n34359738368\n")
    with pytest.raises(OutsideError, match="i9-9980HK"):
        find_local(machine({"sysctl hw.memsize": said}, platform="darwin"))


def test_mig_instances_are_the_devices() -> None:
    tools: dict[str, str | Ran] = {
        "nvidia-smi --query": "nvidia-smi-mig.csv",
        "nvidia-smi -L": "nvidia-smi-mig-list.txt",
    }
    seen = machine(tools)
    assert [d.profile for d in seen.devices] == ["1g.20gb"] * 4
    assert "without an instance" in seen.problems[0]
    found = find_local(seen)
    assert (found.gpu.id, found.devices) == ("a100-80g-sxm-mig-1g.20gb", 1)
    assert "4 x NVIDIA A100-SXM4-80GB, MIG 1g.20gb" in (found.note or "")
    hidden = machine(tools, {"CUDA_VISIBLE_DEVICES": "MIG-a45882f0-9215-5733-a0c1-49286ab31cb5"})
    assert [d.uuid for d in hidden.devices] == ["MIG-a45882f0-9215-5733-a0c1-49286ab31cb5"]


def test_mig_lists_of_both_spellings_are_read() -> None:
    old = (
        "GPU 0: A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)\n"
        "  MIG 3g.20gb Device 0: (UUID: MIG-GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77/1/0)\n"
    )
    (instances,) = reports.parse_mig_list(old).values()
    assert instances == [("3g.20gb", "MIG-GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77/1/0")]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({}, "No device was found"),
        ({"nvidia-smi": Ran(6, "No devices were found\n")}, "No device was found"),
        ({"nvidia-smi": Ran(18, recorded("nvidia-smi-mismatch.txt"))}, "version mismatch"),
        ({"nvidia-smi": Ran(9, recorded("nvidia-smi-no-driver.txt"))}, "couldn't communicate"),
        ({"nvidia-smi": Ran(None, "no answer in 5 s")}, "no answer"),
        ({"nvidia-smi": Ran(127, "")}, "code 127"),
        ({"nvidia-smi": Ran(0, "0, GPU-1, NVIDIA L4, 230")}, "No way"),
        ({"nvidia-smi": Ran(0, "0, GPU-1, NVIDIA L4")}, "row of 3"),
        ({"rocm-smi": Ran(0, recorded("rocm-smi-no-driver.txt"))}, "Driver not initialized"),
        ({"rocm-smi": Ran(0, '{"card0": {"Card series": "x"')}, "rocm-smi"),
        ({"amd-smi": Ran(0, "[" * 100_000)}, "too deep"),
        ({"amd-smi": Ran(0, '{"gpu_data": 3}')}, "no list"),
    ],
)
def test_no_device_is_one_clear_line(tools: dict[str, str | Ran], said: str) -> None:
    if said == "No way":  # a total cut off after a digit is a total that fits no device
        with pytest.raises(UnknownName, match=r"0\.22 GiB"):
            find_local(machine(tools))
        return
    with pytest.raises(OutsideError) as e:
        find_local(machine(tools))
    assert said in e.value.one_line()
    assert "--gpu" in (e.value.hint or "")
    assert e.value.exit_code == 3
    assert "\n" not in e.value.one_line()


def test_a_lost_device_is_told_of_beside_the_rest() -> None:
    found = find_local(machine({"nvidia-smi --query": "nvidia-smi-lost.txt"}))
    assert (found.gpu.id, found.devices) == ("rtx-3090", 1)
    assert "Unable to determine the device handle" in (found.note or "")


def test_not_supported_fields_keep_the_catalogues_memory() -> None:
    found = find_local(machine({"nvidia-smi --query": "nvidia-smi-not-supported.csv"}))
    entry = next(g for g in all_accelerators() if g.id == "rtx-4090")
    assert found.gpu.usable_memory_bytes == entry.usable_memory_bytes


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("-1", []),
        ("2", [2]),
        ("3,1", [3, 1]),
        (" 0 , 2 ", [0, 2]),
        ("0,9,1", [0]),
        ("0,-1,1", [0]),
        ("1,1", [1]),
        ("GPU-d", [1]),
        ("GPU-69ec2344-ebac-b028-f88f-452abb3d7f11", [3]),
        ("GPU-", []),
        ("NoDevFiles", []),
        ("9" * 9999, []),
    ],
)
def test_hidden_devices_stay_hidden(text: str | None, left: list[int]) -> None:
    """As CUDA reads the variable: the list ends at the first word that names no one device."""
    devices = reports.parse_nvidia_smi(recorded("nvidia-smi-a100-h100.csv"))
    assert visible(devices, text) == [devices[i] for i in left]


def test_equal_amd_devices_are_told_apart_by_number() -> None:
    devices = [Detected("amd", "AMD Instinct MI300X", 196592 * MIB)] * 8
    assert len(visible(devices, "0,1,2,3")) == 4


def test_hip_chooses_among_what_rocr_leaves() -> None:
    text = recorded("rocm-smi-7900xtx.json")
    env = {"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "1"}
    found = machine({"rocm-smi": Ran(0, text)}, env).devices
    assert [d.name for d in found] == ["Radeon RX 7900 XTX"]


def test_fewer_of_the_local_devices() -> None:
    found = find_local(machine({"nvidia-smi --query": "nvidia-smi-a100-h100.csv"}))
    assert some_of(found, 2).devices == 2
    with pytest.raises(InputError, match="has 3 of a100-40g, not 4"):
        some_of(found, 4)


def test_two_entries_that_fit_are_listed() -> None:
    from dataclasses import replace

    device = Detected("nvidia", "NVIDIA L4", 23034 * MIB)
    (entry,) = matching(device, all_accelerators())
    twin = replace(entry, id="l4-twin")
    assert len(matching(device, [entry, twin])) == 2
    from llmplan.catalog.local import _entry

    with pytest.raises(AmbiguousName, match="l4, l4-twin"):
        _entry(device, [entry, twin])


@pytest.mark.parametrize(
    "parse",
    [reports.parse_nvidia_smi, reports.parse_amd_smi, reports.parse_rocm_smi,
     reports.parse_mig_list, reports.parse_meminfo, reports.parse_cpuinfo],
)  # fmt: skip
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_report_is_read_or_refused(parse: Callable[[str], object], data: st.DataObject) -> None:
    names = sorted(p.name for p in RECORDED.iterdir())
    text = recorded(data.draw(st.sampled_from(names)))
    at = data.draw(st.integers(0, len(text)))
    with contextlib.suppress(ValueError):
        parse(text[:at] + data.draw(st.text(max_size=20)) + text[at + 3 :])


def test_a_report_that_is_not_utf8_is_read() -> None:
    said = b"0, GPU-1, NVIDIA L4\xff\xfe, 23034, [N/A], 8.9, [N/A]\n".decode("utf-8", "replace")
    assert find_local(machine({"nvidia-smi --query": Ran(0, said)})).gpu.id == "l4"


def fake_tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(os.name == "nt", reason="scripts are not started by their first line")
def test_tools_are_run_without_a_shell_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmplan.sources import local_devices

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local_devices, "TOOL_SECONDS", 0.5)
    monkeypatch.setattr(local_devices, "ELSEWHERE", {})
    assert run_tool("nvidia-smi") is None
    fake_tool(tmp_path, "echoes", "import os, sys; print(sys.argv[1:], os.environ['LC_ALL'])")
    assert run_tool("echoes", "a;b", "$HOME") == Ran(0, "['a;b', '$HOME'] C\n")
    fake_tool(tmp_path, "hangs", "import time; time.sleep(60)")
    assert run_tool("hangs") == Ran(None, "no answer in 0.5 s")
    (tmp_path / "broken").write_text("#!/nowhere/at/all\n")
    (tmp_path / "broken").chmod(0o755)
    broken = run_tool("broken")
    assert broken is not None
    assert broken.code is None


@pytest.mark.skipif(os.name == "nt", reason="scripts are not started by their first line")
def test_the_command_line_plans_the_local_devices(cli: Cli, tmp_path: Path) -> None:
    report = recorded("nvidia-smi-a100-h100.csv")
    fake_tool(tmp_path, "nvidia-smi", f"print({report!r}, end='')")
    env = {"PATH": str(tmp_path)}
    done = cli("fit", "llama-3.1-8b", "--gpu", "local", "--json", env=env)
    assert done.returncode == 0, done.stderr
    import json

    answer = json.loads(done.stdout)
    assert (answer["requested"]["gpu"], answer["requested"]["gpus"]) == ("a100-40g", 3)
    assert "local is 3 x NVIDIA A100-SXM4-40GB" in answer["requested"]["warnings"][0]["message"]
    done = cli("fit", "llama-3.1-8b", "--gpu", "local*2", "--json", env=env)
    assert json.loads(done.stdout)["requested"]["gpus"] == 2
    done = cli("gpus", "show", "local", env=env)
    assert done.returncode == 0
    assert "a100-40g" in done.stdout
    done = cli("fit", "llama-3.1-8b", "--gpu", "local", "--json", env={"PATH": str(tmp_path / "x")})
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "outside_failure"
