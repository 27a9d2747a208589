"""`llmplan deploy`: which setup, the contract of the command line, what is refused and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Cli
from deployments import made

import llmplan
from llmplan.deployment.checkpoints import RECIPES, checkpoint_files, recipe_of
from llmplan.deployment.run import target_names
from llmplan.errors import InputError, UnknownName
from llmplan.memory.formats import WEIGHT_FORMATS

DEPLOY = ("deploy", "mixtral-8x7b", "--gpu", "a100-40g")


def test_targets_are_those_of_the_contract() -> None:
    wanted = {"command", "docker", "compose", "systemd", "k8s", "lws", "kserve", "ray-serve",
              "llm-d", "ollama", "bench"}  # fmt: skip
    assert set(target_names()) == wanted
    assert target_names()[0] == "command"


def test_the_best_setup_of_fit_is_taken() -> None:
    """Without a choice, what `fit` ranks first; with one, the same number on its screen."""
    answer = llmplan.fit("mixtral-8x7b", "a100-40g")
    first = made("mixtral-8x7b", "a100-40g", "command").deployment
    assert first.setup == answer.setups[0]
    seen = [(s.engine, s.weight_format) for s in answer.setups]
    shown = list(dict.fromkeys(seen))
    assert first.of == len(shown)
    for pick in range(1, len(shown) + 1):
        setup = made("mixtral-8x7b", "a100-40g", "bench", pick=pick).deployment.setup
        assert (setup.engine, setup.weight_format) == shown[pick - 1]
    for pick in (0, -1, len(shown) + 1):
        with pytest.raises(InputError, match="There is no setup"):
            llmplan.deploy("mixtral-8x7b", "a100-40g", pick=pick)


def test_the_numbers_are_those_of_the_screen(cli: Cli) -> None:
    screen = cli("fit", "mixtral-8x7b", "--gpu", "a100-40g").stdout
    lines = re.findall(r"^ +(\d+)  (vllm serve .*|llama-server .*)$", screen, re.MULTILINE)
    assert len(lines) > 3
    for number, command in lines[:4]:
        text = cli(*DEPLOY, "--pick", number, "-q").stdout
        assert command in " ".join(text.replace("\\\n", " ").split())


def test_words_are_those_of_the_one_line_command() -> None:
    """Files and command say the same: one list of words, quoted in different places."""
    d = made("mixtral-8x7b", "a100-40g", "k8s", gpus=4).deployment
    assert d.setup.launch is not None
    assert d.setup.launch.command == d.start.line
    assert d.words()[: len(d.start.words)] == list(d.start.words)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (DEPLOY, 0),
        ((*DEPLOY, "--to", "k8s"), 0),
        ((*DEPLOY, "--to", "ollama", "--quant", "Q4_K_M"), 0),
        ((*DEPLOY, "--gpus", "4", "--to", "docker", "--json"), 0),
        (("deploy", "llama-3.1-405b", "--gpu", "rtx-4090"), 1),
        (("deploy", "llama-3.1-405b", "--gpu", "rtx-4090", "--json"), 1),
        ((*DEPLOY, "--to", "nowhere"), 2),
        ((*DEPLOY, "--pick", "99"), 2),
        ((*DEPLOY, "--pick", "many"), 2),
        ((*DEPLOY, "--to", "lws"), 2),
        ((*DEPLOY, "--engine", "tgi"), 2),
        ((*DEPLOY, "--engine", "ollama", "--quant", "IQ4_XS", "--to", "docker"), 2),
        ((*DEPLOY, "--engine", "ollama", "--quant", "Q4_K_M", "--to", "docker"), 0),
        ((*DEPLOY, "--devices-per-node", "0"), 2),
        ((*DEPLOY, "--engine", "sglang", "--to", "ray-serve"), 2),
        (("deploy", "llama-3.1-8b", "--gpu", "m4-max-40c-64g", "--to", "docker"), 2),
        (("deploy", "llama-3.1-405b", "--gpu", "h100-sxm", "--gpus", "16", "--to", "k8s"), 2),
        (("deploy", "no-such-model", "--gpu", "h100-sxm"), 2),
    ],
)
def test_exit_codes(cli: Cli, args: tuple[str, ...], code: int) -> None:
    done = cli(*args)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if "--json" in args:
        assert json.loads(done.stdout)["schema"] == "llmplan.deploy/1"
    elif code == 2:
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""


def test_json_has_the_fields_of_the_page(cli: Cli) -> None:
    answer = json.loads(cli(*DEPLOY, "--to", "compose", "--json").stdout)
    assert list(answer) == [
        "schema", "llmplan_version", "target", "pick", "setups", "name", "nodes",
        "devices_per_node", "start_seconds", "setup", "files", "notes",
    ]  # fmt: skip
    assert answer["target"] == "compose"
    assert [list(f) for f in answer["files"]] == [["name", "executable", "text"]]
    assert answer["setup"]["engine"] == "vllm"


def test_files_are_written_once(cli: Cli, tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    args = (*DEPLOY, "--quant", "gptq-int4", "--to", "docker", "-o", folder)
    first = cli(*args)
    assert first.returncode == 0, first.stderr
    names = {p.name for p in Path(folder).iterdir()}
    assert names == {"docker-run.sh", "quantize.py"}
    again = cli(*args)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert cli(*args, "--force").returncode == 0
    assert {p.name for p in Path(folder).iterdir()} == names
    printed = cli(*DEPLOY, "--quant", "gptq-int4", "--to", "docker").stdout
    assert (Path(folder) / "docker-run.sh").read_text().strip() in printed


def test_single_node_plans_stay_on_one_node() -> None:
    """Sixteen devices need two machines of eight, or one of sixteen."""
    with pytest.raises(InputError, match="more than a node of 8") as refused:
        llmplan.deploy("llama-3.1-405b", "h100-sxm", "k8s", gpus=16)
    assert "lws" in (refused.value.hint or "")
    large = made("llama-3.1-405b", "h100-sxm", "k8s", gpus=16, devices_per_node=16)
    assert large.deployment.nodes == 1
    with pytest.raises(InputError, match="are one node"):
        llmplan.deploy("llama-3.1-8b", "h100-sxm", "lws")
    small = made("llama-3.1-70b", "h100-sxm", "lws", gpus=8, devices_per_node=4)
    assert (small.deployment.nodes, small.deployment.devices_on_node) == (2, 4)


def test_a_named_machine_says_how_many_devices_it_has() -> None:
    """A rack of 72 is 18 hosts of 4, by the machine's own record."""
    d = made("deepseek-v3", "gb200-nvl72", "lws", gpus=8).deployment
    assert (d.devices_per_node, d.nodes) == (4, 2)
    assert made("llama-3.1-8b", "aws-p4d.24xlarge", "k8s").deployment.devices_per_node == 8


