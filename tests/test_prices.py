"""Machines, what they cost, and how devices and machines are listed."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, Cli

import llmplan
from llmplan.catalog.check import check_files, expand
from llmplan.catalog.files import yaml_files
from llmplan.catalog.names import normalise
from llmplan.catalog.offers import all_prices, cheapest_by_gpu, node_prices
from llmplan.catalog.resolve import find_gpu, store
from llmplan.catalog.schema import validate_file
from llmplan.errors import AmbiguousName, CatalogFileError, InputError, UnknownName
from llmplan.render.devices import SORTS, gpu_rows, in_order, node_rows, selected
from llmplan.specs.hardware import node_from_dict
from llmplan.specs.prices import PriceList

NODES = [node_from_dict(e) for e in store().entries("nodes")]
PRICES = all_prices()


def test_every_machine_has_a_known_device() -> None:
    assert len(NODES) >= 370
    products = store().groups("gpus")
    for node in NODES:
        assert store().has("gpus", node.gpu) or len(products[normalise(node.gpu)]) > 1, node.id


COUNTED = re.compile(r"gpu_(\d+)x_|-(\d+)g$|x(\d+)(-|$)|GPU.*\.(\d+)$")
"""Instance types that say their count: Lambda, Google, the small clouds, Oracle."""


def test_machines_have_the_count_that_their_name_says() -> None:
    said = 0
    for node in NODES:
        named = node.instance_type and node.provider not in ("aws", "azure")
        found = COUNTED.search(node.instance_type or "") if named else None
        if found:
            said += 1
            assert node.gpu_count == int(next(g for g in found.groups()[0:3] + found.groups()[4:]
                                              if g)), node.id  # fmt: skip
    assert said > 60


@pytest.mark.parametrize(
    ("name", "gpu", "count"),
    [
        ("p4d.24xlarge", "a100-40g", 8),
        ("aws p5.48xlarge", "h100-sxm", 8),
        ("g6.xlarge", "l4", 1),
        ("Standard_ND96asr_v4", "a100-40g", 8),
        ("azure-nd96isr-h100-v5", "h100-sxm", 8),
        ("ND96isr_H200_v5", "h200", 8),
        ("a2-highgpu-8g", "a100-40g", 8),
        ("gcp-a3-highgpu-8g", "h100-sxm", 8),
        ("BM.GPU.H100.8", "h100-sxm", 8),
        ("gpu_8x_h100_sxm5", "h100-sxm", 8),
        ("verda-H200x4", "h200", 4),
        ("gb200-nvl72", "gb200", 72),
        ("dgx-h100", "h100-sxm", 8),
        ("gcp-tpu-v5e", "tpu-v5e", 1),
    ],
)
def test_machines_by_the_names_people_use(name: str, gpu: str, count: int) -> None:
    found = find_gpu(name)
    assert (found.gpu.id, found.devices) == (gpu, count)


def test_a_share_of_a_device_is_planned_as_such() -> None:
    """EC2's g6f.large has an eighth of an L4, 2861 MiB."""
    found = find_gpu("g6f.large")
    assert found.devices == 1
    assert found.gpu.memory_bandwidth_gb_per_s == pytest.approx(300 / 8)
    assert found.gpu.usable_memory_gib == pytest.approx(2861 / 1024, rel=0.03)


def test_offers_that_say_too_little_are_asked_about() -> None:
    with pytest.raises(AmbiguousName, match="does not say which h100") as e:
        find_gpu("hyperstack-H100x4")
    assert "*4" in (e.value.hint or "")
    with pytest.raises(InputError, match="No source states how many"):
        find_gpu("Standard_NC64ds_xl_RTXPRO6000BSE_v6")


def test_names_of_devices_and_machines_are_unambiguous() -> None:
    assert all(len(found) == 1 for found in store().names("gpus").values())
    assert all(len(found) == 1 for found in store().names("nodes").values())
    assert not set(store().names("gpus")) & set(store().names("nodes"))
    assert not set(store().groups("gpus")) & set(store().names("nodes"))


