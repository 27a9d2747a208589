"""Device facts against data sheets and each other: rates, memory, names, slices."""

from __future__ import annotations

import pytest

import llmplan
from llmplan.catalog.resolve import all_accelerators, bigger_accelerators, find_gpu
from llmplan.errors import InputError, UnknownName
from llmplan.specs.hardware import Accelerator

ALL = all_accelerators()


# Dense rates as the makers' data sheets print them (NVIDIA prints Ada and later with 2:4 sparsity
# and says "half without": A100 datasheet June 2021; H100 datasheet 2023; H200 2024; L4, L40S 2023;
# A10, A30, A40; V100; Ada and GA102 whitepapers, FP32 accumulate; AMD Instinct data sheets
# MI210, MI250X, MI300X, MI325X, MI355X; Gaudi 2 white paper; Google Cloud TPU documentation).
DATA_SHEETS = {
    # id: 16-bit TFLOP/s, FP8 or None, GB/s, W
    "v100-32g": (125, None, 900, 300),
    "t4": (65, None, 320, 70),
    "a10": (125, None, 600, 150),
    "a30": (165, None, 933, 165),
    "a40": (149.7, None, 696, 300),
    "a100-40g": (312, None, 1555, 400),
    "a100-80g-sxm": (312, None, 2039, 400),
    "a100-80g-pcie": (312, None, 1935, 300),
    "l4": (242 / 2, 485 / 2, 300, 72),
    "l40s": (362.05, 1466 / 2, 864, 350),
    "h100-sxm": (1979 / 2, 3958 / 2, 3350, 700),
    "h100-pcie": (1513 / 2, 3026 / 2, 2000, 350),
    "h100-nvl": (1671 / 2, 3341 / 2, 3900, 400),
    "h200": (1979 / 2, 3958 / 2, 4800, 700),
    "rtx-3090": (71, None, 936, 350),
    "rtx-4090": (165.2, 330.3, 1008, 450),
    "rtx-5090": (209.5, 419, 1792, 575),
    "mi210": (181, None, 1638, 300),
    "mi250x": (383 / 2, None, 3277 / 2, 560 / 2),
    "mi300x": (1307.4, 2614.9, 5300, 750),
    "mi325x": (1307.4, 2614.9, 6000, 1000),
    "mi355x": (2500, 5000, 8000, 1400),
    "gaudi2": (432, 865, 2460, 600),
    "tpu-v3": (123, None, 900, None),
    "tpu-v5e": (197, None, 819, None),
}


@pytest.mark.parametrize("id", DATA_SHEETS)
def test_figures_are_those_of_the_data_sheets(id: str) -> None:
    sixteen, fp8, bandwidth, power = DATA_SHEETS[id]
    gpu = llmplan.load_gpu(id)
    assert sixteen_bit(gpu) == pytest.approx(sixteen, rel=0.01)
    assert gpu.tflops_dense.get("fp8") == (None if fp8 is None else pytest.approx(fp8, rel=0.01))
    assert gpu.memory_bandwidth_gb_per_s == pytest.approx(bandwidth, rel=0.02)
    if power is not None:
        assert gpu.tdp_w == power


