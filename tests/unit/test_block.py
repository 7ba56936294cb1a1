"""What a block may be beside a mixer and an FFN: values left for the model, two mixers, shared weights."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.numbering import next_positions
from course_lib.models.block import Block, SharedBlock, build_blocks
from course_lib.models.lm import CausalLM
from course_lib.models.parallel_mixers import ParallelMixers
from course_lib.specs.from_hf import spec_from_hf_config

SMALL = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "vocab_size": 11,
}
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def spec_of(**changes):
    return spec_from_hf_config(SMALL | changes)


class TwoExperts(nn.Module):
    """A soft mixture of two linear experts, which leaves a balance loss and each expert's share."""

    leaves_auxiliary = True

    def __init__(self, width):
        super().__init__()
        self.router, self.experts = nn.Linear(width, 2), nn.Linear(width, 2 * width)

    def forward(self, x, per_forward):
        share = self.router(x).softmax(-1)
        per_forward.add_loss("balance", 0.01 * share.mean((0, 1)).square().sum())
        per_forward.add_statistic("share", share.mean((0, 1)).detach())
        return (share[..., None] * self.experts(x).unflatten(-1, (2, -1))).sum(-2)


@pytest.mark.parametrize("layout", ["pre", "post", "sandwich", "parallel", "parallel_two"])
def test_a_model_collects_what_its_layers_leave(layout):
    layers = [dataclasses.replace(layer, norm_layout=layout) for layer in spec_of().layers]
    model = CausalLM(dataclasses.replace(spec_of(), layers=tuple(layers)), std=0.5)
    for place in (0, 2):
        model.blocks[place].ffn = TwoExperts(8)
    tokens = torch.randint(11, (2, 5))
    logits, auxiliary = model(tokens, return_auxiliary=True)
    assert torch.equal(logits, model(tokens))
    assert set(auxiliary.losses) == {(0, "balance"), (2, "balance")}
    torch.testing.assert_close(auxiliary.loss, sum(auxiliary.losses.values()))
    assert all(share.sum().item() == pytest.approx(1.0) for share in auxiliary.statistics.values())
    auxiliary.loss.backward()
    assert model.blocks[2].ffn.router.weight.grad.any() and model.embed.tokens.weight.grad.any()
    assert model.blocks[2].ffn.experts.weight.grad is None


def test_a_dense_model_leaves_nothing():
    _, auxiliary = CausalLM(spec_of())(torch.randint(11, (2, 5)), return_auxiliary=True)
    assert auxiliary.losses == auxiliary.statistics == {} and auxiliary.loss.item() == 0.0


def attention(**options):
    return Attention(8, heads=2, kv_heads=2, head_dim=4, **options)


@pytest.mark.parametrize("combine", [sum, lambda parts: sum(parts) / len(parts)])
def test_two_mixers_side_by_side_each_with_its_cache(combine):
    local, whole = attention(window=2), attention()
    layer = spec_of().layers[0]
    block = Block(8, layer, mixer=ParallelMixers([local, whole], combine)).double().requires_grad_(False)
    x, positions = torch.randn(2, 6, 8).double(), next_positions(0, 2, 6)
    normed = block.mixer_norm(x)
    between = x + combine([local(normed, positions), whole(normed, positions)])
    expected = between + block.ffn(block.ffn_norm(between))
    torch.testing.assert_close(block(x, positions), expected, **TIGHT)
    cache = ModelCache([ContiguousCache(2, 6, 2, 4, dtype=torch.float64) for _ in range(2)])
    cuts = zip(x.split([3, 1, 2], 1), positions.split([3, 1, 2], 1), strict=True)
    pieces = [block(*part, cache) for part in cuts]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-10, atol=1e-12)
    assert cache.length == 6
    with pytest.raises(ValueError, match="cache holds 1"):
        block(x, positions, ModelCache([cache[0]]))


def test_a_shared_block_is_one_set_of_weights_in_two_places():
    spec = spec_of()
    model, alone = CausalLM(spec, std=0.5), CausalLM(spec, std=0.5)
    model.blocks = build_blocks(8, spec.layers, shared={2: 0})
    names = model.state_dict().keys()
    assert not any(name.startswith("blocks.2.") for name in names)
    alone.load_state_dict(model.state_dict(), strict=False)
    alone.blocks[2].load_state_dict(model.blocks[0].state_dict())
    tokens = torch.randint(11, (2, 5))
    torch.testing.assert_close(model(tokens), alone(tokens))
    one = sum(p.numel() for p in model.blocks[0].parameters())
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in alone.parameters()) - one
    cache = model.make_cache(2, 5)  # one for each place
    with torch.no_grad():
        pieces = torch.cat([model(part, cache=cache) for part in tokens.split(1, 1)], dim=1)
    torch.testing.assert_close(pieces, model(tokens), rtol=1e-4, atol=1e-5)


def test_gradients_of_both_places_reach_the_shared_weights_also_in_a_copy():
    model = CausalLM(spec_of(), std=0.5).double()
    model.blocks = copy.deepcopy(build_blocks(8, spec_of().layers, shared={1: 0, 2: 0}).double())
    assert isinstance(model.blocks[2], SharedBlock) and model.blocks[2].shares[0] is model.blocks[0]
    model(torch.randint(11, (2, 5))).square().sum().backward()
    assert all(p.grad is not None for p in model.blocks[0].parameters())


@pytest.mark.parametrize("shared", [{0: 0}, {1: 2}, {2: 1, 1: 0}, {1: -1}])
def test_only_an_earlier_block_can_be_shared(shared):
    with pytest.raises(ValueError, match="shared="):
        build_blocks(8, spec_of().layers, shared=shared)
    layers = spec_of().layers
    other = dataclasses.replace(layers[1], norm_layout="post")
    with pytest.raises(ValueError, match="for layer 1 is an earlier one with the same spec"):
        build_blocks(8, (layers[0], other), shared={1: 0})


def test_layers_of_a_kind_share_one_mask_and_one_pair_of_tables():
    model = CausalLM(spec_of(num_hidden_layers=4))
    x, positions, shared = torch.randn(1, 5, 8), next_positions(0, 1, 5), PerForward()
    model.run(x, positions, per_forward=shared)
    assert len(shared.rope_tables) == len(shared.masks) == len(shared.for_sdpa) == 1
    gemma = {"model_type": "gemma2", "sliding_window": 3, "head_dim": 4, "num_key_value_heads": 1}
    local = CausalLM(spec_of(**gemma, num_hidden_layers=4))
    shared = PerForward()
    local.run(x, positions, per_forward=shared)
    assert len(shared.rope_tables) == 1 and {kind.window for kind in shared.masks} == {None, 3}
