"""Ollama: llama.cpp underneath, with its own reserve, default context and requests at once.

Source: ollama/ollama at fb30760 (2026-08-21): server/routes.go, envconfig, ml/device.go.
"""

from __future__ import annotations

from shlex import quote

from llmplan.engines.base import Engine, Plan, Request
from llmplan.engines.llama_cpp_memory import flash
from llmplan.engines.llama_cpp_versions import TABLE, Rules
from llmplan.engines.llamacpp import LlamaCpp
from llmplan.engines.starting import Start, printable, start_of
from llmplan.specs.hardware import GIB
from llmplan.specs.setup import Launch, Term, Warning_

VERSION = "fb30760"
"""State that was read (2026-08-21)."""

RESERVE_BYTES = {"apple": 512 << 20}
RESERVE_OTHERS_BYTES = 457 << 20
"""Memory that is left free on each device. Source: MinimumMemory, ml/device.go at fb30760."""

DEFAULT_CONTEXTS = ((47 * GIB, 262_144), (23 * GIB, 32_768), (0, 4_096))
"""(memory of all devices from, num_ctx where none is set). Source: server/routes.go, fb30760."""

NUM_PARALLEL = 1
"""Requests at once where OLLAMA_NUM_PARALLEL is not set. Source: envconfig at fb30760."""

KV_KNOWN = ("fp16", "q8_0", "q4_0")
"""Values of OLLAMA_KV_CACHE_TYPE, which holds for keys and values. Source: docs/faq.mdx."""

SETTINGS = ("max_num_seqs", "flash_attention", "host_ram", "n_gpu_layers")


def default_context(memory_bytes: int) -> int:
    """Return the context that Ollama takes where none is set, at most the model's [tokens].

    >>> default_context(24 * GIB)
    32768
    """
    return next(context for least, context in DEFAULT_CONTEXTS if memory_bytes >= least)


class Ollama(LlamaCpp):
    """Ollama's server; no public log has scored this module: every figure is assumed."""

    name = "ollama"
    versions = (VERSION,)

    check_version = Engine.check_version  # one version, and no builds as llama.cpp has
    version_on = Engine.version_on

    def rules(self, request: Request) -> Rules:
        """Return the memory rules of the llama.cpp that the version starts."""
        return TABLE[-1]

    def slots(self, request: Request) -> int:
        """Return the requests that run at once: OLLAMA_NUM_PARALLEL [sequences]."""
        return request.limits.max_num_seqs or request.workload.concurrency or NUM_PARALLEL

    def budget(self, request: Request) -> int:
        """Return what is left of a device beside the reserve [bytes]."""
        return request.device_bytes - RESERVE_BYTES.get(request.gpu.vendor, RESERVE_OTHERS_BYTES)

    def unsupported(self, request: Request) -> str | None:
        """Return why Ollama does not run this model, format or device."""
        given = request.limits._asdict().items()
        unknown = [name for name, value in given if value is not None and name not in SETTINGS]
        if unknown:
            return f"ollama has no setting like {', '.join(unknown)}."
        if request.kv.name not in KV_KNOWN:
            return f"ollama has no {request.kv.name} KV cache."
        reason = super().unsupported(request)
        return reason.replace("llama.cpp", self.name) if reason else None

    def plan(self, request: Request) -> Plan:
        """Return the plan of llama.cpp, with its terms as assumed as they are here."""
        plan = super().plan(request)
        inner = plan.explained
        plan = plan._replace(
            explained=lambda: tuple(t if t.basis == "exact" else _assumed(t) for t in inner())
        )
        own = default_context(request.device_bytes * request.parallel.gpus)
        if own == request.context_tokens:
            return plan
        message = (
            f"Ollama would take {own:,} tokens of context on its own: the command sets "
            f"{request.context_tokens:,}."
        )
        warning = Warning_("engine_default_context", message)
        return plan._replace(warnings=(*plan.warnings, warning))

    def start(self, request: Request, plan: Plan) -> Start:
        """Return the words of the server, with its settings as variables."""
        inner = super().start(request, plan)
        variables = [
            ("OLLAMA_CONTEXT_LENGTH", str(request.context_tokens)),
            ("OLLAMA_NUM_PARALLEL", str(max(1, int(plan.kv_cache.max_concurrency)))),
            ("OLLAMA_FLASH_ATTENTION", str(int(flash(request, self.rules(request))))),
        ]
        if request.kv.name != "fp16":
            variables.append(("OLLAMA_KV_CACHE_TYPE", request.kv.name))
        target = f"hf.co/{inner.target}" if inner.urls else inner.target
        words = ("ollama", "serve")
        return start_of(words, target, inner.urls, inner.warnings, tuple(variables))

    def launch(self, request: Request, plan: Plan) -> tuple[Launch, tuple[Warning_, ...]]:
        """Return one line that starts the server, waits for it and loads the model."""
        start = self.start(request, plan)
        wait = "until ollama list > /dev/null 2>&1; do sleep 1; done"
        layers = request.limits.n_gpu_layers
        if start.urls and layers is None:
            load = f"ollama run {quote(start.target)}"
        else:
            option = "" if layers is None else f"\\nPARAMETER num_gpu {layers}"
            name = quote(printable(request.model.id))
            load = (
                f"printf 'FROM %s{option}\\n' {quote(start.target)} > Modelfile && "
                f"ollama create {name} -f Modelfile && ollama run {name}"
            )
        line = f"({start.line} &) && {wait} && {load}"
        return Launch(line, start.urls), start.warnings


def _assumed(term: Term) -> Term:
    return term._replace(basis="assumed", source=f"{term.source}; not scored for Ollama")


ENGINE = Ollama()
