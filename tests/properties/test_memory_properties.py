"""Segments, memory tokens, nearest neighbours and block recurrence: what each equals, and that no token sees
one ahead."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.attention.nearest import (
    KNNMemory,
    MemorizingAttention,
    joined,
    nearest_attend,
    nearest_attend_naive,
)
from course_lib.layers.masks import CAUSAL
from course_lib.layers.positions.relative_scores import relative_scores, relative_scores_naive
from course_lib.models.hybrids.block_recurrent import GATES, BlockRecurrentLayer
from course_lib.models.hybrids.knn_memory import MemorizingLM
from course_lib.models.hybrids.memory_tokens import MemoryTokenLM
from course_lib.models.hybrids.segment_recurrence import (
    SegmentRecurrentLM,
    earliest_seen,
    segment_window,
)
from course_lib.models.hybrids.stack import hybrid_spec
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
VOCAB = 11


def plain_lm(layers=2, seed=0, **fields):
    torch.manual_seed(seed)
    model = CausalLM(small_llama(12, layers=layers, heads=2, kv_heads=1, vocab=VOCAB, tied=False, **fields))
    for weight in model.parameters():  # logits of an order at which a mistake shows
        torch.nn.init.normal_(weight, std=0.4)
    return model.double()


def text(length, batch=2):
    return torch.randint(VOCAB, (batch, length))


def each_changed(tokens):
    """The row as it is, then once for each place with another token there."""
    rows = tokens.repeat(tokens.shape[1] + 1, 1)
    places = torch.arange(tokens.shape[1])
    rows[places + 1, places] = (rows[places + 1, places] + 1) % VOCAB
    return rows


def gradients(loss, model):
    return torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)


# Transformer-XL


@given(t=st.integers(1, 9), segment=st.integers(1, 10), seed=st.integers(0, 99))
@settings(max_examples=5)
def test_a_memory_of_everything_is_one_long_context_with_gradients(t, segment, seed):
    model, tokens = plain_lm(seed=seed), text(t)
    carried = SegmentRecurrentLM(model, memory=99, detach=False).read(tokens, segment)
    torch.testing.assert_close(carried, model(tokens), **CLOSE)
    ours, theirs = (gradients(y.pow(2).sum(), model) for y in (carried, model(tokens)))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@given(t=st.integers(1, 12), segment=st.integers(1, 5), memory=st.integers(0, 7), seed=st.integers(0, 99))
@settings(max_examples=6)
def test_a_short_memory_is_one_mask_in_every_layer(t, segment, memory, seed):
    model, tokens = plain_lm(layers=3, seed=seed), text(t)
    mask = CAUSAL & segment_window(segment, memory)
    carried = SegmentRecurrentLM(model, memory).read(tokens, segment)
    torch.testing.assert_close(carried, model(tokens, mask_mod=mask), **CLOSE)


@pytest.mark.parametrize(
    ("layers", "segment", "memory"), [(1, 3, 3), (2, 3, 2), (3, 2, 2), (2, 2, 5), (2, 3, 0)]
)
def test_context_reaches_one_memory_further_a_layer_and_no_further(layers, segment, memory):
    model, tokens = SegmentRecurrentLM(plain_lm(layers), memory), text(11, batch=1)
    first = earliest_seen(10, layers, segment, memory)
    before, *moved = model.read(each_changed(tokens), segment)
    for place, row in enumerate(moved):
        assert torch.allclose(row[:place], before[:place], rtol=0, atol=1e-12)  # nothing sees ahead
        assert torch.allclose(row[10], before[10], rtol=0, atol=1e-12) == (place < first)


def test_the_gradient_stops_at_the_memory():
    model, tokens = plain_lm(), torch.arange(6)[None]
    for detach, reached in ((True, [3, 4, 5]), (False, [0, 1, 2, 3, 4, 5])):
        reader = SegmentRecurrentLM(model, 99, detach=detach)
        loss = reader.read(tokens, 3)[:, 3:].pow(2).sum()
        (table,) = torch.autograd.grad(loss, [model.embed.tokens.weight])
        assert table.abs().sum(-1).nonzero().flatten().tolist() == reached


def test_what_segment_recurrence_refuses():
    with pytest.raises(ValueError, match="memory=-1"):
        SegmentRecurrentLM(plain_lm(), -1)
    with pytest.raises(ValueError, match="segment=0"):
        SegmentRecurrentLM(plain_lm(), 1).read(text(3), 0)
    with pytest.raises(ValueError, match="layer 0 is"):
        SegmentRecurrentLM(CausalLM(hybrid_spec("ma", 8, 2)), 1)


@given(t=st.integers(1, 5), extra=st.integers(0, 4), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_a_shift_of_products_with_all_distances_is_the_pairs_own(t, extra, seed):
    torch.manual_seed(seed)
    s = t + extra
    q, k, r = torch.randn(2, t, 3, 4), torch.randn(2, s, 3, 4), torch.randn(s, 3, 4)
    parts = [x.double() for x in (q, k, r, torch.randn(3, 4), torch.randn(3, 4))]
    plain, fast = relative_scores_naive(*parts), relative_scores(*parts)
    seen = torch.arange(s) <= torch.arange(t)[:, None] + extra
    torch.testing.assert_close(fast[..., seen], plain[..., seen], **CLOSE)
    assert bool(torch.isinf(plain[..., ~seen]).all())


# Memory tokens


def test_without_memory_tokens_segments_know_nothing_of_one_another():
    model, tokens = plain_lm(), text(7)
    found, memory = MemoryTokenLM(model, 0).double().read(tokens, 3)
    alone = torch.cat([model(piece) for piece in tokens.split(3, 1)], 1)
    torch.testing.assert_close(found, alone, **CLOSE)
    assert memory.shape == (2, 0, 12)


def test_memory_tokens_are_a_prefix_and_what_the_model_makes_of_the_end():
    """The first segment by hand: a prefix of vectors, the text, the same vectors again."""
    model, tokens = MemoryTokenLM(plain_lm(), 3).double(), text(5)
    logits, memory = model(tokens)
    lm = model.model
    line = torch.cat(
        [model.memory.expand(2, 3, 12), lm.embed.tokens(tokens), model.memory.expand(2, 3, 12)], 1
    )
    positions = torch.arange(11).expand(2, 11)
    torch.testing.assert_close(logits, lm.run(line, positions)[:, 3:8], **CLOSE)
    torch.testing.assert_close(memory, lm.hidden(line, positions)[:, 8:], **CLOSE)


def test_memory_tokens_carry_over_all_segments_and_leak_nothing_back():
    model, tokens = MemoryTokenLM(plain_lm(), 2).double(), text(12, batch=1)
    before, *moved = model.read(each_changed(tokens), 3)[0]
    for place, row in enumerate(moved):
        assert torch.allclose(row[:place], before[:place], rtol=0, atol=1e-12)
        assert not torch.allclose(row[-1], before[-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("through", "reached"), [(None, 12), (2, 6), (1, 3), (3, 9)])
def test_the_gradient_flows_through_as_many_segments_as_asked(through, reached):
    lm, tokens = plain_lm(), torch.arange(12).clamp(max=10)[None]
    lm.embed.tokens = torch.nn.Embedding(12, 12).double()
    model, tokens = MemoryTokenLM(lm, 2, through=through).double(), torch.arange(12)[None]
    logits, _ = model.read(tokens, 3)
    (table,) = torch.autograd.grad(logits[:, -3:].pow(2).sum(), [lm.embed.tokens.weight])
    assert table.abs().sum(-1).nonzero().flatten().tolist() == list(range(12 - reached, 12))


# Nearest neighbours


@given(t=st.integers(1, 4), s=st.integers(1, 9), n=st.integers(1, 10), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_nearest_attention_is_its_loop(t, s, n, seed):
    torch.manual_seed(seed)
    q, k, v = torch.randn(2, t, 4, 5), torch.randn(2, s, 2, 5), torch.randn(2, s, 2, 3)
    parts = [x.double() for x in (q, k, v)]
    for one, other in zip(nearest_attend(*parts, n), nearest_attend_naive(*parts, n), strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_two_attentions_join_to_one_over_all_keys():
    q, k, v = (
        x.double() for x in (torch.randn(2, 3, 2, 4), torch.randn(2, 9, 2, 4), torch.randn(2, 9, 2, 5))
    )
    parts = [nearest_attend(q, k[:, part], v[:, part], 99) for part in (slice(0, 4), slice(4, 9))]
    whole, _ = nearest_attend(q, k, v, 99)
    torch.testing.assert_close(joined(*parts[0], *parts[1]), whole, **CLOSE)


@given(t=st.integers(1, 11), segment=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_with_all_neighbours_and_one_softmax_memory_is_full_attention(t, segment, seed):
    tokens, whole = text(t), plain_lm(layers=1, seed=seed)
    model = MemorizingLM(plain_lm(layers=1, seed=seed), 0, neighbours=99, capacity=99, gate="mass")
    torch.testing.assert_close(model.read(tokens, segment), whole(tokens), **CLOSE)


def test_a_memory_that_is_too_small_or_a_search_too_narrow_is_not():
    tokens, whole = text(11), plain_lm(layers=1)
    for options in ({"neighbours": 2, "capacity": 99}, {"neighbours": 99, "capacity": 4}):
        model = MemorizingLM(plain_lm(layers=1), 0, gate="mass", **options)
        assert not torch.allclose(model.read(tokens, 3), whole(tokens), rtol=0, atol=1e-6)


def test_a_closed_gate_leaves_segments_alone_and_memory_takes_no_gradient():
    model = MemorizingLM(plain_lm(), 1, neighbours=3, capacity=99)
    torch.nn.init.constant_(model.model.blocks[1].mixer.beta, -200.0)
    tokens = torch.arange(9)[None]
    alone = torch.cat([plain_lm()(piece) for piece in tokens.split(3, 1)], 1)
    torch.testing.assert_close(model.read(tokens, 3), alone, **CLOSE)
    torch.nn.init.zeros_(model.model.blocks[1].mixer.beta)
    found = model.read(tokens, 3)
    assert not torch.allclose(found[:, 3:], alone[:, 3:], atol=1e-6)
    (table,) = torch.autograd.grad(found[:, 6:].sum(), [model.model.embed.tokens.weight])
    assert table.abs().sum(-1).nonzero().flatten().tolist() == [6, 7, 8]


def test_the_newest_are_kept_and_what_nearest_attention_refuses():
    memory = KNNMemory(3)
    for start in (0, 2):
        keys = torch.arange(start, start + 2.0).view(1, 2, 1, 1)
        memory.add(keys, keys)
    assert memory.keys.flatten().tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="neighbours=0"):
        nearest_attend(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), 0)
    with pytest.raises(ValueError, match="gate='open'"):
        MemorizingAttention(8, 2, 1, 4, neighbours=1, gate="open")
    with pytest.raises(ValueError, match="window"):
        MemorizingAttention(8, 2, 1, 4, neighbours=1, window=3)
    with pytest.raises(ValueError, match="capacity=0"):
        KNNMemory(0)
    with pytest.raises(ValueError, match="layer=2"):
        MemorizingLM(plain_lm(), 2, 1, 1)


# Block recurrence


@pytest.mark.parametrize("gate", GATES)
def test_blocks_are_read_one_after_another_and_no_token_sees_ahead(gate):
    layer = BlockRecurrentLayer(8, 2, 3, gate=gate).double()
    x = torch.randn(2, 10, 8, dtype=torch.float64)
    whole, state = layer.read(x, 4)
    first, middle = layer.read(x[:, :8], 4)
    second, after = layer.read(x[:, 8:], 4, middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, **CLOSE)
    torch.testing.assert_close(after, state, **CLOSE)
    for place in (0, 3, 4, 9):
        changed = x.clone()
        changed[:, place] += 1
        moved, _ = layer.read(changed, 4)
        torch.testing.assert_close(moved[:, :place], whole[:, :place], **CLOSE)
        assert not torch.allclose(moved[:, place:].flatten(1)[:, -8:], whole[:, -1], atol=1e-9)


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_that_keeps_everything_makes_blocks_independent(gate):
    """Then a block is a Transformer layer with a constant prefix: equal to the block alone."""
    layer = BlockRecurrentLayer(8, 2, 3, gate=gate).double()
    if gate == "fixed":
        torch.nn.init.constant_(layer.rate, 1e4)
    else:  # forget 1, take 0
        torch.nn.init.zeros_(layer.lstm.weight)
        layer.lstm.bias.data = torch.tensor([1e4, -1e4, 0.0], dtype=torch.float64).repeat_interleave(8)
    x = torch.randn(2, 12, 8, dtype=torch.float64)
    whole, state = layer.read(x, 4)
    alone = [layer(piece, layer.start(2))[0] for piece in x.split(4, 1)]
    torch.testing.assert_close(whole, torch.cat(alone, 1), **CLOSE)
    torch.testing.assert_close(state, layer.start(2), **CLOSE)


def test_gradients_flow_over_blocks_or_stop():
    layer = BlockRecurrentLayer(8, 2, 3).double()
    for detach, reached in ((False, 12), (True, 4)):
        x = torch.randn(1, 12, 8, dtype=torch.float64, requires_grad=True)
        y, _ = layer.read(x, 4, detach=detach)
        (slope,) = torch.autograd.grad(y[:, -4:].pow(2).sum(), [x])
        assert slope.abs().sum(-1)[0].nonzero().flatten().tolist() == list(range(12 - reached, 12))


def test_what_block_recurrence_refuses():
    for options, word in (
        ({"heads": 3}, "heads=3"),
        ({"states": 0}, "states=0"),
        ({"gate": "no"}, "gate='no'"),
    ):
        with pytest.raises(ValueError, match=word):
            BlockRecurrentLayer(**{"d": 8, "heads": 2, "states": 2} | options)
