"""Layers that are looped, streams that are mixed, depth that is attended over, keys that are borrowed: what
each equals, and that it stays causal."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.costs import cache_bytes, flops_per_token, param_count
from course_lib.models.hybrids.depth_attention import DepthAttention, DepthAttentionLM
from course_lib.models.hybrids.hyper_connections import HyperLM, sinkhorn
from course_lib.models.hybrids.kv_across_layers import BorrowedKVLM, borrowing, lenders
from course_lib.models.hybrids.looped import (
    LoopedLM,
    act_weights,
    exit_distribution,
    exit_visit,
    expected_loss,
)
from course_lib.models.hybrids.stack import LETTERS, every_nth, hybrid_spec
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
VOCAB = 11


def spec_of(layers=2, **fields):
    return small_llama(12, layers=layers, heads=2, kv_heads=1, vocab=VOCAB, tied=False, **fields)


def drawn(model, std=0.3):
    for weight in model.parameters():  # logits of an order at which a mistake shows
        torch.nn.init.normal_(weight, std=std)
    return model.double().eval()


def text(length, batch=2):
    return torch.randint(VOCAB, (batch, length))


def sees_nothing_ahead(model, length=7, reach=9):
    tokens = text(length, 1)
    rows, places = tokens.repeat(length + 1, 1), torch.arange(length)
    rows[places + 1, places] = (rows[places + 1, places] + 1) % VOCAB
    before, *moved = model(rows)
    for place, row in enumerate(moved):
        torch.testing.assert_close(row[:place], before[:place], **CLOSE)
        same = torch.allclose(row[-1], before[-1], rtol=0, atol=1e-9)
        assert same == (place < length - reach)


def decoded(model, tokens, first=3):
    cache = model.make_cache(len(tokens), tokens.shape[1])
    with torch.no_grad():
        said = [model(tokens[:, :first], cache=cache)]
        said += [model(tokens[:, i : i + 1], cache=cache) for i in range(first, tokens.shape[1])]
    return torch.cat(said, 1), cache


# Looped models


@pytest.mark.parametrize("core", [(0, 3), (1, 2), (1, 3)])
def test_a_looped_model_is_a_stack_with_tied_weights_and_its_gradient_the_sum(core):
    looped = drawn(LoopedLM(spec_of(3), core=core, loops=3))
    stack = CausalLM(replace(spec_of(3), layers=spec_of(3).layers[:1] * len(looped.visits))).double()
    weights = {name: x for name, x in looped.state_dict().items() if not name.startswith("blocks.")}
    for place, block in enumerate(looped.visits):
        own = looped.blocks[block].state_dict()
        weights |= {f"blocks.{place}.{name}": x for name, x in own.items()}
    stack.load_state_dict(weights)
    tokens = text(6)
    one, other = looped(tokens), stack(tokens)
    torch.testing.assert_close(one, other, **CLOSE)
    one.pow(2).sum().backward()
    other.pow(2).sum().backward()
    for block in range(3):
        name = "mixer.wq.weight"
        tied = [stack.blocks[i].get_parameter(name).grad for i, b in enumerate(looped.visits) if b == block]
        torch.testing.assert_close(looped.blocks[block].get_parameter(name).grad, sum(tied), **CLOSE)


def test_a_visit_has_a_cache_of_its_own_and_a_block_its_weights_once():
    model = drawn(LoopedLM(spec_of(3), core=(1, 2), loops=4, step_signal=True, exit_gate=True))
    tokens = text(7)
    said, cache = decoded(model, tokens)
    torch.testing.assert_close(said, model(tokens), **CLOSE)
    stack = replace(spec_of(3), layers=spec_of(3).layers[:1] * 6)
    assert cache.nbytes == cache_bytes(stack, batch=2, tokens=7, bytes_per_element=8)
    gate = sum(x.numel() for x in model.gate.parameters())
    assert sum(x.numel() for x in model.parameters()) == param_count(spec_of(3)).total + gate
    sees_nothing_ahead(model)


def test_a_step_signal_tells_visits_apart():
    plain, told = (drawn(LoopedLM(spec_of(1), loops=3, step_signal=word)) for word in (False, True))
    told.load_state_dict(plain.state_dict())
    assert not torch.allclose(plain(text(4)), told(text(4)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
@settings(max_examples=30)
def test_chances_to_leave_sum_to_one_and_the_exit_is_the_first_that_is_enough(gates, threshold):
    chances = exit_distribution(torch.tensor(gates, dtype=torch.float64))
    assert abs(chances.sum().item() - 1) < 1e-12 and (chances >= 0).all()
    left, by_hand = 0.0, len(gates) - 1
    for visit, chance in enumerate(chances[:-1].tolist()):
        left += chance
        if left >= threshold:
            by_hand = visit
            break
    assert exit_visit(chances, threshold).item() == by_hand


def test_the_threshold_picks_each_tokens_visit():
    model, tokens = drawn(LoopedLM(spec_of(2), core=(0, 1), loops=3, exit_gate=True)), text(5)
    positions = torch.arange(5).expand(2, 5)
    states = model.states(tokens, positions)
    torch.testing.assert_close(model(tokens, threshold=0.0), model.finish(states[0], positions), **CLOSE)
    torch.testing.assert_close(model(tokens, threshold=2.0), model(tokens), **CLOSE)
    model.gate.weight.data *= 9
    chosen = exit_visit(model.exits(states), 0.6)
    assert len(chosen.unique()) > 1
    mixed = torch.stack([states[chosen[b, t], b, t] for b in range(2) for t in range(5)]).view(2, 5, -1)
    torch.testing.assert_close(model(tokens, threshold=0.6), model.finish(mixed, positions), **CLOSE)


def test_the_expected_loss_weighs_and_rewards_spread():
    losses = torch.tensor([3.0, 1.0])[:, None]
    sure, even = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [0.5]])
    assert expected_loss(losses, sure).item() == 1.0 and expected_loss(losses, even).item() == 2.0
    gap = expected_loss(losses, even) - expected_loss(losses, even, 0.5)
    torch.testing.assert_close(gap, 0.5 * torch.tensor(2.0).log())
    chances = sure.clone().requires_grad_()
    expected_loss(losses, chances, 0.5).backward()
    assert not chances.grad.isnan().any()


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
@settings(max_examples=25)
def test_act_adds_gates_up_and_gives_the_rest_to_the_visit_that_passes(gates):
    weights, visits = act_weights(torch.tensor(gates, dtype=torch.float64))
    total, by_hand = 0.0, []
    for gate in gates:  # Graves 2016: halt where the sum passes 1 - eps, or at the last
        last = total + gate >= 0.99 or len(by_hand) == len(gates) - 1
        by_hand.append(1 - total if last else gate)
        if last:
            break
        total += gate
    assert visits.item() == len(by_hand)
    by_hand += [0.0] * (len(gates) - len(by_hand))
    torch.testing.assert_close(weights, torch.tensor(by_hand, dtype=torch.float64), **CLOSE)


def test_what_looped_models_refuse():
    for options, word in (({"core": (1, 1)}, "core="), ({"loops": 0}, "loops=0")):
        with pytest.raises(ValueError, match=word):
            LoopedLM(spec_of(2), **options)
    with pytest.raises(ValueError, match="no exit gate"):
        LoopedLM(spec_of(2))(text(3), threshold=0.5)
    with pytest.raises(ValueError, match="cache has 2 layers"):
        LoopedLM(spec_of(2))(text(3), cache=CausalLM(spec_of(2)).make_cache(2, 3))


# Hyper-connections


@given(n=st.integers(1, 5), spread=st.floats(0, 3), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_sinkhorn_gives_columns_and_rows_of_one_and_a_norm_of_one(n, spread, seed):
    torch.manual_seed(seed)
    mix = sinkhorn(spread * torch.randn(n, n, dtype=torch.float64), 400, 0.0)
    torch.testing.assert_close(mix.sum(0), torch.ones(n).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(mix.sum(1), torch.ones(n).double(), rtol=0, atol=1e-4)
    assert torch.linalg.matrix_norm(mix, 2) <= 1 + 1e-4
    rough = sinkhorn(9 * torch.randn(n, n, dtype=torch.float64), 3)  # a bound that holds at any iteration
    bound = (rough.sum(0).max() * rough.sum(1).max()).sqrt()
    assert torch.linalg.matrix_norm(rough, 2) <= bound + 1e-9


@pytest.mark.parametrize("streams", [1, 2, 4])
def test_static_connections_start_as_the_residual_stack(streams):
    model = drawn(CausalLM(spec_of(3)))
    tokens, expected = text(6), model(text(6) * 0)
    hyper = HyperLM(model, streams).double()
    torch.testing.assert_close(hyper(tokens), model(tokens), **CLOSE)
    assert not torch.allclose(hyper(tokens), expected)


@pytest.mark.parametrize("kind", ["static", "mhc"])
def test_streams_see_nothing_ahead_and_every_number_is_trained(kind):
    model = HyperLM(drawn(CausalLM(spec_of(2))), 3, kind).double()
    sees_nothing_ahead(model)
    model(text(6)).pow(2).sum().backward()
    unused = [name for name, x in model.named_parameters() if x.grad is None]
    assert unused == []


def test_one_stream_of_mhc_is_a_residual_stream():
    """At n = 1 the mix is the number 1: what is added is 2 sigmoid(q) F(sigmoid(p) x), and the rest stays."""
    model = HyperLM(drawn(CausalLM(spec_of(2))), 1, "mhc").double()
    streams = model.run(text(5))
    for connection, before, after in zip(model.connections, streams, streams[1:], strict=False):
        _, mix, _ = connection(before)
        torch.testing.assert_close(mix, torch.ones_like(mix), rtol=0, atol=1e-5)
        assert not torch.allclose(before, after)


def test_mixing_alone_keeps_the_mean_and_never_grows_under_mhc_and_does_grow_without():
    torch.manual_seed(0)
    streams = torch.randn(2, 5, 4, 12, dtype=torch.float64)
    mixes = {
        "mhc": lambda: sinkhorn(torch.randn(4, 4, dtype=torch.float64), 100, 0.0),
        "static": lambda: torch.eye(4, dtype=torch.float64) + 0.3 * torch.randn(4, 4, dtype=torch.float64),
    }
    norms = {}
    for kind, draw in mixes.items():
        x = streams
        for _ in range(60):
            x = draw().mT @ x
        norms[kind] = (x.norm() / streams.norm()).item()
        if kind == "mhc":
            torch.testing.assert_close(x.mean(-2), streams.mean(-2), rtol=0, atol=1e-8)
    assert norms["mhc"] <= 1 and norms["static"] > 100


def test_what_hyper_connections_refuse():
    with pytest.raises(ValueError, match="streams=0"):
        HyperLM(CausalLM(spec_of(1)), 0)
    with pytest.raises(ValueError, match="kind='free'"):
        HyperLM(CausalLM(spec_of(1)), 2, "free")


# Attention over depth


@pytest.mark.parametrize("block", [None, 1, 2, 3])
def test_queries_of_zero_are_the_residual_stack(block):
    """A mean in place of a sum: equal where norms have no eps, for they do not see a factor."""
    model = drawn(CausalLM(spec_of(3, rms_norm_eps=1e-30)))
    deep, tokens = DepthAttentionLM(model, block).double(), text(6)
    torch.testing.assert_close(deep(tokens), model(tokens), rtol=1e-8, atol=1e-9)
    counts = {None: 6, 1: 3, 2: 2, 3: 1}
    kept = []
    deep.attend[-1].register_forward_pre_hook(lambda _, given: kept.append(given[0].shape[-2]))
    deep(tokens)
    assert kept == [counts[block] + 1]


def test_depth_attention_sees_nothing_ahead_and_can_pick_one_layer():
    model = DepthAttentionLM(drawn(CausalLM(spec_of(2)))).double()
    for attend in model.attend:
        torch.nn.init.normal_(attend.query)
    sees_nothing_ahead(model)
    pick = DepthAttention(4).double()
    outputs = torch.eye(4, dtype=torch.float64)[None, None]  # four outputs, each its own direction
    pick.query.data = 400.0 * torch.eye(4, dtype=torch.float64)[2]
    torch.testing.assert_close(pick(outputs)[0, 0], outputs[0, 0, 2], **CLOSE)
    assert abs(pick.weights(outputs).sum().item() - 1) < 1e-12


def test_what_depth_attention_refuses():
    with pytest.raises(ValueError, match="block=0"):
        DepthAttentionLM(CausalLM(spec_of(1)), 0)


# Keys of another layer


def test_nobody_borrowing_is_the_ordinary_model():
    model, plain = BorrowedKVLM(spec_of(3)), drawn(CausalLM(spec_of(3)))
    model.double().load_state_dict(plain.state_dict())
    tokens = text(6)
    torch.testing.assert_close(model(tokens), plain(tokens), **CLOSE)


@pytest.mark.parametrize("every", [2, 3])
def test_borrowed_keys_cost_what_the_formula_says_and_decode_as_they_run(every):
    spec = borrowing(spec_of(5), every)
    model, tokens = drawn(BorrowedKVLM(spec)), text(8)
    said, cache = decoded(model, tokens)
    torch.testing.assert_close(said, model(tokens), **CLOSE)
    assert sum(x.numel() for x in model.parameters()) == param_count(spec).total
    assert cache.nbytes == cache_bytes(spec, batch=2, tokens=8, bytes_per_element=8)
    assert flops_per_token(spec, 8) < flops_per_token(spec_of(5), 8)
    sees_nothing_ahead(model)


def test_a_layer_borrows_from_the_nearest_below_with_its_window():
    layers = hybrid_spec("awawaw").layers
    borrowed = [i >= 2 for i in range(6)]
    layers = [
        replace(x, mixer=replace(x.mixer, borrows_kv=own)) for x, own in zip(layers, borrowed, strict=True)
    ]
    assert lenders(layers) == [0, 1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match="layer 0 borrows"):
        lenders(layers[2:3])


# Patterns


@pytest.mark.parametrize(("pattern", "reach"), [("mda", 9), ("swn", 9), ("c", 3), ("wc", 5), ("gal", 9)])
def test_a_pattern_is_built_priced_and_decoded(pattern, reach):
    spec = hybrid_spec(
        pattern, 12, 2, window=3, kv_heads=1, vocab=VOCAB, tied=False, positions="s" not in pattern
    )
    model, tokens = CausalLM(spec).double().eval(), text(7)
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and not name.endswith("a_log"):
            torch.nn.init.normal_(weight, std=0.3)
    said, _ = decoded(model, tokens, first=4)
    torch.testing.assert_close(said, model(tokens), **CLOSE)
    assert sum(x.numel() for x in model.parameters()) == param_count(spec).total
    sees_nothing_ahead(model, reach=reach)


def test_what_patterns_refuse_and_where_attention_stands():
    for pattern in ("", "ax"):
        with pytest.raises(ValueError, match=f"pattern='{pattern}'"):
            hybrid_spec(pattern)
    assert every_nth(8, 16).count("a") == 2 and every_nth(8, 16)[7] == "a"
    assert [len(hybrid_spec(letter).layers) for letter in LETTERS] == [1] * len(LETTERS)
