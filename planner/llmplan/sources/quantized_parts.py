"""What a quantized checkpoint leaves in another format: its exclude lists, as parts of a model.

Tools write the same thing in many ways: module paths layer by layer, globs, `re:` patterns,
bare names, per-layer algorithms. Each is matched with the module names that Hugging Face
checkpoints use and comes out as `attention`, `attn_q@0-2`, `*@60` (see Model.native_parts).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

from llmplan.errors import InputError
from llmplan.sources.layers import block_layers
from llmplan.sources.quantized import MODELOPT, compressed_scheme, listed_layers
from llmplan.specs.loading import layer_numbers

Config = Mapping[str, Any]
UNQUANTIZED = "bf16"
KEYS = (
    "modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers", "skip_modules",
    "llm_int8_skip_modules", "exclude", "modules_to_skip",
)  # fmt: skip
"""Keys under which the tools list what they leave out."""

_PROJECTIONS = {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down",
                "w1": "ffn_gate", "w3": "ffn_up", "w2": "ffn_down"}  # fmt: skip
_ATTENTION = {
    "q_proj": ("attn_q",), "k_proj": ("attn_k",), "v_proj": ("attn_v",), "o_proj": ("attn_output",),
    "qkv_proj": ("attn_q", "attn_k", "attn_v"), "q_a_proj": ("attn_q_a",),
    "q_b_proj": ("attn_q_b",), "kv_a_proj_with_mqa": ("attn_kv_a_mqa",),
    "kv_b_proj": ("attn_k_b", "attn_v_b"), "indexer.wq_b": ("indexer.attn_q_b",),
    "indexer.wk": ("indexer.attn_k",), "indexer.weights_proj": ("indexer.proj",),
    "indexers_proj": ("indexer.proj",), "g_proj": ("attn_gate",), "out_proj": ("attn_output",),
}  # fmt: skip
_RECURRENT = {
    "in_proj": ("ssm_in",), "out_proj": ("ssm_out",), "in_proj_qkv": ("attn_qkv",),
    "in_proj_qkvz": ("attn_qkv", "attn_gate"), "in_proj_z": ("attn_gate",),
    "in_proj_ba": ("ssm_ba",), "in_proj_a": ("ssm_ba",), "in_proj_b": ("ssm_ba",),
    "x_proj": ("ssm_x",), "dt_proj": ("ssm_dt",),
}  # fmt: skip


class _Module(NamedTuple):
    """One linear module of a layer: what holds it, its name there, its class, its tensors."""

    holder: str
    name: str
    group: str
    tensors: tuple[str, ...]

    @property
    def path(self) -> str:
        """Path of the module in its layer; of many experts the first stands for all."""
        return f"{self.holder}{'.0' if self.group == 'experts' else ''}.{self.name}"


def _modules() -> list[_Module]:
    rows = [_Module(at, name, "attention", tensors)
            for at, (name, tensors) in product(("self_attn", "attn", "attention", "mixer"),
                                               _ATTENTION.items())
            if (at, name) != ("mixer", "out_proj")]  # fmt: skip
    rows += [_Module(at, name, "recurrent", tensors)
             for at, (name, tensors) in product(("linear_attn", "mamba", "mixer"),
                                                _RECURRENT.items())]  # fmt: skip
    for at, (name, tensor) in product(("mlp", "ffn", "feed_forward"), _PROJECTIONS.items()):
        rows.append(_Module(at, name, "mlp", (tensor,)))
    places = ("mlp", "ffn", "block_sparse_moe", "mixer")
    for at, (name, tensor) in product(places, _PROJECTIONS.items()):
        rows.append(_Module(f"{at}.experts", name, "experts", (f"{tensor}_exps",)))
        for shared in ("shared_experts", "shared_expert"):
            rows.append(_Module(f"{at}.{shared}", name, "shared_experts", (f"{tensor}_shexp",)))
    return rows


MODULES = _modules()
GROUP_OF = {t: m.group for m in MODULES for t in m.tensors}
ASIDE = re.compile(r"(^|\.)(mtp|visual|vision\w*|audio\w*|eagle\w*|draft\w*)($|[.*])")
"""Modules beside the layers of the language model: their parts are not quantized here anyway."""
_IN_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+|\*)(.*)$", re.DOTALL)
MAX_PATTERNS = 200_000
"""Modules listed by name in the longest lists: every expert of every layer."""


def quantized_parts(quant: Config, layers: int, base: str) -> dict[str, str]:
    """Return the parts that do not have the format `base`, with theirs."""
    listed = listed_layers(quant)
    if listed:
        rest = "fp8-block" if quant.get("weight_block_size") else UNQUANTIZED
        return _mixed(listed, layers, base, rest)
    patterns: list[Any] = []
    for key in KEYS:
        found = quant.get(key)
        patterns += found if isinstance(found, list) else []
    dynamic = quant.get("dynamic")  # GPTQModel: "-:PATTERN" leaves modules out
    if isinstance(dynamic, Mapping):
        patterns += ["re:" + k[2:] for k in dynamic if isinstance(k, str) and k.startswith("-:")]
    left_out = excluded([p for p in patterns if isinstance(p, str)], layers)
    parts = dict.fromkeys(_compact(left_out, layers), UNQUANTIZED)
    return parts | _other_schemes(quant, layers, base)


def _other_schemes(quant: Config, layers: int, base: str) -> dict[str, str]:
    """Return the parts of compressed-tensors groups whose scheme is not the first one's."""
    groups = quant.get("config_groups")
    parts: dict[str, str] = {}
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if not isinstance(group, Mapping) or compressed_scheme(group) in ("", base):
            continue
        targets = [t for t in group.get("targets", ()) if isinstance(t, str) and t != "Linear"]
        found = _compact(excluded(targets, layers), layers)
        parts |= dict.fromkeys(found, compressed_scheme(group))
    return parts


