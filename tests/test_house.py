"""The house's own rules: start-up, layers, sizes, docstrings with units, documented commands."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, Cli

import llmplan

PACKAGE = ROOT / "planner/llmplan"
HEAVY = ("numpy", "pydantic", "yaml", "rich", "jinja2", "difflib")
ALLOWED = {
    "specs": {"specs", "errors"},
    "memory": {"specs", "memory", "errors"},
    "speed": {"specs", "speed"},
    "engines": {"specs", "memory", "speed", "engines", "errors"},
    "catalog": {"specs", "catalog", "sources", "errors"},
    "sources": {"specs", "sources", "errors"},
    "planning": {"specs", "memory", "speed", "engines", "planning", "errors", "version"},
    "deployment": {
        "specs",
        "memory",
        "engines",
        "planning",
        "deployment",
        "errors",
        "version",
    },
    "measured": {
        "specs",
        "memory",
        "speed",
        "engines",
        "planning",
        "catalog",
        "measured",
        "errors",
    },
    "render": {
        "specs",
        "memory",
        "engines",
        "planning",
        "catalog",
        "measured",
        "reporting",
        "render",
        "errors",
        "version",
    },
    "reporting": {
        "specs",
        "memory",
        "speed",
        "engines",
        "planning",
        "measured",
        "deployment",
        "reporting",
        "errors",
        "version",
    },
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_fit_starts_light(cli: Cli, args: tuple[str, ...]) -> None:
    """`fit` imports nothing heavy when the compiled index is there, nor the YAML reader."""
    script = (
        "import sys\n"
        "from llmplan.cli.main import run\n"
        "try:\n"
        f"    run(['fit', 'mixtral-8x7b', '--gpu', 'a100-40g', *{args!r}])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = cli.python(script)
    assert done.returncode == 0
    loaded = set(done.stderr.split())
    assert not [m for m in HEAVY if m in loaded]
    assert "llmplan.catalog.files" not in loaded
    assert "llmplan.catalog.store" in loaded
    assert ("tabulate" in loaded) is (not args)


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages([str(PACKAGE)], "llmplan."):
        if info.name != "llmplan.__main__":
            yield importlib.import_module(info.name)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_dependencies_point_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if room not in ALLOWED:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "llmplan":
                assert len(parts) > 1, f"{path}: import the module, not the package"
                assert parts[1] in ALLOWED[room], f"{path}: {room} must not import {name}"
            elif room in ("specs", "memory", "speed"):
                assert parts[0] in sys.stdlib_module_names, f"{path}: {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_are_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1
                assert length <= MAX_FUNCTION_LINES, f"{path.name}: {node.name} has {length} lines"


SECTION = re.compile(r"^(Parameters|Returns|Examples)\n-+\n", re.MULTILINE)
ARGUMENT = re.compile(r"^(\w+(?:, \w+)*) : (.+)\n((?:    .+\n?)+)", re.MULTILINE)
UNIT = re.compile(r"\[([^\]]+)\]")
UNITS = {
    "bytes", "bytes/token", "tokens", "bits", "layers", "heads", "elements", "rows", "columns",
    "sequences", "copies", "ranks", "patches", "units", "weights", "experts", "s", "bytes/s", "1",
}  # fmt: skip
COUNTS = ("experts_per_token",)
SUFFIXES = {"_bytes": "bytes", "_tokens": "tokens", "_bits": "bits", "_per_token": "bytes/token"}


def formulas() -> list[object]:
    """Return every function whose docstring states an equation."""
    found = []
    for module in modules():
        for _, f in inspect.getmembers(module, inspect.isfunction):
            if f.__module__ == module.__name__ and "Equation:" in (f.__doc__ or ""):
                found.append(f)
    return found


def test_formulas_are_found() -> None:
    assert len(formulas()) >= 8


@pytest.mark.parametrize("formula", formulas(), ids=lambda f: f.__name__)
def test_docstring_states_units_signature_source_and_example(formula) -> None:  # type: ignore[no-untyped-def]
    doc = inspect.getdoc(formula) or ""
    parts = SECTION.split(doc)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    described = ARGUMENT.findall(sections["Parameters"] + "\n")
    names = [n for group, _, _ in described for n in group.split(", ")]
    signature = inspect.signature(formula)
    assert names == list(signature.parameters)
    assert all(p.kind is p.KEYWORD_ONLY for p in signature.parameters.values())
    for group, _, text in [*described, *ARGUMENT.findall(sections["Returns"] + "\n")]:
        unit = UNIT.search(text)
        assert unit is not None, f"{group}: no unit in brackets"
        assert unit.group(1) in UNITS, f"{group}: unknown unit {unit.group(1)}"
        for suffix, expected in SUFFIXES.items():
            if group.endswith(suffix) and group not in COUNTS:
                assert unit.group(1) == expected, f"{group} is in [{unit.group(1)}]"
    assert re.search(r"^Source: .{20,}", doc, re.MULTILINE)
    assert doctest.DocTestParser().get_examples(sections["Examples"])


def test_public_functions_are_documented() -> None:
    for module in modules():
        assert module.__doc__, module.__name__
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(thing) or inspect.isclass(thing):
                assert inspect.getdoc(thing), f"{module.__name__}.{name}"


def test_public_surface_is_small() -> None:
    assert llmplan.__all__ == [
        "__version__",
        "deploy",
        "estimate",
        "fit",
        "load_gpu",
        "load_model",
        "plan",
        "report",
        "sweep",
    ]


def test_pages_show_the_scores_of_today() -> None:
    """`python tests/tools/write_docs.py` writes the tables of docs/memory/."""
    import runpy

    scored = runpy.run_path(str(ROOT / "tests/tools/write_docs.py"))["scored"]
    pages = [p.read_text(encoding="utf-8") for p in (ROOT / "docs/memory").glob("*.md")]
    assert scored("\n".join(pages)) == "\n".join(pages)


def test_pages_show_the_files_of_today() -> None:
    """`python tests/tools/write_docs.py` writes the examples and tables of docs/deploy."""
    import runpy

    from llmplan.deployment.run import target_names

    tools = runpy.run_path(str(ROOT / "tests/tools/write_docs.py"))
    pages = {p.stem: p.read_text(encoding="utf-8") for p in tools["pages_of_deploy"]()}
    assert pages.keys() == {"deploy", *target_names()}
    for name, page in pages.items():
        assert tools["shown"](page) == page, name
        assert name == "deploy" or "<!-- deploy: " in page


def test_every_command_is_documented_with_an_example() -> None:
    """`python tests/tools/write_docs.py` writes docs/commands.md from the commands' own help."""
    import runpy

    import click

    from llmplan.cli.main import COMMANDS
    from llmplan.cli.main import cli as group

    tools = runpy.run_path(str(ROOT / "tests/tools/write_docs.py"))
    assert (ROOT / "docs/commands.md").read_text(encoding="utf-8") == tools["reference"]()
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        assert "Example: llmplan" in (command.help or "")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def test_readme_shows_the_real_output(cli: Cli) -> None:
    """The screen in the README is what the command prints today."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("$ llmplan fit mixtral-8x7b --gpu a100-40g\n")[2].partition("```")[0]
    assert block.strip() == cli("fit", "mixtral-8x7b", "--gpu", "a100-40g").stdout.strip()


def test_changelog_has_the_version() -> None:
    assert f"## {llmplan.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_table_leaves_no_stand_in_behind(cli: Cli) -> None:
    """After a table, importlib.metadata is the real one, and e-mail was never parsed."""
    done = cli.python(
        "import sys\n"
        "from llmplan.render.tables import table\n"
        "text = table(['a'], [[None], [1]])\n"
        "assert 'email' not in sys.modules and 'importlib.metadata' not in sys.modules\n"
        "import importlib.metadata\n"
        "print(importlib.metadata.version('click').split('.')[0])\n"
    )
    assert done.stdout.strip().isdigit(), done.stderr
