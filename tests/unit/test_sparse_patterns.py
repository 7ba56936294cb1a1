"""Patterns by hand and by loops; their edges, shortest paths and diameters counted in a second way."""

from collections import deque

import pytest
import torch

from course_lib.layers.attention.pattern_graph import (
    diameter,
    edges,
    hops,
    mean_hops,
    receptive_field,
    window_reach,
)
from course_lib.layers.attention.sparse_patterns import (
    block_ends,
    block_local,
    dilated_window,
    draw_blocks,
    global_tokens,
    listed_blocks,
    nearby_blocks,
    strided,
)
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, local_window, sliding_window

N = 23
TABLE = draw_blocks(6, 2, seed=3)
RULES = {
    "block-local": (block_local(5), lambda t, s: t // 5 == s // 5),
    "nearby blocks": (nearby_blocks(4, 1), lambda t, s: abs(t // 4 - s // 4) <= 1),
    "dilated": (dilated_window(2, 3), lambda t, s: abs(t - s) in (0, 3, 6)),
    "strided": (strided(4), lambda t, s: abs(t - s) % 4 == 0),
    "block ends": (block_ends(5, 2), lambda t, s: s % 5 in (3, 4)),
    "global": (global_tokens(torch.tensor([0, 9])), lambda t, s: t in (0, 9) or s in (0, 9)),
    "random blocks": (listed_blocks(TABLE, 4), lambda t, s: s // 4 in TABLE[t // 4].tolist()),
    "Sparse Transformer": (
        CAUSAL & (sliding_window(4) | strided(4)),
        lambda t, s: s <= t and (t - s < 4 or (t - s) % 4 == 0),
    ),
}


def square(mask_mod, n=N):
    return mask_mod.mask(torch.arange(n)[None], torch.arange(n)[None])[0]


@pytest.mark.parametrize("name", RULES)
def test_a_pattern_follows_its_rule_pair_by_pair(name):
    mask_mod, rule = RULES[name]
    assert square(mask_mod).tolist() == [[rule(t, s) for s in range(N)] for t in range(N)]


@pytest.mark.parametrize("name", RULES)
def test_padding_stays_hidden(name):
    positions = torch.tensor([[-1, -1, 0, 1, 2]])
    mask = RULES[name][0].mask(positions, positions)[0]
    assert not mask[:2].any()
    assert not mask[:, :2].any()
    assert mask[2:, 2:].equal(square(RULES[name][0], 3))


def test_random_blocks_are_neither_near_nor_global_and_follow_their_seed():
    table = draw_blocks(12, 3, seed=1)
    for i, row in enumerate(table.tolist()):
        assert len(set(row)) == 3
        assert all(abs(i - j) > 1 and 0 < j < 11 for j in row)
    assert table.equal(draw_blocks(12, 3, seed=1))
    assert not table.equal(draw_blocks(12, 3, seed=2))
    assert draw_blocks(3, 2, seed=0)[1].tolist() == [-1, -1]  # nothing is left for the middle one


def by_search(mask):
    """Shortest paths by breadth-first search, one query at a time."""
    fewest = [[-1] * len(mask) for _ in mask]
    for t, row in enumerate(fewest):
        row[t], queue = 0, deque([t])
        while queue:
            at = queue.popleft()
            for s in mask[at].nonzero().flatten().tolist():
                if row[s] < 0:
                    row[s] = row[at] + 1
                    queue.append(s)
    return fewest


@pytest.mark.parametrize("name", RULES)
def test_hops_are_shortest_paths(name):
    mask = square(RULES[name][0])
    found = by_search(mask)
    assert hops(mask).tolist() == found
    assert diameter(mask) == max(map(max, found))


def test_full_window_and_global_graphs_in_numbers():
    n, window = 40, 5
    assert edges(square(BIDIRECTIONAL, n)) == n * n
    assert diameter(square(BIDIRECTIONAL, n)) == 1
    one_sided = square(CAUSAL & sliding_window(window), n)
    assert edges(one_sided) == n * window - window * (window - 1) // 2
    assert diameter(one_sided) == -(-(n - 1) // (window - 1))
    with_hub = square(local_window(2) | global_tokens(torch.tensor([0])), n)
    assert diameter(with_hub) == 2
    assert edges(with_hub) < n * n / 5
    assert mean_hops(with_hub) < 2 < mean_hops(square(local_window(2), n))


def test_random_blocks_shorten_paths_without_a_global_token():
    size, blocks = 2, 32
    near = nearby_blocks(size, 1)
    far = near | listed_blocks(draw_blocks(blocks, 2, seed=0, ends=0), size)
    n = size * blocks
    assert diameter(square(near, n)) == blocks - 1
    assert diameter(square(far, n)) <= 6


def test_the_receptive_field_of_windows_is_the_formula_until_the_text_ends():
    mask = square(CAUSAL & sliding_window(4), 60)
    for layers in (1, 2, 5, 19):
        assert receptive_field(mask, layers)[-1] == window_reach(4, layers)
        assert receptive_field(mask, layers)[0] == 1
    assert receptive_field(mask, 20)[-1] == 60  # 61 by the formula: the text ends first


def test_wrong_arguments_are_refused():
    for make, problem in (
        (lambda: block_local(0), "size=0"),
        (lambda: nearby_blocks(2, -1), "reach=-1"),
        (lambda: dilated_window(1, 0), "rate=0"),
        (lambda: strided(0), "stride=0"),
        (lambda: block_ends(2, 3), "count=3"),
        (lambda: listed_blocks(TABLE, 0), "size=0"),
        (lambda: square(listed_blocks(TABLE, 2)), "table has 6 rows"),
        (lambda: draw_blocks(0, 1, seed=0), "blocks=0"),
        (lambda: receptive_field(square(CAUSAL, 2), -1), "layers=-1"),
        (lambda: window_reach(0, 1), "window=0"),
    ):
        with pytest.raises(ValueError, match=problem):
            make()
