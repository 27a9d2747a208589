"""One chosen setup with all that its files need: words, image, volumes, sizes, times."""

from __future__ import annotations

import re
from typing import NamedTuple

from llmplan.deployment.quoting import file_name, label
from llmplan.engines.base import Plan, Request
from llmplan.engines.starting import Start
from llmplan.errors import InputError
from llmplan.memory.weights import weight_bytes
from llmplan.specs.record import Record, record
from llmplan.specs.serving import Image, Server
from llmplan.specs.setup import Setup

DISK_BYTES_PER_S = 125 << 20
"""Rate at which weights are written and read [bytes/s]: the baseline of an AWS gp3 volume, the
slowest disk that is usual for this. Source: AWS EBS gp3 baseline of 125 MiB/s, read 2026-11-26."""

START_SECONDS = 600
"""Time for everything but the weights: image, compilation, CUDA graphs [s]. Source: the start-up
probe of KServe's own vLLM template, 60 x 10 s (kserve aaac4e2)."""

PROBE_SECONDS = 10
"""Seconds between two probes. Source: the same template."""

MODELS = "/models"
CACHE = "/cache"
"""Where checkpoints of yours, and downloads, stand in a container."""

_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


class Mount(NamedTuple):
    """A file or folder of the host, and where a container has it."""

    host: str
    inside: str


@record
class Deployment(Record):
    """A setup with its request and plan, the facts of its engine, and where it will run.

    `rank` is its place among the `of` setups that `fit` ranks with the same options.
    """

    setup: Setup
    request: Request
    plan: Plan
    start: Start
    server: Server
    rank: int
    of: int
    devices_per_node: int
    autoscaler: str = "hpa"

    @property
    def name(self) -> str:
        """Name of the objects: model, format and part of a pair as one DNS label."""
        part = [self.role] if self.role else []
        return label(*part, self.request.model.id, self.setup.weight_format)

    @property
    def role(self) -> str | None:
        """Part of a disaggregated pair that the server has: prefill, decode, or null."""
        return self.request.limits.role

    @property
    def vendor(self) -> str:
        """Vendor of the devices, as images are told apart."""
        return self.request.gpu.vendor

    @property
    def nodes(self) -> int:
        """Machines that one server spans [machines]."""
        return -(-self.setup.gpus // self.devices_per_node)

    @property
    def devices_on_node(self) -> int:
        """Devices of the server on each of its machines [devices]."""
        return -(-self.setup.gpus // self.nodes)

    @property
    def weights_bytes(self) -> int:
        """Weights of the whole model: the size of the checkpoint [bytes]."""
        return round(weight_bytes(self.request.model, self.request.weights).total)

    @property
    def is_local(self) -> bool:
        """Whether the weights are files of the user's: nothing to download."""
        return not self.start.urls

    @property
    def start_seconds(self) -> int:
        """Longest time that a start may take: weights written once and read once, and the rest."""
        passes = 1 if self.is_local else 2
        return START_SECONDS + -(-passes * self.weights_bytes // DISK_BYTES_PER_S)

    @property
    def port(self) -> int:
        """Port that the server listens on."""
        return self.server.port or 8000

    @property
    def served_name(self) -> str:
        """Name that requests give for the model."""
        return self.request.model.hub_id or self.request.model.id

    def image(self) -> Image:
        """Return the container image; where none is published for these devices, an error."""
        found = self.server.image_for(self.vendor)
        version = self.setup.engine_version
        if found is None or (found.since and _number(version) < _number(found.since)):
            raise InputError(
                f"No container image of {self.server.name} {version} for {self.vendor} devices is "
                "on record.",
                "Take --to command or systemd.",
            )
        return found

    def image_reason(self) -> str:
        """Return why this image: the planned version, or the newest where tags name none."""
        planned = f"{self.setup.engine} {self.setup.engine_version}"
        rolling = "{version}" not in self.image().tag
        return f"the newest image; {planned} was planned" if rolling else f"{planned}, as planned"

    def image_name(self) -> str:
        """Return the image with the tag of the planned version."""
        return self.image().named(self.setup.engine_version)

    def mounts(self) -> list[Mount]:
        """Return the files and folders of the user's that the words name, and their places."""
        named = [self.start.target] if self.is_local else []
        for word in self.start.words:
            value = word.partition("=")[2] or word
            if value.startswith("./") and value not in named:
                named.append(value)
        return [_mount(path) for path in named]

    def words(self) -> list[str]:
        """Return the words as a container runs them: reachable, with metrics, paths inside."""
        if "create" in self.load_words():
            raise InputError(
                f"{self.server.name} makes its own model of {self.start.target[:60]!r} first.",
                "Take --to ollama, or a format that is published: --quant Q4_K_M.",
            )
        words = [self._inside(w) for w in self.start.words]
        words[0] = self.image().program or words[0]
        return words + self.reachable()

    def reachable(self) -> list[str]:
        """Return the flags that open the server and its metrics to other machines."""
        server = self.server
        port = [server.port_flag, str(self.port)] if server.port_flag else []
        return [*server.listen, *port, *server.metrics_flags, *self._named()]

    def _named(self) -> list[str]:
        """Return the flag that keeps the public name where the weights are a path inside."""
        flag = self.server.name_flag
        return [flag, self.served_name] if flag and self.is_local else []

    def _inside(self, word: str) -> str:
        for mount in self.mounts():
            if word == mount.host or word.endswith(f"={mount.host}"):
                return word.removesuffix(mount.host) + mount.inside
        return word

    def variables(self) -> list[tuple[str, str]]:
        """Return the environment of a container: the engine's, and where downloads go."""
        return [*self.start.variables, (self.server.cache_variable, CACHE)]

    def load_words(self) -> list[str]:
        """Return the command that loads the model into a server that starts without one."""
        if self.server.id != "ollama":
            return []
        if self.is_local or self.request.limits.n_gpu_layers is not None:
            return ["ollama", "create", self.name, "-f", "Modelfile"]
        return ["ollama", "pull", self.start.target]


def _number(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)]


def _mount(path: str) -> Mount:
    """Return where a path stands inside; a GGUF in parts needs the folder of its parts."""
    if _SPLIT.search(path):
        folder, _, name = path.rpartition("/")
        if file_name(name) == name:
            return Mount(path, f"{MODELS}/{file_name(folder)}/{name}")
    return Mount(path, f"{MODELS}/{file_name(path)}")


def host_path(mount: Mount) -> tuple[str, str]:
    """Return what is mounted and where: the path itself, or the folder of a GGUF in parts."""
    if _SPLIT.search(mount.host) and mount.inside.count("/") > 2:
        return mount.host.rpartition("/")[0] or "/", mount.inside.rpartition("/")[0]
    return mount.host, mount.inside
