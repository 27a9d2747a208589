"""Serving engines, one module each: what it can run where, its memory policy, its command."""

from __future__ import annotations

from functools import cache

from llmplan.engines.base import Engine
from llmplan.errors import UnknownName

_MODULES = {
    "vllm": "vllm", "llama.cpp": "llamacpp", "sglang": "sglang", "tensorrt-llm": "tensorrt_llm",
    "lmdeploy": "lmdeploy", "ollama": "ollama", "mlx-lm": "mlx_lm", "exllamav3": "exllamav3",
    "transformers": "hf_transformers", "ik_llama.cpp": "ik_llamacpp",
}  # fmt: skip
_ALIASES = {
    "llamacpp": "llama.cpp", "llama-cpp": "llama.cpp", "llama-server": "llama.cpp",
    "trtllm": "tensorrt-llm", "trt-llm": "tensorrt-llm", "tensorrtllm": "tensorrt-llm",
    "mlx": "mlx-lm", "exllama": "exllamav3", "exllamav2": "exllamav3", "tabbyapi": "exllamav3",
    "hf": "transformers", "ik-llama": "ik_llama.cpp", "ik_llama": "ik_llama.cpp",
    "ik-llama.cpp": "ik_llama.cpp",
}  # fmt: skip
RANKED = ("vllm", "llama.cpp")
"""Engines that `fit` ranks; the others answer when they are named."""


def engine_names() -> list[str]:
    """Return the names of the engines that are ranked, preferred for serving first."""
    return list(RANKED)


def known_engines() -> list[str]:
    """Return the names of all engines that can be planned."""
    return list(_MODULES)


def get_engine(name: str) -> Engine:
    """Return an engine by name, loading only its module."""
    key = name.lower().strip()
    key = _ALIASES.get(key, key)
    if key not in _MODULES:
        raise UnknownName(f"Engine {name!r} is unknown.", f"Known: {', '.join(_MODULES)}.")
    return _loaded(key)


@cache
def _loaded(key: str) -> Engine:
    from importlib import import_module

    engine = import_module(f"llmplan.engines.{_MODULES[key]}").ENGINE
    assert isinstance(engine, Engine)
    return engine
