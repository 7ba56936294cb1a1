"""Attention over block lists: equal to the dense mask of the same pattern, with gradients."""

import pytest
import torch

from course_lib.layers.attention.block_sparse import (
    big_bird_blocks,
    block_sparse_attention,
    blocks_of,
    chunked_attention,
)
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.pattern_graph import diameter, edges
from course_lib.layers.attention.sparse_patterns import (
    block_local,
    dilated_window,
    draw_blocks,
    global_tokens,
    listed_blocks,
    strided,
)
from course_lib.layers.attention.variants import chunk
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, local_window, prefix, sliding_window

EXACT = {"rtol": 1e-11, "atol": 1e-12}
PATTERNS = {
    "full": BIDIRECTIONAL,
    "causal": CAUSAL,
    "window": CAUSAL & sliding_window(6),
    "Longformer": local_window(3) | global_tokens(torch.tensor([0, 17])),
    "Sparse Transformer": CAUSAL & (sliding_window(4) | strided(8)),
    "dilated": dilated_window(3, 5),
    "prefix": prefix(7),
    "block-local": block_local(6),
    "nobody but the first": global_tokens(torch.tensor([0])) & global_tokens(torch.tensor([1])),
}


def qkv(n, heads=4, groups=2, width=4):
    return [
        torch.randn(2, n, one, width, dtype=torch.float64, requires_grad=True)
        for one in (heads, groups, groups)
    ]


def dense(parts, mask_mod, positions=None):
    if positions is None:
        positions = torch.arange(parts[0].shape[1]).expand(2, -1)
    return attend(*parts, mask_mod.mask(positions, positions))[0]


def gradients(y, parts):
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return torch.autograd.grad((y * weights).sum(), parts)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("n", [5, 24, 31])
def test_any_pattern_by_its_block_list_equals_its_mask_with_gradients(name, n):
    parts, mask_mod = qkv(n), PATTERNS[name]
    blocks = blocks_of(mask_mod, n, 4)
    y = block_sparse_attention(*parts, blocks, size=4, mask_mod=mask_mod)
    whole = dense(parts, mask_mod)
    torch.testing.assert_close(y, whole, **EXACT)
    torch.testing.assert_close(gradients(y, parts), gradients(whole, parts), **EXACT)


@pytest.mark.parametrize("name", ["window", "Longformer", "dilated"])
def test_a_block_list_names_just_the_blocks_that_the_mask_touches(name):
    n, size = 31, 4
    mask = PATTERNS[name].mask(torch.arange(n)[None], torch.arange(n)[None])[0]
    touched = [
        sorted({s // size for t in range(i, min(i + size, n)) for s in mask[t].nonzero().flatten().tolist()})
        for i in range(0, n, size)
    ]
    found = blocks_of(PATTERNS[name], n, size)
    assert [[j for j in row if j >= 0] for row in found.tolist()] == touched


def test_big_bird_equals_its_dense_mask_and_is_two_layers_wide():
    n, size = 45, 4
    blocks = big_bird_blocks(12, random=2, seed=5)
    parts = qkv(n)
    y = block_sparse_attention(*parts, blocks, size=size)
    torch.testing.assert_close(y, dense(parts, listed_blocks(blocks, size)), **EXACT)
    mask = listed_blocks(blocks, size).mask(torch.arange(n)[None], torch.arange(n)[None])[0]
    assert diameter(mask) == 2
    assert edges(mask) < 0.7 * n * n
    for i, row in enumerate(blocks.tolist()):
        listed = [j for j in row if j >= 0]
        assert len(set(listed)) == len(listed)
        assert {0, 11, i, max(i - 1, 0), min(i + 1, 11)} <= set(listed)
        assert len(listed) == 12 if i in (0, 11) else len(listed) == (6 if i in (1, 10) else 7)


def test_chunks_equal_their_mask_and_pass_nothing_on():
    parts = qkv(23)
    y = chunked_attention(*parts, size=5)
    torch.testing.assert_close(y, dense(parts, chunk(CAUSAL, 5)), **EXACT)
    (gradient,) = torch.autograd.grad(y[:, 5].sum(), parts[2])
    assert gradient[:, :5].abs().max() == 0  # the first of a chunk knows none of the chunk before
    assert gradient[:, 5].abs().max() > 0


def test_padding_is_neither_seen_nor_sees():
    parts = qkv(14)
    positions = torch.stack([torch.arange(14), torch.tensor([-1] * 5 + [*range(9)])])
    mask_mod = CAUSAL & sliding_window(3)
    blocks = blocks_of(BIDIRECTIONAL, 14, 4)
    y = block_sparse_attention(*parts, blocks, positions, size=4, mask_mod=mask_mod)
    torch.testing.assert_close(y, dense(parts, mask_mod, positions), **EXACT)
    assert y[1, :5].abs().max() == 0


def test_a_block_that_is_listed_twice_counts_twice_and_none_gives_zeros():
    parts = qkv(4)
    twice = block_sparse_attention(*parts, torch.tensor([[0, 0, 1], [-1, -1, -1]]), size=2)
    keys, values = (torch.cat((x[:, :2], x), 1) for x in parts[1:])
    want, _ = attend(parts[0][:, :2], keys, values, torch.ones(2, 2, 6, dtype=torch.bool))
    torch.testing.assert_close(twice[:, :2], want, **EXACT)
    assert twice[:, 2:].abs().max() == 0


def test_wrong_arguments_are_refused():
    parts = qkv(8)
    with pytest.raises(ValueError, match="blocks has 1 rows"):
        block_sparse_attention(*parts, torch.tensor([[0]]), size=4)
    with pytest.raises(ValueError, match="numbers up to 2"):
        block_sparse_attention(*parts, torch.tensor([[0], [2]]), size=4)
    with pytest.raises(ValueError, match="size=0"):
        chunked_attention(*parts, size=0)
    with pytest.raises(ValueError, match="length=0"):
        blocks_of(CAUSAL, 0, 4)
    with pytest.raises(ValueError, match="picks=-1"):
        big_bird_blocks(8, random=-1, seed=0)
    assert draw_blocks(4, 0, seed=0).shape == (4, 0)
