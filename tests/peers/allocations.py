"""Follow what a module allocates on the CPU as if CUDA's kernels ran, on one of several ranks."""

from __future__ import annotations

import importlib.machinery
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Run = Callable[[int], tuple[int, Any]]
"""Takes the side of an image in patches, or a number of images; gives the patches, and the tower's
call on them."""


class Live(TorchDispatchMode):
    """Follow the storages that operations return, and the most bytes that live at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it returned."""
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._follow(leaf.untyped_storage())
        self.peak = max(self.peak, self.now)
        return out

    def _follow(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self.sizes:
            self.sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self.now -= self.sizes.pop(key, 0)


def stand_in_for_torchvision(**real: Any) -> None:
    """Let what is imported of torchvision be there, though nothing here runs it, but for `real`."""

    class Nothing(type):
        def __getattr__(cls, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return NoClass

    class NoClass(metaclass=Nothing):
        """Whatever is asked of torchvision."""

    class Module(types.ModuleType):
        __path__: list[str] = []

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return real.get(name, NoClass)

    for end in ("", ".transforms", ".transforms.v2", ".transforms.v2.functional",
                ".transforms.functional", ".io", ".io.image", ".ops", ".ops.misc",
                ".datasets"):  # fmt: skip
        module = Module("torchvision" + end)
        module.__version__, module.__file__ = "0.28.0", "torchvision"
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None, is_package=True)
        sys.modules[module.__name__] = module
        parent, _, leaf = module.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], leaf, module)


def join(tp: int) -> None:
    """Be rank 0 of `tp` ranks, none of which is there."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore
    from vllm.distributed import parallel_state as ps

    dist.init_process_group(backend="fake", store=FakeStore(), rank=0, world_size=tp)
    real, group = dist.new_group, ps.init_model_parallel_group

    def new_group(ranks: Any = None, *_: Any, **kwargs: Any) -> Any:
        return real(ranks, **{**kwargs, "backend": "fake"})

    dist.new_group = new_group
    ps.init_model_parallel_group = lambda *a, **k: group(
        *a, **{**k, "use_message_queue_broadcaster": False}
    )
    ps.init_distributed_environment(tp, 0, "env://", 0, backend="fake")
    ps.initialize_model_parallel(tp)
    ps.GroupCoordinator.all_reduce = lambda self, x: torch.empty_like(x) if tp > 1 else x


def empty_kernels() -> None:
    """Replace what takes time and writes one output by that output."""
    functional = torch.nn.functional

    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        return torch.empty((*x.shape[:-1], weight.shape[0]), dtype=x.dtype)

    functional.linear = linear
    functional.scaled_dot_product_attention = lambda q, *_, **__: torch.empty_like(q)


def as_on_cuda(*, compiled: bool = True) -> None:
    """Take CUDA's paths, their kernels replaced by an output of the same size.

    `compiled`: gated activations too, as vLLM compiles them from 0.15 on.
    """
    import vllm.model_executor.layers.activation as activation
    import vllm.model_executor.layers.attention.mm_encoder_attention as mm
    import vllm.model_executor.layers.linear as linear
    from vllm.model_executor.layers.rotary_embedding.common import ApplyRotaryEmb
    from vllm.model_executor.layers.utils import default_unquantized_gemm

    empty_kernels()
    linear.dispatch_unquantized_gemm = lambda *_, **__: default_unquantized_gemm

    def rotary(self: Any, x: Any, cos: Any, sin: Any) -> Any:
        x, cos, sin, shape, dtype = self._pre_process(x, cos, sin)
        return self._post_process(torch.empty(x.shape, dtype=x.dtype), shape, dtype)

    def flash(q: Any, k: Any, v: Any, **_: Any) -> Any:
        return torch.empty(q.shape, dtype=q.dtype)

    def attention(self: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        return self._forward_fa(query, key, value, None, None)

    ApplyRotaryEmb.forward_cpu = ApplyRotaryEmb.forward_native = rotary
    mm.vit_flash_attn_wrapper = flash
    mm.MMEncoderAttention.forward_cpu = mm.MMEncoderAttention.forward_native = attention
    if compiled:
        for gated in (activation.SiluAndMul, activation.SiluAndMulWithClamp):
            gated.forward = lambda self, x: torch.empty(
                (*x.shape[:-1], x.shape[-1] // 2), dtype=x.dtype
            )


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return the most bytes that live at once in a call beside what lived before."""
    with torch.inference_mode(), Live() as live:
        call()
    return live.peak


def widths(width: int, run: Run, sizes: tuple[int, int]) -> float:
    """Return the peak a patch in widths: the slope between two sizes, after one run for caches."""
    peak_bytes(run(sizes[1])[1])
    (few, call), (many, larger) = (run(size) for size in sizes)
    return (peak_bytes(larger) - peak_bytes(call)) / (many - few) / (2 * width)
