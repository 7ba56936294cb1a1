"""From a Hugging Face config to a `ModelSpec`: one parser for each `model_type`, and
one way in.

The families stand in `families/table`. A model of several parts needs no line there:
its language part is read by that part's family, and the other parts stand beside it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from course_lib.specs.classes import (
    BACKBONE,
    DECODER,
    counted_as,
    shortened,
    with_ends,
)
from course_lib.specs.defaults import SAME_CLASS, TABLE, filled_in
from course_lib.specs.documents import fields_of
from course_lib.specs.families.missing import MISSING
from course_lib.specs.families.table import CLASSES, PARSERS, parsed
from course_lib.specs.files import read_document
from course_lib.specs.layer_types import with_windows
from course_lib.specs.quantisation import quantisation_of
from course_lib.specs.reader import Config
from course_lib.specs.records import ModelSpec, PartSpec
from course_lib.specs.wrappers import (
    OWN_TIE,
    is_wrapper,
    language_field,
    other_parts,
    projectors,
    unfolded,
)

QUANTISED = "quantization_config"


def spec_from_hf_config(config: Mapping[str, Any] | str | Path) -> ModelSpec:
    """Return the specification of a model from its Hugging Face config.

    Args:
        config: the fields of a config.json, or what `to_dict()` of a `transformers`
            config gives, or the path of a file: a config.json, a params.json of Meta's
            or Mistral's, the header of a GGUF file.

    Returns:
        The model of the class that the config names (`counted` says which). Its name is
        its `model_type`; published totals and sources are left empty.

    Raises:
        ValueError: if the file cannot be read as a JSON mapping, the `model_type` is
            unknown, or a field is missing or of the wrong kind (the message names it).

    >>> config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}
    >>> config |= {"num_hidden_layers": 3, "intermediate_size": 5, "vocab_size": 7}
    >>> spec = spec_from_hf_config(config)
    >>> len(spec.layers), spec.layers[0].mixer.head_dim
    (3, 4)
    """
    return spec_from_fields(_read(config) if isinstance(config, str | Path) else config)


def spec_from_fields(document: Any) -> ModelSpec:
    """Return the specification of a model from the fields of its config; errors as
    above.
    """
    mapping = unfolded(fields_of(document))
    config = Config(mapping)
    spec = whole_of(mapping, config)
    named = {QUANTISED: config.get(QUANTISED)}
    return replace(spec, quantisation=quantisation_of(named))


def whole_of(mapping: Mapping[str, Any], config: Config) -> ModelSpec:
    """Return the model of a config's fields, without its weights' precision."""
    family = family_of(config)
    if family is not None:
        spec = read_as(config, Config(mapping, family))
        return replace(spec, beside=beside(config)) if is_wrapper(config) else spec
    field = language_field(config)
    if field is None:
        raise unknown(config)
    return wrapper(config, field)


def read_as(named: Config, config: Config) -> ModelSpec:
    """Return the model of a config that is read as another model type than it names, or
    as the same.
    """
    classes = CLASSES.get(config.model_type, DECODER)
    whole = with_windows(config, parsed(config))
    spec = counted_as(config, whole, classes)
    if named.model_type == config.model_type:
        return spec
    kept = shortened(named.model_type)
    said = f"{spec.counted}; {kept} is read as {config.model_type}"
    return replace(spec, name=kept, counted=said)


def family_of(config: Config) -> str | None:
    """Return the model type whose parser reads a config: its own, that of the same
    class, or that of the class which it names. None where there is none.
    """
    own = SAME_CLASS.get(config.model_type, config.model_type)
    if own in PARSERS:
        return own
    if own in TABLE["prefixes"]:
        return None  # a class of its own, which is not read
    for name in config.names("architectures")[:1]:
        for family, prefix in TABLE["prefixes"].items():
            rest = name[len(prefix) :] if name[: len(prefix)] == prefix else ""
            if family in PARSERS and rest in CLASSES.get(family, DECODER):
                return family
    return None


def is_read(document: Any) -> bool:
    """Whether a family reads a document's model type, or that of its language part."""
    config = Config(unfolded(fields_of(document)))
    field = language_field(config)
    part = None if field is None else family_of(config.part(field))
    return part is not None or family_of(config) is not None


def wrapper(config: Config, field: str) -> ModelSpec:
    """Return the language part of a model of several parts, with the others beside.

    The class that the whole names decides the head, and the whole says whether it is
    tied.
    """
    text = config.part(field)
    family = family_of(text)
    if family is None:
        raise unknown(text)
    text = Config(filled_in(family, config.table(field)), family)
    read = with_windows(text, parsed(text))
    tied = config.flag("tie_word_embeddings", tied_by_default(config, text, read))
    read = replace(read, embeddings=replace(read.embeddings, tied=tied))
    spec = counted_as(config, read, CLASSES.get(family, DECODER))
    kept = shortened(config.model_type)
    said = f"{spec.counted}, of which {field} ({family}) is the language part"
    return replace(spec, name=kept, counted=said, beside=beside(config, spec))


def tied_by_default(config: Config, text: Config, read: ModelSpec) -> bool:
    """Return whether a wrapper ties its head where it does not say so: by its own
    default, or else as its language part does.
    """
    own = TABLE["fields"].get(config.model_type, {}).get("tie_word_embeddings", False)
    return own if config.model_type in OWN_TIE else own or read.embeddings.tied


def beside(config: Config, language: ModelSpec | None = None) -> tuple[PartSpec, ...]:
    """Return the parts of a wrapper that its file has beside the language model: towers
    that a family reads, the projector where it is known, and the rest by name.
    """
    parts = []
    for field in other_parts(config):
        part = config.part(field)
        known = part.model_type in PARSERS
        name = f"{field} ({shortened(part.model_type)})"
        parts += [PartSpec(name=name, spec=tower(part) if known else None)]
    return tuple(parts + projectors(config, language, parts))


def tower(config: Config) -> ModelSpec:
    """Return a part's model without a head, as a wrapper builds it."""
    classes = CLASSES.get(config.model_type, DECODER)
    whole = parsed(config)
    return with_ends(config, whole, classes.get("Model", BACKBONE))


def unknown(config: Config) -> ValueError:
    """Return the refusal of a model type that no family reads, with the mechanism that
    it needs, where that is known, and the types that begin as it does.
    """
    named = config.model_type
    near = [one for one in sorted(PARSERS) if one[:3] == named[:3]]
    alike = f"; nearest: {', '.join(near)}" if near else ""
    needed = f"; it needs {MISSING[named]}" if named in MISSING else ""
    return ValueError(
        f"model_type={shortened(named)!r} is not supported{needed}{alike}; "
        f"{len(PARSERS)} families are read (course spec --families)"
    )


def _read(path: str | Path) -> Any:
    return read_document(Path(path))
