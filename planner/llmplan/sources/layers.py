"""From one description a layer to named blocks and a short list of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

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
    return {"blocks": blocks, "layers": _runs(order)}


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


def _runs(order: list[str]) -> list[Any]:
    period = _period(order)
    if period and len(_run_length(order)) > len(_run_length(order[:period])) + 2:
        repeats = len(order) // period
        head = {"repeat": repeats, "layers": _run_length(order[:period])}
        return [head, *_run_length(order[repeats * period :])]
    runs = _run_length(order)
    if period and len(runs) > 3:
        return [{"repeat": len(order) // period, "layers": _run_length(order[:period])}]
    return runs


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
