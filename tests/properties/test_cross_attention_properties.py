"""What must hold for any rule, any layout of norms and any kind of position."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.attention.cross import CrossAttention, EncoderKV
from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, prefix, same_document
from course_lib.layers.positions.bias import AlibiBias, RelativeBias
from course_lib.layers.positions.numbering import next_positions, packed_positions, positions_from_padding
from course_lib.layers.positions.rope import Rope

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
EXAMPLES = settings(max_examples=20)

lengths = st.integers(2, 9)
seeds = st.integers(0, 10**6)
kinds = st.sampled_from(["none", "rope", "interleaved", "alibi", "buckets"])


def layer_of(seed: int, kind: str = "none", **options) -> Attention:
    torch.manual_seed(seed)
    ropes = {"rope": Rope(dim=4), "interleaved": Rope(dim=4, pairing="interleaved")}
    biases = {"alibi": AlibiBias(6), "buckets": RelativeBias(6, buckets=6, max_distance=7)}
    layer = Attention(
        5, heads=6, kv_heads=2, head_dim=4, rope=ropes.get(kind), position_bias=biases.get(kind), **options
    )
    return layer.double().requires_grad_(False)


def row(length: int, batch: int = 1):
    return torch.randn(batch, length, 5).double(), next_positions(0, batch, length)


@EXAMPLES
@given(seed=seeds, length=lengths, kind=kinds)
def test_a_prefix_of_nothing_is_causal_and_of_everything_bidirectional(seed, length, kind):
    layer, (x, positions) = layer_of(seed, kind), row(length)
    torch.testing.assert_close(layer(x, positions, mask_mod=prefix(0)), layer(x, positions), **TOLERANCE)
    whole = layer(x, positions, mask_mod=prefix(length))
    torch.testing.assert_close(whole, layer(x, positions, mask_mod=BIDIRECTIONAL), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=lengths, kind=kinds, data=st.data())
def test_a_token_moves_only_those_who_read_it(seed, length, kind, data):
    layer, (x, positions) = layer_of(seed, kind), row(length)
    size, changed = data.draw(st.integers(0, length)), data.draw(st.integers(0, length - 1))
    mask_mod = prefix(size)
    perturbed = x.clone()
    perturbed[:, changed] += torch.randn(5)
    moved = (
        (layer(x, positions, mask_mod=mask_mod) - layer(perturbed, positions, mask_mod=mask_mod))
        .abs()
        .amax(-1)[0]
    )
    read_by = mask_mod.mask(positions, positions)[0, :, changed]
    assert (moved > 1e-12).tolist() == read_by.tolist()


@EXAMPLES
@given(seed=seeds, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), kind=kinds)
def test_packed_documents_equal_separate_runs(seed, sizes, kind):
    layer, (x, _) = layer_of(seed, kind), row(sum(sizes))
    documents = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))[None]
    packed = layer(x, packed_positions(documents), mask_mod=CAUSAL & same_document(documents))
    alone = [layer(part, next_positions(0, 1, part.shape[1])) for part in x.split(sizes, dim=1)]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=lengths)
def test_without_positions_a_bidirectional_layer_follows_any_order(seed, length):
    layer, (x, positions) = layer_of(seed, mask_mod=BIDIRECTIONAL), row(length)
    order = torch.randperm(length)
    torch.testing.assert_close(layer(x[:, order], positions), layer(x, positions)[:, order], **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=st.integers(3, 9), kind=st.sampled_from(["rope", "alibi", "buckets"]))
def test_with_positions_a_bidirectional_layer_knows_the_order(seed, length, kind):
    layer, (x, positions) = layer_of(seed, kind, mask_mod=BIDIRECTIONAL), row(length)
    order = torch.arange(length).roll(1)
    moved = layer(x[:, order], positions) - layer(x, positions)[:, order]
    assert moved.abs().max() > 1e-6


@EXAMPLES
@given(seed=seeds, length=lengths, kind=kinds, shift=st.integers(1, 300))
def test_only_distances_count(seed, length, kind, shift):
    layer, (x, positions) = layer_of(seed, kind), row(length)
    torch.testing.assert_close(layer(x, positions + shift), layer(x, positions), **TOLERANCE)


@EXAMPLES
@given(
    seed=seeds,
    kind=kinds,
    window=st.none() | st.integers(1, 6),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_cached_equals_uncached_with_every_kind_of_position(seed, kind, window, sizes, pads):
    layer, (x, _) = layer_of(seed, kind, window=window), row(sum(sizes), batch=2)
    positions = positions_from_padding(torch.arange(sum(sizes))[None] >= torch.tensor(pads)[:, None])
    entry = {"kv_heads": 2, "head_dim": 4, "dtype": torch.float64}
    cache = ContiguousCache(2, sum(sizes), **entry) if window is None else RingCache(2, window, **entry)
    chunks = zip(x.split(sizes, dim=1), positions.split(sizes, dim=1), strict=True)
    got = torch.cat([layer(*chunk, cache) for chunk in chunks], dim=1)
    torch.testing.assert_close(got, layer(x, positions), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, length=lengths, source=st.integers(1, 6), pads=st.integers(0, 4))
def test_reading_a_source_ignores_its_padding_and_makes_its_keys_once(seed, length, source, pads):
    torch.manual_seed(seed)
    layer = CrossAttention(5, 6, 2, 4, source_width=7).double().requires_grad_(False)
    (x, positions), states = row(length), torch.randn(1, source + pads, 7).double()
    places = torch.arange(source + pads)[None]
    padded = layer.encoder_kv(states, places.masked_fill(places >= source, -1))
    alone = layer.encoder_kv(states[:, :source], places[:, :source])
    expected = layer(x, positions, alone)
    torch.testing.assert_close(layer(x, positions, padded), expected, **TOLERANCE)
    steps = [layer(x[:, i : i + 1], positions[:, i : i + 1], padded) for i in range(length)]
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, **TOLERANCE)
    torch.testing.assert_close(
        layer.weights(x, positions, padded).sum(-1), torch.ones(1, 6, length).double(), **TOLERANCE
    )


@EXAMPLES
@given(seed=seeds, length=lengths, kind=kinds)
def test_a_fused_layer_gives_what_its_weights_give(seed, length, kind):
    """The fused form and the form with weights, gradients included, on the same layer."""
    layer, (x, positions) = layer_of(seed, kind), row(length, batch=2)
    x.requires_grad_()
    fused = layer(x, positions)
    (fused_grad,) = torch.autograd.grad(fused.square().sum(), x)
    values = layer.values(x).repeat_interleave(3, dim=2)
    read = torch.einsum("bhts,bshv->bthv", layer.weights(x, positions), values)
    plain = layer.wo(read.flatten(2))
    (plain_grad,) = torch.autograd.grad(plain.square().sum(), x)
    torch.testing.assert_close(fused, plain, **TOLERANCE)
    torch.testing.assert_close(fused_grad, plain_grad, **TOLERANCE)


def test_a_source_knows_its_bytes():
    source = EncoderKV(torch.zeros(2, 5, 3, 4), torch.zeros(2, 5, 3, 6), next_positions(0, 2, 5))
    assert source.nbytes == 2 * 5 * 3 * (4 + 6) * 4
