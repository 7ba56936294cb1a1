"""The tasks of the two trained readers: answers follow from edges or from passages, and only from them."""

import pytest
import torch

from course_lib.tasks.looked_up import facts_to_look_up
from course_lib.tasks.pointers import edges_of, pointer_chasing


def test_the_answer_is_found_by_following_pointers():
    drawn = pointer_chasing(200, torch.Generator().manual_seed(0), nodes=5, most_steps=3)
    assert not (drawn.points_to == torch.arange(5)).any()
    for colours, points_to, asked, steps, answer in zip(*drawn, strict=True):
        node = int(asked)
        for _ in range(int(steps)):
            node = int(points_to[node])
        assert colours[node] == answer
    assert set(drawn.steps.tolist()) == {1, 2, 3} and set(drawn.asked.tolist()) == set(range(5))


def test_edges_lead_from_the_node_pointed_to_within_its_own_graph():
    points_to = pointer_chasing(3, torch.Generator().manual_seed(1), nodes=4).points_to
    sources, targets = edges_of(points_to)
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        assert source // 4 == target // 4 and points_to[target // 4, target % 4] == source % 4
    assert targets.tolist() == list(range(12))


@pytest.mark.parametrize("sizes", [{"nodes": 1}, {"colours": 1}, {"most_steps": 0}])
def test_impossible_graphs_are_refused(sizes):
    with pytest.raises(ValueError, match="most_steps=") as refused:
        pointer_chasing(1, torch.Generator(), **sizes)
    ((name, value),) = sizes.items()
    assert f"{name}={value}" in str(refused.value)


def test_a_chunks_value_stands_in_its_right_passages_alone():
    drawn = facts_to_look_up(50, torch.Generator().manual_seed(0), chunks=3, chunk=5)
    asked, values = drawn.tokens[:, 4::5], drawn.tokens[:, 5::5]
    assert asked.shape == values.shape == (50, 3) and (asked < 12).all()
    assert ((values >= 12) & (values < 20)).all()
    said = {}
    for row in range(50):
        for u in range(3):
            key, value = int(asked[row, u]), int(values[row, u])
            assert drawn.right[row, u].tolist().count([key, value]) == 1
            assert key not in drawn.wrong[row, u, :, 0]
            assert drawn.known[row, u] == (key < 6)
            said.setdefault(key, set()).add(value)
    assert all(len(found) == 1 for key, found in said.items() if key < 6)
    assert all(len(found) > 1 for key, found in said.items() if key >= 6)


def test_impossible_texts_are_refused():
    for options in ({"chunk": 1}, {"passages": 0}, {"chunks": 11}):
        with pytest.raises(ValueError, match=r"allowed are chunk >= 2"):
            facts_to_look_up(1, torch.Generator(), **options)
