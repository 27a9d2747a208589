"""What a serving engine or stack is: where it runs, how it is reached, its images and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from llmplan.specs.record import Record, record

KINDS = ("engine", "stack", "other")
STATUSES = ("active", "maintenance", "archived")


@record
class Image(Record):
    """A published container image for devices of one vendor, and how its tags follow versions.

    `tag` holds `{version}` where the tags do; `since` is the first version that has one.
    `program` stands for the first word of the command where the image does not find it.
    """

    vendor: str
    repository: str
    tag: str
    ref: str
    date: str
    since: str | None = None
    program: str | None = None

    def named(self, version: str) -> str:
        """Return the image of a version."""
        return f"{self.repository}:{self.tag.replace('{version}', version)}"


@record
class Server(Record):
    """A serving engine, a stack around engines, or what people still ask for instead of one.

    `read` is the version that the facts were read off. `planned`: llmplan has a memory policy
    for it. `instead` says what to use where it cannot be planned. `listen` and `metrics_flags`
    are words that make the server reachable from outside, and its metrics readable; the metric
    names are those on the wire. `cache_variable` names the folder of downloads. `targets` are
    the files that `deploy` writes for a stack.
    """

    id: str
    name: str
    kind: str
    status: str
    what: str
    sources: tuple[str, ...]
    checked: str
    read: str | None = None
    planned: bool = False
    instead: str | None = None
    aliases: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    min_compute_capability: float | None = None
    weight_formats: tuple[str, ...] = ()
    kv_formats: tuple[str, ...] = ()
    parallelism: tuple[str, ...] = ()
    several_nodes: str | None = None
    memory_setting: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    port: int | None = None
    health_path: str | None = None
    metrics_path: str | None = None
    listen: tuple[str, ...] = ()
    port_flag: str | None = None
    name_flag: str | None = None
    metrics_flags: tuple[str, ...] = ()
    cache_variable: str = "HF_HOME"
    queue_metric: str | None = None
    images: tuple[Image, ...] = ()
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.status not in STATUSES:
            raise ValueError(f"status is one of {', '.join(STATUSES)}, not {self.status!r}")
        if not self.sources:
            raise ValueError("sources must name at least one reference")
        if not self.planned and not self.instead:
            raise ValueError("instead must say what to use where nothing is planned")
        if self.port is not None and not 0 < self.port < 1 << 16:
            raise ValueError("port is between 1 and 65535")

    def image_for(self, vendor: str) -> Image | None:
        """Return the image for devices of a vendor, or None."""
        return next((i for i in self.images if i.vendor == vendor), None)


_LISTS = (
    "sources", "aliases", "devices", "weight_formats", "kv_formats", "parallelism", "listen",
    "metrics_flags", "targets", "notes",
)  # fmt: skip


def server_from_dict(data: Mapping[str, Any]) -> Server:
    """Build a Server from trusted plain data (the compiled index)."""
    rest: dict[str, Any] = {k: tuple(v) if k in _LISTS else v for k, v in data.items()}
    images = tuple(Image(**i) for i in data.get("images", ()))
    return Server(**(rest | {"images": images}))
