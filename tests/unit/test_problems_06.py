"""The answers of the page on long context, computed again; it says what the page says."""

import math
import re
from pathlib import Path

import pytest
import torch

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token, cache_line
from course_lib.costs.flops import prefill_flops, prefill_flops_split, visible_pairs
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers import indexer
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    selection_flops_per_pair,
    token_elements,
)
from course_lib.costs.roofline import prefill_time
from course_lib.costs.serving import max_concurrency
from course_lib.costs.weights import weight_bytes
from course_lib.course.pictures.attention_patterns import GLOBAL
from course_lib.course.pictures.window_reach import WINDOW, reach
from course_lib.layers.positions.rope_scaling import dynamic, linear, yarn, yarn_mscale
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec, IndexerSpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "06_long_context.md").read_text(encoding="utf-8")
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", PAGE, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", PAGE, flags=re.S))
QWEN, QWEN72, V3, V32, GPT_OSS = map(
    load_spec, ("qwen3.5-35b-a3b", "qwen2.5-72b", "deepseek-v3", "deepseek-v3.2", "gpt-oss-120b")
)
H200 = load_hardware("H200-SXM")
ATTENDS = next(layer.mixer for layer in QWEN.layers if isinstance(layer.mixer, AttentionSpec))
LAYERS = sum(isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
PAIR = attention_flops_per_pair(ATTENDS)
SHORT, LONG = 32_768, 131_072
GIB, MIB, TERA = 2**30, 2**20, 1e12


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def asked(label: str, *given: str) -> None:
    """The exercise gives each of these."""
    assert [part for part in given if part not in EXERCISES[label]] == []


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 18
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []


def test_numbers_of_the_story():
    short, long = (prefill_time(QWEN72, H200, n, devices=4) for n in (SHORT, LONG))
    assert f"{short:.1f}" == "1.5" and f"{long:.0f}" == "10"
    assert "after ten seconds at best, where it took one and a half" in PAGE
    fits = [max_concurrency(QWEN72, H200, n, devices=4) for n in (SHORT, LONG)]
    assert fits == [33, 8] and "eight requests fit into memory where 33 did" in PAGE


def test_numbers_of_the_text():
    short, long = (prefill_flops_split(QWEN72, n) for n in (SHORT, LONG))
    assert 0.22 < short.attention_share < 0.27 and long.attention_share > 0.5
    assert f"{long.total / short.total:.1f}" == "6.8" and "the sum grows 6.8 times" in PAGE
    assert 15.9 < long.attention / short.attention < 16.1
    mistral, later = load_spec("mistral-7b-v0.1"), load_spec("mistral-7b-v0.3")
    assert {layer.mixer.window for layer in mistral.layers} == {4096} and len(mistral.layers) == 32
    assert {layer.mixer.window for layer in later.layers} == {None} and "Version 0.3 has no windows" in PAGE
    gemma = [layer.mixer.window is not None for layer in load_spec("gemma-3-27b").layers]
    assert gemma[:6] == [True] * 5 + [False] and "five windowed layers to a global one" in PAGE
    alternating = [layer.mixer.window is not None for layer in GPT_OSS.layers]
    assert alternating == [True, False] * (len(alternating) // 2) and "gpt-oss one to one" in PAGE
    assert GPT_OSS.layers[0].mixer.sinks and load_spec("llama-4-maverick").layers[0].mixer.chunked
    assert V32.layers[0].mixer.indexer == IndexerSpec(heads=64, head_dim=128, top_k=2048)
    assert "64 index heads, and the best 2,048 keys" in PAGE
    weights = weight_bytes(QWEN72) / GIB
    kept = cache_bytes(QWEN72, batch=1, tokens=LONG) / GIB
    assert f"{weights:.0f}" == "135" and kept == 40 < weights < 4 * kept


def test_numbers_of_the_museum():
    """What the threads report is what the library computes with one thing wrong."""
    factor = {s: yarn_mscale(s) for s in (16, 40, 64, 128)}
    assert f"{factor[128]:.3f}" == "1.485" and f"{factor[128] ** 2:.3f}" == "2.206"
    assert f"{factor[64]:.3f}" == "1.416" and f"{factor[16]:.3f}" == "1.277"
    rope = V3.layers[0].mixer.rope.scaling
    assert (rope["mscale"], rope["mscale_all_dim"], rope["factor"]) == (1, 1, 40)
    assert f"{factor[40] ** 2:.2f}" == "1.87"
    scale = V3.layers[0].mixer.scale * (128 + 64) ** 0.5
    assert scale == pytest.approx(factor[40] ** 2)
    v2 = load_spec("deepseek-v2-lite").layers[0].mixer
    assert f"{v2.scale * (v2.nope_dim + v2.rope_dim) ** 0.5:.2f}" == "1.59"
    exponents = torch.arange(0, 64, 2, dtype=torch.float64) / 64
    options = {name: rope[name] for name in rope if name != "rope_type"}
    assert yarn(exponents, 10_000.0, **options)[1] == 1
    ministral = load_spec("ministral-3-3b").layers[0].mixer.rope.scaling
    assert (ministral["factor"], ministral["mscale"], ministral["mscale_all_dim"]) == (16, 1, 1)
    shown = ["2.206 instead of 1.485", "1.416 instead of 1", "1.277 instead of 1"]
    shown += ["1.59 times (DeepSeek-V2-Lite) or 1.87 times (V3) too small"]
    assert [part for part in shown if part not in PAGE] == []


def test_four_times_the_prompt():
    splits = [prefill_flops_split(QWEN, n) for n in (SHORT, LONG)]
    per_token = splits[1].linear / LONG
    assert f"{per_token / 1e9:.4f}" == "4.9855" and (PAIR, LAYERS) == (16_384, 10)
    for n, split in zip((SHORT, LONG), splits, strict=True):
        assert split.attention == LAYERS * PAIR * visible_pairs(n)
    kept = [cache_bytes(QWEN, batch=1, tokens=n) / GIB for n in (SHORT, LONG)]
    assert cache_bytes_per_token(QWEN) == 20 * 2**10 and cache_line(QWEN).fixed_bytes / MIB == 61.875
    linear_part, pairs = (
        [f"{getattr(s, part) / TERA:.1f}" for s in splits] for part in ("linear", "attention")
    )
    assert (linear_part, pairs) == (["163.4", "653.5"], ["88.0", "1407.4"])
    assert f"{splits[1].total / splits[0].total:.1f}" == "8.2" and f"{kept[1] / kept[0]:.1f}" == "3.7"
    asked("long-try-hybrid-three", "4.9855 GFLOP", "16,384 FLOPs", "20 KiB", "61.9 MiB")
    printed(
        "long-try-hybrid-three",
        "163.4 + 88.0",
        "653.5 + 1407.4 = 2{,}061",
        "8.2 times",
        "0.685 and 2.56 GiB, 3.7",
    )
    assert f"{kept[0]:.3f}" == "0.685" and f"{kept[1]:.2f}" == "2.56"


def test_pairs_that_never_come_round():
    rope = ATTENDS.rope
    assert (rope.theta, rope.dim) == (1e7, 64)
    waves = [2 * math.pi * rope.theta ** (2 * i / rope.dim) for i in range(32)]
    round_in_time = sum(wave <= 262_144 for wave in waves)
    last = rope.dim * math.log(262_144 / (2 * math.pi)) / (2 * math.log(rope.theta))
    assert round_in_time == 22 and f"{last:.1f}" == "21.1" and f"{waves[-1] / 1e6:.0f}" == "38"
    printed("long-try-hybrid-turns", "i = 21.1$: 22 pairs", "38 million", "less than a hundredth")
    assert 262_144 / waves[-1] < 0.01


def test_two_ways_to_stretch():
    exponents = torch.arange(0, 128, 2, dtype=torch.float64) / 128
    interpolated, _ = linear(exponents, 10_000.0, factor=4)
    assert float(interpolated[0]) == 0.25 and 12_288 / 4 == 3072
    base = 10_000 * 4 ** (128 / 126)
    ntk, _ = dynamic(exponents, 10_000.0, factor=1, original_max_position_embeddings=4096, length=4 * 4096)
    torch.testing.assert_close(ntk, base**-exponents)
    plain = 10_000.0**-exponents
    assert float(plain[-1] / ntk[-1]) == pytest.approx(4) and float(ntk[0]) == 1
    assert f"{base:,.0f}" == "40,890"
    printed("long-try-stretch", "At 3,072; 0.25", "40{,}890", "the slowest 4 times")


def test_the_ramp_of_gpt_oss():
    rope = GPT_OSS.layers[0].mixer.rope
    assert (rope.theta, rope.dim, rope.scaling["factor"]) == (150_000, 64, 32)
    options = {name: rope.scaling[name] for name in rope.scaling if name != "rope_type"}
    exponents = torch.arange(0, 64, 2, dtype=torch.float64) / 64
    speeds, m = yarn(exponents, rope.theta, **options)
    ratio = rope.theta**-exponents / speeds
    low, high = (64 * math.log(4096 / (2 * math.pi * t)) / (2 * math.log(150_000)) for t in (32, 1))
    assert (f"{low:.2f}", f"{high:.2f}") == ("8.09", "17.40")
    alone, whole = int((ratio < 1 + 1e-9).sum()), int((ratio > 32 - 1e-9).sum())
    assert (alone, whole) == (9, 14) and (f"{m:.3f}", f"{m * m:.2f}") == ("1.347", "1.81")
    printed("long-try-ramp", "From 8.09 to 17.40", "(9)", "(14)", "m = 1.347$", "1.81 times")


def test_the_size_of_an_error():
    m = yarn_mscale(64)
    assert f"{m:.3f}" == "1.416" and f"{m * m:.3f}" == "2.005"
    two = torch.tensor([2.0, 0.0], dtype=torch.float64)
    right, wrong = (torch.softmax(two * f, 0) for f in (1, m * m))
    assert f"{right[0] / right[1]:.1f}" == "7.4" and f"{wrong[0] / wrong[1]:.0f}" == "55"
    printed("long-try-museum", "1.416^2 = 2.005", "e^2 = 7.4", "e^{4.01} = 55")


def test_three_caches():
    mixer, layers = V3.layers[0].mixer, len(V3.layers)
    heads = layers * mixer.heads * (mixer.nope_dim + mixer.rope_dim + mixer.value_dim) * 2
    grouped = layers * 2 * 8 * 128 * 2
    latent = cache_bytes_per_token(V3)
    sizes = [per_token * LONG / GIB for per_token in (heads, latent, grouped)]
    assert [f"{size:.3g}" for size in sizes] == ["610", "8.58", "30.5"]
    absorbed, expanded = attention_flops_per_pair(mixer, absorbed=True), attention_flops_per_pair(mixer)
    assert (absorbed, expanded, token_elements(mixer)) == (278_528, 81_920, 576)
    assert f"{absorbed / expanded:.1f}" == "3.4" and f"{heads / latent:.0f}" == "71"
    printed("long-try-caches", "610 GiB", "8.58 GiB", "30.5 GiB", "3.4 times", "71 times")


def test_how_long_a_window_must_be():
    def reached(layers, window):
        return layers * (window - 1) + 1

    assert reached(3, WINDOW) == reach(3)
    assert reached(32, 4096) == 131_041 < LONG <= reached(32, 4097) and LONG - 131_041 == 31
    layers = math.ceil((LONG - 1) / 127)
    assert layers == 1033 and reached(layers, 128) >= LONG > reached(layers - 1, 128)
    printed("long-try-reach", "4,097", "131,041, 31 tokens short", "1,033 layers")


def test_windows_for_qwen():
    kept = LAYERS * 4096 * token_elements(ATTENDS) * 2
    pairs = visible_pairs(LONG, 4096)
    work = prefill_flops_split(QWEN, LONG)
    windowed = work.linear + LAYERS * PAIR * pairs
    assert kept / MIB == 80 and 32 * kept == LAYERS * LONG * 2048
    assert pairs == 4096 * LONG - 4096 * 4095 // 2 and f"{pairs / 1e6:.0f}" == "528"
    assert f"{LAYERS * PAIR * pairs / TERA:.1f}" == "86.6" and f"{windowed / TERA:.0f}" == "740"
    assert f"{work.total / windowed:.1f}" == "2.8" and LAYERS * 4095 + 1 == 40_951
    printed(
        "long-try-hybrid-window",
        "80 MiB, a 32nd",
        "528$ million",
        "86.6$ TFLOP",
        "740 TFLOP, 2.8",
        "40{,}951",
    )


def test_edges_of_a_longformer():
    n, side = 4096, 256
    place = torch.arange(n)
    band = (place[:, None] - place[None, :]).abs() <= side
    assert int(band.sum()) == visible_pairs(n, 2 * side, causal=False) == 2_035_456
    whole = band.clone()
    assert GLOBAL == (0,)
    whole[0], whole[:, 0] = True, True
    assert int(whole.sum()) == 2_043_134 and 2 * n - 1 == 8191 and 2 * side + 1 == 513
    assert f"{int(whole.sum()) / n**2:.0%}" == "12%"
    printed("long-try-edges", "2{,}035{,}456", "8,191 pairs", "has 513", "2,043,134, or 12 %")


def test_a_score_by_hand():
    products = torch.tensor([[2.0, -1], [-1, 3], [-2, -1], [-0.5, -3]])
    scores = (products.relu() @ torch.tensor([1, 0.5])).tolist()
    assert scores == [2, 1.5, 0, 0]
    printed("long-try-index", "Scores 2, 1.5, 0, 0", "A and B", "C and D tie")


def test_a_step_of_deepseek():
    mixer, layers = V32.layers[0].mixer, len(V32.layers)
    dense, index = attention_flops_per_pair(mixer, absorbed=True), selection_flops_per_pair(mixer)
    assert (dense, index, layers) == (278_528, 16_512, 61)
    full = layers * dense * LONG
    picked, scored = layers * dense * 2048, layers * index * LONG
    both = picked + scored
    assert (f"{full / 1e9:,.0f}", f"{picked / 1e9:.1f}", f"{scored / 1e9:.1f}") == ("2,227", "34.8", "132.0")
    assert f"{both / 1e9:.1f}" == "166.8" and f"{full / both:.0f}" == "13" and f"{scored / both:.0%}" == "79%"
    assert f"{2048 * dense / index:,.0f}" == "34,546"
    printed("long-try-dsa", "2,227 GFLOP", "34.8", "132.0", "166.8", "13 times less, 79 %", "34{,}546$")


def test_an_indexer_for_qwen():
    small, n = IndexerSpec(heads=4, head_dim=128, top_k=2048), 262_144
    score = indexer.flops_per_pair(small)
    dense, scored, picked = PAIR * n, score * n // 4, PAIR * 2048
    assert score == 1032 and n // 4 == 65_536
    assert [f"{x / 1e6:,.1f}" for x in (dense, scored, picked)] == ["4,295.0", "67.6", "33.6"]
    assert f"{(scored + picked) / 1e6:.0f}" == "101" and f"{dense / (scored + picked):.0f}" == "42"
    key = indexer.token_elements(small) * 2
    assert key == 256 and key * 8 == token_elements(ATTENDS) * 2
    printed(
        "long-try-hybrid-qsa",
        "4{,}295$",
        "65{,}536$ scores, 67.6",
        "33.6",
        "101 MFLOP: 42 times",
        "256 bytes: one eighth",
    )


def test_a_million_tokens():
    n = 2**20
    csa, hca = n // 4, n // 128
    assert (csa, hca, 512 + 128, hca + 128) == (262_144, 8192, 640, 8320)
    assert (hca + 128) / 640 == 13 and csa / hca == 32
    printed("long-try-v4", "262,144 entries", "= 640$ keys", "8,192", "8,320 keys: 13 times", "a 32nd")


def test_logits_of_a_long_text():
    rows = QWEN.vocab * 4
    assert (
        QWEN.vocab == 248_320 and f"{rows * LONG / GIB:.0f}" == "121" and f"{rows * 1024 / GIB:.2f}" == "0.95"
    )
    assert 0.9 < rows * LONG / H200.memory_bytes < 1
    printed("long-try-hybrid-logits", "121 GiB, nearly a whole H200", "0.95 GiB")


def test_when_the_ring_is_free():
    sent = token_elements(ATTENDS) * 2
    assert sent == 2048

    def least(link):
        return sent / link * H200.peak_flops / (PAIR / 2)

    # the page gives the peak as 989 TFLOP/s
    assert math.ceil(least(450e9)) == 550 and f"{least(50e9):,.0f}" == "4,947"
    assert LONG // 8 == 16_384 > least(50e9)
    printed("long-try-hybrid-ring", "n \\ge 550$", "50 GB/s 4,947", "16,384 tokens")


def test_twenty_at_once():
    fits = [max_concurrency(QWEN, H200, n) for n in (SHORT, LONG)]
    seconds = [prefill_time(QWEN, H200, n) for n in (SHORT, LONG)]
    assert fits == [78, 20] and [f"{s:.3g}" for s in seconds] == ["0.254", "2.08"]
    assert f"{78 * 0.254:.1f}" == "19.8" and f"{fits[1] * seconds[1]:.1f}" == "41.7"
    printed("long-try-hybrid-serving", "19.8$ s", "41.7$ s", "2.1 s: twenty times less")


def test_the_price_of_a_suite():
    lengths = [4096 * 2**i for i in range(6)]
    samples = 13 * 500
    tokens, work = samples * sum(lengths), [samples * prefill_flops(QWEN, n) for n in lengths]
    assert lengths[-1] == LONG and sum(lengths) == 258_048 and f"{tokens / 1e9:.2f}" == "1.68"
    assert f"{lengths[-1] / sum(lengths):.0%}" == "51%" and f"{work[-1] / sum(work):.0%}" == "65%"
    assert (
        f"{sum(work) / 1e18:.1f}" == "20.6" and f"{sum(work) / (0.4 * H200.peak_flops) / 3600:.1f}" == "14.4"
    )
    asked("long-try-hybrid-suite", "20.6 \\cdot 10^{18}")
    printed("long-try-hybrid-suite", "6500 \\cdot 258048 = 1.68$ billion", "51 %", "65 %", "14.4 hours")


def test_read_once_or_retrieve():
    read, ask = prefill_flops(QWEN, LONG), prefill_flops(QWEN, 4096)
    assert (f"{read / TERA:,.0f}", f"{ask / TERA:.1f}") == ("2,061", "21.8")
    assert math.ceil(read / ask) == 95 and f"{read / ask:.0f}" == "95"
    assert max_concurrency(QWEN, H200, LONG) / 200 == 0.1
    printed("long-problem-hybrid-read", "From 95 questions on", "only a tenth")
