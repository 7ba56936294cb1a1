"""Loading a checkpoint: every tensor finds its place, or the load is refused by name."""

import pytest
import torch

from course_lib.models.lm import CausalLM
from course_lib.models.weights import load_hf_weights, our_name
from tests.unit.test_lm import spec_of

THEIR_LAYER = [f"self_attn.{part}_proj" for part in "qkvo"]
THEIR_LAYER += [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
THEIR_LAYER += ["input_layernorm", "post_attention_layernorm"]
THEIR_NAMES = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
THEIR_NAMES += [f"model.layers.{i}.{part}.weight" for i in range(3) for part in THEIR_LAYER]


def checkpoint(model: CausalLM) -> dict[str, torch.Tensor]:
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {name: torch.randn_like(parameters[our_name(name)]) for name in THEIR_NAMES}


def test_every_tensor_is_copied():
    model = CausalLM(spec_of())
    theirs = checkpoint(model)
    load_hf_weights(model, theirs)
    ours = dict(model.named_parameters())
    assert len(ours) == len(theirs)
    assert all(torch.equal(ours[our_name(name)], tensor) for name, tensor in theirs.items())


def test_a_tied_head_needs_no_tensor_of_its_own():
    model = CausalLM(spec_of(tie_word_embeddings=True))
    theirs = checkpoint(model)
    theirs.pop("lm_head.weight")
    load_hf_weights(model, theirs)
    assert torch.equal(model.head.weight, theirs["model.embed_tokens.weight"])


@pytest.mark.parametrize("name", THEIR_NAMES[:4])
def test_a_missing_tensor_is_named(name):
    model = CausalLM(spec_of())
    theirs = checkpoint(model)
    theirs.pop(name)
    with pytest.raises(ValueError, match=f"{our_name(name)}: missing"):
        load_hf_weights(model, theirs)


def test_an_unknown_tensor_is_named():
    model = CausalLM(spec_of())
    extra = {"model.layers.0.self_attn.q_proj.bias": torch.zeros(24)}
    with pytest.raises(ValueError, match=r"blocks.0.mixer.wq.bias: unknown"):
        load_hf_weights(model, checkpoint(model) | extra)


def test_another_shape_is_named():
    model = CausalLM(spec_of())
    with pytest.raises(ValueError, match=r"final_norm.weight has shape \(9,\), not \(10,\)"):
        load_hf_weights(model, checkpoint(model) | {"model.norm.weight": torch.zeros(9)})
