"""Write models/ from the shared facts: `python tests/tools/import_models.py SHARED`.

SHARED is the folder with data/models/configs. The lists below say what is taken, under which
id, and what the configs do not say. Run `llmplan check models` after.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

from catalogue_yaml import ROOT, TODAY, reference, write

sys.path.insert(0, str(ROOT / "planner"))

from llmplan.memory.formats import weight_format
from llmplan.memory.parameters import draft_parameter_count, parameter_count
from llmplan.memory.weights import weight_bytes
from llmplan.sources.config_json import architecture_from_config, rope_facts, text_config
from llmplan.specs.model import model_from_dict

ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "mixtral": "MixtralForCausalLM",
    "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM", "qwen3_next": "Qwen3NextForCausalLM",
    "qwen3_5": "Qwen3_5ForConditionalGeneration", "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM",
    "gemma3": "Gemma3ForConditionalGeneration", "phi3": "Phi3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM", "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM", "deepseek_v32": "DeepseekV32ForCausalLM",
    "kimi_k2": "DeepseekV3ForCausalLM", "glm4_moe": "Glm4MoeForCausalLM",
    "glm4": "Glm4ForCausalLM", "chatglm": "ChatGLMModel", "glm130b": "GLM130B",
    "falcon": "FalconForCausalLM", "bloom": "BloomForCausalLM", "gpt_neox": "GPTNeoXForCausalLM",
    "gptj": "GPTJForCausalLM", "opt": "OPTForCausalLM", "mpt": "MPTForCausalLM",
    "t5": "T5ForConditionalGeneration", "bert": "BertModel", "jamba": "JambaForCausalLM",
    "mamba": "MambaForCausalLM", "falcon_mamba": "FalconMambaForCausalLM",
    "nemotron_h": "NemotronHForCausalLM", "lfm2": "Lfm2ForCausalLM",
    "falcon_h1": "FalconH1ForCausalLM", "granitemoehybrid": "GraniteMoeHybridForCausalLM",
    "minimax": "MiniMaxM1ForCausalLM", "llama4": "Llama4ForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration", "grok-1": "Grok1ModelForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
}  # fmt: skip

# (Hub id, id, family, name, aliases, bare names it is the usual checkpoint for)
MODELS: list[tuple[str, str, str, str, list[str], list[str]]] = [
    ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b", "llama", "Llama 3.1 8B Instruct",
     ["meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B-Instruct"], []),
    ("meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b", "llama", "Llama 3.1 70B Instruct",
     ["meta-llama/Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-70B-Instruct"], []),
    ("meta-llama/Llama-3.1-405B-Instruct", "llama-3.1-405b", "llama", "Llama 3.1 405B Instruct",
     ["meta-llama/Llama-3.1-405B", "Llama 3 400B+"], []),
    ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b", "llama", "Llama 3.3 70B Instruct",
     [], []),
    ("meta-llama/Llama-3.2-1B-Instruct", "llama-3.2-1b", "llama", "Llama 3.2 1B Instruct",
     ["meta-llama/Llama-3.2-1B"], []),
    ("meta-llama/Llama-3.2-3B-Instruct", "llama-3.2-3b", "llama", "Llama 3.2 3B Instruct",
     ["meta-llama/Llama-3.2-3B"], []),
    ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-8b", "llama", "Llama 3 8B Instruct",
     ["meta-llama/Meta-Llama-3-8B"], []),
    ("meta-llama/Meta-Llama-3-70B-Instruct", "llama-3-70b", "llama", "Llama 3 70B Instruct",
     ["meta-llama/Meta-Llama-3-70B"], []),
    ("meta-llama/Llama-2-7b-hf", "llama-2-7b", "llama", "Llama 2 7B",
     ["meta-llama/Llama-2-7b-chat-hf"], []),
    ("meta-llama/Llama-2-13b-hf", "llama-2-13b", "llama", "Llama 2 13B",
     ["meta-llama/Llama-2-13b-chat-hf", "lmsys/vicuna-13b-v1.5"], []),
    ("meta-llama/Llama-2-70b-hf", "llama-2-70b", "llama", "Llama 2 70B",
     ["meta-llama/Llama-2-70b-chat-hf"], []),
    ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b", "llama", "TinyLlama 1.1B Chat",
     [], ["tinyllama"]),
    ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "smollm2-1.7b", "smollm", "SmolLM2 1.7B Instruct",
     [], []),
    ("01-ai/Yi-34B-Chat", "yi-34b", "yi", "Yi 34B Chat", ["01-ai/Yi-34B"], []),
    ("mistralai/Mistral-7B-v0.1", "mistral-7b-v0.1", "mistral", "Mistral 7B v0.1",
     ["mistralai/Mistral-7B-Instruct-v0.1"], []),
    ("mistralai/Mistral-7B-Instruct-v0.2", "mistral-7b-v0.2", "mistral",
     "Mistral 7B Instruct v0.2", [], []),
    ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3", "mistral",
     "Mistral 7B Instruct v0.3", [], ["mistral-7b", "mistral 7b instruct"]),
    ("mistralai/Mistral-Small-24B-Instruct-2501", "mistral-small-24b", "mistral",
     "Mistral Small 24B Instruct 2501", [], []),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b", "mixtral",
     "Mixtral 8x7B Instruct v0.1", ["mistralai/Mixtral-8x7B-v0.1", "mistral-8x7b"], ["mixtral"]),
    ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mixtral-8x22b", "mixtral",
     "Mixtral 8x22B Instruct v0.1", ["mistralai/Mixtral-8x22B-v0.1"], []),
    ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b", "qwen", "Qwen2.5 0.5B Instruct", [], []),
    ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b", "qwen", "Qwen2.5 7B Instruct", [], []),
    ("Qwen/Qwen2.5-14B-Instruct", "qwen2.5-14b", "qwen", "Qwen2.5 14B Instruct", [], []),
    ("Qwen/Qwen2.5-32B-Instruct", "qwen2.5-32b", "qwen", "Qwen2.5 32B Instruct",
     [], []),
    ("Qwen/Qwen2.5-72B-Instruct", "qwen2.5-72b", "qwen", "Qwen2.5 72B Instruct", [], []),
    ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b", "qwen", "Qwen2.5 VL 7B Instruct", [], []),
    ("Qwen/Qwen1.5-MoE-A2.7B-Chat", "qwen1.5-moe-a2.7b", "qwen", "Qwen1.5 MoE A2.7B Chat",
     [], []),
    ("Qwen/Qwen3-0.6B", "qwen3-0.6b", "qwen", "Qwen3 0.6B", [], []),
    ("Qwen/Qwen3-8B", "qwen3-8b", "qwen", "Qwen3 8B", [], []),
    ("Qwen/Qwen3-14B", "qwen3-14b", "qwen", "Qwen3 14B", [], []),
    ("Qwen/Qwen3-32B", "qwen3-32b", "qwen", "Qwen3 32B", [], []),
    ("Qwen/Qwen3-30B-A3B", "qwen3-30b-a3b", "qwen", "Qwen3 30B A3B",
     [], []),
    ("Qwen/Qwen3-235B-A22B", "qwen3-235b-a22b", "qwen", "Qwen3 235B A22B",
     [], []),
    ("Qwen/Qwen3-Coder-Next", "qwen3-coder-next", "qwen", "Qwen3 Coder Next 80B A3B",
     [], []),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", "qwen3-next-80b-a3b", "qwen",
     "Qwen3 Next 80B A3B Instruct", [], ["qwen3-next"]),
    ("Qwen/Qwen3.5-27B", "qwen3.5-27b", "qwen", "Qwen3.5 27B", ["Qwen/Qwen3.6-27B"], []),
    ("google/gemma-2b-it", "gemma-2b", "gemma", "Gemma 2B", ["google/gemma-2b"], []),
    ("google/gemma-7b-it", "gemma-7b", "gemma", "Gemma 7B", ["google/gemma-7b"], []),
    ("google/gemma-2-9b-it", "gemma-2-9b", "gemma", "Gemma 2 9B", ["google/gemma-2-9b"], []),
    ("google/gemma-2-27b-it", "gemma-2-27b", "gemma", "Gemma 2 27B", ["google/gemma-2-27b"], []),
    ("google/gemma-3-1b-it", "gemma-3-1b", "gemma", "Gemma 3 1B", ["google/gemma-3-1b-pt"], []),
    ("google/gemma-3-4b-it", "gemma-3-4b", "gemma", "Gemma 3 4B", ["google/gemma-3-4b-pt"], []),
    ("google/gemma-3-12b-it", "gemma-3-12b", "gemma", "Gemma 3 12B",
     ["google/gemma-3-12b-pt"], []),
    ("google/gemma-3-27b-it", "gemma-3-27b", "gemma", "Gemma 3 27B",
     ["google/gemma-3-27b-pt"], []),
    ("microsoft/Phi-3-mini-4k-instruct", "phi-3-mini-4k", "phi", "Phi-3 mini 4k Instruct",
     [], ["phi-3-mini"]),
    ("microsoft/phi-4", "phi-4", "phi", "Phi-4", [], []),
    ("openai/gpt-oss-20b", "gpt-oss-20b", "gpt-oss", "gpt-oss 20B", [], []),
    ("openai/gpt-oss-120b", "gpt-oss-120b", "gpt-oss", "gpt-oss 120B", [], []),
    ("deepseek-ai/DeepSeek-V2-Lite", "deepseek-v2-lite", "deepseek", "DeepSeek V2 Lite",
     ["deepseek-ai/DeepSeek-V2-Lite-Chat"], []),
    ("deepseek-ai/DeepSeek-V3", "deepseek-v3", "deepseek", "DeepSeek V3",
     ["deepseek-ai/DeepSeek-V3-0324", "deepseek-ai/DeepSeek-V3.1"], []),
    ("deepseek-ai/DeepSeek-R1", "deepseek-r1", "deepseek", "DeepSeek R1",
     ["deepseek-ai/DeepSeek-R1-0528"], []),
    ("deepseek-ai/DeepSeek-V3.2", "deepseek-v3.2", "deepseek", "DeepSeek V3.2", [], []),
    ("moonshotai/Kimi-K2-Instruct", "kimi-k2", "kimi", "Kimi K2 Instruct",
     [], []),
    ("zai-org/GLM-4.5-Air", "glm-4.5-air", "glm", "GLM-4.5 Air", [], []),
    ("THUDM/chatglm3-6b", "chatglm3-6b", "glm", "ChatGLM3 6B", [], []),
    ("THUDM/glm-130b", "glm-130b", "glm", "GLM-130B", [], []),
    ("tiiuae/falcon-7b", "falcon-7b", "falcon", "Falcon 7B", ["tiiuae/falcon-7b-instruct"], []),
    ("tiiuae/falcon-40b", "falcon-40b", "falcon", "Falcon 40B",
     ["tiiuae/falcon-40b-instruct"], []),
    ("tiiuae/falcon-180B", "falcon-180b", "falcon", "Falcon 180B", [], []),
    ("tiiuae/falcon-mamba-7b", "falcon-mamba-7b", "falcon", "Falcon Mamba 7B", [], []),
    ("tiiuae/Falcon-H1-7B-Instruct", "falcon-h1-7b", "falcon", "Falcon H1 7B Instruct", [], []),
    ("bigscience/bloom", "bloom-176b", "bloom", "BLOOM 176B", ["bigscience/bloomz"], ["bloom"]),
    ("bigscience/bloom-560m", "bloom-560m", "bloom", "BLOOM 560M", ["bigscience/bloomz-560m"], []),
    ("EleutherAI/gpt-neox-20b", "gpt-neox-20b", "gpt-neox", "GPT-NeoX 20B", [], ["gpt-neox"]),
    ("EleutherAI/gpt-j-6b", "gpt-j-6b", "gpt-j", "GPT-J 6B", [], ["gpt-j"]),
    ("facebook/opt-1.3b", "opt-1.3b", "opt", "OPT 1.3B", [], []),
    ("mosaicml/mpt-7b", "mpt-7b", "mpt", "MPT 7B", [], []),
    ("bigscience/T0pp", "t0pp", "t5", "T0pp (T5 v1.1 XXL)", ["bigscience/T0"], []),
    ("google-bert/bert-base-uncased", "bert-base", "bert", "BERT base uncased", [], ["bert"]),
    ("google-bert/bert-large-uncased", "bert-large", "bert", "BERT large uncased", [], []),
    ("ai21labs/Jamba-v0.1", "jamba-v0.1", "jamba", "Jamba v0.1",
     [], ["jamba"]),
    ("state-spaces/mamba-2.8b-hf", "mamba-2.8b", "mamba", "Mamba 2.8B", [], []),
    ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nemotron-nano-9b-v2", "nemotron",
     "Nemotron Nano 9B v2", [], []),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "nemotron-3-nano-30b-a3b", "nemotron",
     "Nemotron 3 Nano 30B A3B", [], []),
    ("LiquidAI/LFM2-1.2B", "lfm2-1.2b", "lfm", "LFM2 1.2B", [], []),
    ("ibm-granite/granite-4.0-h-small", "granite-4.0-h-small", "granite",
     "Granite 4.0 H Small", [], []),
    ("MiniMaxAI/MiniMax-M1-80k", "minimax-m1", "minimax", "MiniMax M1 80k", [], []),
    ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout", "llama",
     "Llama 4 Scout 17B 16E Instruct", [], []),
    ("xai-org/grok-1", "grok-1", "grok", "Grok-1", [], ["grok"]),
    ("allenai/OLMo-2-1124-7B-Instruct", "olmo-2-7b", "olmo", "OLMo 2 7B Instruct", [], []),
]  # fmt: skip

# vLLM recipes (vllm-project/recipes@8959cf6) or auto_map without a class in transformers.
TRUST_REMOTE_CODE = ("kimi-k2", "chatglm3-6b")

# Facts that the shared configs lack, each with where it stands.
LLAMA4_VISION = {
    "hidden_size": 1408, "intermediate_size": 5632, "num_hidden_layers": 34,
    "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "pixel_shuffle_ratio": 0.5,
    "projector_input_dim": 4096, "projector_output_dim": 4096, "vision_output_dim": 4096,
}  # fmt: skip
OVERRIDES: dict[str, tuple[dict[str, Any], str]] = {
    "llama-3.1-8b": ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
                     "config of Llama-3.1-70B-Instruct (LLMServingSim@5daddb2): one release, "
                     "one context of 131,072 stretched from 8,192; the 8B copy at hand omits it"),
    "mistral-7b-v0.1": ({"sliding_window": 4096},
                        "arXiv:2310.06825 (Mistral 7B, table 1: window 4096)"),
    "falcon-7b": ({"max_position_embeddings": 2048}, "arXiv:2311.16867 (Falcon series: 2048)"),
    "falcon-40b": ({"max_position_embeddings": 2048}, "arXiv:2311.16867 (Falcon series: 2048)"),
    "falcon-180b": ({"max_position_embeddings": 2048}, "arXiv:2311.16867 (Falcon series: 2048)"),
    "bloom-176b": ({"max_position_embeddings": 2048}, "arXiv:2211.05100 (BLOOM, table 3: 2048)"),
    "bloom-560m": ({"max_position_embeddings": 2048}, "arXiv:2211.05100 (BLOOM, table 3: 2048)"),
    "gpt-j-6b": ({"max_position_embeddings": 2048}, "config of the same source: max_seq_len 2048"),
    "mpt-7b": ({"max_position_embeddings": 2048}, "config of the same source: max_seq_len 2048"),
    "chatglm3-6b": ({"max_position_embeddings": 8192}, "config of the same source: seq_length"),
    "jamba-v0.1": ({"max_position_embeddings": 262144}, "arXiv:2403.19887 (Jamba: 256K tokens)"),
    "gemma-2b": ({"max_position_embeddings": 8192}, "arXiv:2403.08295 (Gemma: 8192)"),
    "gemma-7b": ({"max_position_embeddings": 8192}, "arXiv:2403.08295 (Gemma: 8192)"),
    "llama-2-13b": ({"max_position_embeddings": 4096}, "arXiv:2307.09288 (Llama 2: 4k tokens)"),
    "yi-34b": ({"max_position_embeddings": 4096}, "config of 01-ai/Yi-34B, shared facts"),
    "smollm2-1.7b": ({"max_position_embeddings": 8192}, "arXiv:2502.02737 (SmolLM2: 8k tokens)"),
    "llama-4-scout": ({"vision_config": LLAMA4_VISION},
                      "transformers Llama4VisionConfig and the published parameter count"),
}  # fmt: skip

# GGUF presets that every repository of these owners holds, as their model cards list them
# (seen 2026-11-21: TheBloke's "2, 3, 4, 5, 6 and 8-bit" table, bartowski's download table).
PRESETS_OF = {
    "TheBloke": ["Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_0",
                 "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"],
    "bartowski": ["IQ2_M", "Q2_K", "IQ3_M", "IQ3_XS", "Q3_K_S", "Q3_K_M", "Q3_K_L", "IQ4_XS",
                  "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"],
    "Qwen": ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"],
    "ggml-org": ["MXFP4"],
}  # fmt: skip
BUFFERS = "rotary inv_freq buffers stored in the file, not parameters"
MTP = "the files also hold MTP layers, kept apart here, and router correction biases"
DIFFERENCES = {
    "llama-2-7b": BUFFERS,
    "llama-2-13b": BUFFERS,
    "opt-1.3b": "the published total lacks the two vectors of the final norm",
    "kimi-k2": "buffers: 23,040 router correction biases and 3,416 elements not identified",
    "deepseek-v3": MTP,
    "deepseek-r1": MTP,
    "deepseek-v3.2": MTP,
    "glm-4.5-air": MTP,
    "qwen3.5-27b": MTP,
    "qwen3-next-80b-a3b": MTP,
    "falcon-7b": "the files hold the tied head a second time",
    "qwen3-0.6b": "the files hold the tied head a second time",
    "gpt-neox-20b": "the files hold causal masks and rotary buffers",
    "glm-130b": "a rounded figure",
    "grok-1": "a rounded figure",
}


def model_entry(shared: Path, row: tuple[Any, ...], artifacts: list[dict[str, Any]]) -> Any:
    """Return the catalogue entry of one row of MODELS."""
    hub, id, family, name, aliases, usual = row
    config = json.loads((shared / f"data/models/configs/{hub.replace('/', '__')}.json").read_text())
    extra, why = OVERRIDES.get(id, ({}, ""))
    config |= extra
    text = text_config(config)
    parts = architecture_from_config(config)
    refs = [s for s in config["_source"] if "cross-check" not in s] or config["_source"]
    sources = [{"facts": ["architecture"], "ref": reference(refs[0])[:300], "date": _date(refs[0])}]
    if extra:
        sources.append({"facts": sorted(extra), "ref": why, "date": TODAY})
    if config["_params_published"]:
        sources.append(
            {
                "facts": ["published"],
                "ref": "safetensors totals, model list of llmfit 1.1.17 and model cards",
                "date": "2026-11-21",
            }
        )
    classes = config.get("architectures") or [ARCHITECTURES[config["model_type"]]]
    entry: dict[str, Any] = {
        "id": id, "name": name, "family": family, "hub_id": hub,
        "model_type": config["model_type"], "architecture": classes[0],
        "license": config.get("_license"), "released": config.get("_release_date"),
        "context_tokens": text.get("max_position_embeddings"),
    }  # fmt: skip
    entry |= rope_facts(config)
    if id in TRUST_REMOTE_CODE:
        entry["trust_remote_code"] = True
    if aliases:
        entry["aliases"] = aliases
    if usual:
        entry["usual_for"] = usual
    entry |= {"native_format": parts.pop("native_format"), **parts}
    confidence = config["_confidence"]
    bare = bare_model(config["model_type"], parts)
    if not any(text.get(k) for k in ("torch_dtype", "dtype", "quantization_config")):
        entry["notes"] = ["the config at hand states no dtype: taken as 16 bits"]
    if config["_params_published"]:
        entry["published"] = {
            "parameters": config["_params_published"],
            "counted": "rounded figure" if "rounded" in confidence else "stored tensors",
            "confidence": "rounded" if "rounded" in confidence else "exact",
        }
        difference = config["_params_published"] - parameter_count(bare)
        if difference:
            entry["published"] |= {"difference": difference, "why": DIFFERENCES[id]}
    if confidence.startswith(("assembled", "computed", "sibling")):
        entry["unverified"] = ["architecture"]
        entry.setdefault("notes", []).append(
            f"shapes without a published count to compare: {confidence}"
        )
    found = [a for a in artifacts if a["model"] == hub]
    notes = {a["hub_id"]: stored_otherwise(shared, a["hub_id"], a["format"], bare) for a in found}
    found = [a for a in found if not notes[a["hub_id"]]]
    if any(notes.values()):
        entry["notes"] = [*entry.get("notes", []), *(n for n in notes.values() if n)]
    if found:
        entry["artifacts"] = [artifact(a) for a in found]
    entry["sources"] = sources
    return entry


def artifact(a: dict[str, Any]) -> dict[str, Any]:
    """Return one published checkpoint; a GGUF repository with the presets it surely has."""
    entry = {k: a[k] for k in ("format", "hub_id", "ref", "date")}
    presets = PRESETS_OF.get(a["hub_id"].partition("/")[0], []) if a["format"] == "gguf" else []
    return entry | ({"presets": presets} if presets else {})


def bare_model(model_type: str, parts: dict[str, Any]) -> Any:
    """Return a model of these architecture facts, its other facts left blank."""
    frame = dict.fromkeys(("hub_id", "license", "released", "context_tokens"))
    names = {"id": "x", "name": "x", "family": "x", "architecture": "x", "native_format": "bf16"}
    source = {"sources": [{"facts": ["x"], "ref": "x"}], "model_type": model_type}
    return model_from_dict({**frame, **names, **source, **parts})


def stored_otherwise(shared: Path, hub_id: str, format: str, model: Any) -> str | None:
    """Return a note when a checkpoint's stored bytes are not those of its format's stock recipe."""
    rows = (shared / "data/models/weights_bytes.csv").read_text().splitlines()
    stored = {r["model_id"]: int(r["weights_bytes"]) for r in csv.DictReader(rows)}
    if hub_id not in stored or format == "gguf":
        return None
    computed = weight_bytes(model, weight_format(format)).total + 2 * draft_parameter_count(model)
    if abs(stored[hub_id] / computed - 1) < 0.03:
        return None
    return (
        f"{hub_id} stores {stored[hub_id]:,} bytes, {format} would take {computed:,.0f}: "
        "it leaves other layers unquantized and is not offered"
    )


def _date(text: str) -> str:
    found = re.search(r"20\d\d-\d\d-\d\d", text)
    return found.group(0) if found else TODAY


def main(shared: Path) -> None:
    """Write models/<family>/."""
    rows = list(csv.DictReader((ROOT / "tests/tools/artifacts.csv").open(encoding="utf-8")))
    for row in MODELS:
        entry = model_entry(shared, row, rows)
        write(ROOT / "models" / row[2] / f"{row[1]}.yaml", entry, "../.schema.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
