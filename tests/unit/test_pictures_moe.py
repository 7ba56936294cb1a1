"""The diagrams of the page on mixtures of experts say what the library computes."""

import pytest
import torch

from course_lib.costs.params import param_count
from course_lib.course.pictures import (
    balance_feedback,
    coarse_and_fine,
    expert_capacity,
    expert_exchange,
    expert_permutation,
    mixtures_by_year,
    router_kinds,
    second_token,
    slowest_rank,
)
from course_lib.course.pictures.drawn import drawing
from course_lib.layers.feed_forward.balance import update_bias
from course_lib.layers.feed_forward.dispatch import by_expert, capacity_of, drop, reroute, within_capacity
from course_lib.layers.feed_forward.router import Router, Routing
from course_lib.specs.loader import load_spec
from tests.repo.repository import text
from tests.unit.drawn import cells, words

NAMES = "mixture_block router_kinds expert_permutation expert_capacity expert_exchange coarse_and_fine"
NAMES += " balance_feedback slowest_rank second_token mixtures_by_year deepseek_v3_layer"


@pytest.mark.parametrize("name", NAMES.split())
def test_nothing_lies_on_anything(name):
    assert drawing(name).faults() == []


def test_as_many_experts_are_drawn_and_picked_as_the_model_has():
    moe = load_spec("qwen3.5-35b-a3b").layers[0].ffn
    (panel,) = drawing("mixture_block").panels
    assert (cells(panel, "q ffn"), cells(panel, "p ffn")) == (moe.experts - moe.top_k, moe.top_k + 2)
    # two of the solid ones are the heads of the arrows to the experts and from them
    assert f"{moe.experts} experts, {moe.expert.width} wide" in words("mixture_block")


@pytest.mark.parametrize("title, model, given", router_kinds.KINDS)
def test_the_routers_drawn_are_those_of_the_library(title, model, given):
    scores, picked, weights = router_kinds.routed(**given)
    groups = given.get("groups", 1)
    router = Router(
        1,
        8,
        given["k"],
        scoring="sigmoid" if given.get("sigmoid") else "softmax",
        renormalise=given.get("renormalise", True),
        groups=groups,
        group_score="max",
        selection_bias="bias" in given,
    )
    if "bias" in given:
        router.selection_bias.copy_(torch.tensor(given["bias"]))
    router.gate.weight.data = torch.tensor(router_kinds.LOGITS)[:, None]
    routing = router(torch.ones(1, 1))
    order = routing.experts[0].sort()
    assert order.values.tolist() == picked
    torch.testing.assert_close(routing.weights[0][order.indices], torch.tensor(weights))
    torch.testing.assert_close(routing.scores[0], torch.tensor(scores))


def test_the_bias_of_the_drawing_changes_the_pick():
    *_, given = router_kinds.KINDS[2]
    without = router_kinds.routed(**{**given, "bias": None})[1]
    assert without == [0, 4] and router_kinds.routed(**given)[1] == [4, 6]


def test_rows_are_sorted_as_the_library_sorts_them():
    experts = torch.tensor([["ABC".index(e) for e in both] for both in expert_permutation.PICKS])
    picks, counts = by_expert(experts, 3)
    assert expert_permutation.order() == picks.tolist()
    assert [f"{e}: {n} rows" in words("expert_permutation") for e, n in zip("ABC", counts, strict=True)]


def routing_of(first: str, second: str) -> Routing:
    """One pick a token, with the second choice the next best."""
    scores = torch.full((len(first), 4), 0.1)
    for t, (one, two) in enumerate(zip(first, second, strict=True)):
        scores[t, "ABCD".index(one)], scores[t, "ABCD".index(two)] = 0.9, 0.5
    experts = scores.argmax(-1)[:, None]
    return Routing(experts, scores.gather(-1, experts), scores, scores)


@pytest.mark.parametrize("title, factor, sends_on", expert_capacity.POLICIES)
def test_no_policy_serves_more_than_its_slots(title, factor, sends_on):
    slots, dropped = expert_capacity.served(factor, sends_on)
    routing = routing_of(expert_capacity.FIRST, expert_capacity.SECOND)
    n = len(expert_capacity.FIRST)
    limit = capacity_of(n, 4, 1, factor) if factor else n
    assert max(map(len, slots.values())) <= limit
    if sends_on:
        after = reroute(routing, limit).experts[:, 0]
    else:
        after = drop(routing, within_capacity(routing.experts, 4, limit)).experts[:, 0]
    drawn = [next(("ABCD".index(e) for e, ts in slots.items() if t in ts), -1) for t in range(n)]
    assert drawn == after.tolist()
    assert dropped == [t for t in range(n) if after[t] < 0]


def test_vectors_arrive_where_they_were_sent():
    arriving = [len(cells) for cells in expert_exchange.received()]
    assert arriving == [sum(row.count(str(rank)) for row in expert_exchange.SENT) for rank in range(4)]
    assert sum(arriving) == 20 and max(arriving) > 5
    assert ", ".join(map(str, arriving)) in expert_exchange.draw().description


def test_the_biases_are_those_of_the_rule():
    """The library also takes the mean away, which changes no pick."""
    bias = torch.zeros(4, dtype=torch.float64)
    for updates in range(1, max(balance_feedback.UPDATES) + 1):
        loads = torch.tensor(balance_feedback.loads(bias.tolist()))
        bias = update_bias(bias, loads, balance_feedback.SPEED)
        drawn = torch.tensor(balance_feedback.after(updates)[1], dtype=torch.float64)
        torch.testing.assert_close(bias, drawn - drawn.mean())
    assert max(balance_feedback.after(5)[0]) < max(balance_feedback.after(0)[0]) == 10


def test_the_same_share_of_the_width_is_active_in_all_forms():
    for _, experts, picks, cut, shared in coarse_and_fine.FORMS:
        assert (experts + shared) / cut == 8 and (picks + shared) / cut == 2
    assert "10,518,300 teams" in words("coarse_and_fine")


def test_both_steps_have_the_same_work_and_unlike_ends():
    assert sum(slowest_rank.EVEN) == sum(slowest_rank.HOT)
    assert {"both layers: 14 units of time", "both layers: 25 units of time"} <= set(words("slowest_rank"))


def test_a_guess_is_won_where_it_is_right():
    assert [told for *_, told in second_token.PASSES] == [
        "Athens; then a guess: .",
        "right: two tokens",
        "wrong: one token",
    ]


def test_rows_of_the_lineage_are_counted_or_published():
    rows = mixtures_by_year.rows()
    assert [row.year for row in rows] == sorted(row.year for row in rows) and len(rows) == 11
    for name, shown, *_ in mixtures_by_year.SPECS:
        (row,) = [row for row in rows if row.name == shown]
        count = param_count(load_spec(name))
        assert (row.total, row.active) == (count.total, count.active)
    sources = [row.source for row in mixtures_by_year.PAPERS]
    assert [key for key in sources if f"{{{key}," not in text("book/references.bib")] == []


def test_shares_of_deepseek_v3_sum_to_its_total():
    count = param_count(load_spec("deepseek-v3"))
    shown = words("deepseek_v3_layer")
    assert f"total {count.total / 1e9:.1f} billion" in shown
    assert f"active for a token {count.active / 1e9:.2f} billion" in shown
    assert set(count.by_part) - {"norm"} == set(drawing_parts())


def drawing_parts():
    from course_lib.course.pictures.deepseek_v3_layer import PARTS

    return PARTS
