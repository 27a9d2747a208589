"""Memory of one device as a bar of letters."""

from __future__ import annotations

from llmplan.specs.setup import MemoryPerGpu

WIDTH = 20
LEGEND = (
    "W weights, K KV cache, A activations, G CUDA graphs, R runtime, . free. W and the cache a\n"
    "request takes are exact; A, G and R, and so K's room, come from logs (--explain: each basis)"
)


def memory_bar(m: MemoryPerGpu, width: int = WIDTH) -> str:
    """Return a bar whose letters stand for parts of the device; a part too big ends in '>'.

    >>> m = MemoryPerGpu(100, 92, 50, 10, 0, 5, 25, 10)
    >>> memory_bar(m, 20)
    'WWWWWWWWWWKKKKKAAR..'
    """
    parts = (
        ("W", m.weights_bytes),
        ("K", m.kv_cache_bytes),
        ("A", m.activation_peak_bytes),
        ("G", m.cuda_graph_bytes),
        ("R", m.runtime_bytes),
    )
    bar, seen = "", 0
    for letter, size in parts:
        seen += max(0, size)
        end = round(seen / m.device_total_bytes * width)
        bar += letter * (end - len(bar))
        if end > width:
            return bar[: width - 1] + ">"
    return bar + "." * (width - len(bar))
