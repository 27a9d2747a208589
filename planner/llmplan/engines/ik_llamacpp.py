"""ik_llama.cpp: llama.cpp's fork for weights on the host, where its memory differs.

MLA keeps the latent alone (-mla 2 and 3), sliding windows are cached at full length
(--swa-compress is a proposal of 2026-07), and nothing is kept free.
"""

from __future__ import annotations

from llmplan.engines.base import Engine, Plan, Request
from llmplan.engines.llama_cpp_versions import TABLE, Rules
from llmplan.engines.llamacpp import LlamaCpp
from llmplan.engines.starting import Start
from llmplan.specs.mixers import LatentAttention

VERSION = "15dddc60"
"""State whose behaviour is described (main on 2026-08-29, ikawrakow/ik_llama.cpp issue 1607)."""

MLA_MODE = 3
"""-mla: the latent alone, without its transposed copy. Source: start-up logs of DeepSeek, engine
memory rules of 2026-11 (2,196 MiB at 32,768 cells; mode 1 without flash attention has more)."""

RULES = TABLE[0]._replace(
    source="ikawrakow/ik_llama.cpp issue 1607 and pull request 2171 (2026-08)",
    flash_padding=256,
    latent="alone",
    encoder_cache=True,
    flash=True,
)
"""Rules of the fork: cells padded to 256 with flash attention, which is on by default
(pull request 863, 2025-10-25; `-fa on|off` since pull request 944)."""


class IkLlamaCpp(LlamaCpp):
    """ik_llama.cpp's server; it numbers no versions, so that any build is planned alike."""

    name = "ik_llama.cpp"
    versions = (VERSION,)

    check_version = Engine.check_version  # one version, and no builds as llama.cpp has
    version_on = Engine.version_on

    def rules(self, request: Request) -> Rules:
        """Return the fork's memory rules."""
        return RULES

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of the fork's `llama-server`, with the MLA mode that is planned."""
        start = super().start(request, plan)
        mixers = [m for b in request.model.main.blocks.values() for m in b.mixers]
        if any(isinstance(m, LatentAttention) for m in mixers):
            return start._replace(words=(*start.words, "-mla", str(MLA_MODE)))
        return start


ENGINE = IkLlamaCpp()
