"""How a checkpoint is made that nobody publishes: tool and script by weight format."""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote
from typing import NamedTuple

from llmplan.deployment.artefacts import File
from llmplan.engines.starting import printable
from llmplan.specs.model import Model


class Recipe(NamedTuple):
    """The tool that makes a format, where that is written down, and what writes its script.

    `engines` are those that need the checkpoint as this tool saves it; empty for all others.
    """

    formats: str
    tool: str
    source: str
    date: str
    write: Callable[[str, str, str], File]
    engines: tuple[str, ...] = ()


LLM_COMPRESSOR = "PyPI llmcompressor 0.14.0.1 (oneshot, modifiers/transform/awq)"

SCHEMES = {
    "fp8": "FP8_DYNAMIC", "fp8-block": "FP8_BLOCK", "int8-w8a8": "W8A8", "nvfp4": "NVFP4",
    "mxfp4": "MXFP4", "awq-int4": "W4A16_ASYM", "gptq-int4": "W4A16",
    "compressed-tensors-w4a16": "W4A16",
}  # fmt: skip
"""Scheme of llm-compressor by weight format."""

MODIFIERS = {
    "awq-int4": ("from llmcompressor.modifiers.transform.awq import AWQModifier",
                 "[AWQModifier(duo_scaling=\"both\"), QuantizationModifier(%s)]"),
    "gptq-int4": ("from llmcompressor.modifiers.gptq import GPTQModifier", "GPTQModifier(%s)"),
    "compressed-tensors-w4a16": ("from llmcompressor.modifiers.gptq import GPTQModifier",
                                 "GPTQModifier(%s)"),
    "int8-w8a8": ("from llmcompressor.modifiers.gptq import GPTQModifier", "GPTQModifier(%s)"),
}  # fmt: skip
"""Import and recipe by format; formats that are not here are rounded without calibration."""

CALIBRATED = ("awq-int4", "gptq-int4", "compressed-tensors-w4a16", "int8-w8a8", "nvfp4")
"""Formats whose scales need sample texts (llm-compressor docs, compression schemes)."""

SAMPLES = 512
SAMPLE_TOKENS = 2048
"""Sample texts and their length: num_calibration_samples of oneshot, and its examples."""

IGNORED = '["lm_head", "re:.*mlp.gate$", "re:.*vision.*"]'
"""Layers that stay as they are: head, routers of experts, vision tower."""


def _llm_compressor(name: str, source: str, target: str) -> File:
    extra, recipe = MODIFIERS.get(name, ("", "QuantizationModifier(%s)"))
    arguments = f'targets="Linear", scheme="{SCHEMES[name]}", ignore={IGNORED}'
    calibration = (
        f'    dataset="ultrachat_200k",\n    splits={{"calibration": "train_sft[:{SAMPLES}]"}},\n'
        f"    max_seq_length={SAMPLE_TOKENS},\n    num_calibration_samples={SAMPLES},\n"
        if name in CALIBRATED
        else ""
    )
    imports = ["from llmcompressor import oneshot", *([extra] if extra else [])]
    if "QuantizationModifier" in recipe:
        imports.append("from llmcompressor.modifiers.quantization import QuantizationModifier")
    text = "\n".join([
        f"# Makes {printable(target)!r} in {name}: pip install llmcompressor, then run this file.",
        f"# Source: {LLM_COMPRESSOR}. It is saved as compressed-tensors.",
        "# Check the quality of what comes out on a task of yours.",
        *imports, "",
        "oneshot(",
        f"    model={printable(source)!r},",
        f"    recipe={recipe % arguments},",
        f"{calibration}    output_dir={printable(target)!r},",
        ")", "",
    ])  # fmt: skip
    return File("quantize.py", text)


CONFIGS = {"fp8": "FP8_DEFAULT_CFG", "nvfp4": "NVFP4_DEFAULT_CFG", "awq-int4": "INT4_AWQ_CFG"}
"""Configuration of ModelOpt by format (PyPI nvidia-modelopt 0.47.0 quantization/config.py)."""


def _modelopt(name: str, source: str, target: str) -> File:
    text = f"""\
# Makes {printable(target)!r} in {name}: pip install nvidia-modelopt, then run this file.
# Source: PyPI nvidia-modelopt 0.47.0. Check the quality of what comes out on a task of yours.
import modelopt.torch.quantization as mtq
from modelopt.torch.export import export_hf_checkpoint
from modelopt.torch.utils.dataset_utils import create_forward_loop
from transformers import AutoModelForCausalLM, AutoTokenizer

source = {printable(source)!r}
target = {printable(target)!r}
model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", device_map="auto")
tokenizer = AutoTokenizer.from_pretrained(source)
loop = create_forward_loop(model=model, tokenizer=tokenizer, num_samples={SAMPLES})
model = mtq.quantize(model, mtq.{CONFIGS[name]}, forward_loop=loop)
export_hf_checkpoint(model, export_dir=target)
tokenizer.save_pretrained(target)
"""
    return File("quantize.py", text)