# Tensor rates against the 16-bit one, from the architecture white papers. GeForce halves 16-bit and
# FP8 with FP32 accumulate only, so that its integer and FP4 rates stand twice as high.
FULL = {"tf32": 0.5, "int8": 2.0, "int4": 4.0, "fp8": 2.0, "fp6": 2.0, "fp4": 4.0}
GEFORCE = {
    "tf32": 0.5, "fp16_fp16acc": 2.0, "fp8": 2.0, "fp8_fp16acc": 4.0, "int8": 4.0, "int4": 8.0,
    "fp4": 8.0,
}  # fmt: skip
FAMILIES = {
    "hopper": FULL,
    "ampere": FULL,
    "ada": FULL,
    "blackwell": FULL,
    "turing": FULL,
    "blackwell ultra": {"tf32": 0.5, "fp8": 2.0, "fp6": 2.0, "fp4": 6.0, "int8": 0.067},
    "CDNA1": {"int8": 2.0},
    "CDNA2": {"int8": 1.0},
    "CDNA3": {"tf32": 0.5, "fp8": 2.0, "int8": 2.0},
    "CDNA4": {"fp8": 2.0, "int8": 2.0, "fp6": 4.0, "fp4": 4.0},
    "RDNA3": {"int8": 1.0},
    "RDNA4": {"fp8": 2.0, "int8": 2.0},
    "Gaudi2": {"fp8": 2.0},
    "Gaudi3": {"fp8": 1.0, "tf32": 0.27},
    "Xe2-HPG": {"int8": 2.0},
    "TPU": {"int8": 2.0, "fp8": 2.0},
    "NeuronCore-v1": {"int8": 2.0},
    "NeuronCore-v2": {"fp8": 1.0, "tf32": 1.0, "int8": 2.0},
    "NeuronCore-v3": {"fp8": 2.0, "tf32": 1.0},
    "NeuronCore-v4": {"fp8": 3.75, "fp4": 3.75, "tf32": 1.0},
    "DaVinci": {"int8": 2.0, "fp8": 2.0, "fp4": 4.0},
}
OWN_RATIOS = {
    "l40s": {"int4": 2.0},  # its data sheet gives INT4 the INT8 rate
    "tpu-v4": {"int8": 1.0},
    "ascend-950dt": {"fp8": 1.89, "fp4": 3.67},
}


def sixteen_bit(gpu: Accelerator) -> float | None:
    return gpu.tflops_dense.get("bf16", gpu.tflops_dense.get("fp16"))


@pytest.mark.parametrize("gpu", [g for g in ALL if sixteen_bit(g)], ids=lambda g: g.id)
def test_rates_keep_the_ratios_of_their_family(gpu: Accelerator) -> None:
    """A 2:4-sparse figure among dense ones stands out by a factor of two."""
    rates, base = gpu.tflops_dense, sixteen_bit(gpu)
    assert base is not None
    table = GEFORCE if "GeForce" in gpu.name else FAMILIES.get(gpu.architecture or "", {})
    table = {**table, **OWN_RATIOS.get(gpu.id, {})}
    for kind in set(rates) - {"bf16", "fp16"}:
        assert rates[kind] / base == pytest.approx(table[kind], rel=0.05), kind


# Tensor FLOP/s at 16 bit for each of the vector FP32 FLOP/s, from the white papers: V100 and Turing
# 8, A100 16, GA10x and Ada 4, H100 16 at one clock (its boost clocks differ), B200 30.
MOST_PER_FP32 = {"volta": 8, "turing": 8, "ampere": 16, "ada": 4, "hopper": 16, "blackwell": 30}


def test_sixteen_bit_rates_are_dense() -> None:
    compared = 0
    for gpu in ALL:
        base, fp32 = gpu.tflops_dense.get("fp16"), gpu.fp32_tflops
        most = MOST_PER_FP32.get(gpu.architecture or "")
        if base and fp32 and most:
            most = 4 if gpu.compute_capability in ("sm_86", "sm_120") else most
            assert base <= 1.05 * most * fp32, gpu.id
            compared += 1
    assert compared > 70


def test_breadth() -> None:
    """Every kind of device that the field serves on is there."""
    vendors = {g.vendor for g in ALL}
    assert vendors >= {"nvidia", "amd", "intel", "apple", "google", "aws", "huawei", "cpu"}
    assert len(ALL) >= 213
    names = {g.id for g in ALL}
    assert names >= {"h100-sxm", "rtx-4090", "mi300x", "gaudi3", "arc-b580", "m4-16g", "tpu-v6e"}
    assert names >= {"jetson-orin-nx-16g", "trainium2", "inferentia2", "ascend-910b", "xeon-spr"}