def test_what_was_read_into_the_names_is_said() -> None:
    """A bare name means one checkpoint, and a machine has its price: as `fit` says."""
    named = made("mistral-7b", "aws-p4d.24xlarge", "command")
    assert "is read as" in named.files[0].text
    asked = llmplan.fit("mistral-7b", "aws-p4d.24xlarge").setups[0]
    assert asked.cost is not None
    assert named.deployment.setup.cost == asked.cost


def test_mig_instances_are_asked_for_by_name() -> None:
    text = made("llama-3.1-8b", "a100-80g-sxm-mig-3g.40gb", "k8s").files[0].text
    assert "nvidia.com/mig-3g.40gb" in text


def test_unknown_targets_list_the_known() -> None:
    with pytest.raises(UnknownName, match="no target 'nowhere'"):
        llmplan.deploy("llama-3.1-8b", "h100-sxm", "nowhere")


def test_weights_of_yours_are_mounted(tmp_path: Path) -> None:
    """A checkpoint that nobody publishes: the container sees it, under the model's own name."""
    d = made("mixtral-8x7b", "a100-40g", "k8s", weight_format="gptq-int4").deployment
    words = d.words()
    assert "/models/mixtral-8x7b-gptq-int4" in words
    assert words[words.index("--served-model-name") + 1] == d.request.model.hub_id
    assert "./mixtral-8x7b-gptq-int4" not in words
    assert d.start_seconds < made("mixtral-8x7b", "a100-40g", "k8s").deployment.start_seconds


def test_formats_have_a_tool_or_say_so() -> None:
    """Every format that an engine would have a user make comes with a script."""
    for name in ("fp8", "fp8-block", "int8-w8a8", "nvfp4", "awq-int4", "gptq-int4", "mxfp4",
                 "compressed-tensors-w4a16", "gguf:Q4_K_M", "gguf:IQ2_M", "mlx-4bit",
                 "exl3:4.0bpw"):  # fmt: skip
        assert name.startswith("exl3:") or name in WEIGHT_FORMATS
        recipe = recipe_of(name, "vllm")
        assert recipe is not None, name
        (file,) = checkpoint_files(llmplan.load_model("llama-3.1-8b"), name, "vllm", "./out")
        assert "meta-llama/Llama-3.1-8B-Instruct" in file.text
        assert recipe.source
        assert "./out" in file.text
    assert recipe_of("hqq-int4", "vllm") is None
    assert checkpoint_files(llmplan.load_model("llama-3.1-8b"), "hqq-int4", "vllm", "./x") == []
    tools = {e: recipe_of("awq-int4", e) for e in ("vllm", "tensorrt-llm", "lmdeploy")}
    assert len({r.tool for r in tools.values() if r}) == 3
    assert all(r.date for r in RECIPES)


def test_reasons_stand_beside_the_values() -> None:
    text = made("mixtral-8x7b", "a100-40g", "k8s", gpus=4).files[0].text
    lines = [line.strip() for line in text.splitlines()]
    at = lines.index('- "--tensor-parallel-size"')
    assert lines[at - 1].startswith("# every layer is split over 4 devices")
    assert any("AWS gp3" in line for line in lines)
    assert "Setup 1 of" in text
