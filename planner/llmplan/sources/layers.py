"""From one description a layer to named blocks and a short list of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmplan.specs.loading import expand_layers

Plain = dict[str, Any]


def stack_layers(layers: Sequence[Plain]) -> Plain:
    """Return `blocks` and `layers` of a catalogue stack from one block description a layer.

    >>> stack_layers([{"norms": 1}, {"norms": 2}, {"norms": 1}, {"norms": 2}])["layers"]
    [{'repeat': 2, 'layers': ['a', 'b']}]
    """
    names: dict[str, str] = {}
    blocks: Plain = {}
    order = []
    for layer in layers:
        key = json.dumps(layer, sort_keys=True)
        if key not in names:
            names[key] = _block_name(layer, blocks)
            blocks[names[key]] = layer
        order.append(names[key])
    return {"blocks": blocks, "layers": layer_runs(order)}


def block_layers(stack: Plain) -> dict[str, set[int]]:
    """Return the layers of each block of a stack record.

    >>> block_layers({"layers": [{"repeat": 2, "layers": ["a", "b*2"]}]})
    {'a': {0, 3}, 'b': {1, 2, 4, 5}}
    """
    found: dict[str, set[int]] = {}
    for layer, name in enumerate(expand_layers(stack["layers"])):
        found.setdefault(name, set()).add(layer)
    return found


def layer_count(stack: Plain) -> int:
    """Return the layers of a stack record."""
    return len(expand_layers(stack["layers"]))


def _block_name(layer: Plain, taken: Plain) -> str:
    parts = []
    for mixer in layer.get("mixers", ()):
        if mixer.get("window"):
            parts.append("sliding")
        elif mixer.get("chunk"):
            parts.append("chunked")
        else:
            parts.append(str(mixer["kind"]))
    mlp = layer.get("mlp")
    if mlp and mlp["kind"] == "moe":
        parts.append("moe")
    elif mlp and not parts:
        parts.append("mlp")
    name = "_".join(parts)
    if not name:
        return chr(ord("a") + len(taken))
    if name not in taken:
        return name
    return next(f"{name}_{i}" for i in range(2, len(taken) + 3) if f"{name}_{i}" not in taken)


def layer_runs(order: list[str]) -> list[Any]:
    """Return a short list of runs that `expand_layers` turns back into these block names.

    >>> layer_runs(["a", "b", "b", "a", "b", "b", "a"])
    [{'repeat': 2, 'layers': ['a', 'b*2']}, 'a']
    """
    runs, period = _run_length(order), _period(order)
    if not period or len(runs) <= 3:
        return runs
    repeats = len(order) // period
    head = {"repeat": repeats, "layers": _run_length(order[:period])}
    periodic = [head, *_run_length(order[repeats * period :])]
    return periodic if len(periodic) < len(runs) else runs


def _period(order: list[str]) -> int:
    for period in range(2, len(order) // 2 + 1):
        if all(order[i] == order[i % period] for i in range(len(order))):
            return period
    return 0


def _run_length(order: list[str]) -> list[str]:
    runs: list[list[Any]] = []
    for name in order:
        if runs and runs[-1][0] == name:
            runs[-1][1] += 1
        else:
            runs.append([name, 1])
    return [n if count == 1 else f"{n}*{count}" for n, count in runs]
