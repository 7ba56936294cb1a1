"""Loads published models by name, from one YAML file each in `models/`.

A file holds four things: `config`, the fields of the model's Hugging Face config.json
which say what it is (those on training, tokens and storage are left out); `published`,
the totals its authors state; `release`, what it is called and when it came out; and
`sources`, which say where each of these was read, and when. The config takes the same
way as any other: `spec_from_hf_config`.
"""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.provenance import Published, Release, Source
from course_lib.specs.quantisation import quantisation_of
from course_lib.specs.records import ModelSpec

MODELS = Path(__file__).parent / "models"


def list_specs() -> tuple[str, ...]:
    """Return the names of the published models, sorted.

    >>> "llama-3-8b" in list_specs()
    True
    """
    return tuple(sorted(path.stem for path in MODELS.glob("*.yml")))


@cache
def load_spec(name: str) -> ModelSpec:
    """Return a published model by its name.

    Raises:
        ValueError: if no model has that name (the message offers the nearest ones).

    >>> load_spec("llama-3-8b").layers[0].mixer.kv_heads
    8
    """
    entry = read_entry(name)
    return replace(
        spec_from_hf_config(entry["config"]),
        name=name,
        published=_published(entry["published"]),
        sources=tuple(_source(source) for source in entry["sources"]),
        quantisation=quantisation_of(entry),
    )


@cache
def load_release(name: str) -> Release:
    """Return what a published model is called, and when it came out.

    It is no part of the spec: a model stays the same under another name.

    >>> load_release("llama-3-8b").date
    '2024-04-18'
    """
    fields = read_entry(name)["release"]
    return Release(**{**fields, "checked": str(fields["checked"])})


def read_entry(name: str) -> dict[str, Any]:
    """Return a model's file as it stands: `config`, `published`, `release`,
    `sources`.
    """
    if name not in list_specs():
        near = get_close_matches(str(name), list_specs(), n=3, cutoff=0.3)
        raise ValueError(
            f"name={name!r}: no such model; nearest: {', '.join(near) or 'none'} (see "
            "list_specs())"
        )
    return yaml.safe_load((MODELS / f"{name}.yml").read_text(encoding="utf-8"))


def _published(fields: Mapping[str, Any]) -> Published:
    return Published(
        **{**fields, "active_leaves_out": tuple(fields.get("active_leaves_out", ()))}
    )


def _source(fields: Mapping[str, Any]) -> Source:
    return Source(
        **{
            **fields,
            "covers": tuple(fields["covers"]),
            "checked": str(fields["checked"]),
        }
    )
