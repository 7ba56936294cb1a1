"""Ablation: one part less, exactly, and the model as before when it is over."""

import copy

import pytest
import torch

from course_lib.evaluate.ablation import attention_at, feed_forward_removed, heads_removed, rope_positions
from course_lib.layers.attention.forms import attend
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CausalLM(small_llama(32, 3, heads=4, kv_heads=2, vocab=16), std=0.3).double()


def test_a_removed_head_is_one_term_less(model):
    attention, x = model.blocks[0].mixer, torch.randn(2, 8, 32, dtype=torch.float64)
    positions = torch.arange(8).expand(2, 8)
    causal = torch.ones(8, 8, dtype=torch.bool).tril().expand(2, 8, 8)
    with torch.no_grad():
        heads = attend(*attention.project(x, positions), causal)[0]
        term = heads[:, :, 3] @ attention.wo.weight[:, 24:].T
        whole = attention(x, positions)
        with heads_removed(model, [(0, 3)]):
            torch.testing.assert_close(attention(x, positions), whole - term, rtol=1e-12, atol=1e-12)


def test_without_all_heads_a_layer_adds_nothing(model):
    x, positions = torch.randn(2, 8, 32, dtype=torch.float64), torch.arange(8).expand(2, 8)
    with heads_removed(model, [(1, head) for head in range(4)]):
        assert not model.blocks[1].mixer(x, positions).any()


def test_without_its_feed_forward_network_a_block_adds_attention_alone(model):
    block, x = model.blocks[2], torch.randn(2, 8, 32, dtype=torch.float64)
    positions = torch.arange(8).expand(2, 8)
    with torch.no_grad(), feed_forward_removed(model, [2]):
        alone = x + block.mixer(block.mixer_norm(x), positions)
        torch.testing.assert_close(block(x, positions), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_before_whatever_happens_inside(model, fails):
    before, parameters = model(TOKENS), copy.deepcopy(model.state_dict())
    ropes = [block.mixer.rope for block in model.blocks]
    try:
        with (
            heads_removed(model, [(0, 1), (0, 2), (2, 0)]),
            feed_forward_removed(model, [0, 0, 1]),
            rope_positions(model, torch.zeros_like),
        ):
            assert not torch.equal(model(TOKENS), before)
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert all(torch.equal(parameters[name], now) for name, now in model.state_dict().items())
    assert [block.mixer.rope for block in model.blocks] == ropes
    assert torch.equal(model(TOKENS), before)


def test_a_shift_of_all_positions_changes_nothing_and_a_stretch_does(model):
    before = model(TOKENS)
    with rope_positions(model, lambda p: p + 1000):
        torch.testing.assert_close(model(TOKENS), before, rtol=1e-9, atol=1e-9)
    with rope_positions(model, lambda p: 3 * p):
        assert (model(TOKENS) - before).abs().max() > 1e-3


def test_without_rotary_positions_the_mask_is_still_causal(model):
    changed = TOKENS.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 16
    with rope_positions(model, torch.zeros_like):
        assert torch.equal(model(changed)[:, :5], model(TOKENS)[:, :5])


def test_without_rotary_positions_one_layer_cannot_tell_the_order(model):
    model.blocks = model.blocks[:1]
    swapped = TOKENS[:, [1, 0, 2, 4, 3, 5, 6, 7]]
    assert (model(swapped)[:, 7] - model(TOKENS)[:, 7]).abs().max() > 1e-3
    with rope_positions(model, torch.zeros_like):
        torch.testing.assert_close(model(swapped)[:, 7], model(TOKENS)[:, 7], rtol=1e-9, atol=1e-9)


def test_the_shares_of_attention_to_all_visible_keys_are_one(model):
    place = torch.arange(8)
    past = (place[None, :] <= place[:, None]).expand(2, 8, 8)
    itself = torch.eye(8, dtype=torch.bool).expand(2, 8, 8)
    found = attention_at(model, TOKENS, [past, itself], torch.ones(2, 8, dtype=torch.bool))
    assert found.shape == (3, 4, 2)
    torch.testing.assert_close(found[..., 0], torch.ones(3, 4, dtype=torch.float64))
    assert (found[..., 1] < 1).all()


@pytest.mark.parametrize(("head", "said"), [((3, 0), "layer=3"), ((-1, 0), "layer=-1"), ((0, 4), "head=4")])
def test_a_head_that_is_not_there_is_refused(model, head, said):
    with pytest.raises(ValueError, match=said), heads_removed(model, [head]):
        pass


def test_a_model_without_rotary_positions_is_refused(model):
    model.blocks[1].mixer.rope = None
    with pytest.raises(ValueError, match="rotary"), rope_positions(model, torch.zeros_like):
        pass
