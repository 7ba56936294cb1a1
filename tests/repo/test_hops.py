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
    for found in WALKS.values():
        assert {"Block.forward", "apply_rope", "attend_sdpa", "GatedMLP.forward"} <= {
            name for _, name in found
        }
    assert ("layers/masks.py", "sdpa_mask") in WALKS["first"] and (
        "layers/masks.py",
        "sdpa_mask",
    ) not in WALKS["later"]
    assert ("layers/caches/contiguous.py", "ContiguousCache.update") in WALKS["later, cached"]