def _lmdeploy(name: str, source: str, target: str) -> File:
    lines = [
        "#!/usr/bin/env bash",
        "# pip install lmdeploy. Source: PyPI lmdeploy 0.18.0 cli/lite.py.",
        "set -euo pipefail",
        f"lmdeploy lite auto_awq {quote(printable(source))} --work-dir {quote(printable(target))}",
        "",
    ]
    return File("quantize.sh", "\n".join(lines), executable=True)


def _llama_quantize(name: str, source: str, target: str) -> File:
    preset = name.removeprefix("gguf:")
    whole = quote(f"{printable(target).removesuffix('.gguf')}-source.gguf")
    imatrix = " --imatrix imatrix.gguf" if preset.startswith("IQ") else ""
    lines = [
        "#!/usr/bin/env bash",
        "# Run it in a checkout of llama.cpp that is built: its tools are in build/bin.",
        "# Source: llama.cpp 0c1e57098 tools/quantize/README.md.",
        "set -euo pipefail",
        f"python convert_hf_to_gguf.py --remote {quote(printable(source))} --outfile {whole}"
        if "/" in source and not source.startswith((".", "/"))
        else f"python convert_hf_to_gguf.py {quote(printable(source))} --outfile {whole}",
    ]
    if imatrix:
        lines += ["# IQ presets need an importance matrix of texts like yours:"]
        lines += [f"build/bin/llama-imatrix -m {whole} -f calibration.txt -o imatrix.gguf"]
    lines += [f"build/bin/llama-quantize{imatrix} {whole} {quote(printable(target))} {preset}", ""]
    return File("quantize.sh", "\n".join(lines), executable=True)


def _mlx(name: str, source: str, target: str) -> File:
    bits = name.removeprefix("mlx-").removesuffix("bit")
    lines = [
        "#!/usr/bin/env bash",
        "# pip install mlx-lm, on Apple silicon. Source: PyPI mlx-lm 0.32.2 convert.py.",
        "set -euo pipefail",
        f"mlx_lm.convert --hf-path {quote(printable(source))} "
        f"--mlx-path {quote(printable(target))} --quantize --q-bits {bits} --q-group-size 64",
        "",
    ]
    return File("quantize.sh", "\n".join(lines), executable=True)


def _exl3(name: str, source: str, target: str) -> File:
    bits, made = name.removeprefix("exl3:").removesuffix("bpw"), quote(printable(target))
    lines = [
        "#!/usr/bin/env bash",
        "# Run it in a checkout of exllamav3. Source: exllamav3 doc/convert.md, read 2026-11-26.",
        "set -euo pipefail",
        *(["hf download " + quote(printable(source)) + " --local-dir ./source"]
          if not source.startswith((".", "/")) else []),
        f"python convert.py -i {_folder(source)} -o {made} -w ./scratch -b {bits}",
        "",
    ]  # fmt: skip
    return File("quantize.sh", "\n".join(lines), executable=True)


def _folder(source: str) -> str:
    return quote(printable(source)) if source.startswith((".", "/")) else "./source"


RECIPES: tuple[Recipe, ...] = (
    Recipe("fp8, nvfp4, awq-int4", "ModelOpt", "PyPI nvidia-modelopt 0.47.0", "2026-11-26",
           _modelopt, ("tensorrt-llm",)),
    Recipe("awq-int4", "lmdeploy lite auto_awq", "PyPI lmdeploy 0.18.0 cli/lite.py", "2026-11-26",
           _lmdeploy, ("lmdeploy",)),
    Recipe("fp8, fp8-block, int8-w8a8, nvfp4, mxfp4, awq-int4, gptq-int4, "
           "compressed-tensors-w4a16",
           "llm-compressor (which took over AutoAWQ's work)", LLM_COMPRESSOR, "2026-11-26",
           _llm_compressor),
    Recipe("gguf:", "convert_hf_to_gguf.py and llama-quantize",
           "llama.cpp 0c1e57098 tools/quantize/README.md", "2026-11-26", _llama_quantize),
    Recipe("mlx-", "mlx_lm.convert", "PyPI mlx-lm 0.32.2 convert.py", "2026-11-26", _mlx),
    Recipe("exl3:", "exllamav3 convert.py", "exllamav3 doc/convert.md", "2026-11-26", _exl3),
)  # fmt: skip
"""Formats by name, or by the beginning of their names where that ends in : or -."""


def recipe_of(format: str, engine: str) -> Recipe | None:
    """Return how a format is made for an engine, None where nothing is on record."""
    for recipe in RECIPES:
        if recipe.engines and engine not in recipe.engines:
            continue
        names = recipe.formats.split(", ")
        if format in names or any(n[-1] in ":-" and format.startswith(n) for n in names):
            return recipe
    return None


def checkpoint_files(model: Model, format: str, engine: str, target: str) -> list[File]:
    """Return the script that makes a checkpoint, none where no tool is on record."""
    recipe = recipe_of(format, engine)
    if recipe is None:
        return []
    return [recipe.write(format, model.path or model.hub_id or f"./{model.id}", target)]
