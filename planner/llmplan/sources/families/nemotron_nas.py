"""Models found by architecture search, whose layers differ each from the other."""

from __future__ import annotations

from llmplan.sources.config_json import Config, attention, dense, family, record, stack
from llmplan.sources.layers import Plain

WIDTH_MULTIPLE = 256
"""Widths are rounded up to this. Source: DeciLMForCausalLM, _ffn_mult_to_intermediate_size."""


def _width(ffn: Config, hidden: int) -> int:
    if ffn.get("intermediate_size"):
        return int(ffn["intermediate_size"])
    wanted = int(2 * ffn["ffn_mult"] * hidden / 3)
    return -(-wanted // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def _layer(c: Config, block: Config) -> Plain:
    """Return one layer: attention and MLP each kept, replaced by a matrix, or left out."""
    h, attends, feeds = c["hidden_size"], block["attention"], block["ffn"]
    layer: Plain = {"norms": 0}
    matrices = []
    for name, part in (("linear_attn", attends), ("linear_mlp", feeds)):
        layer["norms"] += 0 if part.get("no_op") else 1
        if part.get("replace_with_linear"):
            matrices.append({"name": name, "shape": [h, h], "linear": True})
    if not (attends.get("no_op") or attends.get("replace_with_linear")):
        groups = c["num_attention_heads"] // attends["n_heads_in_group"]
        layer["mixers"] = [attention({**c, "num_key_value_heads": groups})]
    if not (feeds.get("no_op") or feeds.get("replace_with_linear")):
        layer["mlp"] = dense(_width(feeds, h))
    return layer | ({"tensors": matrices} if matrices else {})


@family("nemotron-nas")
def nemotron_nas(c: Config) -> Plain:
    """Llama-Nemotron Super and Ultra: Llama's layers, thinned one by one (`block_configs`)."""
    layers = [_layer(c, block) for block in c["block_configs"]]
    return record(c, stack(c["hidden_size"], layers))
