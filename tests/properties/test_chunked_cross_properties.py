"""Chunked cross-attention: equal to masked attention over all that was found, at lengths that divide nothing,
and no neighbour reaches a token from before its chunk's end."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.attention.chunked_cross import (
    ChunkedCrossAttention,
    NeighbourKV,
    chunked_attend,
    chunked_attend_naive,
    set_of,
)
from course_lib.models.hybrids.retrieval_lm import RetrievalLM
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
VOCAB = 11
chunks, lengths, starts, seeds = st.integers(1, 5), st.integers(1, 13), st.integers(0, 9), st.integers(0, 99)


def found_for(sets, size=3):
    real = torch.rand(2, sets, size) < 0.7
    keys, values = torch.randn(2, sets, size, 2, 4), torch.randn(2, sets, size, 2, 5)
    return NeighbourKV(keys.double().requires_grad_(), values.double().requires_grad_(), real)


@given(chunk=chunks, t=lengths, start=starts, seed=seeds)
@settings(max_examples=25)
def test_chunked_is_masked_attention_to_everything_found_with_gradients(chunk, t, start, seed):
    torch.manual_seed(seed)
    queries = torch.randn(2, t, 4, 4, dtype=torch.float64, requires_grad=True)
    found = found_for((start + t) // chunk)
    forms = [form(queries, found, chunk, start=start) for form in (chunked_attend_naive, chunked_attend)]
    torch.testing.assert_close(*forms, **CLOSE)
    weights, leaves = torch.randn_like(forms[0]), (queries, found.keys, found.values)
    slopes = [torch.autograd.grad((y * weights).sum(), leaves, allow_unused=True) for y in forms]
    for plain, ours in zip(*slopes, strict=True):
        empty = torch.zeros(()) if ours is None else torch.zeros_like(ours)
        torch.testing.assert_close(
            empty if ours is None else ours, empty if plain is None else plain, **CLOSE
        )


def test_one_token_at_a_time_with_numbers():
    """m = 2: tokens 0, 1 | 2, 3 | 4; the sets hold one key each, so a token gets its set's value."""
    assert set_of(torch.arange(5), 2).tolist() == [-1, 0, 0, 1, 1]
    values = torch.tensor([3.0, 7.0]).view(1, 2, 1, 1, 1)
    found = NeighbourKV(torch.randn(1, 2, 1, 1, 1), values, torch.ones(1, 2, 1) > 0)
    assert chunked_attend(torch.randn(1, 5, 1, 1), found, 2).flatten().tolist() == [0, 3, 3, 7, 7]


@given(chunk=chunks, t=st.integers(2, 13), seed=seeds)
@settings(max_examples=10)
def test_a_decode_makes_a_set_when_a_chunk_is_whole(chunk, t, seed):
    torch.manual_seed(seed)
    queries, found = torch.randn(2, t, 4, 4).double(), found_for(t // chunk)
    steps = []
    for p in range(t):
        until = (p + 1) // chunk
        so_far = NeighbourKV(found.keys[:, :until], found.values[:, :until], found.real[:, :until])
        steps.append(chunked_attend(queries[:, p : p + 1], so_far, chunk, start=p))
    torch.testing.assert_close(torch.cat(steps, 1), chunked_attend(queries, found, chunk), **CLOSE)


def lm(gated=True, layers=(0, 2), chunk=4):
    torch.manual_seed(0)
    plain = CausalLM(small_llama(12, layers=3, heads=2, kv_heads=1, vocab=VOCAB, tied=False))
    model = RetrievalLM(plain, chunk, layers, gated=gated, encoder_layers=2)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return model.double()


def row(t=14, chunk=4, n=2, r=3):
    return torch.randint(VOCAB, (1, t)), torch.randint(VOCAB, (1, t // chunk, n, r))


@pytest.mark.parametrize("changed", range(3))
def test_a_neighbour_moves_tokens_from_its_chunks_last_on_and_all_of_them(changed):
    model, (tokens, neighbours) = lm(), row()
    other = neighbours.clone()
    other[0, changed, 1, 2] = (other[0, changed, 1, 2] + 1) % VOCAB
    moved = (model(tokens, other) - model(tokens, neighbours)).abs().amax(-1)[0] > 1e-10
    last = 4 * changed + 3
    assert moved.tolist() == [place >= last for place in range(14)]


def test_one_layer_alone_reaches_only_the_attending_chunk():
    """Later tokens hear of it through self-attention: with the last layer alone they do not."""
    model, (tokens, neighbours) = lm(layers=(2,)), row()
    other = neighbours.clone()
    other[0, 1] = (other[0, 1] + 1) % VOCAB
    moved = (model(tokens, other) - model(tokens, neighbours)).abs().amax(-1)[0] > 1e-10
    assert moved.nonzero().flatten().tolist() == [7, 8, 9, 10]


def test_no_token_sees_one_ahead():
    model, (tokens, neighbours) = lm(), row()
    before = model(tokens, neighbours)
    for place in range(14):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % VOCAB
        moved = (model(changed, neighbours) - before).abs().amax(-1)[0] > 1e-10
        assert moved.tolist() == [other >= place for other in range(14)]


def test_at_gate_zero_it_is_the_language_model_and_the_gate_learns():
    torch.manual_seed(0)
    plain = CausalLM(small_llama(12, layers=3, heads=2, vocab=VOCAB)).double()
    tokens, neighbours = row()
    expected = plain(tokens)
    model = RetrievalLM(plain, 4, [0, 2]).double()
    found = model(tokens, neighbours)
    torch.testing.assert_close(found, expected, **CLOSE)
    found.pow(2).sum().backward()
    gates = [cross.alpha for cross in model.cross]
    assert all(gate == 0 and gate.grad != 0 for gate in gates)
    open_at_once = RetrievalLM(plain, 4, [0, 2], gated=False).double()
    assert open_at_once.cross[0].alpha is None
    assert not torch.allclose(open_at_once(tokens, neighbours), expected)


def test_neighbours_have_no_order_and_padding_does_not_count():
    model, (tokens, neighbours) = lm(), row()
    said = model(tokens, neighbours)
    torch.testing.assert_close(model(tokens, neighbours.flip(2)), said, **CLOSE)
    padded = torch.full((1, 3, 3, 5), -1)
    padded[:, :, :2, :3] = neighbours
    torch.testing.assert_close(model(tokens, padded), said, **CLOSE)
    assert not torch.allclose(model(tokens, neighbours.flip(3)), said)


def test_what_it_refuses():
    queries, found = torch.randn(2, 7, 4, 4).double(), found_for(2)
    with pytest.raises(ValueError, match=r"found has 2 sets for 7 tokens in chunks of 2: allowed are 3"):
        chunked_attend(queries, found, 2)
    with pytest.raises(ValueError, match="chunk=0"):
        chunked_attend(queries, found, 0)
    layer = ChunkedCrossAttention(8, 2, 1, 4, chunk=3)
    source = layer.neighbour_kv(torch.zeros(1, 1, 5, 8))
    with pytest.raises(ValueError, match="positions="):
        layer(torch.zeros(1, 4, 8), torch.tensor([[-1, 0, 1, 2]]), source)
    with pytest.raises(ValueError, match="chunk=0"):
        ChunkedCrossAttention(8, 2, 1, 4, chunk=0)
    small = small_llama(8, heads=2)
    with pytest.raises(ValueError, match=r"layers=\[2\]"):
        RetrievalLM(CausalLM(small), 3, [2])
    with pytest.raises(ValueError, match="encoder_layers=0"):
        RetrievalLM(CausalLM(small), 3, [1], encoder_layers=0)
