"""Weight formats and KV-cache formats: how many bits each stored value takes, with its scales."""

from __future__ import annotations

from llmplan.specs.record import Record, record


@record
class WeightFormat(Record):
    """Bits of a quantized weight matrix, its scales included, and what stays as it was.

    Every matrix of a covered class takes `bits` a weight, `group_bits` for each
    `group_size` weights of a row, `row_bits` an output row, `column_bits` an input column,
    `tile_bits` for each tile x tile block, `tensor_bits` a matrix. Classes that are not
    covered stay at `rest_bits`; `head_bits` sets the head apart when it is quantized.
    """

    name: str
    bits: float
    source: str
    group_size: int = 0
    group_bits: int = 0
    row_bits: int = 0
    column_bits: int = 0
    tile: int = 0
    tile_bits: int = 0
    tensor_bits: int = 0
    covers: tuple[str, ...] = ("attention", "mlp", "experts", "shared_experts", "recurrent")
    rest_bits: float = 16
    head_bits: float | None = None
    gguf_preset: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def is_quantized(self) -> bool:
        """Whether any class is stored in fewer than 16 bits."""
        return self.bits < 16


@record
class KvFormat(Record):
    """Bits of a cached key and value element; `head_bits` are scales per token and head."""

    name: str
    key_bits: float
    value_bits: float
    source: str
    head_bits: float = 0
    latent_bytes: int = 0
    aliases: tuple[str, ...] = ()
