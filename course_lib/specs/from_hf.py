"""From a Hugging Face config to a `ModelSpec`: one parser for each `model_type`, and one way in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_lib.specs.families import dense, latent
from course_lib.specs.reader import Config
from course_lib.specs.schema import ModelSpec

PARSERS = {
    "deepseek_v2": latent.deepseek_v2,
    "deepseek_v3": latent.deepseek_v3,
    "gemma2": dense.gemma2,
    "gemma3_text": dense.gemma3_text,
    "llama": dense.llama,
    "mistral": dense.mistral,
    "qwen2": dense.qwen2,
    "qwen3": dense.qwen3,
}


def spec_from_hf_config(config: Mapping[str, Any] | str | Path) -> ModelSpec:
    """Return the specification of a model from its Hugging Face config.

    Args:
        config: the fields of a config.json, a `transformers` config's `to_dict()`, or the path of a
        config.json.

    Returns:
        The model. Its name is its `model_type`; published totals and sources are left empty.

    Raises:
        ValueError: if the file cannot be read as a JSON mapping, the `model_type` is unknown, or a field is
        missing or of the wrong kind (the message names it).

    >>> small = dict(hidden_size=8, num_attention_heads=2, num_hidden_layers=3, intermediate_size=5,
    vocab_size=7) >>> spec = spec_from_hf_config({"model_type": "llama", **small}) >>> len(spec.layers),
    spec.layers[0].mixer.head_dim (3, 4)
    """
    fields = Config(_read(config) if isinstance(config, str | Path) else config)
    if fields.model_type not in PARSERS:
        known = ", ".join(sorted(PARSERS))
        raise ValueError(f"model_type={fields.model_type!r} is not supported; supported: {known}")
    return PARSERS[fields.model_type](fields)


def _read(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"config={str(path)!r}: not a readable JSON file ({error})") from error
