"""Parse `vllm serve` words with a real vLLM's own parser: JSON lists in, JSON objects out.

Run by test_vllm_commands.py, once for all lines: vllm_parse.py < lists > objects
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

PLACES = ("entrypoints.launchers.cli_args", "entrypoints.common.cli_args",
          "entrypoints.openai.cli_args")  # fmt: skip
"""Where the parser is made, by version: 0.32, 0.33, older."""


def parser() -> Any:
    """Return the parser of `vllm serve`."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    for place in PLACES:
        try:
            made = import_module(f"vllm.{place}").make_arg_parser
        except ImportError:
            continue
        return made(FlexibleArgumentParser())
    raise SystemExit("no parser found")


def main() -> None:
    """Answer each list with what was parsed, or the error."""
    import vllm

    parse = parser()
    for line in sys.stdin:
        words = json.loads(line)
        try:
            found = {k: v for k, v in vars(parse.parse_args(words)).items() if _plain(v)}
        except SystemExit as e:
            found = {"error": str(e)}
        print("PARSED " + json.dumps({"version": vllm.__version__, **found}), flush=True)


def _plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
