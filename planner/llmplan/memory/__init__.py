"""Exact memory arithmetic: tensors, weights, KV cache, state. Pure functions, no I/O."""
