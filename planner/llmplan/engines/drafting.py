"""Speculative decoding: which model drafts, by which method, and what it holds on a device."""

from __future__ import annotations

from typing import NamedTuple

from llmplan.engines.base import Request
from llmplan.memory.formats import weight_format
from llmplan.memory.kv_cache import CachedLayers, stack_caches
from llmplan.memory.tensor import padded_vocab_rows
from llmplan.memory.weights import draft_layer_bytes, weight_bytes
from llmplan.specs.model import Model, Stack
from llmplan.specs.setup import Term

HEAD_BYTES = 2
"""Bytes of a weight of embeddings and EAGLE heads, which are published in 16 bits."""

FED_STATES = {"eagle": 2, "eagle3": 3}
"""Hidden widths that an EAGLE head projects to one: embedding and last state, or three states.
Source: vLLM 0.32.0 models/llama_eagle.py and llama_eagle3.py (fc)."""


class Drafter(NamedTuple):
    """What drafts: its method, its layers, and its weights on the last pipeline stage.

    `embedding_bytes` come on top where the stage does not hold the model's own embedding.
    """

    method: str
    stack: Stack
    weights_bytes: float
    embedding_bytes: float

    def caches(self, first: int, *, latent: bool = True) -> list[CachedLayers]:
        """Return what its layers keep, numbered from `first` on."""
        found = stack_caches(self.stack, latent=latent)
        return [g._replace(layers=tuple(first + i for i in g.layers)) for g in found]


def method_of(draft: Model | None) -> str:
    """Return how a model drafts: its own MTP layers, an EAGLE head by its name, else whole.

    Source: vLLM 0.32.0 config/speculative.py, which tells heads apart by their name as well.
    """
    if draft is None:
        return "mtp"
    name = (draft.hub_id or draft.path or draft.id).lower()
    return "eagle3" if "eagle3" in name else "eagle" if "eagle-" in name else "draft_model"


def drafter_of(request: Request) -> Drafter | None:
    """Return what drafts for a request, or None where nothing does.

    MTP layers and EAGLE heads take embedding and head of the model they draft for. Source:
    vLLM 0.32.0 v1/spec_decode/llm_base_proposer.py (_maybe_share_embeddings, _lm_head).
    """
    model, draft, p = request.model, request.draft, request.parallel
    method = method_of(draft)
    if request.limits.speculative_tokens is None:
        return None
    if draft is None:
        if model.draft is None:
            return None
        size = draft_layer_bytes(model, request.weights, tp=p.tp, dp=p.dp, ep=p.ep)
        return Drafter(method, model.draft, size, _embedding_bytes(model, p.tp))
    fmt = weight_format(draft.native_format)
    weights = weight_bytes(draft, fmt, tp=p.tp, pad_vocab=True)
    if method == "draft_model":
        return Drafter(method, draft.main, weights.total, 0.0)
    projection = FED_STATES[method] * draft.main.hidden_size**2 * HEAD_BYTES
    size = sum(weights.layers) + projection
    return Drafter(method, draft.main, size, _embedding_bytes(model, p.tp))


def _embedding_bytes(model: Model, tp: int) -> float:
    rows = padded_vocab_rows(vocab_size=model.vocab_size, tp=tp)
    return float(rows * (model.embedding_size or model.main.hidden_size) * HEAD_BYTES)


def drafter_error(request: Request) -> str | None:
    """Return why this does not draft for the model, or not so many tokens, or None.

    Source: vLLM 0.32.0 config/speculative.py (n_predict, verify_equal_vocab_size).
    """
    model, draft = request.model, request.draft
    asked, stack = request.limits.speculative_tokens, model.draft
    if asked is None:
        return None
    if draft is not None:
        if method_of(draft) == "draft_model" and draft.vocab_size != model.vocab_size:
            return (
                f"{draft.id} has {draft.vocab_size:,} words and {model.id} {model.vocab_size:,}: "
                "a draft model needs the same vocabulary."
            )
        return None
    if stack is None:
        return f"{model.id} has no MTP layers of its own."
    layers = len(stack.layers)
    if asked > layers and asked % layers:
        return f"{layers} MTP layers draft a multiple of {layers} tokens, not {asked}."
    return None


def draft_terms(request: Request) -> tuple[Term, ...]:
    """Return the term of what drafts, which the weights hold as well."""
    drafter = drafter_of(request)
    if drafter is None:
        return ()
    exact = "assumed" if drafter.method == "eagle3" else "exact"
    head = ", without a small head of its own" if drafter.method == "eagle3" else ""
    what = f"{drafter.method}: {len(drafter.stack.layers)} layers on the last stage{head}"
    source = "vLLM 0.32.0 v1/spec_decode/llm_base_proposer.py"
    return (Term("draft layers, within the weights", drafter.weights_bytes, what, exact, source),)