Excluded = dict[str, set[int]]


def excluded(patterns: Iterable[str], layers: int) -> Excluded:
    """Return tensors (or classes, or `*`) with the layers in which a pattern names them."""
    found: Excluded = {}
    patterns = list(patterns)
    if sum(p.startswith("re:") for p in patterns) > MAX_EXPRESSIONS:
        raise InputError(f"The quantization_config has more than {MAX_EXPRESSIONS} patterns.")
    for count, pattern in enumerate(patterns):
        if count >= MAX_PATTERNS:
            raise InputError(f"The quantization_config lists more than {MAX_PATTERNS:,} modules.")
        for name, where in _matches(pattern, layers):
            found.setdefault(name, set()).update(where)
    return _by_class(found)


def _by_class(found: Excluded) -> Excluded:
    """Return tensors by their class where every one of it is named in the same layers."""
    for group in dict.fromkeys(GROUP_OF.values()):
        tensors = [t for t, g in GROUP_OF.items() if g == group]
        sets = [found.get(t) for t in tensors]
        if sets[0] and all(s == sets[0] for s in sets):
            found = {k: v for k, v in found.items() if k not in tensors}
            found[group] = found.get(group, set()) | sets[0]
    return found


def _matches(pattern: str, layers: int) -> list[tuple[str, Iterable[int]]]:
    every = range(layers)
    if pattern.startswith("re:"):
        return _regex_matches(pattern[3:], layers)
    if ASIDE.search(pattern):
        return []
    at = _IN_LAYER.search(pattern)
    if at:
        where = every if at[1] == "*" else [int(at[1])] if int(at[1]) < layers else []
        rest = at[2].lstrip(".")
        if rest in ("", "*"):
            return [("*", where)]
        bare = rest.rstrip("*").rstrip(".")
        return [(n, where) for m in MODULES if _named(m.path, rest) for n in _names(m, bare)]
    if "*" in pattern:
        return [(t, every) for m in MODULES if wildcard(pattern, f"model.layers.0.{m.path}")
                for t in m.tensors]  # fmt: skip
    return [(t, every) for m in MODULES if pattern in m.path.split(".") for t in _names(m, pattern)]


def _named(path: str, rest: str) -> bool:
    return path == rest or path.startswith(rest + ".") or ("*" in rest and wildcard(rest, path))


def _names(module: _Module, bare: str) -> tuple[str, ...]:
    """Return the class where the pattern names what holds all its modules, else the tensors."""
    whole = module.holder == bare or module.holder.startswith(bare + ".")
    return (module.group,) if whole and not bare.startswith("mixer") else module.tensors


def _regex_matches(text: str, layers: int) -> list[tuple[str, Iterable[int]]]:
    globs = regex_globs(text)
    alike = not any(c.isdigit() for c in text)  # no layer is told from another
    found: list[tuple[str, Iterable[int]]] = []
    for module in MODULES:
        full = f"model.layers.{{}}.{module.path}"
        tried = range(1) if alike else range(layers)
        where = [i for i in tried if any(wildcard(g, full.format(i)) for g in globs)]
        where = list(range(layers)) if alike and where else where
        found += [(t, where) for t in module.tensors if where]
    return found


_TOKEN = re.compile(r"\.\*|\\d\+|\[0-9\]\+|\\(.)|\(\??:?([\w|.\\*\-]*)\)|([\w.\-])|([\^$])")
MAX_ALTERNATIVES = 64
MAX_PATTERN = 300
MAX_EXPRESSIONS = 200
"""Characters, alternatives and number of the `re:` patterns that are read."""


