"""The mechanism in the open: how far one layer of a Llama forward walks, counted by tools/count_hops.py."""

import pytest
from tools.count_hops import hops

WALKS = hops()


@pytest.mark.parametrize(
    ("walk", "functions", "files"),
    [("later", 20, 5), ("later, cached", 25, 6), ("first", 25, 7), ("first, cached", 29, 8)],
)
def test_one_layer_walks_few_functions_in_few_files(walk, functions, files):
    found = WALKS[walk]
    assert len(found) <= functions and len({file for file, _ in found}) <= files, found


def test_what_is_counted_is_the_layer():
    parts = {"Block.forward", "apply_rope", "attend_sdpa", "GatedMLP.forward"}
    assert all(parts <= {name for _, name in found} for found in WALKS.values())
    made = ("layers/masks.py", "sdpa_mask")
    assert made in WALKS["first"] and made not in WALKS["later"]
    assert ("layers/caches/contiguous.py", "ContiguousCache.update") in WALKS["later, cached"]
