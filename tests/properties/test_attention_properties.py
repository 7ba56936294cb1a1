"""What must hold for any shapes: causality, shared heads, windows, padding."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.attention.layer import Attention
from course_lib.layers.positions.numbering import next_positions, positions_from_padding
from course_lib.layers.positions.rope import Rope, apply_rope

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
EXAMPLES = settings(max_examples=25)

lengths = st.integers(2, 9)
windows = st.none() | st.integers(1, 10)
groups = st.sampled_from([1, 2, 3, 6])
seeds = st.integers(0, 10**6)


def layer_of(seed: int, kv_heads: int = 2, **options) -> Attention:
    torch.manual_seed(seed)
    layer = Attention(5, heads=6, kv_heads=kv_heads, head_dim=4, rope=Rope(dim=4), bias_qkv=True, **options)
    return layer.double().requires_grad_(False)


@EXAMPLES
@given(seed=seeds, length=lengths, kv_heads=groups, window=windows, data=st.data())
def test_a_token_changes_nothing_before_it_nor_past_its_window(seed, length, kv_heads, window, data):
    layer = layer_of(seed, kv_heads, window=window)
    x, positions = torch.randn(1, length, 5).double(), next_positions(0, 1, length)
    changed = data.draw(st.integers(0, length - 1))
    perturbed = x.clone()
    perturbed[:, changed] += torch.randn(5)
    moved = (layer(x, positions) - layer(perturbed, positions)).abs().amax(-1)[0] > 1e-12
    last = length if window is None else min(length, changed + window)
    assert moved.tolist() == [changed <= i < last for i in range(length)]


@EXAMPLES
@given(seed=seeds, length=lengths, kv_heads=groups)
def test_shared_heads_equal_multi_head_with_repeated_weights(seed, length, kv_heads):
    shared, full = layer_of(seed, kv_heads), layer_of(seed, 6)
    full.wq, full.wo = shared.wq, shared.wo
    for theirs, ours in ((full.wk, shared.wk), (full.wv, shared.wv)):
        for name in ("weight", "bias"):
            heads = getattr(ours, name).unflatten(0, (kv_heads, 4))
            getattr(theirs, name).data = heads.repeat_interleave(6 // kv_heads, dim=0).flatten(0, 1)
    x, positions = torch.randn(2, length, 5).double(), next_positions(0, 2, length)
    torch.testing.assert_close(shared(x, positions), full(x, positions), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=lengths, extra=st.integers(0, 3))
def test_a_window_as_long_as_the_text_is_no_window(seed, length, extra):
    windowed, full = layer_of(seed, window=length + extra), layer_of(seed)
    x, positions = torch.randn(2, length, 5).double(), next_positions(0, 2, length)
    torch.testing.assert_close(windowed(x, positions), full(x, positions), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=lengths, pads=st.integers(1, 5), window=windows)
def test_padding_on_the_left_changes_nothing(seed, length, pads, window):
    layer = layer_of(seed, window=window)
    x = torch.randn(1, length, 5).double()
    padded = torch.cat((torch.randn(1, pads, 5).double(), x), dim=1)
    mask = torch.arange(pads + length)[None] >= pads
    y = layer(padded, positions_from_padding(mask))
    torch.testing.assert_close(y[:, pads:], layer(x, next_positions(0, 1, length)), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=lengths, window=windows, shift=st.integers(1, 500))
def test_only_distances_count(seed, length, window, shift):
    layer = layer_of(seed, window=window)
    x, positions = torch.randn(1, length, 5).double(), next_positions(0, 1, length)
    torch.testing.assert_close(layer(x, positions + shift), layer(x, positions), **TOLERANCE)


@EXAMPLES
@given(
    seed=seeds,
    query=st.integers(0, 300),
    key=st.integers(0, 300),
    shift=st.integers(0, 300),
    pairing=st.sampled_from(["rotate_half", "interleaved"]),
)
def test_a_rotary_score_depends_on_the_distance_alone(seed, query, key, shift, pairing):
    torch.manual_seed(seed)
    q, k = torch.randn(2, 1, 1, 1, 8).double()
    rope = Rope(dim=6, pairing=pairing)

    def turned(x, position):
        return apply_rope(x, *rope.tables(torch.tensor([[position]]), x.dtype), pairing)

    here = (turned(q, query) * turned(k, key)).sum()
    there = (turned(q, query + shift) * turned(k, key + shift)).sum()
    torch.testing.assert_close(here, there, **TOLERANCE)
