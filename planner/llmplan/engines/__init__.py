"""Serving engines, one module each: what it can run where, its memory policy, its command."""

from __future__ import annotations

from llmplan.engines.base import Engine
from llmplan.errors import UnknownName

_MODULES = {"vllm": "vllm", "llama.cpp": "llamacpp"}
_ALIASES = {"llamacpp": "llama.cpp", "llama-cpp": "llama.cpp", "llama-server": "llama.cpp"}
PLANNED = ("sglang", "tensorrt-llm", "lmdeploy", "ollama", "mlx-lm", "exllamav3", "transformers")
"""Engines of the contract whose memory policy is not in this version."""


def engine_names() -> list[str]:
    """Return the names of the engines that can be planned, preferred for serving first."""
    return list(_MODULES)


def get_engine(name: str) -> Engine:
    """Return an engine by name, loading only its module."""
    key = name.lower().strip()
    key = _ALIASES.get(key, key)
    if key not in _MODULES:
        what = "is not in this version" if key in PLANNED else "is unknown"
        raise UnknownName(f"Engine {name!r} {what}.", f"Known: {', '.join(_MODULES)}.")
    from importlib import import_module

    engine = import_module(f"llmplan.engines.{_MODULES[key]}").ENGINE
    assert isinstance(engine, Engine)
    return engine
