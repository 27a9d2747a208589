"""Words of a command, quoted for the place that they stand in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote

from llmplan.engines.starting import printable

LINE_WIDTH = 88


def shell_lines(words: Sequence[str], indent: str = "  ") -> str:
    r"""Return words as a command of a POSIX shell, a flag with its values on each line.

    >>> print(shell_lines(["vllm", "serve", "a b", "--port", "80"]))
    vllm serve 'a b' \
      --port 80
    """
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-") and lines[0]:
            lines.append([])
        lines[-1].append(quote(printable(word)))
    return f" \\\n{indent}".join(" ".join(line) for line in lines)


def kubernetes(word: str) -> str:
    """Return a word for command, args or env of a pod, where $(NAME) would be replaced.

    Source: Kubernetes, container command and args: $$ stands for one $.
    """
    return printable(word).replace("$", "$$")


def compose(word: str) -> str:
    """Return a word for a compose file, where $NAME and ${NAME} would be replaced.

    Source: compose specification, interpolation: $$ stands for one $.
    """
    return printable(word).replace("$", "$$")


def systemd(word: str) -> str:
    r"""Return a word of ExecStart= or Environment=: %, $, quotes and backslashes escaped.

    Source: systemd.service(5) command lines, systemd.syntax(7) quoting.

    >>> print(systemd("a b%c$d\"e"))
    "a b%%c$$d\"e"
    """
    text = printable(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("%", "%%").replace("$", "$$")}"'


def label(*parts: str, limit: int = 50) -> str:
    """Return parts as one DNS label: a-z, 0-9 and dashes, a letter first.

    >>> label("Llama 3.1/8B", "awq-int4")
    'llama-3-1-8b-awq-int4'
    """
    text = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
    text = text if text[:1].isalpha() else f"m-{text}".rstrip("-")
    return text[:limit].rstrip("-")


def file_name(path: str) -> str:
    """Return the last part of a path with only letters, digits, dots, dashes, underscores.

    >>> file_name("../x/my model.gguf"), file_name("/a/..")
    ('my-model.gguf', 'weights')
    """
    last = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip(".-") or "weights"
