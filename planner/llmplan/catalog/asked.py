"""What a request names, found: model and device with what is given for this run, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from llmplan.errors import InputError
from llmplan.specs.hardware import Accelerator
from llmplan.specs.model import Model
from llmplan.specs.setup import Warning_

if TYPE_CHECKING:
    from llmplan.specs.prices import Price

HOST_UNUSED = (
    "The host's memory is not used here: --n-gpu-layers or --n-cpu-moe keep weights there."
)
OFFLOADS = ("n_gpu_layers", "n_cpu_moe")


class Asked(NamedTuple):
    """A model and a device, the price of a named machine, the other options, what to say."""

    model: Model
    gpu: Accelerator
    price: Price | None
    options: dict[str, Any]
    warnings: tuple[Warning_, ...]


def asked(model: Model | str, gpu: Accelerator | str, options: Mapping[str, Any]) -> Asked:
    """Return what a request names, with what `set`, `host_ram` and `host_bandwidth` say of it."""
    rest = {k: v for k, v in options.items() if v is not None}
    given, offline = given_facts(rest.pop("set", ())), bool(rest.pop("offline", False))
    host = rest.pop("host_ram", None), rest.pop("host_bandwidth", None)
    if "engine" in rest:
        from llmplan.catalog.serving import refuse_unplannable

        refuse_unplannable(rest["engine"])
    notes: list[str] = []
    price = None
    if isinstance(model, str):
        model = named_model(model, rest, notes, offline=offline)
    if isinstance(rest.get("draft"), str):
        rest["draft"] = named_model(rest["draft"], {}, notes, offline=offline)
    if isinstance(gpu, str):
        gpu, price = _gpu(gpu, rest, notes)
    _check_types(model, gpu)
    said = [Warning_("resolved_name", n) for n in notes]
    if host != (None, None):
        gpu, ram, rate = _with_host(gpu, *host)
        if gpu.vendor == "cpu":
            given_host = f"memory and bandwidth of the host of {gpu.id} are yours where given."
            said.append(Warning_("overridden_fact", given_host))
        used = gpu.vendor == "cpu" or any(rest.get(k) is not None for k in OFFLOADS)
        said += [] if used else [Warning_("host_unused", HOST_UNUSED)]
        if gpu.vendor != "cpu":
            rest |= {k: v for k, v in (("host_ram", ram), ("host_bandwidth", rate)) if v}
    if given:
        from llmplan.specs.overrides import with_facts

        model, gpu, sentences = with_facts(model, gpu, given)
        said += [Warning_("overridden_fact", s) for s in sentences]
    return Asked(model, gpu, price, rest, tuple(said))


def given_facts(value: Any) -> list[str]:
    """Return the facts of `set`, a list or a mapping, as fact=value."""
    if isinstance(value, Mapping):
        return [f"{k}={v}" for k, v in value.items()]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError("set must be a list of fact=value, or a mapping of facts to values.")
    return [str(v) for v in value]


def named_model(name: str, options: dict[str, Any], notes: list[str], *, offline: bool) -> Model:
    """Return a model by name; a note and the format it implies go into `notes` and `options`."""
    from llmplan.catalog.resolve import find_model

    found = find_model(name, offline=offline)
    notes += [found.note] if found.note else []
    if found.weight_format:
        options.setdefault("weight_format", found.weight_format)
    return found.model


def _gpu(name: str, options: dict[str, Any], notes: list[str]) -> tuple[Accelerator, Price | None]:
    from llmplan.catalog.resolve import find_gpu

    found = find_gpu(name)
    notes += [found.note] if found.note else []
    if found.devices is not None:
        options.setdefault("gpus", found.devices)
    if found.node is None:
        return found.gpu, None
    from llmplan.catalog.offers import node_prices
    from llmplan.specs.prices import cheapest

    return found.gpu, cheapest(node_prices(found.node))


def _with_host(
    gpu: Accelerator, host_ram: Any, host_bandwidth: Any
) -> tuple[Accelerator, int | None, float | None]:
    from llmplan.specs.overrides import parse_rate, with_host
    from llmplan.specs.units import parse_bytes

    ram = parse_bytes(host_ram) if isinstance(host_ram, str) else host_ram
    rate = parse_rate(host_bandwidth) if isinstance(host_bandwidth, str) else host_bandwidth
    for name, value in (("host_ram", ram), ("host_bandwidth", rate)):
        if value is not None and (isinstance(value, bool) or not 0 < value < 1 << 60):
            raise InputError(f"{name} must be above 0 and finite.")
    return with_host(gpu, ram, rate), ram, rate


def _check_types(model: object, gpu: object) -> None:
    if not isinstance(model, Model):
        raise InputError(f"The model must be a Model or a name, not {type(model).__name__}.")
    if not isinstance(gpu, Accelerator):
        raise InputError(f"The device must be an Accelerator or a name, not {type(gpu).__name__}.")
