"""Servers that read prompts and servers that decode: the flags, and which pairs pass a cache on."""

import json

from llmplan.engines.paged import is_latent
from llmplan.engines.work import RECURRENT, mixer_kinds
from llmplan.specs.model import Model
from llmplan.specs.setup import Parallelism

NIXL_SINCE = "0.9.0"
"""First vLLM with the NIXL connector. Source: vllm-project/vllm#17751, merged 2025-05."""

KV_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}
"""kv_role of vLLM's --kv-transfer-config. Source: vLLM docs, NixlConnector usage (026c83f)."""

SGLANG_SINCE = "0.4.6"
"""First version, of those known, with --disaggregation-mode."""


def nixl_connector_flags(role: str | None) -> list[str]:
    """Return vLLM's flags of a server that only reads prompts, or only decodes."""
    if role is None:
        return []
    config = {"kv_connector": "NixlConnector", "kv_role": KV_ROLES[role]}
    return ["--kv-transfer-config", json.dumps(config)]


def nixl_connector_error(model: Model, prefill: Parallelism, decode: Parallelism) -> str | None:
    """Return why vLLM's NIXL connector does not take a cache over, or None.

    Source: vLLM's NixlConnector compatibility matrix (0a5110e): recurrent layers ask for the
    same tp, encoder-decoders are not run; pipeline stages are not spoken of.
    """
    if model.encoder is not None:
        return "vLLM's NIXL connector does not run encoder-decoder models"
    if prefill.pp > 1 or decode.pp > 1:
        return "vLLM's NIXL connector is not on record with pipeline stages"
    if mixer_kinds(model) & set(RECURRENT) and prefill.tp != decode.tp:
        return "vLLM's NIXL connector takes recurrent states over at the same tp only"
    return None


def sglang_flags(role: str | None) -> list[str]:
    """Return SGLang's flags of a server that only reads prompts, or only decodes.

    Source: SGLang docs, PD disaggregation (08edc50).
    """
    if role is None:
        return []
    return ["--disaggregation-mode", role, "--disaggregation-transfer-backend", "nixl"]


def sglang_error(model: Model, prefill: Parallelism, decode: Parallelism) -> str | None:
    """Return why SGLang does not take a cache over: another tp is on record for MLA alone.

    Source: SGLang docs, PD disaggregation (08edc50): its examples pair equal sizes.
    """
    if prefill.pp > 1 or decode.pp > 1:
        return "SGLang's servers for prompts are not on record with pipeline stages"
    if prefill.tp != decode.tp and not is_latent(model):
        return "SGLang takes a cache over at the same tp, but for MLA"
    return None