def regex_globs(text: str) -> list[str]:
    """Return the wildcards that a simple regular expression stands for, anchored at its start.

    Names, `.*`, digits and one level of `(a|b)` are read, which is what tools write; anything
    else is refused, since a hostile expression could run for ever.
    """
    if len(text) > MAX_PATTERN:
        raise InputError("A pattern of the quantization_config is too long to be one.")
    globs, at = [""], 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise InputError(
                f"The pattern {text[:60]!r} of the quantization_config is not one that is read.",
                "Write modules out, or give --quant FORMAT.",
            )
        at = token.end()
        escaped, choices, letter, anchor = token.groups()
        if anchor:
            continue
        if choices is not None:
            ends = [c.replace("\\.", ".").replace(".*", "*") for c in choices.split("|")]
        else:
            ends = [escaped or letter or "*"]
        globs = [g + e for g in globs for e in ends]
        if len(globs) > MAX_ALTERNATIVES:
            raise InputError("A pattern of the quantization_config has too many alternatives.")
    return [g + ("" if text.endswith("$") else "*") for g in globs]


def wildcard(pattern: str, text: str) -> bool:
    """Return whether `*` in the pattern can stand for what makes it the text, in linear time.

    >>> wildcard("*.self_attn*", "model.layers.0.self_attn.q_proj")
    True
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(rest[-1]) and len(text) - len(rest[-1]) >= at


def _mixed(listed: Mapping[str, Config], layers: int, base: str, rest: str) -> dict[str, str]:
    """Return the parts of a checkpoint that lists the algorithm of every quantized module."""
    formats = {n: MODELOPT.get(str(v.get("quant_algo")).upper(), "") for n, v in listed.items()}
    parts: dict[str, str] = {}
    named: set[str] = set()
    for form in dict.fromkeys(formats.values()):
        where = excluded((n for n, f in formats.items() if f == form), layers)
        named |= {GROUP_OF.get(t, t) for t in where}
        if form and form != base:
            parts |= dict.fromkeys(_compact(where, layers), form)
    unnamed = {m.group for m in MODULES} - named
    return parts | dict.fromkeys(sorted(unnamed), rest)


def _compact(found: Excluded, layers: int) -> list[str]:
    """Return parts as they are written: no layers behind those that are in all of them."""
    names = []
    for name, where in sorted(found.items(), key=lambda item: item[0] in GROUP_OF):
        group = found.get(GROUP_OF.get(name, ""), set())
        rest = where - (found.get("*", set()) if name != "*" else set()) - group
        if rest:
            names.append(name if len(where) == layers else f"{name}@{layer_runs(rest)}")
    return names


def held_parts(parts: Mapping[str, str], decoder: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts that a decoder has, without the layers where all that have it are meant."""
    where: dict[str, set[int]] = {}
    for name, layers in block_layers(dict(decoder)).items():
        for group in block_groups(decoder["blocks"][name]):
            where.setdefault(group, set()).update(layers)
    kept: dict[str, str] = {}
    for part, form in parts.items():
        name, at, text = part.partition("@")
        group = GROUP_OF.get(name, name)
        latent_only = group == "attention" and name not in (group, *PLAIN)
        held = where.get("latent" if latent_only else group, set())
        if name == "*" or held:
            whole = at and name != "*" and held <= layer_numbers(text)
            kept[name if whole else part] = form
    return kept


PLAIN = ("attn_q", "attn_k", "attn_v", "attn_output", "attn_gate", "attn_qkv")
"""Attention tensors that are not those of latent attention alone."""


SOFTMAX = ("attention", "mla", "compressed_attention")
"""Mixers whose matrices are of the class attention; those of the others are recurrent."""


def block_groups(block: Mapping[str, Any]) -> set[str]:
    """Return the tensor classes that formats quantize in a block record; `latent` for MLA."""
    kinds = [m["kind"] for m in block.get("mixers", ())]
    groups = {"attention" if k in SOFTMAX else "recurrent" for k in kinds}
    groups |= {"latent"} if "mla" in kinds else set()
    mlp = block.get("mlp")
    if mlp:
        groups.add("experts" if mlp["kind"] == "moe" else "mlp")
        groups |= {"shared_experts"} if mlp.get("shared_experts_size") else set()
    return groups


def layer_runs(layers: set[int]) -> str:
    """Return layers as runs.

    >>> layer_runs({0, 1, 2, 60})
    '0-2,60'
    """
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and runs[-1][1] == layer - 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
