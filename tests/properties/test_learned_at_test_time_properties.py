"""A memory that is trained while it is read is, when it is a matrix, linear attention or the delta rule; GRU
and LSTM are those of torch, and leave padding out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.layers.recurrent.delta_rule import delta_rule_recurrent, unit
from course_lib.layers.recurrent.gated_rnn import GRU, LSTM
from course_lib.layers.recurrent.learned_at_test_time import mlp_memory, test_time_training
from course_lib.layers.recurrent.linear_attention import linear_attention_recurrent

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
B, H, K, V = 2, 2, 3, 4
test_time_training.__test__ = False


def draw(t, seed=0):
    torch.manual_seed(seed)
    q, k, v = (torch.randn(B, t, H, n, dtype=torch.float64, requires_grad=True) for n in (K, K, V))
    rate = torch.rand(B, t, H, dtype=torch.float64, requires_grad=True)
    return q, k, v, rate


def zeros():
    return {"state": torch.zeros(B, H, K, V, dtype=torch.float64)}


def same_with_gradients(one, other, leaves):
    for (y, state), (expected, after) in [(one, other)]:
        torch.testing.assert_close(y, expected, **CLOSE)
        torch.testing.assert_close(state["state"], after, **CLOSE)
    found = torch.autograd.grad(one[0].pow(2).sum() + one[1]["state"].sum(), leaves)
    wanted = torch.autograd.grad(other[0].pow(2).sum() + other[1].sum(), leaves)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, **CLOSE)


@given(t=st.integers(1, 7), seed=st.integers(0, 99))
@settings(max_examples=4)
def test_one_step_of_descent_a_token_is_the_delta_rule(t, seed):
    q, k, v, rate = draw(t, seed)
    leaves = [q, k, v, rate]
    trained = test_time_training(q, unit(k), v, rate, memory=zeros())
    same_with_gradients(trained, delta_rule_recurrent(q, unit(k), v, rate), leaves)


@given(t=st.integers(1, 7), seed=st.integers(0, 99))
@settings(max_examples=4)
def test_all_gradients_at_the_first_memory_are_linear_attention(t, seed):
    q, k, v, rate = draw(t, seed)
    trained = test_time_training(q, k, v, rate, memory=zeros(), chunk=99)
    plain = linear_attention_recurrent(q, k, rate[..., None] * v)
    same_with_gradients(trained, plain, [q, k, v, rate])


def test_forgetting_first_is_gated_deltanet_and_forgetting_last_is_not():
    q, k, v, rate = draw(6)
    alpha = 0.5 * torch.rand(B, 6, H, dtype=torch.float64)
    gated = delta_rule_recurrent(q, unit(k), v, rate, (1 - alpha).log()[..., None])
    inputs = {"memory": zeros(), "forget": alpha}
    same_with_gradients(
        test_time_training(q, unit(k), v, rate, forget_first=True, **inputs), gated, [q, k, v]
    )
    titans, _ = test_time_training(q, unit(k), v, rate, **inputs)
    assert not torch.allclose(titans, gated[0])


def test_chunks_lie_between_and_momentum_is_a_sum_over_the_past():
    q, k, v, rate = draw(5)
    found = {c: test_time_training(q, k, v, rate, memory=zeros(), chunk=c)[0] for c in (1, 2, 5)}
    torch.testing.assert_close(found[2][:, :1], found[5][:, :1], **CLOSE)
    torch.testing.assert_close(found[2][:, 1:2], found[5][:, 1:2], **CLOSE)
    assert not torch.allclose(found[2][:, 2:], found[5][:, 2:])
    # with gradients at zero, momentum eta weighs pair s by 1 + eta + ... + eta^(t - s) at step t
    eta = torch.full_like(rate, 0.5)
    _, state = test_time_training(q, k, v, rate, memory=zeros(), momentum=eta, chunk=5)
    weights = torch.tensor([sum(0.5**j for j in range(5 - s)) for s in range(5)], dtype=torch.float64)
    by_hand = torch.einsum("s,bshk,bshv,bsh->bhkv", weights, k, v, rate)
    torch.testing.assert_close(state["state"], by_hand, **CLOSE)


def deep_memory():
    torch.manual_seed(1)
    up, down = torch.randn(B, H, K, 5), torch.randn(B, H, 5, K)
    return {"up": up.double() * 0.5, "down": down.double() * 0.5}


def test_a_memory_with_a_hidden_layer_learns_by_descent_and_goes_on_where_it_stopped():
    q, k, _, rate = draw(6)
    v, start = torch.randn_like(k), deep_memory()
    y, after = test_time_training(q, k, v, rate, memory=start, apply=mlp_memory)
    by_hand = {name: x[1, 0].clone() for name, x in start.items()}  # row 1, head 0, by autograd
    for t in range(6):
        weights = {name: x.clone().requires_grad_() for name, x in by_hand.items()}
        loss = (mlp_memory(weights, k[1, t, 0]) - v[1, t, 0]).square().sum() / 2
        slopes = torch.autograd.grad(loss, list(weights.values()))
        by_hand = {
            n: (x - rate[1, t, 0] * s).detach() for (n, x), s in zip(weights.items(), slopes, strict=True)
        }
        torch.testing.assert_close(y[1, t, 0], mlp_memory(by_hand, q[1, t, 0]), **CLOSE)
    pieces, memory = [], start
    for part in (slice(0, 4), slice(4, 6)):
        part_y, memory = test_time_training(
            *(x[:, part] for x in (q, k, v, rate)), memory=memory, apply=mlp_memory
        )
        pieces.append(part_y)
    torch.testing.assert_close(torch.cat(pieces, 1), y, **CLOSE)
    for name, x in after.items():
        torch.testing.assert_close(memory[name], x, **CLOSE)
    changed = k.detach().clone()
    changed[:, 4] += 1
    moved, _ = test_time_training(q, changed, v, rate, memory=start, apply=mlp_memory)
    torch.testing.assert_close(moved[:, :4], y[:, :4], **CLOSE)
    assert not torch.allclose(moved[:, 4:], y[:, 4:])


def test_what_test_time_training_refuses():
    q, k, v, rate = draw(2)
    for options in ({"chunk": 0}, {"chunk": 2, "forget_first": True}):
        with pytest.raises(ValueError, match="chunk="):
            test_time_training(q, k, v, rate, memory=zeros(), **options)


# GRU and LSTM

PAIRS = [(GRU, nn.GRU), (LSTM, nn.LSTM)]


def pair(ours, theirs, d=5):
    torch.manual_seed(0)
    mixer, reference = ours(d, 6).double(), theirs(d, 6, batch_first=True).double()
    mixer.into.weight.data, mixer.into.bias.data = reference.weight_ih_l0.data, reference.bias_ih_l0.data
    mixer.again.weight.data, mixer.again.bias.data = reference.weight_hh_l0.data, reference.bias_hh_l0.data
    return mixer, reference


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_gated_network_is_torchs_with_gradients(ours, theirs):
    mixer, reference = pair(ours, theirs)
    x = torch.randn(2, 7, 5, dtype=torch.float64, requires_grad=True)
    found, expected = mixer(x, torch.arange(7).expand(2, 7)), mixer.wo(reference(x)[0])
    torch.testing.assert_close(found, expected, **CLOSE)
    weights = (mixer.into.weight, mixer.again.weight), (reference.weight_ih_l0, reference.weight_hh_l0)
    slopes = [
        torch.autograd.grad(y.pow(2).sum(), [x, *own])
        for y, own in zip((found, expected), weights, strict=True)
    ]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_gated_network_decodes_from_its_state_and_leaves_padding_out(ours, theirs):
    mixer, _ = pair(ours, theirs)
    x, positions = torch.randn(2, 7, 5, dtype=torch.float64), torch.arange(7).expand(2, 7)
    whole, state = mixer(x, positions), mixer.make_state(2, torch.float64)
    assert state.nbytes == 2 * 6 * 8 * len(mixer.state_shapes)
    pieces = [mixer(x[:, cut], positions[:, cut], state) for cut in (slice(0, 4), slice(4, 5), slice(5, 7))]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, **CLOSE)
    padded = torch.cat([torch.randn(2, 3, 5, dtype=torch.float64), x], 1)
    places = torch.cat([torch.full((2, 3), -1), positions], 1)
    torch.testing.assert_close(mixer(padded, places)[:, 3:], whole, **CLOSE)