def test_usable_memory_is_part_of_the_nominal() -> None:
    for gpu in ALL:
        usable, nominal = gpu.usable_memory_bytes, gpu.memory_bytes
        assert (usable is None) == (nominal is None), gpu.id
        assert (
            usable is None
            or nominal is None
            or 0.7 * nominal < usable <= nominal
            or (gpu.unified_memory and 0.6 * nominal < usable)
        ), gpu.id


def test_macs_give_the_gpu_their_default_share() -> None:
    """Metal's recommendedMaxWorkingSetSize: 10922 MB of 16 GB and 21845 MB of 32 GB were logged."""
    assert llmplan.load_gpu("m1-16g").usable_memory_gib == pytest.approx(10922.67 / 1024, abs=0.01)
    share = [g.usable_memory_gib / g.memory_gib for g in ALL
             if g.vendor == "apple" and g.usable_memory_gib and g.memory_gib]  # fmt: skip
    assert len(share) == 53
    assert all(0.66 < s <= 0.75 for s in share)


def test_unknown_memory_is_said() -> None:
    for name in ("epyc-genoa-9004", "mtt-s4000"):
        with pytest.raises(InputError, match=f"memory of {name} is not known"):
            llmplan.fit("llama-3.1-8b", name)


def test_cards_that_drivers_show_as_several_are_single_devices() -> None:
    """MI250X, 910C and Max 1550 come as two devices of 64 GB; A16, K80 and M60 likewise."""
    for id in ("mi250", "mi250x", "ascend-910c", "max-1550"):
        assert llmplan.load_gpu(id).memory_gib == 64
    for id, gib in (("a16", 16), ("k80", 12), ("m60", 8)):
        assert llmplan.load_gpu(id).memory_gib == gib


def test_driver_names_lead_back_to_one_device() -> None:
    """Devices of one driver name differ in memory, but where the driver tells no more."""
    alike = {"Orin (nvgpu)", "AMD Instinct MI250X / MI250"}
    sizes: dict[tuple[str, float | None], str] = {}
    for gpu in ALL:
        for name in gpu.driver_names:
            key = (name, gpu.memory_gib)
            assert name in alike or sizes.setdefault(key, gpu.id) == gpu.id, name
    served = [g for g in ALL if g.vendor in ("nvidia", "apple", "amd")]
    assert sum(bool(g.driver_names) for g in served) / len(served) > 0.9


# Names of the product list in the README of NVIDIA/open-gpu-kernel-modules, 2026-03-05.
@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100-80g-sxm"),
        ("NVIDIA A100 80GB PCIe", "a100-80g-pcie"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA GB10", "dgx-spark"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-server"),
        ("Tesla T4", "t4"),
    ],
)
def test_driver_names(name: str, id: str) -> None:
    assert name in llmplan.load_gpu(id).driver_names


# --- parts of devices

PARENTS = [g for g in ALL if g.mig]


def test_mig_parents() -> None:
    """The MIG user guide lists these products; no GeForce card among them."""
    assert {"a30", "a100-40g", "a100-80g-sxm", "h100-sxm", "h200", "b200"} <= {
        g.id for g in PARENTS
    }
    assert not [g.id for g in PARENTS if "GeForce" in g.name]


@pytest.mark.parametrize("parent", PARENTS, ids=lambda g: g.id)
def test_mig_instances_fit_their_device(parent: Accelerator) -> None:
    for profile in parent.mig:
        name = f"{parent.id}-mig-{profile.profile}"
        part = find_gpu(name).gpu
        assert part.id == name
        count = profile.max_instances
        for whole, one in (
            (parent.memory_bytes, part.memory_bytes),
            (parent.usable_memory_bytes, part.usable_memory_bytes),
            (parent.memory_bandwidth_bytes_per_s, part.memory_bandwidth_bytes_per_s),
            (parent.tflops_dense["bf16"], part.tflops_dense["bf16"]),
        ):
            assert one is not None
            assert whole is not None
            assert 0 < one * count <= whole * 1.001
        assert part.link is None
        assert part.scale_up_devices == 1


