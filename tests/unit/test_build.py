"""Which of the published models are built, and what each of the others is refused for."""

import re
from dataclasses import replace

import pytest
import torch

from course_lib.models.build import build_model
from course_lib.specs.loader import list_specs, load_spec

REFUSED = {
    "ax-k1": "sides=a",
    "clip-vit-l-14": "head='projection'",
    "gemma-4-26b-a4b": "sides=values",
    "gemma-4-31b": "sides=values",
    "gemma-4-e2b": "sides=",
    "gemma-4-e4b": "sides=",
    "mimo-v2-flash": "sides=values",
    "vit-l-16": "patches=",
}


def one_of_each_layer(name):
    """The model with each kind of layer once: as much as can be refused, and quick to build."""
    spec = load_spec(name)
    once = {side: tuple(dict.fromkeys(getattr(spec, side))) for side in ("layers", "encoder")}
    return replace(spec, **once)


def test_all_published_models_are_built_but_those_named_here():
    refused = {}
    for name in list_specs():
        try:
            with torch.device("meta"):
                build_model(one_of_each_layer(name))
        except ValueError as error:
            refused[name] = str(error)
    assert refused.keys() == REFUSED.keys()
    assert all(re.match(re.escape(REFUSED[name]), message) for name, message in refused.items())


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-3-27b"])
def test_a_published_scaling_is_built_as_the_spec_says(name):
    spec = one_of_each_layer(name)
    with torch.device("meta"):
        model = build_model(spec)
    for block, layer in zip(model.blocks, spec.layers, strict=True):
        assert block.mixer.rope.scaling == layer.mixer.rope.scaling
        assert block.mixer.rope.theta == layer.mixer.rope.theta
    assert any(layer.mixer.rope.scaling for layer in spec.layers)
