"""Selection of blocks: by loops, as full attention where all are picked, and as blocks of one key."""

import pytest
import torch

from course_lib.layers.attention.block_selection import (
    MaxBlockIndexer,
    MeanBlockIndexer,
    attend_selected,
    block_max,
    block_means,
    keys_of_blocks,
    pick_blocks,
)
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.indexer import top_keys
from course_lib.layers.masks import CAUSAL
from course_lib.layers.positions.rope import Rope

N, D = 17, 12
OPTIONS = {"size": 4, "rope": Rope(dim=4)}


def inputs(n=N):
    x, positions = torch.randn(2, n, D, dtype=torch.float64), torch.arange(n).expand(2, -1)
    return x, positions, CAUSAL.mask(positions, positions)


def picked_by(indexer, x, positions, mask):
    keys = indexer.keys(x, positions) if isinstance(indexer, MaxBlockIndexer) else indexer.keys(x)
    return indexer(x, positions, keys, positions, mask)


def test_maxima_and_means_go_by_position_and_leave_padding_out():
    positions = torch.tensor([[-1, 4, 0, 5, 1, 2]])
    scores = torch.tensor([[[[90.0, 4.0, 1.0, 5.0, 3.0, 2.0]]]])
    assert block_max(scores, positions, 2).tolist() == [[[[3.0, 2.0, 5.0]]]]
    means = block_means(scores[0].mT, positions, 2)
    assert means.flatten().tolist() == [2.0, 2.0, 4.5]
    chosen = keys_of_blocks(torch.tensor([[[[True, False, True]]]]), positions, 2)
    assert chosen.flatten().tolist() == [False, True, True, True, True, False]


def test_blocks_that_are_always_in_come_first_and_hidden_ones_never():
    scores = torch.tensor([[[[5.0, 9.0, 1.0, float("-inf")]]]])
    always = torch.tensor([[[[False, False, True, True]]]])
    assert pick_blocks(scores, always, 2).flatten().tolist() == [False, True, True, False]
    assert pick_blocks(scores, always, 4).flatten().tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", [MaxBlockIndexer, MeanBlockIndexer])
def test_with_all_blocks_picked_all_keys_are_attended_to(kind):
    indexer = kind(D, 2, 6, top=5, **OPTIONS).double()
    x, positions, mask = inputs()
    picked = picked_by(indexer, x, positions, mask)
    if kind is MaxBlockIndexer:
        assert picked.equal(mask[:, :, None].expand(-1, -1, 2, -1))
    else:
        assert picked.equal(mask)


def test_each_group_picks_whole_blocks_and_its_own_is_among_them():
    indexer = MaxBlockIndexer(D, 2, 6, top=2, **OPTIONS).double()
    x, positions, mask = inputs()
    picked = picked_by(indexer, x, positions, mask)
    for t in range(N):
        for group in range(2):
            found = {s // 4 for s in picked[0, t, group].nonzero().flatten().tolist()}
            assert len(found) == min(2, t // 4 + 1)
            assert t // 4 in found
            keys = {s for s in range(t + 1) if s // 4 in found}
            assert keys == set(picked[0, t, group].nonzero().flatten().tolist())
    assert not picked[:, :, 0].equal(picked[:, :, 1])


def test_blocks_of_one_key_are_picked_as_single_keys():
    indexer = MaxBlockIndexer(D, 1, 6, top=3, local=0, size=1, rope=Rope(dim=4)).double()
    x, positions, mask = inputs()
    scores = torch.einsum("btik,bsk->bts", indexer.queries(x, positions), indexer.keys(x, positions))
    assert picked_by(indexer, x, positions, mask)[:, :, 0].equal(top_keys(scores, mask, 3))


@pytest.mark.parametrize("kind", [MaxBlockIndexer, MeanBlockIndexer])
def test_a_step_picks_what_the_full_pass_picks(kind):
    indexer = kind(D, 8, 6, top=2, **OPTIONS).double()
    x, positions, mask = inputs()
    whole = picked_by(indexer, x, positions, mask)
    keys = indexer.keys(x, positions) if kind is MaxBlockIndexer else indexer.keys(x)
    for t in range(N):
        now = slice(t, t + 1)
        past = keys[:, : t + 1], positions[:, : t + 1], mask[:, now, : t + 1]
        step = indexer(x[:, now], positions[:, now], *past)
        assert step.equal(whole[:, now, ..., : t + 1])


def test_groups_attend_by_their_own_masks():
    q, k, v = (torch.randn(2, 9, heads, 4, dtype=torch.float64) for heads in (6, 3, 3))
    mask = torch.rand(2, 9, 3, 9) > 0.5
    y = attend_selected(q, k, v, mask)
    for group in range(3):
        own = q[:, :, 2 * group : 2 * group + 2], k[:, :, group, None], v[:, :, group, None]
        torch.testing.assert_close(y[:, :, 2 * group : 2 * group + 2], attend(*own, mask[:, :, group])[0])


def test_wrong_arguments_are_refused():
    for options, problem in (({"top": 0}, "top=0"), ({"top": 1, "size": 0}, "size=0")):
        with pytest.raises(ValueError, match=problem):
            MaxBlockIndexer(D, 2, 6, **OPTIONS | options)
    with pytest.raises(ValueError, match="top=0"):
        pick_blocks(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.bool), 0)
