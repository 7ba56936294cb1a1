"""What a part of a config leaves out: the family's defaults, and the model type that a
wrapper gives its parts.

`transformers` writes a config of several models (words and pictures) without what each
part's family has by default. The table is made by `tools/make_part_defaults.py` from
its config classes, and a test holds that it is current. Only parts are filled in: a
model's own config must say its sizes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TABLE = json.loads(
    (Path(__file__).parent / "part_defaults.json").read_text(encoding="utf-8")
)
"""`fields`: model type -> field -> default; `aliases`: model type -> another name of a
field -> the field; `parts`: wrapper -> part -> its type, whether that is `fixed`, and
the values `given` where the part is left out.
"""
SAME_CLASS = {"kimi_k2": "deepseek_v3"}
"""Model types that `transformers` does not know, and the one whose classes their
weights are read by.
"""


def part_type(whole: str, field: str, given: Mapping[str, Any]) -> str | None:
    """Return the model type of a part: the wrapper's where it is fixed, else the one
    that the part names, else the wrapper's default; None where nothing says it.

    >>> part_type("llava", "text_config", {}), part_type("gemma3", "text_config", {})
    ('llama', 'gemma3_text')
    """
    parts = TABLE["parts"].get(whole, {})
    known = parts.get(field, {})
    named = given.get("model_type")
    if known.get("fixed", False) or named is None:
        return known.get("type")
    return SAME_CLASS.get(named, named) if isinstance(named, str) else None


def filled_in(model_type: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a part with those that it leaves out, each once: where it
    uses another name for a field, the default of that field is left out.

    >>> filled_in("gpt2", {"hidden_size": 8, "n_layer": 3})["n_layer"]
    3
    >>> "n_embd" in filled_in("gpt2", {"hidden_size": 8})
    False
    """
    fields = TABLE["fields"].get(SAME_CLASS.get(model_type, model_type), {})
    aliases = TABLE["aliases"].get(model_type, {})
    spoken = [aliases[name] for name in given if name in aliases]
    defaults = {name: value for name, value in fields.items() if name not in spoken}
    return {**defaults, **given, "model_type": model_type}


def absent_part(whole: str, field: str) -> dict[str, Any]:
    """Return what a wrapper puts in the place of a part that its file leaves out."""
    parts = TABLE["parts"].get(whole, {})
    return parts.get(field, {}).get("given", {})
