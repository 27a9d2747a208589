"""Models that only the Hub knows: `owner/name`, `owner/name@revision`."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from llmplan.catalog.resolve import FoundModel
from llmplan.catalog.user_files import MAX_CONFIG_BYTES, model_from_config, parse_json
from llmplan.errors import OutsideError, UnknownName
from llmplan.sources.hub import HUB_ID, HubFiles, read_hub
from llmplan.sources.hub_request import NotThere
from llmplan.sources.safetensors_files import stored_weights
from llmplan.specs.facts import Source
from llmplan.specs.model import Model


def hub_model(name: str, *, offline: bool, unknown: UnknownName) -> FoundModel:
    """Return the model of a Hub id that the catalogue does not know.

    Parameters
    ----------
    name : str
        owner/name, or owner/name@revision
    offline : bool
        Look in the cache only
    unknown : UnknownName
        What to raise where this is no Hub id; its hint names what comes near

    Raises UnknownName where the Hub has no such model, OutsideError where it cannot be asked.

    """
    match = HUB_ID.fullmatch(name)
    if match is None or ".." in match[1] or "--" in match[1]:
        raise unknown
    if find_spec("huggingface_hub") is None:
        hint = f"To read it from the Hub: pip install 'llmplan[hub]'. {unknown.hint or ''}"
        raise UnknownName(unknown.message, hint.strip())
    repo, revision = match[1], match[2]
    try:
        files = read_hub(repo, revision, offline=offline, max_config_bytes=MAX_CONFIG_BYTES)
    except NotThere as e:
        hint = f"A private model needs HF_TOKEN. {unknown.hint or ''}"
        raise UnknownName(e.message, hint.strip()) from None
    except OutsideError as e:
        if (unknown.hint or "").startswith("Did you mean"):  # the id may be a slip of the pen
            raise OutsideError(e.message, f"{unknown.hint} {e.hint}") from None
        raise
    model = model_of(files)
    return FoundModel(model, _note(model, files, revision))


def model_of(files: HubFiles) -> Model:
    """Return the model that a repository's config describes, with the bytes its files hold."""
    where = Path(f"{files.repo}/config.json")
    config = parse_json(files.config, where)
    model = model_from_config({**config, "_name_or_path": files.repo}, where)
    source = Source(("architecture",), f"huggingface.co/{files.repo}/blob/{files.commit}")
    model = replace(model, hub_id=files.repo, path=None, sources=(source,))
    if not files.tensors:
        return model
    return replace(model, stored=stored_weights(files.tensors, model, files.files))


def _note(model: Model, files: HubFiles, revision: str | None) -> str:
    note = f"{files.repo} is read from the Hub, commit {files.commit[:12]}"
    if revision:
        note += f" (start the engine with --revision {revision})"
    if files.problem:
        reason = files.problem.rstrip(".")
        note += f"; the sizes of its weights are computed from its config: {reason}"
    return f"{note}."
