"""llmplan: what serves an open model, on which hardware, with how much room.

    >>> import llmplan
    >>> answer = llmplan.fit("mixtral-8x7b", "a100-40g")
    >>> answer.requested.fits, round(answer.requested.memory_per_gpu.weights_bytes / 2**30, 1)
    (False, 87.0)

`load_model` and `load_gpu` take the names and paths of the command line; `fit` and
`estimate` take those records or the names themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmplan.version import __version__

if TYPE_CHECKING:
    from llmplan.specs.hardware import Accelerator
    from llmplan.specs.model import Model
    from llmplan.specs.setup import Answer, Setup

__all__ = ["__version__", "estimate", "fit", "load_gpu", "load_model"]


def load_model(name: str) -> Model:
    """Return a model by id, alias, Hub id, or path to a YAML or config.json.

    Raises UnknownName, AmbiguousName or CatalogFileError.
    """
    from llmplan.catalog.resolve import find_model

    return find_model(name).model


def load_gpu(name: str) -> Accelerator:
    """Return a device by id, alias, node or path to a YAML.

    Raises UnknownName, AmbiguousName (a name that means several devices) or CatalogFileError.
    """
    from llmplan.catalog.resolve import find_gpu

    return find_gpu(name).gpu


def fit(model: Model | str, gpu: Accelerator | str, **options: Any) -> Answer:
    """Return whether a model runs on this hardware, and the setups to use, best first.

    Parameters
    ----------
    model, gpu
        Records or names, as for `load_model` and `load_gpu` (a node or `a100-40g*8` counts)
    options
        gpus, tp, pp, dp, ep, engine, engine_version, weight_format, kv_format,
        context_tokens, input_tokens, output_tokens, concurrency, rate_per_s,
        gpu_memory_utilization, max_num_seqs, max_num_batched_tokens, block_size,
        kv_cache_memory_bytes, explain

    Raises InputError for what is wrong with the request; "does not fit" is an answer.

    """
    from llmplan.catalog.resolve import all_accelerators
    from llmplan.planning.fit import fit_answer
    from llmplan.planning.request import make_options

    found_model, notes, found_gpu, options = _found(model, gpu, options)
    return fit_answer(
        found_model,
        found_gpu,
        make_options(**options),
        accelerators=_lazily(all_accelerators),
        notes=notes,
    )


def estimate(model: Model | str, gpu: Accelerator | str, **options: Any) -> Setup:
    """Return one setup exactly as the options say; options as for `fit`."""
    from llmplan.catalog.resolve import all_accelerators
    from llmplan.planning.estimate import estimate_setup
    from llmplan.planning.request import make_options

    found_model, _, found_gpu, options = _found(model, gpu, options)
    return estimate_setup(
        found_model, found_gpu, make_options(**options), _lazily(all_accelerators)
    )


def _found(
    model: Model | str, gpu: Accelerator | str, options: dict[str, Any]
) -> tuple[Model, tuple[str, ...], Accelerator, dict[str, Any]]:
    notes: tuple[str, ...] = ()
    if isinstance(model, str) or isinstance(gpu, str):
        from llmplan.catalog.resolve import find_gpu, find_model
    if isinstance(model, str):
        found = find_model(model)
        model, notes = found.model, (found.note,) if found.note else ()
        if found.weight_format and options.get("weight_format") is None:
            options = {**options, "weight_format": found.weight_format}
    if isinstance(gpu, str):
        device = find_gpu(gpu)
        gpu = device.gpu
        if device.devices is not None and options.get("gpus") is None:
            options = {**options, "gpus": device.devices}
    _check_types(model, gpu)
    return model, notes, gpu, {k: v for k, v in options.items() if v is not None}


def _check_types(model: object, gpu: object) -> None:
    from llmplan.errors import InputError
    from llmplan.specs.hardware import Accelerator
    from llmplan.specs.model import Model

    if not isinstance(model, Model):
        raise InputError(f"The model must be a Model or a name, not {type(model).__name__}.")
    if not isinstance(gpu, Accelerator):
        raise InputError(f"The device must be an Accelerator or a name, not {type(gpu).__name__}.")


class _lazily:
    """An iterable that is made when it is first walked: most answers never need it."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __iter__(self) -> Any:
        return iter(self._make())
