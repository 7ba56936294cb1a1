"""The worked numbers and answers of chapter 0, computed again; the page must print what comes out."""

import math
import re
from pathlib import Path

import pytest

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.costs.feed_forward.dispatch import ffn_weights
from course_lib.costs.flops import flops_per_token, prefill_flops_split
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers.dispatch import mixer_weights
from course_lib.costs.params import layer_params, param_count
from course_lib.costs.roofline import decode_work, prefill_work, weights_read
from course_lib.decide.selection import Criteria, Weights, tie_weight
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec

PAGE = (Path(__file__).parents[2] / "book" / "00_why_architecture.md").read_text(encoding="utf-8")
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", PAGE, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", PAGE, flags=re.S))
K, GB, TERA = 1024, 1e9, 1e12
QWEN, SMOL = load_spec("qwen3.5-35b-a3b"), load_spec("smollm2-135m")
H100 = load_hardware("H100-SXM")


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def asked(label: str, *shown: str) -> None:
    """The exercise says each of these."""
    assert [part for part in shown if part not in EXERCISES[label]] == []


def whole(number: float) -> str:
    """A whole number as a formula prints it."""
    assert number == int(number)
    return f"{int(number):,}".replace(",", "{,}")


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 18
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []
    on_the_hybrid = [label for label in EXERCISES if label.startswith("why-try-hybrid")]
    assert len(on_the_hybrid) >= len(EXERCISES) / 3


def test_worked_numbers_of_the_text():
    attends = [isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers]
    assert attends == [i % 4 == 3 for i in range(40)] and "every fourth layer attends" in PAGE
    third = param_count(load_spec("bert-large")).total
    assert 0.33 < third / GB < 0.345 and "a third of a billion" in PAGE
    rwkv, llama = (param_count(load_spec(name)).total for name in ("rwkv-4-14b", "llama-3.1-8b"))
    assert 1.75 < rwkv / llama < 1.85 and "nearly twice the size" in PAGE


def test_what_a_token_looks_up():
    table = SMOL.vocab * SMOL.width
    count = param_count(SMOL).total
    asked("why-try-smol", f"{count:,}", f"{SMOL.vocab:,}", str(SMOL.width))
    shown = (f"= {whole(table)}$", f"{100 * table / count:.0f} %", f"{2 * table / 1e6:.1f} million")
    printed("why-try-smol", *shown)
    assert "head" not in param_count(SMOL).by_part  # one matrix for both


def test_where_the_parameters_are():
    moe, layers = QWEN.layers[0].ffn, len(QWEN.layers)
    one = ffn_weights(moe.expert, QWEN.width)
    assert (moe.experts, moe.top_k, moe.shared, moe.shared_width) == (256, 8, 1, moe.expert.width)
    all_of_them, total = one * moe.experts * layers, param_count(QWEN).total
    assert all_of_them == param_count(QWEN).by_part["experts"]
    shown = (f"= {whole(one)}$", f"{all_of_them / GB:.1f} billion", f"{100 * all_of_them / total:.0f} %")
    passed = one * (moe.top_k + moe.shared) * layers
    printed("why-try-hybrid-experts", *shown, f"{passed / GB:.2f} billion")
    asked("why-try-hybrid-experts", f"{total / GB:.2f} billion")


def test_the_tie():
    encoder = Criteria(error=0.08, latency_s=1, cost_usd=0.0002, risk=0)
    decoder = Criteria(error=0.06, latency_s=1, cost_usd=0.0100, risk=0)
    tie = tie_weight(encoder, decoder, Weights(usd_per_error=0, usd_per_second=0), "error")
    printed("why-problem-2", f"= {tie:.2f}$ USD")
    assert tie == pytest.approx(0.49, rel=1e-9)


