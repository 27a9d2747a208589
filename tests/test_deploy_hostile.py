"""Hostile names and paths in every artefact of `deploy`: nothing escapes its quoting."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployments import made
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import llmplan
from llmplan.deployment.artefacts import File, write_files
from llmplan.deployment.quoting import systemd
from llmplan.deployment.run import target_names
from llmplan.deployment.yaml_text import Why, yaml_text
from llmplan.engines.starting import printable
from llmplan.errors import InputError, OutsideError
from llmplan.specs.model import Model

NASTY = st.text(
    alphabet=st.sampled_from("ab/.-_ ~'\"`$(){}[]<>|&;#%!*?\\\n\r\t\0:@=,\x1b\x85\u2028\ufeff{é火"),
    min_size=1, max_size=24,
)  # fmt: skip
EXAMPLES = (
    "$(touch owned)", "`touch owned`", "'; touch owned; '", "a\ntouch owned\n", "../../etc/passwd",
    "x: {y: 1}\n- z", "\"\nkey: value", "a # b", "%n %h", "$HF_TOKEN", "$(HF_TOKEN)", "${HF_TOKEN}",
    "--flag", "{{ .Values.x }}", "\\", "&a *a !!python/object:os.system", "'''\nimport os\n'''",
)  # fmt: skip
BASE = llmplan.load_model("llama-3.1-8b")
QUIET = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ONE_NODE = [t for t in target_names() if t not in ("lws", "ollama")]


def hub(name: str) -> Model:
    """Return a model whose id and Hub id are hostile."""
    return replace(BASE, id=name, name=name, hub_id=f"x/{name}", artifacts=(), aliases=())


def local(name: str) -> Model:
    """Return a model whose folder is hostile."""
    return replace(BASE, id=name, name=name, path=f"./{name}", artifacts=(), aliases=())


def hostile(function: Any) -> Any:
    """Give a test the examples and generated texts."""
    for text in EXAMPLES:
        function = example(name=text)(function)
    return given(name=NASTY)(QUIET(function))


def artefacts(model: Model, to: str, **options: Any) -> Any:
    """Return artefacts, None where the target refuses the name."""
    try:
        return made(model, "a100-40g", to, **options)
    except InputError:
        return None


def ran(script: str, folder: Path, program: str) -> list[str]:
    """Run a script with a stub for its program; return the words that the stub got."""
    folder.mkdir(exist_ok=True)
    stub = folder / program
    stub.write_text('#!/bin/sh\nprintf "%s\\0" "$0" "$@" > "$OUT"\n')
    stub.chmod(0o755)
    out = folder / "words"
    out.unlink(missing_ok=True)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, capture_output=True, check=False, timeout=20,
        env={"PATH": f"{folder}:/usr/bin:/bin", "OUT": str(out)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(work.iterdir()) == []  # nothing was touched
    return out.read_bytes().decode().split("\0")[1:-1]


@pytest.mark.parametrize("make", [hub, local])
@pytest.mark.parametrize(("to", "program"), [("command", "vllm"), ("docker", "docker")])
def test_a_shell_gets_the_words(tmp_path: Path, make: Any, to: str, program: str) -> None:
    @hostile
    def check(name: str) -> None:
        found = artefacts(make(name), to)
        if found is None:
            return
        d = found.deployment
        words = ran(found.files[0].text, tmp_path, program)
        if to == "command":
            assert words == list(d.start.words)[1:]
        else:
            image = words.index(d.image_name())
            assert words[image + 1 :] == d.words()[1:]

    check()


@hostile
def test_comments_stay_comments(name: str) -> None:
    """The first lines of every file are comments, whatever the model is called."""
    for to in ONE_NODE:
        found = artefacts(hub(name), to)
        if found is None:
            continue
        for file in found.files:
            lines = file.text.split("\n")
            assert name.strip() == "" or all(c.isprintable() for line in lines for c in line)
            assert all(f.name == Path(f.name).name for f in found.files)
            assert not any(x.startswith("touch") for x in lines)


@pytest.mark.parametrize("make", [hub, local])
def test_yaml_holds_the_words(make: Any) -> None:
    """Documents have their shape, and the words come back as they went in."""

    @hostile
    def check(name: str) -> None:
        for to, keys in (
            ("compose", [{"name", "services", "volumes"}]),
            ("k8s", [{"apiVersion", "kind", "metadata", "spec"}] * 3),
            ("ray-serve", [{"applications"}]),
            ("kserve", [{"apiVersion", "kind", "metadata", "spec"}]),
            ("llm-d", None),
        ):
            found = artefacts(make(name), to)
            if found is None:
                continue
            read = list(yaml.safe_load_all(found.files[0].text))
            if keys is not None:
                assert [set(d) for d in read] == keys
            _check_words(to, read, found.deployment)

    check()


def _check_words(to: str, read: list[Any], d: Any) -> None:
    if to == "compose":
        server = read[0]["services"]["server"]
        words = [w.replace("$$", "$") for w in server["entrypoint"] + server["command"]]
        assert words == d.words()
    elif to == "k8s":
        main = read[0]["spec"]["template"]["spec"]["containers"][0]
        assert [_expanded(w) for w in main["command"] + main["args"]] == d.words()
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", read[0]["metadata"]["name"])
    elif to == "ray-serve":
        loading = read[0]["applications"][0]["args"]["llm_configs"][0]["model_loading_config"]
        assert loading["model_source"] == d.start.target
    elif to == "kserve":
        assert re.fullmatch(r"(hf|pvc)://[A-Za-z0-9./_-]+", read[0]["spec"]["model"]["uri"])


def _expanded(word: str) -> str:
    """Return what Kubernetes makes of a word whose variables are all defined."""
    return re.sub(
        r"\$(\$|\([^)]*\))", lambda m: "$" if m[1] == "$" else pytest.fail("a variable"), word
    )


def test_kserve_evaluates_the_arguments_as_they_are(tmp_path: Path) -> None:
    """Its template runs `eval "... ${VLLM_ADDITIONAL_ARGS}"`."""

    @hostile
    def check(name: str) -> None:
        model = replace(hub("m"), hub_id="x/m", adapter=llmplan.specs.facts.Adapter(  # type: ignore[attr-defined]
            rank=8, targets=("q_proj",), hub_id=f"x/{name}"))  # fmt: skip
        found = artefacts(model, "kserve")
        assert found is not None
        read = yaml.safe_load(found.files[0].text)
        env = read["spec"]["template"]["containers"][0]["env"]
        value = _expanded(next(e["value"] for e in env if e["name"] == "VLLM_ADDITIONAL_ARGS"))
        script = f'VLLM_ADDITIONAL_ARGS={shlex.quote(value)}; eval "vllm ${{VLLM_ADDITIONAL_ARGS}}"'
        words = ran(script, tmp_path, "vllm")
        assert words == list(found.deployment.start.words)[3:]

    check()


_UNIT_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')


@pytest.mark.parametrize("make", [hub, local])
def test_systemd_units(make: Any) -> None:
    @hostile
    def check(name: str) -> None:
        found = artefacts(make(name), "systemd")
        assert found is not None
        lines = found.files[0].text.splitlines()
        start = [x for x in lines if x.startswith("ExecStart=")]
        assert len(start) == 1
        text = start[0].removeprefix("ExecStart=/usr/bin/env ")
        assert _UNIT_WORD.sub("", text).strip() == ""
        d = found.deployment
        assert [_unit_word(w) for w in _UNIT_WORD.findall(text)] == [*d.start.words, *d.reachable()]
        known = r"(#.*|\[(Unit|Service|Install)\]|[A-Z][A-Za-z]+=.*|)"
        assert all(re.fullmatch(known, x) for x in lines)
        assert not any(x.endswith("\\") for x in lines)

    check()


def _unit_word(text: str) -> str:
    """Return a word as systemd reads it: escapes, then specifiers, then variables."""
    plain = re.sub(r"\\(.)", r"\1", text)
    assert not re.search(r"(?<!%)(%%)*%(?!%)", plain)
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", plain)
    return plain.replace("%%", "%").replace("$$", "$")


@given(NASTY)
def test_systemd_words(text: str) -> None:
    found = _UNIT_WORD.fullmatch(systemd(text))
    assert found is not None
    assert _unit_word(found[1]) == printable(text)


def test_modelfiles_and_scripts(tmp_path: Path) -> None:
    @hostile
    def check(name: str) -> None:
        model = replace(local(name), path=None)
        found = artefacts(model, "ollama", weight_format="Q4_K_M")
        assert found is not None
        modelfile = found.files[0].text.splitlines()
        assert all(re.match(r"(#|FROM \./|PARAMETER num_)", x) for x in modelfile)
        assert sum(x.startswith("FROM") for x in modelfile) == 1
        quantize = next(f for f in found.files if f.name == "quantize.sh")
        words = ran(quantize.text.replace("build/bin/", ""), _with(tmp_path, "python"),
                    "llama-quantize")  # fmt: skip
        assert words[1:] == [found.deployment.start.target, "Q4_K_M"]

    check()


def _with(folder: Path, program: str) -> Path:
    stub = folder / program
    stub.write_text("#!/bin/sh\n")
    stub.chmod(0o755)
    return folder


@hostile
def test_python_that_makes_a_checkpoint(name: str) -> None:
    """The script is one import list and one call, with the names as plain text."""
    found = artefacts(hub(name), "command", weight_format="awq-int4")
    assert found is not None
    script = next(f for f in found.files if f.name == "quantize.py")
    body = ast.parse(script.text).body
    assert [type(s) for s in body[:-1]] == [ast.ImportFrom] * (len(body) - 1)
    call = body[-1]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    given = {k.arg: k.value for k in call.value.keywords}
    assert ast.literal_eval(given["model"]) == printable(f"x/{name}")
    assert ast.literal_eval(given["output_dir"]) == found.deployment.start.target


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9, width=16) | NASTY
    | st.sampled_from(["yes", "null", "1e3", "0x1", "12:30", "=", "~", "-", "? a", "2026-11-26"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def kept(value: Any) -> Any:
    """Return a value as the emitter keeps it: texts without what cannot be printed."""
    if isinstance(value, dict):
        return {printable(k): kept(v) for k, v in value.items()}
    if isinstance(value, list):
        return [kept(v) for v in value]
    if isinstance(value, str) and "\n" not in value:
        return printable(value)
    return value


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NASTY, VALUES, min_size=1, max_size=3), NASTY)
def test_yaml_comes_back(value: Any, reason: str) -> None:
    """PyYAML reads what was written, with comments of any text above it."""
    flat = kept(value)
    if any("\n" in v for v in _texts(value)) or len(flat) < len(value):
        return
    commented = {k: Why(v, reason) for k, v in value.items()}
    assert yaml.safe_load(yaml_text([commented], [reason])) == flat


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(t for v in value.values() for t in _texts(v))]
    if isinstance(value, list):
        return [t for v in value for t in _texts(v)]
    return [value] if isinstance(value, str) else []


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    files = [File("a.sh", "a\n", executable=True), File("b.yaml", "b\n")]
    write_files(files, str(tmp_path / "new/folder"))
    assert os.access(tmp_path / "new/folder/a.sh", os.X_OK)
    (tmp_path / "b.yaml").write_text("mine\n")
    with pytest.raises(InputError, match="there already"):
        write_files(files, str(tmp_path))
    assert not (tmp_path / "a.sh").exists()
    assert (tmp_path / "b.yaml").read_text() == "mine\n"
    write_files(files, str(tmp_path), force=True)
    assert (tmp_path / "b.yaml").read_text() == "b\n"
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_files([*files, File("c", "c\n")], str(tmp_path), force=True)
    with pytest.raises(OutsideError):
        write_files(files, str(tmp_path / "b.yaml/below"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.sh", "b.yaml", "c", "new"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "a.sh").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="there already"):
        write_files([File("a.sh", "a\n")], str(tmp_path))
    write_files([File("a.sh", "a\n")], str(tmp_path), force=True)
    assert (tmp_path / "secret").read_text() == "secret\n"
