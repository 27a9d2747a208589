"""A model on the Hub: its config.json and the headers of its weights, never the weights.

Needs huggingface_hub (`pip install 'llmplan[hub]'`). What was read is kept in its cache
(HF_HOME) and read from there ever after: to follow a branch that moved, name the revision
(`owner/name@revision`) or delete the cached assets. Models that were downloaded by other
programs are found in the same cache.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from llmplan.errors import CatalogFileError, InputError, LlmplanError, OutsideError
from llmplan.sources.hub_request import TOTAL_SECONDS, NotThere, read_url
from llmplan.sources.safetensors_files import (
    StoredTensor,
    header_bytes,
    parse_header,
    read_safetensors,
    weight_files,
)

HUB_ID = re.compile(
    r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w][\w./-]{0,99}))?", re.ASCII
)
"""owner/name, and @revision: a branch, a tag or a commit."""

MAX_LISTING_BYTES = 16 << 20
"""Longest answer about a repository [bytes]; ones with 10,000 files take about 1 MB."""
FIRST_BYTES = 256 << 10
"""Bytes first asked of a file of weights: nearly all headers are shorter. Most models' headers
are under 100 kB (huggingface_hub pull request 1855)."""
WORKERS = 8
"""Headers that are fetched at a time."""
MAX_SHARDS = 4096
MAX_CACHED_BYTES = 256 << 20
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors", re.ASCII)


class HubFiles(NamedTuple):
    """What was read of a repository; `tensors` is empty where `problem` says why."""

    repo: str
    commit: str
    config: str
    tensors: tuple[StoredTensor, ...]
    files: int
    problem: str | None = None


def read_hub(repo: str, revision: str | None, *, offline: bool, max_config_bytes: int) -> HubFiles:
    """Return the config and the weights' headers of a repository, from the cache where kept.

    Raises InputError where the repository has no config.json, NotThere where the Hub has no
    such repository, OutsideError where it does not answer or `offline` keeps from asking.
    """
    revision = revision or "main"
    kept = _kept(repo, revision)
    if kept:
        return kept
    local = _downloaded(repo, revision, max_config_bytes)
    if local and local.tensors:
        return local
    if offline or _constants().HF_HUB_OFFLINE:
        if local:
            return local
        raise OutsideError(
            f"{repo} is not in the cache, and the network is not to be used.",
            "Run once without --offline, or give the path of its config.json.",
        )
    try:
        return _fetched(repo, revision, max_config_bytes)
    except OutsideError as e:
        if local:
            return local._replace(problem=e.message)
        raise


def _constants() -> Any:
    from huggingface_hub import constants

    return constants


def _fetched(repo: str, revision: str, max_config_bytes: int) -> HubFiles:
    deadline = time.monotonic() + TOTAL_SECONDS
    commit, names = _listing(repo, revision, deadline)
    if "config.json" not in names:
        raise _no_config(repo, names)
    config = _file(repo, commit, "config.json", max_config_bytes, deadline)
    weights = shards_of(names)
    found = HubFiles(repo, commit, config, (), len(weights))
    try:
        found = found._replace(tensors=_headers(repo, commit, weights, deadline))
    except (OutsideError, NotThere) as e:
        return found._replace(problem=e.message)
    if not weights:
        found = found._replace(problem="its weights are not one set of safetensors files")
    _keep(found, revision)
    return found


def _listing(repo: str, revision: str, deadline: float) -> tuple[str, list[str]]:
    """Return the commit of a revision and the names of the files at the repository's root."""
    from urllib.parse import quote

    url = f"{_constants().ENDPOINT}/api/models/{repo}/revision/{quote(revision, safe='')}"
    what = f"model {repo}" + ("" if revision == "main" else f" at {revision}")
    try:
        reply = read_url(url, what, limit=MAX_LISTING_BYTES, deadline=deadline)
        listing = json.loads(reply.data)
        commit, files = listing["sha"], listing["siblings"]
        names = [f["rfilename"] for f in files]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _not_the_hub(url) from None
    if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise _not_the_hub(url)
    return commit, [n for n in names if isinstance(n, str) and "/" not in n]


def _not_the_hub(url: str) -> OutsideError:
    return OutsideError(f"{url} does not answer as the Hub does.", "Check HF_ENDPOINT.")


def _no_config(repo: str, names: list[str]) -> InputError:
    gguf = sorted(n for n in names if n.endswith(".gguf") and n.isprintable())
    if gguf:
        shown = ", ".join(n[:80] for n in gguf[:3]) + (", ..." if len(gguf) > 3 else "")
        return InputError(
            f"{repo} holds GGUF files only ({len(gguf)}: {shown}).",
            "Download one and give its path, or name the original model with "
            "--quant gguf:Q4_K_M --engine llama.cpp.",
        )
    if "adapter_config.json" in names:
        return InputError(f"{repo} is an adapter, not a model.", "Name its base model.")
    return InputError(f"{repo} has no config.json.", "Name a repository of the transformers kind.")


