"""One bounded read from the Hub: its address, its token and its session, our limits.

The endpoint (HF_ENDPOINT), the token (HF_TOKEN or a login) and proxies are huggingface_hub's.
The token goes to the endpoint only: the session drops it where a redirect leaves that host.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmplan.errors import LlmplanError, OutsideError

REQUEST_SECONDS = 10
"""Longest wait for a connection or for the next bytes [s]; huggingface_hub waits as long."""
TOTAL_SECONDS = 60
"""Longest time for all requests of a model [s]: 200 headers, 8 at a time, take about 10 s."""


class Reply(NamedTuple):
    """The first bytes of an answer, whether there were more, and the size of the whole file."""

    data: bytes
    cut: bool
    size: int | None


class NotThere(LlmplanError):
    """The Hub has no such repository, revision or file."""


def read_url(
    url: str, what: str, *, limit: int, deadline: float, first: int | None = None
) -> Reply:
    """Return at most `limit` bytes of what a URL holds, by one request without retries.

    Parameters
    ----------
    url : str
        Address below the endpoint
    what : str
        Name of the thing for messages
    limit : int
        Bytes that are read at most; `cut` says whether there were more [bytes]
    deadline : float
        When to give up, by time.monotonic() [s]
    first : int or None
        Ask only for this many bytes from the start [bytes]

    Raises NotThere where the Hub has it not, OutsideError where it refuses or does not answer.

    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    # The session's own base of all its errors, whichever HTTP library this version uses.
    bases: tuple[Any, ...] = HfHubHTTPError.__bases__
    failures: tuple[type[Exception], ...] = (*bases, OSError, ValueError, RuntimeError)
    headers = {**build_hf_headers(library_name="llmplan"), "Accept-Encoding": "identity"}
    if first is not None:
        headers["Range"] = f"bytes=0-{first - 1}"
    left = min(REQUEST_SECONDS, deadline - time.monotonic())
    if left <= 0:
        raise _failed(what, f"not done within {TOTAL_SECONDS} s")
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=left, follow_redirects=True
        ) as answer:
            if answer.status_code >= 400:
                raise _refused(answer.status_code, answer.headers, what)
            data, cut = _body(answer, limit, deadline, what)
            return Reply(data, cut, _whole_size(answer.headers))
    except LlmplanError:
        raise
    except failures as e:
        reason = "".join(c for c in " ".join(str(e).split()) if c.isprintable())
        raise _failed(what, reason[:120] or type(e).__name__) from None


def _body(answer: Any, limit: int, deadline: float, what: str) -> tuple[bytes, bool]:
    data = bytearray()
    for chunk in answer.iter_bytes():
        data += chunk
        if len(data) > limit:
            return bytes(data[:limit]), True
        if time.monotonic() > deadline:
            raise _failed(what, f"not done within {TOTAL_SECONDS} s")
    return bytes(data), False


def _whole_size(headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole file, behind the slash of Content-Range where it is a part."""
    text = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _refused(status: int, headers: Mapping[str, str], what: str) -> LlmplanError:
    kind = headers.get("X-Error-Code", "")
    if status == 404 or kind in ("RepoNotFound", "RevisionNotFound", "EntryNotFound"):
        return NotThere(f"The Hub has no {what}.", kind)
    if status in (401, 403):
        return OutsideError(
            f"The Hub refuses {what} (status {status}): it is gated or private.",
            "Accept its licence on its page and set HF_TOKEN to a token that may read it.",
        )
    return OutsideError(f"The Hub answers {what} with status {status}.", "Try again later.")


def _failed(what: str, reason: str) -> OutsideError:
    return OutsideError(
        f"Cannot read {what} from the Hub: {reason.rstrip('.')}.",
        "Check the network and HF_ENDPOINT, or give the path of a downloaded config.json.",
    )
