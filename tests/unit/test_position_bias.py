"""ALiBi and T5's buckets, each against an independent slow form."""

import math

import pytest
import torch

from course_lib.layers.positions.bias import AlibiBias, RelativeBias, alibi_slopes, t5_buckets


def slow_slopes(heads: int) -> list[float]:
    """The authors' recursion: a power of two by its ratio, any other number from two of those."""
    power = math.log2(heads)
    if power.is_integer():
        ratio = 2 ** (-(2 ** -(power - 3)))
        return [ratio**i for i in range(1, heads + 1)]
    lower = 2 ** math.floor(power)
    return slow_slopes(lower) + slow_slopes(2 * lower)[0::2][: heads - lower]


@pytest.mark.parametrize("heads", [*range(1, 18), 25, 32, 48, 71, 112])
def test_slopes_are_those_of_the_authors_recursion(heads):
    expected = torch.tensor(slow_slopes(heads), dtype=torch.float64)
    torch.testing.assert_close(alibi_slopes(heads), expected, rtol=1e-14, atol=0)


def test_eight_heads_halve_their_slopes():
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]


def test_alibi_is_its_formula_for_padded_rows_and_a_ring():
    queries, keys = torch.tensor([[5, 6], [-1, 0]]), torch.tensor([[4, 5, 6, 3], [-1, 0, -1, -1]])
    bias = AlibiBias(heads=6)(queries, keys)
    for b in range(2):
        for h, slope in enumerate(slow_slopes(6)):
            for t, q in enumerate(queries[b].tolist()):
                for s, k in enumerate(keys[b].tolist()):
                    assert bias[b, h, t, s].item() == pytest.approx(-slope * abs(q - k), rel=1e-14)


def slow_bucket(distance: int, buckets: int, max_distance: int, bidirectional: bool) -> int:
    """The bucket of one distance by walking the edges of the buckets; edges by exact integer powers.

    Bucket exact + j begins at the least distance f with (f / exact)^(side - exact) >= (max / exact)^j.
    """
    side = buckets // 2 if bidirectional else buckets
    exact = side // 2
    base = side if bidirectional and distance > 0 else 0
    far = abs(distance) if bidirectional else max(-distance, 0)
    if far < exact:
        return base + far
    steps, room = 0, side - exact
    while steps + 1 < room and far**room * exact ** (steps + 1) >= max_distance ** (steps + 1) * exact**room:
        steps += 1
    return base + exact + steps


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (6, 20), (10, 33), (4, 7)])
def test_buckets_equal_an_integer_form(buckets, max_distance, bidirectional):
    distances = torch.arange(-3 * max_distance, 3 * max_distance + 1)
    options = {"buckets": buckets, "max_distance": max_distance, "bidirectional": bidirectional}
    got = t5_buckets(distances, **options)
    expected = torch.tensor([slow_bucket(d, *options.values()) for d in distances.tolist()])
    differ = distances[got != expected].tolist()
    # A distance that lies on an edge to the last bit may fall to either side in float32.
    side = buckets // 2 if bidirectional else buckets
    exact = side // 2
    on_edge = {
        d
        for d in differ
        for j in range(1, side - exact + 1)
        if abs(d) ** (side - exact) * exact**j == max_distance**j * exact ** (side - exact)
    }
    assert set(differ) == on_edge
    assert got.min() == 0 and got.max() == buckets - 1


def test_a_causal_table_may_have_an_odd_number_of_buckets():
    got = t5_buckets(-torch.arange(60), buckets=7, max_distance=19, bidirectional=False)
    assert got.tolist() == [slow_bucket(-d, 7, 19, bidirectional=False) for d in range(60)]


def test_a_relative_bias_reads_its_table_by_head_and_distance():
    bias = RelativeBias(heads=3, buckets=8, max_distance=9, bidirectional=False)
    positions = torch.tensor([[-1, 0, 1, 2, 3]])
    got = bias(positions, positions)
    for t, q in enumerate(positions[0].tolist()):
        for s, k in enumerate(positions[0].tolist()):
            row = slow_bucket(k - q, 8, 9, bidirectional=False)
            assert torch.equal(got[0, :, t, s], bias.table.weight[row])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: alibi_slopes(0), "heads=0"),
        (lambda: AlibiBias(0), "heads=0"),
        (lambda: RelativeBias(2, buckets=7), "buckets=7"),
        (lambda: RelativeBias(2, buckets=1, bidirectional=False), "buckets=1"),
        (lambda: RelativeBias(2, buckets=32, max_distance=8), "max_distance=8"),
    ],
)
def test_wrong_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