def test_the_price_of_a_prompt():
    flops = prefill_flops_split(QWEN, 32 * K)
    weights = prefill_work(QWEN, 32 * K).weights_read
    rate, usd_per_s = 0.4 * H100.peak_flops, 2.5 / 3600
    now = flops.linear + flops.attention
    asked(
        "why-try-hybrid-price",
        f"{now / TERA:.0f} TFLOP",
        f"{weights / GB:.2f} billion",
        f"{flops.attention / TERA:.0f} TFLOP",
        f"{H100.peak_flops / TERA:.0f} TFLOP/s",
    )
    dense = 2 * weights * 32 * K
    both = dense + flops.attention
    printed(
        "why-try-hybrid-price",
        f"= {now / rate:.3f}$ s",
        f"{100 * usd_per_s:.4f} cents",
        f"{100 * usd_per_s * now / rate:.3f} cents",
        f"= {whole(round(dense / TERA))}$ TFLOP",
        f"{round(both / TERA):,}: {both / rate:.2f} s",
        f"{100 * usd_per_s * both / rate:.2f} cents",
    )
    assert 9 < both / now < 9.5 and "nine times" in SOLUTIONS["why-try-hybrid-price"]


def test_two_points():
    printed("why-problem-5", f"{196 * (0.8 * 0.2 / 500) ** 0.5:.1f}$ points")


def test_the_crossing():
    printed("why-problem-3", f"= {whole(round(13e9 / (8 * 131072)))}$ tokens")


def test_when_the_pairs_outweigh_the_weights():
    one, two = (prefill_flops_split(QWEN, n) for n in (4 * K, 8 * K))
    per_token = (two.linear - one.linear) / (4 * K)
    asked("why-try-hybrid-pairs", f"{per_token / GB:.2f} GFLOPs")
    mixer = QWEN.layers[3].mixer
    slope = 10 * mixer.heads * 4 * mixer.head_dim / 2
    assert one.attention == pytest.approx(slope * (4 * K) ** 2, rel=1e-3)
    equal = per_token / slope
    printed("why-try-hybrid-pairs", f"= {whole(slope)}\\, n$", f"n = {whole(round(equal, -2))}$", "15,000")
    assert equal / 4 == pytest.approx(15_000, rel=0.02)


def test_which_limit_comes_first():
    prompt, step = prefill_work(QWEN, 4 * K), decode_work(QWEN, context=4 * K)
    asked(
        "why-try-hybrid-wait",
        f"{prompt.flops / TERA:.1f} TFLOP",
        f"{prompt.weights_read / GB:.2f} GB",
        f"{step.flops / GB:.2f} GFLOP",
        f"{step.weights_read / GB:.2f} GB",
        f"{step.cache_bytes / 1e6:.0f} MB",
    )
    to_compute = [1e3 * work.flops / H100.peak_flops for work in (prompt, step)]
    read = step.weights_read + step.cache_bytes
    to_read = [1e3 * bytes_ / H100.bandwidth_bytes_per_s for bytes_ in (prompt.weights_read, read)]
    printed(
        "why-try-hybrid-wait",
        f"= {to_compute[0]:.1f}$ ms",
        f"= {to_read[0]:.1f}$ ms",
        f"{to_compute[1]:.4f} ms",
        f"{read / GB:.2f} / 3350$ s $= {to_read[1]:.2f}$ ms",
        f"factor of {to_read[1] / to_compute[1]:.0f}",
    )


def test_read_the_name():
    spec = load_spec("mixtral-8x22b")
    moe, count = spec.layers[0].ffn, param_count(spec)
    assert (len(spec.layers), spec.width, moe.experts, moe.top_k, moe.expert.width) == (56, 6144, 8, 2, 16384)
    expert = ffn_weights(moe.expert, spec.width)
    rest = f"takes {(count.total - 56 * 8 * expert) / 1e9:.1f} billion"
    asked("why-problem-4", rest)
    printed(
        "why-problem-4",
        f"= {expert / 1e6:.0f}$ million",
        f"{56 * 8 * expert / 1e9:.1f} billion",
        f"the total is {count.total / 1e9:.1f}",
        f"= {5.3 + 56 * 2 * 0.302:.1f}$ billion",
    )
    assert count.active / 1e9 == pytest.approx(39.1, abs=0.1)  # the page's terms are rounded


