"""The worked answers on the KV-cache page, computed again; the page must print what comes out."""

from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.costs.cache import cache_bytes, kv_cache_bytes
from course_lib.costs.serving import cache_equals_weights
from course_lib.specs.loader import load_spec

PAGE = Path(__file__).parents[2] / "book" / "03_kv_cache.md"
ANSWERS = PAGE.read_text(encoding="utf-8").split("(kv-problems)=")[1]


def test_eight_requests():
    shape = {"kv_heads": 8, "head_dim": 128, "layers": 48, "bytes_per_element": 2}
    held = kv_cache_bytes(batch=8, tokens=16384, **shape)
    assert held == 24 * 2**30
    assert f"{held:,}".replace(",", "{,}") in ANSWERS


@pytest.mark.parametrize(("tokens", "printed"), [(4096, 1.0), (32768, 0.5625), (131072, 0.515625)])
def test_where_the_window_pays(tokens, printed):
    full = load_spec("mistral-7b-v0.3")
    windowed = replace(full.layers[0], mixer=replace(full.layers[0].mixer, window=4096))
    mixed = replace(full, layers=full.layers[::2] + (windowed,) * 16)
    options = {"batch": 1, "tokens": tokens, "ring": True}
    assert cache_bytes(mixed, **options) / cache_bytes(full, **options) == printed
    assert printed == 1.0 or str(printed) in ANSWERS


def test_latent_against_groups():
    latent = cache_bytes(load_spec("deepseek-v3"), batch=1, tokens=1) / 61
    one_group = kv_cache_bytes(batch=1, tokens=1, kv_heads=1, head_dim=128, layers=1, bytes_per_element=2)
    assert latent / one_group == 2.25
    assert "G = 2.25" in ANSWERS


def test_is_it_the_cache():
    cache = 2048 * 128 * 1024
    assert f"{cache / 1e6:.0f} MB" in ANSWERS
    assert f"{cache / 2 / (14e9 + cache):.1%}" == "0.9%"


@pytest.mark.parametrize(("block", "printed"), [(16, r"1.8\,\%"), (256, r"24\,\%")])
def test_blocks(block, printed):
    """Lengths that run once through every remainder of the block; the mean length is the problem's 400."""
    lengths = [400 * block + remainder for remainder in range(block)]
    empty = sum(-length % block for length in lengths) / block
    assert empty == (block - 1) / 2
    assert f"{100 * empty / (400 + empty):.2g}" == printed.split("\\")[0]
    assert printed in ANSWERS


def test_a_smaller_cache_does_little_at_batch_one_and_short_context():
    share = 1 / (1 + cache_equals_weights(load_spec("llama-3.1-70b"), 4096))
    assert share * 7 / 8 < 0.01
