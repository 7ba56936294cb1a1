"""Bytes between large and small memory: counted by hand, by a run, and in the limit."""

import pytest
import torch
from sympy import Symbol, symbols

from course_lib.costs.io import largest_block_q, stepwise_attention_io, tiled_attention_io
from course_lib.layers.attention.hbm_traffic import HBMTraffic

SHAPE = {"queries": 6, "keys": 10, "key_dim": 3, "value_dim": 5}


def test_three_steps_run_and_counted():
    memory, (q, k, v) = HBMTraffic(), (torch.randn(2, n, w).double() for n, w in ((6, 3), (10, 3), (10, 5)))
    scores, weights, y = (torch.empty(2, 6, n).double() for n in (10, 10, 5))
    memory.store(scores, memory.load(q) @ memory.load(k).mT)
    memory.store(weights, memory.load(scores).softmax(-1))
    memory.store(y, memory.load(weights) @ memory.load(v))
    formula = stepwise_attention_io(**SHAPE, batch=2, bytes_per_element=8)
    assert (memory.read_bytes, memory.written_bytes) == (formula.read_bytes, formula.written_bytes)
    torch.testing.assert_close(y, (q @ k.mT).softmax(-1) @ v, rtol=1e-12, atol=1e-12)


def test_keys_and_values_are_read_once_for_all_heads_of_a_group():
    got = stepwise_attention_io(**SHAPE, heads=4, kv_heads=2, bytes_per_element=1)
    assert got.read_bytes == 4 * 6 * 3 + 2 * 10 * (3 + 5) + 2 * 4 * 6 * 10
    assert got.written_bytes == 2 * 4 * 6 * 10 + 4 * 6 * 5


def test_tiles_by_hand():
    got = tiled_attention_io(**SHAPE, block_q=4, block_k=4, heads=2, kv_heads=1, bytes_per_element=2)
    assert got.read_bytes == 2 * (2 * 6 * 3 + 2 * 10 * (3 + 5))  # two blocks of queries read all keys
    assert got.written_bytes == 2 * 6 * (5 * 2 + 4)
    assert got.total_bytes == got.read_bytes + got.written_bytes


def test_a_causal_mask_saves_almost_half_of_what_keys_and_values_cost():
    shape = {"queries": 1000, "keys": 1000, "key_dim": 8, "value_dim": 8, "block_q": 10, "block_k": 10}
    full, half = tiled_attention_io(**shape), tiled_attention_io(**shape, causal=True)
    saved = (full.read_bytes - half.read_bytes) / (1000 * 16 * 2)
    assert saved == 100 - (100 + 1) / 2  # of 100 readings of all keys, 50.5 are left


def test_the_formula_is_algebra():
    t, k = symbols("t k", positive=True, integer=True)
    got = stepwise_attention_io(queries=t, keys=t, key_dim=k, value_dim=k, bytes_per_element=1)
    assert got.total_bytes.expand() == 4 * t * k + 4 * t**2


def test_theorem_2_in_the_limit():
    """With the largest tiles, the keys' share of the traffic is N^2 d^2 / M times a constant."""
    d, length = 64, 2**20

    def moved(sram):
        block = largest_block_q(sram, key_dim=d, value_dim=d, block_k=1)
        shape = {"queries": length, "keys": length, "key_dim": d, "value_dim": d}
        return tiled_attention_io(**shape, block_q=block, block_k=1, bytes_per_element=1).read_bytes

    for sram in (2**15, 2**16, 2**17):
        constant = moved(sram) * sram / (length * d) ** 2
        assert constant == pytest.approx(2 * (2 * d + 3) / d, rel=0.02)  # rows of q and y, times k and v


def test_tiles_move_less_while_the_head_is_narrow_and_more_once_it_is_wide():
    sram = 16 * 1024
    ratios = []
    for d in (32, 64, 128, 256):
        block = largest_block_q(sram, key_dim=d, value_dim=d, block_k=16)
        shape = {"queries": 4096, "keys": 4096, "key_dim": d, "value_dim": d}
        tiled = tiled_attention_io(**shape, block_q=block, block_k=16).total_bytes
        ratios.append(stepwise_attention_io(**shape).total_bytes / tiled)
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 5 and ratios[-1] < 1


def test_the_largest_block_fits_and_one_more_row_does_not():
    def elements(rows, columns, k, v):
        return rows * (k + v) + columns * (k + v) + rows * columns + 2 * rows

    rows = largest_block_q(10_000, key_dim=24, value_dim=40, block_k=32)
    assert elements(rows, 32, 24, 40) <= 10_000 < elements(rows + 1, 32, 24, 40)
    least = elements(1, 32, 24, 40)
    assert largest_block_q(least, key_dim=24, value_dim=40, block_k=32) == 1
    with pytest.raises(ValueError, match=f"sram_elements={least - 1}"):
        largest_block_q(least - 1, key_dim=24, value_dim=40, block_k=32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stepwise_attention_io(**SHAPE | {"queries": 0}), "queries=0"),
        (lambda: stepwise_attention_io(**SHAPE, bytes_per_element=0), "bytes_per_element=0"),
        (lambda: stepwise_attention_io(**SHAPE, heads=0), "heads=0"),
        (lambda: tiled_attention_io(**SHAPE, block_q=0, block_k=1), "block_q=0"),
        (lambda: tiled_attention_io(**SHAPE, block_q=1, block_k=1, statistic_bytes=0), "statistic_bytes=0"),
        (lambda: largest_block_q(100, key_dim=0, value_dim=64), "key_dim=0"),
        (lambda: tiled_attention_io(**SHAPE, block_q=1, block_k=1, causal=True), "queries=6, keys=10"),
        (lambda: largest_block_q(100, key_dim=64, value_dim=64), "at most sram_elements=100"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_symbol_passes_where_numbers_are_checked():
    bytes_each = Symbol("B", positive=True)
    assert stepwise_attention_io(**SHAPE, bytes_per_element=bytes_each).read_bytes.has(bytes_each)
