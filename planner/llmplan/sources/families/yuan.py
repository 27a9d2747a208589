"""Yuan 2.0: attention behind a filter over neighbouring tokens.

Shapes: IEIT-Yuan/Yuan-2.0@2f59b3f, 3rdparty/vllm/yuan_hf_model.py. The filter's memory of the last
two tokens is no more than two rows of the hidden width a layer and is not counted.
"""

from __future__ import annotations

from llmplan.sources.config_json import Config, dense, family, own_heads, record, stack
from llmplan.sources.families.vision import tensor
from llmplan.sources.layers import Plain

FILTER_TOKENS = 2
"""Tokens that each of the filter's two convolutions spans."""


@family("yuan")
def yuan(c: Config) -> Plain:
    """Yuan 2.0: two convolutions and a norm filter the input of queries and keys; tied head."""
    if c.get("num_experts") or c.get("moe_config"):
        raise KeyError("a reading of its experts (Yuan2-M32)")
    h = c["hidden_size"]
    half = h // 2
    filters = [
        tensor("lf_gate.conv1", half, FILTER_TOKENS * h),
        tensor("lf_gate.conv1.bias", half),
        tensor("lf_gate.conv2", h, FILTER_TOKENS * half),
        tensor("lf_gate.conv2.bias", h),
        tensor("lf_gate.norm", h),
    ]
    layer = {"mixers": [own_heads(c)], "mlp": dense(c["intermediate_size"]), "tensors": filters}
    return record(c, stack(h, [layer] * c["num_hidden_layers"]), tied=True)