def shards_of(names: list[str]) -> list[str]:
    """Return the safetensors files that make up a model: one, or one whole set of shards."""
    if "model.safetensors" in names:
        return ["model.safetensors"]
    sets: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        if match := _SHARD.fullmatch(name):
            sets.setdefault((match[1], match[3]), []).append(name)
    usual = [v for (stem, _), v in sets.items() if stem == "model"] or list(sets.values())
    if len(usual) == 1 and len(usual[0]) == int(usual[0][0][-17:-12]) <= MAX_SHARDS:
        return usual[0]
    return []


def _file(repo: str, commit: str, name: str, limit: int, deadline: float) -> str:
    reply = read_url(_url(repo, commit, name), f"{repo}/{name}", limit=limit, deadline=deadline)
    if reply.cut or (reply.size or 0) > limit:
        raise CatalogFileError(
            f"{repo}/{name}: more than the {limit:,} bytes that such a file may have."
        )
    try:
        return reply.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CatalogFileError(f"{repo}/{name}: not UTF-8 text.") from None


def _url(repo: str, commit: str, name: str) -> str:
    from urllib.parse import quote

    return f"{_constants().ENDPOINT}/{repo}/resolve/{commit}/{quote(name)}"


def _headers(repo: str, commit: str, names: list[str], deadline: float) -> tuple[StoredTensor, ...]:
    def header(name: str) -> tuple[StoredTensor, ...]:
        return _header(repo, commit, name, deadline)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = [t for tensors in pool.map(header, names) for t in tensors]
    if len({t.name for t in found}) != len(found):
        raise CatalogFileError(f"{repo}: two of its files hold a tensor of the same name.")
    return tuple(found)


def _header(repo: str, commit: str, name: str, deadline: float) -> tuple[StoredTensor, ...]:
    """Return the tensors of one file; a second request where its header is unusually long."""
    where, url = f"{repo}/{name}", _url(repo, commit, name)
    reply = read_url(url, where, limit=FIRST_BYTES, deadline=deadline, first=FIRST_BYTES)
    needed = header_bytes(reply.data, where)
    if needed > len(reply.data) and (reply.size or needed) >= needed:
        reply = read_url(url, where, limit=needed, deadline=deadline, first=needed)
    return parse_header(reply.data, reply.size, where)


def _downloaded(repo: str, revision: str, limit: int) -> HubFiles | None:
    """Return what other programs downloaded of a repository, or None."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(path, str):
        return None
    folder = Path(path).parent
    try:
        if Path(path).stat().st_size > limit:
            return None
        config = Path(path).read_text("utf-8-sig", "replace")
    except OSError:
        return None
    found = HubFiles(repo, folder.name, config, (), 0, "its weights are not in the cache")
    try:
        tensors = read_safetensors(folder)
    except LlmplanError:
        return found
    if not tensors:
        return found
    return found._replace(tensors=tensors, files=len(weight_files(folder)), problem=None)


def _place(repo: str, revision: str) -> Path:
    from huggingface_hub import cached_assets_path

    assets = _constants().HF_ASSETS_CACHE
    folder = cached_assets_path("llmplan", repo, "headers", assets_dir=assets)
    return folder / f"{revision.replace('/', '--')}.json"


def _kept(repo: str, revision: str) -> HubFiles | None:
    """Return what an earlier run kept, or None where that is missing or damaged."""
    try:
        return _read_kept(repo, revision)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _read_kept(repo: str, revision: str) -> HubFiles:
    path = _place(repo, revision)
    if path.stat().st_size > MAX_CACHED_BYTES:
        raise ValueError(path)
    data = json.loads(path.read_bytes())
    tensors = tuple(
        StoredTensor(str(n), str(d), tuple(int(i) for i in shape), int(size))
        for n, d, shape, size in data["tensors"]
    )
    facts = (str(data["commit"]), str(data["config"]), tensors, int(data["files"]))
    problem = data["problem"]
    return HubFiles(repo, *facts, None if problem is None else str(problem))


def _keep(found: HubFiles, revision: str) -> None:
    """Write what was read beside the other assets; a disk that takes no file is no fault."""
    text = json.dumps(
        {
            "commit": found.commit,
            "config": found.config,
            "files": found.files,
            "problem": found.problem,
            "tensors": [list(t) for t in found.tensors],
        },
        separators=(",", ":"),
    )
    with suppress(OSError):
        path = _place(found.repo, revision)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(path)
