"""How a server is started: one argument list, which the one-line command and every file quote."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import NamedTuple

from llmplan.specs.setup import Warning_

NO_ARTIFACT = "no_published_artifact"
"""Code of the warning that a checkpoint has to be made first."""


class Start(NamedTuple):
    """What starts a server: words without quotes, and variables for its environment.

    `target` names the weights: a repository, or a path where nothing is published (`urls`
    empty). Whoever writes the words down quotes them for the place they stand in.
    """

    words: tuple[str, ...]
    target: str
    urls: tuple[str, ...] = ()
    warnings: tuple[Warning_, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def line(self) -> str:
        """The words as one line of a shell, variables in front."""
        variables = [f"{name}={quote(value)}" for name, value in self.variables]
        return " ".join([*variables, *map(quote, self.words)])

    @property
    def has_to_be_made(self) -> bool:
        """Whether no checkpoint in the asked format is published."""
        return any(w.code == NO_ARTIFACT for w in self.warnings)


def start_of(
    words: Iterable[str],
    target: str,
    urls: tuple[str, ...],
    warnings: tuple[Warning_, ...],
    variables: tuple[tuple[str, str], ...] = (),
) -> Start:
    """Return a start whose words are printable: no line break or escape can stand in one."""
    kept = tuple((name, printable(value)) for name, value in variables)
    return Start(tuple(map(printable, words)), printable(target), urls, warnings, kept)


def printable(text: str) -> str:
    r"""Return the text without control characters, line breaks and invisible signs.

    >>> printable("a\nb\x1b[31mc")
    'ab[31mc'
    """
    return "".join(c for c in text if c.isprintable())
