"""Split-KV decoding: chunks of keys, attended to apart and merged, equal the whole."""

import pytest
import torch

from course_lib.layers.attention.flash import flash_attention
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.split_kv import attend_in_chunks, merge_chunks

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def qkv(t, s, heads=6, groups=3, width=4, value_width=5):
    shapes = (2, t, heads, width), (2, s, groups, width), (2, s, groups, value_width)
    return tuple(3 * torch.randn(shape, dtype=torch.float64) for shape in shapes)


@pytest.mark.parametrize("chunk", [1, 4, 7, 13, 100])
@pytest.mark.parametrize("t", [1, 3])
def test_chunks_merged_equal_attention_to_all_keys(t, chunk):
    parts = qkv(t, 13)
    y, lse = attend_in_chunks(*parts, chunk=chunk)
    whole, _ = attend(*parts, torch.ones(2, t, 13, dtype=torch.bool))
    torch.testing.assert_close(y, whole, **TOLERANCE)
    torch.testing.assert_close(lse, flash_attention(*parts)[1], **TOLERANCE)


def test_scores_far_apart_do_not_overflow_and_the_order_of_chunks_does_not_matter():
    outputs = [torch.tensor([1.0]), torch.tensor([5.0]), torch.tensor([-2.0])]
    lses = [torch.tensor(800.0), torch.tensor(-900.0), torch.tensor(800.0)]
    y, lse = merge_chunks(outputs, lses)
    assert y.item() == pytest.approx(-0.5, abs=1e-4)
    assert lse.item() == pytest.approx(800.0 + torch.tensor(2.0).log().item())
    assert merge_chunks(outputs[::-1], lses[::-1])[0].item() == pytest.approx(y.item(), abs=1e-4)


def test_a_chunk_without_a_visible_key_adds_nothing_and_no_key_at_all_gives_zeros():
    seen, unseen = torch.tensor([3.0]), torch.tensor([0.0])
    nothing = torch.tensor(float("-inf"))
    assert merge_chunks([seen, unseen], [torch.tensor(0.0), nothing])[0].tolist() == [3.0]
    y, lse = merge_chunks([unseen, unseen], [nothing, nothing])
    assert y.tolist() == [0.0]
    assert lse.item() == float("-inf")


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="chunk=0"):
        attend_in_chunks(*qkv(1, 5), chunk=0)
    with pytest.raises(ValueError, match="0 outputs and 0 lses"):
        merge_chunks([], [])
    with pytest.raises(ValueError, match="1 outputs and 2 lses"):
        merge_chunks([torch.zeros(1)], [torch.zeros(()), torch.zeros(())])
