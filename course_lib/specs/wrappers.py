"""Models of several parts in one config (words and pictures): which part is the
language model, what else the file has, and the projectors between them.

A projector is counted by a row of `PROJECTORS`; a wrapper that has none here has its
projector unnamed and uncounted.

Terms:
    wrapper, text_config: one config of several models, of which one writes text ->
        language_field
"""

from collections.abc import Mapping
from typing import Any

from course_lib.specs.defaults import TABLE
from course_lib.specs.reader import Config
from course_lib.specs.records import ModelSpec, PartSpec

LANGUAGE = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where a wrapper has its language part, the first that it has."""
NO_PARTS = (
    "quantization_config",
    "compression_config",
    "generation_config",
    "rope_config",
    "vq_config",
    "adapter_config",
    "projector_config",
)
"""Fields that end in "_config" and hold no model's config."""
MOST_PARTS = 8
FLAT = ("qwen2_vl", "qwen2_5_vl")
"""Wrappers whose published files have the language part's fields beside its towers."""
OWN_TIE = ("qwen3_vl_moe",)
"""Wrappers whose own default says whether the head is tied, whatever the part says."""
TWO_TOWERS = ("clip", "siglip", "siglip2", "metaclip_2")
"""Models whose towers their own parser reads."""


def unfolded(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a wrapper with its language part in a field of its own,
    where the file has it flat.
    """
    if mapping.get("model_type") not in FLAT or any_language(mapping):
        return mapping
    text = {
        name: value
        for name, value in mapping.items()
        if name not in ("model_type", "architectures") and not name.endswith("_config")
    }
    return {**mapping, "text_config": text}


def any_language(mapping: Mapping[str, Any]) -> bool:
    """Whether a file has a field for its language part."""
    return any(mapping.get(field) is not None for field in LANGUAGE)


def language_field(config: Config) -> str | None:
    """Return the field of a wrapper's language part, None where it has none."""
    for field in LANGUAGE:
        if len(config.table(field)) > 0:
            return field
    return None


def is_wrapper(config: Config) -> bool:
    """Whether a config that a family reads has a language part beside others."""
    two = config.model_type in TWO_TOWERS
    return not two and language_field(config) is not None


def other_parts(config: Config) -> list[str]:
    """Return the fields of the parts beside the language part: those that the file has,
    and none that `transformers` would make where the file has none.
    """
    language = language_field(config)
    found = [
        name
        for name, value in config.items()
        if isinstance(value, Mapping)
        and (name.endswith("_config") or is_part(config, name))
        and name not in NO_PARTS
        and name != language
    ]
    return found[:MOST_PARTS]


def is_part(config: Config, name: str) -> bool:
    """Whether a wrapper is known to have such a part."""
    return name in TABLE["parts"].get(config.model_type, {})


def projectors(
    config: Config, language: ModelSpec | None, towers: list[PartSpec]
) -> list[PartSpec]:
    """Return the wrapper's projector where its size is known."""
    seen = [one.spec for one in towers if one.spec is not None]
    if language is None or not seen or config.model_type not in PROJECTORS:
        return []
    count = PROJECTORS[config.model_type](config, language.width, seen[0].width)
    return [PartSpec(name="projector", params=count)]


def gemma3(config: Config, text: int, image: int) -> int:
    """A norm on the image tower's vectors, and one matrix."""
    return image * text + image


def two_layers(config: Config, text: int, image: int) -> int:
    """Two linear layers with an activation between (LLaVA)."""
    picked = config.get("vision_feature_layer", -2)
    layers = len(picked) if isinstance(picked, list) else 1
    bias = text if config.flag("multimodal_projector_bias", True) else 0
    return image * layers * text + bias + text * text + bias


def one_layer(config: Config, text: int, image: int) -> int:
    """One linear layer (PaliGemma)."""
    return image * text + text


PROJECTORS = {
    "gemma3": gemma3,
    "llava": two_layers,
    "paligemma": one_layer,
}
