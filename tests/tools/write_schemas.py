"""Write the JSON schemas that the first line of every catalogue file names, for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "planner"))

RUNS = {
    "type": "array",
    "minItems": 1,
    "description": "block names in order: name, name*count, or {repeat, layers}",
    "items": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "repeat": {"type": "integer", "minimum": 1},
                    "layers": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["repeat", "layers"],
                "additionalProperties": False,
            },
        ]
    },
}


def schemas() -> dict[str, str]:
    """Return path -> JSON schema text for models, topics, devices, nodes and prices."""
    from pydantic import TypeAdapter

    from llmplan.specs import facts, hardware, model, prices, serving

    result = {}
    for path, cls in (
        ("models/.schema.json", model.Model),
        ("models/.topic-schema.json", facts.Topic),
        ("hardware/.schema.json", hardware.Accelerator),
        ("hardware/.node-schema.json", hardware.Node),
        ("hardware/.prices-schema.json", prices.PriceList),
        ("engines/.schema.json", serving.Server),
    ):
        schema = TypeAdapter(cls).json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            _close(part)
        if "Stack" in schema.get("$defs", {}):
            schema["$defs"]["Stack"]["properties"]["layers"] = RUNS
        result[path] = json.dumps(schema, indent=1, sort_keys=True) + "\n"
    return result


def _close(part: dict[str, Any]) -> None:
    if part.get("type") == "object" and "properties" in part:
        part["additionalProperties"] = False


if __name__ == "__main__":
    for path, text in schemas().items():
        (ROOT / path).write_text(text, encoding="utf-8")
