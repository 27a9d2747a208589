"""What vLLM prints at start-up, version by version: pool, tokens and concurrency."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from llmplan.engines.base import Plan
from llmplan.engines.vllm_paging import Kind, block_groups, pool_unit_bytes, request_page_bytes
from llmplan.engines.vllm_versions import Policy


class Pool(NamedTuple):
    """The pool of one device as an engine of some version divides it."""

    kinds: list[Kind]
    policy: Policy
    in_flight: int
    encoder_tokens: int

    def request_bytes(self, tokens: int) -> float:
        """Return what a request of `tokens` takes [bytes]."""
        return request_page_bytes(
            self.kinds,
            tokens=tokens,
            in_flight=self.in_flight,
            encoder_tokens=self.encoder_tokens or tokens,
            padding_ratio=self.policy.padding_ratio,
        )

    @property
    def unit_bytes(self) -> float:
        """Bytes of one block over the layers of a group; 0 where kinds have pages of their own."""
        return pool_unit_bytes(self.kinds, self.policy.padding_ratio)

    @property
    def groups(self) -> int:
        """Groups of layers that take blocks of one pool in turn."""
        return block_groups(self.kinds, self.policy.padding_ratio)

    @property
    def block_tokens(self) -> int:
        """Tokens of the smallest block."""
        return min(k.block_tokens for k in self.kinds)

    def bytes_per_token(self, context: int) -> float:
        """Return printed pool over printed tokens [bytes/token].

        Once tokens are concurrency x context, that is a request's bytes over its length; before,
        the bytes of a token were it kept by every layer of every group.
        """
        if self.policy.tokens_at_context or not self.unit_bytes:
            return self.request_bytes(context) / context
        return self.unit_bytes * self.groups / self.block_tokens

    def concurrency(self, pool_bytes: float, context: int) -> float:
        """Return the printed maximum concurrency: whole blocks over those of one request."""
        unit = self.unit_bytes
        if not unit:
            return pool_bytes / self.request_bytes(context)
        blocks = pool_bytes // unit
        if not self.policy.concurrency_by_request:
            return blocks * self.block_tokens / context
        return blocks / ceil(self.request_bytes(context) / unit)

    def tokens(self, pool_bytes: float, context: int) -> int:
        """Return the printed size of the cache [tokens]."""
        unit = self.unit_bytes
        if self.policy.tokens_at_context or not unit:
            return int(self.concurrency(pool_bytes, context) * context)
        return int(pool_bytes // unit) // self.groups * self.block_tokens


def printed(plan: Plan, pool: Pool, context: int) -> dict[str, float]:
    """Return the start-up figures by their names in measurements/, those of one device."""
    figures: dict[str, float] = {"weights": float(plan.memory.weights_bytes)}
    if not pool.kinds:
        return figures
    figures["kv_bytes_per_token"] = pool.bytes_per_token(context)
    held = float(plan.memory.kv_cache_bytes)
    figures["kv_pool"] = held
    figures["kv_tokens"] = float(pool.tokens(held, context))
    figures["max_concurrency"] = pool.concurrency(held, context)
    return figures
