"""Facts and tensors of a GGUF file, as its layers are read from them.

Source of every rule here: llama.cpp src/llama-arch.cpp and src/models/*.cpp at 0c1e57098
(2026-10-01, vendored in the PyPI package llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from llmplan.errors import CatalogFileError
from llmplan.sources.binary import StoredTensor
from llmplan.sources.gguf_file import Omitted, Value

MAX_FACT = 1 << 31
"""Beyond any width or count of a model's facts."""


class Pattern(NamedTuple):
    """Which layers slide where the file does not list them: all but one of `period`.

    `full_first` puts the full layer in front of its period. `window` is llama.cpp's own where
    the file states none, `fixed` whatever the file states.
    """

    period: int
    full_first: bool = False
    window: int = 0
    fixed: bool = False
    chunked: bool = False


LISTED = Pattern(1)
"""A pattern that the file itself must list, layer by layer."""

SLIDING: dict[str, Pattern] = {
    "afmoe": Pattern(4), "cohere2": Pattern(4), "cohere2moe": Pattern(4, True),
    "exaone-moe": Pattern(4, window=128), "exaone4": Pattern(4), "gemma-embedding": Pattern(6),
    "gemma2": Pattern(2, window=4096), "gemma3": Pattern(6), "gemma3n": Pattern(5),
    "gpt-oss": Pattern(2), "laguna": Pattern(4, True),
    "llama4": Pattern(4, window=8192, fixed=True, chunked=True), "mellum": Pattern(4),
    "modern-bert": Pattern(3, True), "muse-glimmer": Pattern(4), "olmo2": Pattern(4),
    "plamo3": Pattern(8), "smallthinker": Pattern(4, True, window=4096, fixed=True),
    "lfm2": Pattern(0), "gemma4": LISTED, "gemma4-assistant": LISTED, "granite_swa": LISTED,
    "maple": LISTED, "mimo2": LISTED, "spark2_5": LISTED, "step35": LISTED,
}  # fmt: skip
"""Architectures whose sliding or chunked window llama.cpp applies; it caches all tokens in others,
whatever window the file states. Source: load_swa_pattern and swa_type in src/models/*.cpp."""

GEMMA3N_OWN_CACHES = 20
"""Layers of Gemma 3n that keep a cache, the later ones share it (gemma3n.cpp)."""