def test_35b_against_8b():
    llama = load_spec("llama-3.1-8b")
    totals = [param_count(spec).total for spec in (QWEN, llama)]
    passed = [weights_read(spec, batch=1) for spec in (QWEN, llama)]
    asked("why-try-hybrid-name", *(f"{n / GB:.2f} billion" for n in totals + passed))
    memory, work = totals[0] / totals[1], passed[0] / passed[1]
    printed(
        "why-try-hybrid-name",
        f"{2 * totals[0] / GB:.1f} / {2 * totals[1] / GB:.1f}$, {memory:.1f} times",
        f"= {2 * passed[0] / GB:.1f}$ GFLOPs",
        f"= {2 * passed[1] / GB:.1f}$, which is {work:.2f} times",
    )


def test_how_many_steps_in_series():
    states = sum(not isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
    tokens, chunk = 4 * K, 64
    shown = (states * tokens, states * tokens // chunk, states * math.log2(tokens // chunk))
    asked("why-try-hybrid-serial", f"the {states} state layers")
    printed("why-try-hybrid-serial", *(f"= {whole(n)}$" for n in shown))


def test_layers_between_two_tokens():
    reach, layers = 0, 0
    while reach < 999:
        reach, layers = reach + 2 * 2**layers, layers + 1
    assert (layers, reach) == (9, 1022) and reach - 2 * 2**8 == 510
    assert -(-999 // 2) == 500
    printed("why-try-conv", "500 layers", "510 for eight", "1,022 for nine")


def test_rows_for_24_symbols():
    prompt, written = 8, 24
    causal = prompt + written - 1
    both = sum(prompt + i for i in range(1, written + 1))
    several = written // 4 * (prompt + written)
    printed("why-try-rows", f"steps, {causal}.", f"= {both}$", f"= {several}$")


def test_what_the_shape_does_to_the_cache():
    blocks = 24 * 1024**2 // 2048**2
    kept = [2 * width * layers for width, layers in ((1024, 24), (2048, blocks))]
    printed("why-try-shape", f"{blocks} blocks", *(f"= {whole(n)}$" for n in kept))
    assert kept[0] == 2 * kept[1]


def test_the_same_letter_in_greek():
    llama = load_spec("llama-3.1-8b")
    short, long = 1000, 4000
    held = [cache_bytes(llama, batch=1, tokens=n) for n in (short, long)]
    flops = [prefill_flops_split(llama, n) for n in (short, long)]
    assert held[1] == 4 * held[0] and 40 * held[0] // held[1] == 10
    assert flops[1].attention / flops[0].attention == pytest.approx(16, rel=0.01)
    assert flops[1].linear / flops[0].linear == pytest.approx(4, rel=0.01)
    printed("why-try-greek", "four times", "sixteen times", "10 requests")


def test_how_much_has_to_be_asked():
    answers = QWEN.width + 1
    asked("why-try-hybrid-logits", f"{QWEN.width:,}", f"{QWEN.vocab:,}")
    size = answers * QWEN.vocab * 4 / GB
    printed("why-try-hybrid-logits", f"{answers:,} answers", f"= {size:.2f}$ GB")


def test_a_configuration_three_numbers():
    config = {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "vocab_size": 128256}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336}
    spec = spec_from_hf_config(config | heads)
    layer = spec.layers[0]
    assert layer_params(layer, spec.width)["norm"] == 8192
    total = param_count(spec).total
    assert total == param_count(load_spec("llama-3-8b")).total
    matrices = (flops_per_token(spec, 1) - 4 * 32 * 128 * 32) // 2
    flops = flops_per_token(spec, 8192)
    assert flops == 2 * matrices + 4 * 32 * 128 * 8192 * 32
    printed(
        "why-problem-1",
        whole(mixer_weights(layer.mixer, spec.width)),
        whole(ffn_weights(layer.ffn, spec.width)),
        f"{total:,}",
        whole(cache_bytes_per_token(spec)),
        whole(matrices),
        f"{flops / 1e9:.1f} GFLOPs",
    )


def test_same_weights_another_graph():
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 9}
    config = {"model_type": "mistral", "num_hidden_layers": 32, "intermediate_size": 96, **sizes}
    full, windowed = (spec_from_hf_config(config | {"sliding_window": w}) for w in (None, 1024))
    assert param_count(full) == param_count(windowed)
    held = [cache_bytes(spec, batch=1, tokens=8192, ring=True) for spec in (full, windowed)]
    assert held[0] == 8 * held[1]
    printed("why-problem-6", whole(32 * 1023))
