"""What the files of a checkpoint hold, read from their headers: exact bytes by place and class."""

from __future__ import annotations

from collections.abc import Mapping

from llmplan.specs.record import Record, record


@record
class StoredWeights(Record):
    """Bytes that a checkpoint's files store, tensor by tensor, in the parts that are loaded.

    `format` is the weight format of the files. `layers` has one entry a main-stack layer.
    `classes` gives bytes by tensor class and sums to all that the files hold; what no engine
    loads (`UNLOADED`) is in `classes` only. `elements` counts the stored elements of the
    served tensors: draft layers, buffers and the second copy of a tied head are out.
    """

    format: str
    layers: tuple[int, ...]
    embedding: int
    head: int
    encoder: int
    vision: int
    draft: int
    classes: Mapping[str, int]
    elements: int
    files: int

    def __post_init__(self) -> None:
        counts = (*self.layers, *self.classes.values(), self.loaded, self.elements)
        if any(n < 0 for n in counts):
            raise ValueError("layers and parts must hold 0 bytes or more")
        if self.files < 1:
            raise ValueError("files must be at least 1")

    @property
    def loaded(self) -> int:
        """Bytes of the parts, draft layers included [bytes]."""
        beside = self.embedding + self.head + self.encoder + self.vision + self.draft
        return sum(self.layers) + beside

    @property
    def total(self) -> int:
        """Bytes of all tensors in the files [bytes]."""
        return sum(self.classes.values())


TIED_HEAD = "tied_head_duplicate"
"""Class of a head stored a second time although it is tied to the embedding."""

BUFFERS = "buffers"
"""Class of stored tensors that are worked out anew at load: masks, rotary frequencies."""

UNLOADED = (TIED_HEAD, BUFFERS)