def test_misspelt_machines_get_suggestions() -> None:
    with pytest.raises(UnknownName) as e:
        find_gpu("p4d.24xlage")
    assert "aws-p4d.24xlarge" in (e.value.hint or "")


def test_a_machine_must_not_take_the_name_of_a_device(tmp_path: Path) -> None:
    (tmp_path / "t4.yaml").write_text(
        "id: t4\ngpu: t4\ngpu_count: 1\nchecked: '2026-11-21'\nsources: [x]\n"
    )
    faults = check_files([ROOT / "hardware/nvidia/t4.yaml", tmp_path / "t4.yaml"])
    assert [f.field for f in faults] == ["id"]


# --- prices


def test_price_lists_are_dated_and_lead_to_machines() -> None:
    lists = [validate_file(p, "prices") for p in yaml_files(ROOT, "prices")]
    rows = [row for prices in lists for row in prices.prices]
    assert len(rows) >= 560
    known = set(store().ids("nodes"))
    assert all(row.node in known for row in rows if row.node)
    assert sum(row.node is None for row in rows) <= 10
    assert all(isinstance(prices, PriceList) and prices.as_of for prices in lists)
    assert {prices.id for prices in lists} >= {"aws", "azure", "gcp", "oci", "lambda"}


def test_offers_agree_with_their_machine() -> None:
    machines = {n.id: n for n in NODES}
    for price in PRICES:
        node = machines[price.node]
        assert (price.gpu, price.gpu_count) == (node.gpu, node.gpu_count)
        assert price.instance_type == node.instance_type or node.instance_type is None
        assert 0 < price.usd_per_hour < 2000
        assert re.match(r"20\d\d", price.as_of)
        assert price.source
        spot = price.spot_usd_per_hour
        assert spot is None or 0 < spot <= price.usd_per_hour, price


# List prices on the date of the snapshot: AWS us-east-1 of 2026-07-20, Azure of 2026-06-18,
# Oracle's price of a GPU hour x 8.
@pytest.mark.parametrize(
    ("node", "usd"),
    [("aws-p4d.24xlarge", 21.957642), ("azure-standard-nc40ads-h100-v5", 6.98),
     ("oci-bm.gpu.h100.8", 80.0)],
)  # fmt: skip
def test_prices_of_well_known_machines(node: str, usd: float) -> None:
    assert min(p.usd_per_hour for p in node_prices(node)) == usd


def test_the_cheapest_offer_is_the_cheapest() -> None:
    best = cheapest_by_gpu(PRICES)
    for price in PRICES:
        each = price.usd_per_gpu_hour
        whole = price.gpu_share == 1 and price.statistic != "median"
        if whole and each is not None:
            least = best[price.gpu].usd_per_gpu_hour
            assert least is not None
            assert least <= each


