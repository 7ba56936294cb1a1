"""Active parameters of published mixtures, counted from the modules that `transformers` builds.

They are on the meta device, and only shapes are looked at: a module of experts holds each tensor once per
expert, x
"""

import pytest
import torch
from torch import nn

from course_lib.costs.params import param_count
from course_lib.specs.loader import list_specs, load_spec, read_entry
from course_lib.specs.records import MoESpec
from tests.parity.test_params import CLASSES, OF_OURS, WITH_TEXT_MODEL, class_of, hf_config

PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k")


def mixtures() -> list[str]:
    """One published mixture of each model type that `transformers` has."""
    found = {}
    for name in list_specs():
        model_type = read_entry(name)["config"]["model_type"]
        if model_type not in OF_OURS and any(isinstance(one.ffn, MoESpec) for one in load_spec(name).layers):
            found.setdefault(model_type, name)
    return sorted(found.values())


def built(name: str) -> tuple[nn.Module, int]:
    """The model of a published config, and the experts that a token visits in a layer."""
    config = hf_config(read_entry(name)["config"])
    of_class = (config.architectures or [CLASSES[config.model_type]])[0]
    if config.model_type in WITH_TEXT_MODEL:
        whole, config = config, config.text_config
        config.tie_word_embeddings = whole.tie_word_embeddings
    visited = next(getattr(config, field) for field in PER_TOKEN if getattr(config, field, None))
    with torch.device("meta"):
        return class_of(config, of_class)(config), visited


def idle_params(model: nn.Module, visited: int) -> int:
    """Parameters of the experts that one token does not visit."""
    idle = 0
    for module in model.modules():
        if not type(module).__name__.endswith("Experts"):
            continue
        if isinstance(module, nn.ModuleList):  # one module an expert
            one = sum(parameter.numel() for parameter in module[0].parameters())
            idle += one * (len(module) - visited)
            continue
        stacked = list(module.parameters())
        experts = {parameter.shape[0] for parameter in stacked}
        assert len(experts) == 1, (type(module).__name__, experts)
        (count,) = experts
        assert count > visited
        idle += sum(parameter[0].numel() for parameter in stacked) * (count - visited)
    return idle


@pytest.mark.parametrize("name", mixtures())
def test_a_token_uses_as_many_parameters_as_are_counted(name):
    model, visited = built(name)
    idle = idle_params(model, visited)
    total = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert idle > 0
    assert param_count(load_spec(name)).active == total - idle


def test_there_are_mixtures_enough():
    assert len(mixtures()) >= 20
