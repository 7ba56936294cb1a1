"""The same tiny model twice, for what is not a decoder alone: encoders and encoder-decoders."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import nn
from transformers import PreTrainedConfig

from course_lib.costs.params import param_count
from course_lib.models.checkpoints.weights import hf_tensors, load_hf_weights
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.records import ModelSpec
from tests.parity.against_transformers import in_float64

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


@dataclass(frozen=True)
class Twins:
    """Theirs and ours with the same random weights, in float64."""

    theirs: nn.Module
    ours: nn.Module
    spec: ModelSpec
    modeling: ModuleType

    def tokens(self, batch: int, length: int) -> torch.Tensor:
        """Random tokens, none of which means padding to a model of theirs (see `twins`)."""
        return torch.randint(3, self.spec.vocab, (batch, length))

    @torch.no_grad()
    def say(self, *args, **options):
        """What their model returns."""
        with in_float64(self.modeling):
            return self.theirs(*args, **options)


def twins(config: PreTrainedConfig, their_class: Callable, our_class: type[nn.Module]) -> Twins:
    """Build both; every tensor that is trained is random. Special tokens of `config` are to lie below 3."""
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    config.architectures = [their_class.__name__]
    modeling = sys.modules[their_class.__module__]
    with in_float64(modeling):
        theirs = their_class(config).double().eval()
    trained = (parameter for parameter in theirs.parameters() if parameter.requires_grad)
    shifts = (buffer for name, buffer in theirs.named_buffers() if name == "final_logits_bias")
    for tensor in (*trained, *shifts):
        tensor.data = torch.randn_like(tensor) * 0.3
    spec = spec_from_hf_config(config.to_dict())
    ours = our_class(spec).double().eval()
    load_hf_weights(ours, theirs.state_dict())
    return Twins(theirs, ours, spec, modeling)


def check_counts(pair: Twins) -> None:
    """Parameters: ours, theirs (without frozen tables of sines) and the formula."""
    ours = sum(parameter.numel() for parameter in pair.ours.parameters())
    assert ours == sum(p.numel() for p in pair.theirs.parameters() if p.requires_grad)
    assert ours == param_count(pair.spec).total


def check_weights_come_back(pair: Twins) -> None:
    """What we export is in their state under the same name, and loads into a second model of ours.

    The names are those in the whole model's file; a bare stack of theirs leaves the first word out.
    """
    exported, state = hf_tensors(pair.ours), pair.theirs.state_dict()
    if hasattr(pair.theirs, "embeddings"):
        state = {f"{pair.theirs.base_model_prefix}.{name}": tensor for name, tensor in state.items()}
    assert exported.keys() <= state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in exported.items())
    again = type(pair.ours)(pair.spec).double()
    load_hf_weights(again, exported)
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, pair.ours.state_dict()[name]), name


def check_gradients(pair: Twins, our_logits, **their_inputs) -> None:
    """Of a random weighting of the logits, by every parameter, under their names."""
    with in_float64(pair.modeling):
        theirs = pair.theirs(**their_inputs).logits
        direction = torch.randn_like(theirs)
        (theirs * direction).sum().backward()
    (our_logits() * direction).sum().backward()
    ours = hf_tensors(pair.ours, {name: p.grad for name, p in pair.ours.named_parameters()})
    expected = {name: p.grad for name, p in pair.theirs.named_parameters() if p.grad is not None}
    for module in (pair.theirs, pair.ours):
        module.zero_grad()
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        size = gradient.abs().max().item()  # sums over tokens: rounding grows with the size of the gradient
        limits = {"rtol": TOLERANCE["rtol"], "atol": TOLERANCE["atol"] * max(size, 1.0)}
        torch.testing.assert_close(ours[name], gradient, **limits, msg=lambda text, of=name: f"{of}: {text}")