def test_mig_shares_are_those_of_the_user_guide() -> None:
    """1g.5gb of an A100-40G: 1/8 of the memory, 1/7 of the SMs; an engine gets 4.75 GiB."""
    part = llmplan.load_gpu("a100-40g-mig-1g.5gb")
    assert part.usable_memory_gib == 4.75
    assert part.memory_bandwidth_gb_per_s == pytest.approx(1555 / 8)
    assert part.tflops_dense["bf16"] == pytest.approx(312 / 7, rel=1e-4)
    assert llmplan.load_gpu("A30 MIG 2g.12gb").tflops_dense["bf16"] == pytest.approx(165 / 2)
    assert llmplan.load_gpu("h100-sxm-mig-1g.20gb").usable_memory_gib == 19.62


def test_splitting_over_parts_warns() -> None:
    two = llmplan.estimate("qwen3-0.6b", "h100-sxm-mig-1g.10gb", tp=2, context_tokens=2048)
    assert "unlinked_parts" in [w.code for w in two.warnings]
    one = llmplan.estimate("qwen3-0.6b", "h100-sxm-mig-1g.10gb", context_tokens=2048)
    assert "unlinked_parts" not in [w.code for w in one.warnings]


def test_vgpu_profiles_are_given_inline() -> None:
    part = llmplan.load_gpu("l40s-12q")
    assert (part.id, part.memory_gib) == ("l40s-vgpu-12q", 12)
    assert part.memory_bandwidth_gb_per_s == pytest.approx(864 / 4)
    assert part.usable_memory_gib == pytest.approx(44.31 / 4, abs=0.01)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a100-40g-mig-2g.20gb", "no MIG profile"),
        ("rtx-4090-mig-1g.5gb", "no MIG profile"),
        ("l40s-96q", "no vGPU of 96 GiB"),
        ("mi300x-48c", "no vGPU"),
        ("nothing-mig-1g.5gb", "Unknown device"),
    ],
)
def test_parts_that_no_device_has(name: str, says: str) -> None:
    with pytest.raises(UnknownName, match=says) as e:
        find_gpu(name)
    assert e.value.hint


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("8xh200", "h200*8"),
        ("8 x H200", "H200*8"),
        ("8*h200", "h200*8"),
        ("h200:8", "h200*8"),
        ("rtx-4090x2", "rtx-4090*2"),
        ("2xdgx-h100", "dgx-h100*2"),
    ],
)
def test_a_count_in_other_words_is_put_right(name: str, right: str) -> None:
    with pytest.raises(UnknownName) as e:
        find_gpu(name)
    assert e.value.hint == f"Write a count as '{right}'."
    assert find_gpu(right).devices


@pytest.mark.parametrize("name", ["0xh200", "8xnothing", "99999xh200", "1x" * 5000, "x8", "²xh200"])
def test_no_count_is_made_up(name: str) -> None:
    with pytest.raises(UnknownName) as e:
        find_gpu(name)
    assert "Write a count" not in e.value.one_line()


def test_a_slice_is_planned() -> None:
    answer = llmplan.fit("qwen3-0.6b", "h100-sxm-mig-1g.10gb", context_tokens=2048)
    assert answer.requested.fits
    assert answer.requested.memory_per_gpu.device_total_bytes == round(9.75 * 2**30)


def test_bigger_devices_come_nearest_first() -> None:
    gpu = llmplan.load_gpu("rtx-4090")
    found = list(bigger_accelerators(gpu))
    assert all((g.usable_memory_bytes or 0) > (gpu.usable_memory_bytes or 0) for g in found)
    ranks = [(g.vendor != gpu.vendor, g.usable_memory_bytes) for g in found]
    assert ranks == sorted(ranks, key=lambda r: (r[0], r[1] or 0))
