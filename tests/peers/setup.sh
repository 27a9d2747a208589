#!/usr/bin/env bash
# Set up the peers that `pytest -m peer` compares with: transformers on torch's meta device.
# Run inside the environment of the tests. Where a CPU-only torch is wanted, install it before.
set -euo pipefail
pip install torch "transformers>=5.20"
