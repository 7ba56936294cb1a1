"""The worked answers on the attention page, computed again; the page must print what comes out."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from course_lib.costs.cache import score_matrix_bytes
from course_lib.costs.flops import prefill_flops_split
from course_lib.costs.io import stepwise_attention_io, tiled_attention_io
from course_lib.layers.positions.rope import Rope
from course_lib.specs.from_hf import spec_from_hf_config

PAGE = Path(__file__).parents[2] / "book" / "02_attention_math.md"
ANSWERS = PAGE.read_text(encoding="utf-8").split("(attn-problems)=")[1]


def printed(number: int) -> str:
    """A whole number as the page's formulas print it."""
    return f"{number:,}".replace(",", "{,}")


def test_variance_with_unequal_sizes():
    draw = torch.Generator().manual_seed(0)
    q = 2 * torch.randn(20_000, 64, generator=draw, dtype=torch.float64)
    k = torch.randn(20_000, 64, generator=draw, dtype=torch.float64)
    # 20,000 draws: the standard error of a standard deviation of 2 is 0.01
    assert ((q * k).sum(-1) / 8).std().item() == pytest.approx(2.0, abs=0.05)
    assert "Divided by 8: 2." in ANSWERS


def test_where_the_terms_meet():
    shape = {"hidden_size": 2048, "num_attention_heads": 16, "num_hidden_layers": 1, "vocab_size": 1}
    spec = spec_from_hf_config(shape | {"model_type": "llama", "intermediate_size": 5632})
    spec = replace(spec, head="none")
    split = prefill_flops_split(spec, 25_087)
    assert split.linear == split.attention
    assert printed(split.linear // (2 * 25_087)) in ANSWERS
    assert "from 25,087 tokens on" in ANSWERS


def test_storing_the_scores():
    stored = score_matrix_bytes(16384, bytes_per_element=4, heads=32, batch=4)
    assert stored == 128 * 2**30
    assert printed(stored) in ANSWERS


def test_one_online_step():
    before = Fraction(2, 8)
    total, y = 3 * before + 1, 6 * before + 10
    assert (total, y) == (Fraction("1.75"), Fraction("11.5"))
    assert f"{float(y / total):.3f}" == "6.571"
    assert "11.5/1.75 = 6.571" in ANSWERS


def test_slowest_pair():
    slowest = 2 * math.pi / Rope(dim=64, theta=500_000.0).frequencies(torch.float64)[-1].item()
    assert f"= {printed(round(slowest))}$ tokens" in ANSWERS


def test_bytes_in_tiles():
    shape = {"queries": 4096, "keys": 4096, "key_dim": 128, "value_dim": 128}
    assert stepwise_attention_io(**shape).total_bytes == 132 * 2**20
    tiles = tiled_attention_io(**shape, block_q=256, block_k=64, statistic_bytes=1e-12)
    assert tiles.total_bytes / 2**20 == pytest.approx(34.0)
    assert printed(round(tiles.total_bytes / 2)) in ANSWERS and "34 MiB" in ANSWERS