class Facts:
    """Facts of one GGUF file, by their keys without the architecture in front."""

    def __init__(self, metadata: Mapping[str, Value], where: str) -> None:
        self.metadata, self.where = metadata, where
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture.isprintable():
            raise self.fault("names no general.architecture")
        self.architecture = architecture[:64]

    def fault(self, problem: str) -> CatalogFileError:
        """Return the error of a file whose facts do not make a model."""
        return CatalogFileError(f"{self.where}: {problem}.", "Download or convert it again.")

    def has(self, key: str) -> bool:
        """Return whether the architecture states this fact."""
        return f"{self.architecture}.{key}" in self.metadata

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number; one that is neither stated nor defaulted is an error."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        return self._whole(key, value)

    def size(self, key: str) -> int:
        """Return a whole number that must be at least 1."""
        value = self.whole(key)
        if value < 1:
            raise self.fault(f"'{self.architecture}.{key}' is 0")
        return value

    def at(self, key: str, layer: int, default: int | None = None) -> int:
        """Return a whole number that may be one for all layers or listed layer by layer."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, tuple):
            value = value[layer] if layer < len(value) else None
        return self._whole(key, value)

    def real(self, key: str) -> float | None:
        """Return a number above 0, or None."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        usable = isinstance(value, (int, float)) and 0 < value < MAX_FACT
        return float(value) if usable else None  # type: ignore[arg-type]

    def text(self, key: str) -> str | None:
        """Return a text by its full key, cleaned of control characters, or None."""
        value = self.metadata.get(key)
        if not isinstance(value, str):
            return None
        return "".join(c for c in value if c.isprintable())[:200] or None

    def _whole(self, key: str, value: Value | None) -> int:
        name = f"{self.architecture}.{key}"
        if value is None:
            raise self.fault(f"lacks the fact {name!r}")
        if type(value) is not int or not 0 <= value < MAX_FACT:
            shown = f"{value.length} items" if isinstance(value, Omitted) else str(value)[:40]
            raise self.fault(f"{name!r} is no whole number: {shown}")
        return value

    def window(self, layer: int) -> tuple[str, int] | None:
        """Return ("window" or "chunk", tokens) where llama.cpp limits this layer, else None."""
        pattern = SLIDING.get(self.architecture)
        key = "attention.sliding_window"
        if pattern is None or not (self.has(key) or pattern.window):
            return None
        tokens = self.whole(key, pattern.window)
        if not tokens or not self._slides(pattern, layer):
            return None
        kind = "chunk" if pattern.chunked else "window"
        return kind, pattern.window if pattern.fixed else tokens

    def _slides(self, pattern: Pattern, layer: int) -> bool:
        if self.architecture == "exaone4" and self.whole("block_count") != EXAONE4_SLIDING_LAYERS:
            return False
        listed = self.metadata.get(f"{self.architecture}.attention.sliding_window_pattern")
        if isinstance(listed, tuple):
            return bool(listed[layer]) if layer < len(listed) else False
        if pattern is LISTED:
            raise self.fault(
                f"lacks the list '{self.architecture}.attention.sliding_window_pattern'"
            )
        period = listed if type(listed) is int and listed >= 0 else pattern.period
        if not period:
            return True
        return layer % period != 0 if pattern.full_first else layer % period < period - 1

    def shares_cache(self, layer: int, layers: int, has_keys: bool) -> bool:
        """Return whether this layer reuses the cache of an earlier one."""
        if self.architecture == "gemma3n":
            return layer >= GEMMA3N_OWN_CACHES or not has_keys
        return layer >= layers - self.whole("attention.shared_kv_layers", 0)


EXAONE4_SLIDING_LAYERS = 64
"""Layers of the EXAONE 4.0 that slides, 32B; the 1.2B does not (exaone4.cpp)."""


BUFFERS = ("rope_freqs", "rope_factors_long", "rope_factors_short", "attn_rot_embd",
           "exp_probs_b.bias", "exp_probs_b")  # fmt: skip
"""Tensors that are no parameters: rotary frequencies, and the router's untrained correction."""

SCALES = (".scale", ".input_scale")
"""Endings of the scales that NVFP4 and BitNet files store beside a matrix."""


def is_parameter(name: str) -> bool:
    """Return whether a tensor counts among the parameters, by its name in the layer."""
    return name not in BUFFERS and not name.endswith(SCALES)


class Parts:
    """Tensors of one layer by short name, each to be claimed once."""

    def __init__(self, facts: Facts, layer: int, tensors: dict[str, StoredTensor]) -> None:
        self.facts, self.layer = facts, layer
        self.left = {n: t for n, t in tensors.items() if is_parameter(n)}
        self.hidden = facts.size("embedding_length")

    def has(self, *names: str) -> bool:
        """Return whether all of these are there, unclaimed."""
        return all(n in self.left for n in names)

    def size(self, name: str) -> int:
        """Return the elements of a tensor, 0 where it is not there."""
        return self.left[name].elements if name in self.left else 0

    def rows(self, name: str) -> int:
        """Return the output features of a matrix (of one of several equal ones)."""
        shape = self.left[name].shape
        return shape[-2] if len(shape) > 1 else 0

    def columns(self, name: str) -> int:
        """Return the input features of a matrix."""
        return (self.left[name].shape or (0,))[-1]

    def claim(self, name: str, elements: int) -> bool:
        """Take a tensor where it is there; one of another size contradicts the facts."""
        if name not in self.left:
            return False
        found = self.left.pop(name).elements
        if found != elements:
            raise self.facts.fault(
                f"blk.{self.layer}.{name} has {found:,} elements, its facts make {elements:,}"
            )
        return True

    def need(self, name: str, elements: int) -> None:
        """Take a tensor that must be there."""
        if not self.claim(name, elements):
            raise self.facts.fault(f"lacks the tensor blk.{self.layer}.{name}")
