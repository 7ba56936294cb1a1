"""A block split over processes equals the block in one process, and sends what `costs.links` says.

One start of the processes for each world size runs all cases; the tests look at what they reported.
"""

import multiprocessing
import time
from dataclasses import replace

import pytest
import torch

from course_lib.costs.links import all_reduces, tensor_parallel_traffic
from course_lib.models.block import Block
from course_lib.parallel.ranks import Ranks, run_ranks
from course_lib.parallel.split import holders_of, kv_heads_of, split_block
from course_lib.parallel.tensor import TensorParallelBlock
from course_lib.specs.small import small_llama
from tests.shapes import unchecked

from . import split_block_cases as cases
from .split_block_cases import BATCH, CASES, HEADS, TOKENS, WIDTH, all_cases, layer, whole_block

EXACT = 1e-12


@pytest.fixture(scope="module", params=[2, 4])
def reports(request):
    """What the ranks of one world size report."""
    return run_ranks(all_cases, request.param, limit_s=300)


def test_the_ring_adds_up_what_the_backend_adds_up(reports):
    assert max(report["ring"] for report in reports) < EXACT


@pytest.mark.parametrize("case", CASES)
def test_forward_gradients_and_cached_decode_equal_one_process(reports, case):
    for report in reports:
        gaps = report[case]
        measured = ("forward", "gradients", "input gradient", "decode", "in turn")
        assert max(gaps[name] for name in measured) < 1e-11, (
            gaps
        )  # sums of 24 and 20 products in another order


@pytest.mark.parametrize("case", CASES)
def test_bytes_sent_are_those_of_the_formula(reports, case):
    """A stack of one such layer, in float64: as many bytes forward as backward."""
    spec = replace(small_llama(2 * HEADS, 1, HEADS), width=WIDTH, layers=(CASES[case],))
    traffic = tensor_parallel_traffic(spec, BATCH * TOKENS, devices=len(reports), bytes_per_element=8)
    for report in reports:
        facts = report[case]
        assert facts["sent"] == facts["sent backward"] == traffic.sent_bytes
        assert facts["reduces"] == facts["reduces backward"] == all_reduces(CASES[case])
        assert traffic.hops == facts["reduces"] * 2 * (len(reports) - 1)


@pytest.mark.parametrize("case", CASES)
def test_a_rank_caches_its_kv_heads_and_never_less_than_one(reports, case):
    kv_heads = CASES[case].mixer.kv_heads
    for report in reports:
        assert report[case]["cache share"] == max(1 / len(reports), 1 / kv_heads)


def test_a_kv_head_held_twice_has_only_part_of_its_gradient_on_each_rank(reports):
    for report in reports:
        assert report["one KV head"]["key gradient in part"] > 1e-3
        assert report["SwiGLU, GQA"]["key gradient in part"] < EXACT  # 4 KV heads on 2 or 4 ranks


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("kv_heads", [1, 2, 4, 8])
def test_every_query_head_finds_its_kv_head_on_its_rank(ranks, kv_heads):
    group = HEADS // kv_heads
    for rank in range(ranks):
        wanted = {head // group for head in range(rank * HEADS // ranks, (rank + 1) * HEADS // ranks)}
        assert wanted == set(kv_heads_of(rank, ranks, kv_heads))
    assert all(
        len(holders_of(head, ranks, kv_heads)) == max(1, ranks // kv_heads) for head in range(kv_heads)
    )


@pytest.mark.parametrize(
    ("work", "error", "words"),
    [
        (cases.fails, RuntimeError, "rank 1 gives up"),
        (cases.exits, RuntimeError, "rank 1: exit code 3|rank 0: .*Connection"),
        (cases.sleeps, TimeoutError, "limit_s"),
    ],
)
def test_no_process_outlives_a_failure(work, error, words):
    start = time.monotonic()
    with pytest.raises(error, match=f"(?s){words}"):
        run_ranks(work, 2, limit_s=6 if work is cases.sleeps else 240)
    assert multiprocessing.active_children() == []
    assert time.monotonic() - start < 200


@pytest.mark.parametrize(
    ("case", "ranks", "words"),
    [
        ("SwiGLU, GQA", 3, "heads 8"),
        ("SwiGLU, GQA", 8, "FFN width 20"),
        ("QK norm, KV heads shared", 16, "heads 8"),
    ],
)
def test_a_split_that_does_not_come_out_even_is_refused(case, ranks, words):
    with pytest.raises(ValueError, match=words):
        split_block(whole_block(case), 0, ranks)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda block: setattr(block, "layout", "post"), "layout='post'"),
        (lambda block: setattr(block.mixer, "qk_norm", "width"), "qk_norm='width'"),
        (lambda block: setattr(block.mixer, "gate", torch.nn.Linear(2, 2)), "gate is set"),
        (lambda block: setattr(block, "ffn", torch.nn.Identity()), "Identity"),
    ],
)
def test_what_is_not_split_is_refused(change, words):
    block = whole_block("SwiGLU, GQA")
    change(block)
    with pytest.raises(ValueError, match=words):
        split_block(block, 0, 2)


def test_kv_heads_that_neither_divide_nor_are_divided_are_refused():
    one = layer()
    block = Block(WIDTH, replace(one, mixer=replace(one.mixer, heads=6, kv_heads=3)))
    with pytest.raises(ValueError, match="KV heads 3"):
        split_block(block, 0, 2)


class Alone:
    """In a `Ranks`'s place: one process."""

    rank, count = 0, 1


def test_a_group_has_to_be_started_and_a_part_belongs_to_its_rank():
    with pytest.raises(ValueError, match="run_ranks"):
        Ranks()
    with pytest.raises(ValueError, match="count=0"):
        run_ranks(all_cases, 0)

    part = split_block(whole_block("SwiGLU, GQA"), 1, 2)
    with pytest.raises(ValueError, match="1 of 2"):
        unchecked(TensorParallelBlock.__init__)(object.__new__(TensorParallelBlock), part, Alone())