def test_a_machine_with_a_price_costs_it() -> None:
    answer = llmplan.fit("mixtral-8x7b", "aws-p4d.24xlarge").to_dict()
    for setup in (answer["requested"], *answer["setups"]):
        assert setup["cost"]["usd_per_hour"] == 21.957642
        assert setup["cost"]["provider"] == "aws"
        assert setup["cost"]["instance_type"] == "p4d.24xlarge"
        assert setup["cost"]["price_date"] == "2026-07-20"
    two = llmplan.estimate("mixtral-8x7b", "aws-p4d.24xlarge*2", tp=8, pp=2)
    assert two.cost is not None
    assert two.cost.usd_per_hour == 2 * 21.957642
    assert llmplan.estimate("mixtral-8x7b", "a100-40g", tp=8).cost is None


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("usd_per_hour: 6.32", "usd_per_hour: -6.32", "usd_per_hour"),
        ("usd_per_hour: 6.32", "usd_per_hour: .nan", "usd_per_hour"),
        ("statistic: listed", "statistic: guessed", "statistic"),
        ("currency: USD", "currency: EUR", "currency"),
        ("as_of: '2026'", "as_of: soon", "as_of"),
        ("  - instance_type: gpu_8x_v100_n", "  - instance: x", "instance"),
    ],
)
def test_price_faults_have_their_line(tmp_path: Path, before: str, after: str, field: str) -> None:
    text = (ROOT / "hardware/prices/lambda.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "lambda.yaml"
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(CatalogFileError) as e:
        validate_file(path, "prices")
    assert re.match(rf"{path}:\d+: ", e.value.message)
    assert field in e.value.message


def test_hardware_files_are_right() -> None:
    assert [f.one_line() for f in check_files(expand([ROOT / "hardware"]))] == []


# --- listings


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("make", [gpu_rows, node_rows])
def test_sorted_listings_are_in_order(sort: str, make: type) -> None:
    key, most_first = SORTS[sort]
    rows = in_order(make(()), sort)
    values = [row[key] for row in rows]
    known = [v for v in values if v is not None]
    assert known == sorted(known, reverse=most_first)
    assert values[len(known) :] == [None] * (len(values) - len(known))


def test_filters_leave_only_what_passes() -> None:
    rows = selected(gpu_rows(()), vendor="NVIDIA", min_memory_bytes=40 << 30, max_usd_per_hour=3.0)
    assert rows
    for row in rows:
        assert row["vendor"] == "nvidia"
        assert row["memory_bytes"] >= 40 << 30
        assert row["usd_per_hour"] <= 3.0
    assert all("ada" in str(r["architecture"]) for r in selected(gpu_rows(()), architecture="Ada"))
    assert {r["price_provider"] for r in gpu_rows((), "azure")} == {"azure"}


def test_prices_by_memory_and_arithmetic() -> None:
    (row,) = node_rows(("aws-p4d.24xlarge",))
    assert row["usd_per_gib_hour"] == pytest.approx(21.957642 / (8 * 40))
    assert row["usd_per_tflop_hour"] == pytest.approx(21.957642 / (8 * 312))
    assert row["memory_bytes"] == 8 * 40 * 2**30


def test_listing_as_json_and_csv(cli: Cli) -> None:
    args = ("gpus", "--vendor", "nvidia", "--sort", "price-per-gb", "--min-memory", "40GiB")
    rows = json.loads(cli(*args, "--json").stdout)
    assert {"id", "memory_bytes", "usd_per_hour", "price_provider", "price_date"} <= set(rows[0])
    for flag in (("--csv",), ("--format", "csv")):
        table = list(csv.DictReader(io.StringIO(cli(*args, *flag).stdout)))
        assert [r["id"] for r in table] == [r["id"] for r in rows]
    nodes = json.loads(cli("gpus", "h100", "--nodes", "--sort", "price", "--json").stdout)
    assert len({r["id"] for r in nodes}) == len(nodes) > 10


def test_show_has_facts_sources_and_prices(cli: Cli) -> None:
    device = json.loads(cli("gpus", "show", "l40s", "--json").stdout)
    assert device["sources"]
    assert all(p["gpu"] == "l40s" for p in device["prices"])
    machine = cli("gpus", "show", "p4d.24xlarge").stdout
    assert "21.96/h aws" in machine
    assert "2026-07-20" in machine
    assert "MIG 3g.40gb" in cli("gpus", "show", "h100-sxm-mig-3g.40gb").stdout


@pytest.mark.parametrize(
    "args",
    [
        ("--sort", "name"),
        ("--min-memory", "lots"),
        ("--min-memory", "-1"),
        ("--max-price", "free"),
        ("--max-price", "0.000001"),
        ("--provider", "nobody"),
        ("show", "h100"),
        ("show", "a100-40g-mig-9g.9gb"),
        ("no such device",),
    ],
)
def test_bad_requests_are_one_line(cli: Cli, args: tuple[str, ...]) -> None:
    done = cli("gpus", *args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_the_screen_says_what_the_machine_costs(cli: Cli) -> None:
    screen = cli("fit", "mixtral-8x7b", "--gpu", "p4d.24xlarge").stdout
    assert "$21.96/h (aws p4d.24xlarge, 2026-07-20)" in screen
    assert "$" not in cli("fit", "mixtral-8x7b", "--gpu", "a100-40g", "-q").stdout
