"""Write the flag names of engines into tests/pinned/, from their unpacked sources.

    python tests/tools/pin_flags.py vllm VERSION FOLDER        the `vllm` package of an sdist
    python tests/tools/pin_flags.py sglang VERSION FOLDER      the `sglang` package of a wheel
    python tests/tools/pin_flags.py llama.cpp VERSION FOLDER   a checkout of llama.cpp

    python tests/tools/pin_flags.py NAME VERSION FILE...       any other parser: names written out

Nothing of the sources is run. The vLLM list of 0.32.0 made this way is the one that the real
parser of that release has (430 names with their --no- forms).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PINNED = Path(__file__).parents[1] / "pinned"
FLAG = re.compile(r'"(--?[A-Za-z][A-Za-z0-9_-]*)"')


def vllm(root: Path) -> set[str]:
    """Return the names of `vllm serve`: those written out, and the fields of its front end."""
    files = [root / "engine/arg_utils.py", root / "entrypoints/cli/serve.py"]
    files += sorted((root / "entrypoints").rglob("cli_args.py"))
    names: set[str] = set()
    for text in (f.read_text(encoding="utf-8") for f in files):
        names |= {n for n in FLAG.findall(text) if n.startswith("--")}
        for c in _classes(text):
            if "FrontendArgs" in c.name:
                names |= {_flag(s) for s in c.body if isinstance(s, ast.AnnAssign)}
    return names


def sglang(root: Path) -> set[str]:
    """Return the names of `sglang.launch_server`: fields of its argument groups, and aliases."""
    names: set[str] = set()
    for path in sorted((root / "srt/arg_groups/fields").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for c in _classes(text):
            for s in c.body:
                kind = getattr(s, "annotation", None)
                if isinstance(s, ast.AnnAssign) and isinstance(kind, ast.Subscript):
                    names |= {_flag(s), *FLAG.findall(ast.get_source_segment(text, s) or "")}
    return {n for n in names if re.match("--[a-z]", n)}


def llama_cpp(root: Path) -> set[str]:
    """Return the names of `llama-server`: those of all programs, and its own."""
    text = (root / "common/arg.cpp").read_text(encoding="utf-8")
    names: set[str] = set()
    for block in text.split("add_opt(common_arg(")[1:]:
        head = re.match(r"\s*(\{[^}]*\})(?:\s*,\s*(\{[^}]*\}))?", block)
        only = re.search(r"set_examples\(\{([^}]*)\}", block)
        if head and (only is None or re.search("SERVER|COMMON", only[1])):
            names |= set(FLAG.findall(head[1] + (head[2] or "")))
    return names


def written_out(*files: Path) -> set[str]:
    """Return the names that sources of a parser write out."""
    names = re.findall(r"""["'](--?[a-zA-Z][a-zA-Z0-9_-]*)["']""", "".join(map(_text, files)))
    return set(names)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _classes(text: str) -> Iterator[ast.ClassDef]:
    return (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ClassDef))


def _flag(field: ast.AnnAssign) -> str:
    assert isinstance(field.target, ast.Name)
    return "--" + field.target.id.replace("_", "-")


if __name__ == "__main__":
    engine, version, *places = sys.argv[1:]
    read = {"vllm": vllm, "sglang": sglang, "llama.cpp": llama_cpp}.get(engine, written_out)
    found = read(*map(Path, places))
    head = f"# {engine} {version}: flag names, by tests/tools/pin_flags.py, 2026-11-26\n"
    target = PINNED / f"{engine}-flags.txt"
    target.write_text(head + "\n".join(sorted(found)) + "\n", encoding="utf-8")
    print(f"{len(found)} names in {target}")
