"""The answers of the page on state spaces and linear attention, computed again; it prints what comes out."""

import math
import re
from pathlib import Path

import pytest
import torch

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token, cache_line
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    mixer_weights,
    recurrence_flops,
    state_elements,
    token_elements,
)
from course_lib.course.pictures.scan_tree import combine
from course_lib.course.pictures.ssd_orders import products
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec, KimiDeltaSpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "05_ssm.md").read_text(encoding="utf-8")
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", PAGE, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", PAGE, flags=re.S))
QWEN, KIMI, RWKV, MAMBA = map(
    load_spec, ("qwen3.5-35b-a3b", "kimi-linear-48b-a3b", "rwkv-4-14b", "mamba-2.8b")
)
DELTA, ATTENDS = QWEN.layers[0].mixer, QWEN.layers[3].mixer
MIB = 2**20
STATE_BYTES, INPUT_BYTES = 4, 2


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def kept(mixer, width: int) -> int:
    """Bytes of a recurrent layer: float32 states, bf16 inputs."""
    states, inputs = state_elements(mixer, width)
    return states * STATE_BYTES + inputs * INPUT_BYTES


def write(state, key, value, beta=1.0):
    """One step of the delta rule on rows of values."""
    key, value = torch.tensor(key), torch.tensor(value)
    return state + beta * torch.outer(value - state @ key, key)


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 18
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []


def test_numbers_of_the_story():
    at_128k = cache_bytes(QWEN, batch=1, tokens=131_072)
    attends = sum(isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
    assert (attends, len(QWEN.layers)) == (10, 40)
    assert (
        f"{at_128k / 2**30:.1f} GiB" == "2.6 GiB"
        and "takes 2.6 GiB, where 40 attention layers would take 10." in PAGE
    )
    assert 4 * cache_bytes_per_token(QWEN) * 131_072 == 10 * 2**30


def test_numbers_of_the_text():
    assert MAMBA.layers[0].mixer.state == 16 and "a state of $N$ numbers (16 in Mamba)" in PAGE
    assert [round(math.log(0.5) / math.log(a)) for a in (0.9, 0.99)] == [7, 69]
    assert "after 7 tokens and nothing after a hundred; 0.99 leaves half after 69" in PAGE and 0.9**100 < 1e-4
    kinds = [isinstance(layer.mixer, KimiDeltaSpec) for layer in KIMI.layers]
    assert (sum(kinds), len(kinds)) == (20, 27) and "three KDA layers to one of latent attention" in PAGE
    assert (
        DELTA.value_heads == 2 * DELTA.key_heads == 32
        and "Sixteen heads of queries and keys serve 32" in PAGE
    )


def test_the_quotient_of_running_products_fails_where_the_page_says():
    """The two-cumsum trick in float32, with a log decay of -0.5, against the loop."""
    decay, n = torch.tensor(-0.5), 400
    x = torch.ones(n)
    reach = decay * torch.arange(1, n + 1)
    trick = reach.exp() * (x * (-reach).exp()).cumsum(0)
    state, loop = torch.tensor(0.0), []
    for value in x:
        state = decay.exp() * state + value
        loop.append(state)
    wrong = ~torch.isclose(trick, torch.stack(loop), rtol=1e-3)
    first = int(wrong.nonzero()[0]) + 1
    assert 170 <= first <= 178 and "after some 176 tokens" in PAGE


def test_where_the_lines_cross():
    layer = kept(DELTA, QWEN.width)
    token = token_elements(ATTENDS) * 2
    assert layer == 2.0625 * MIB and token == 2048 and layer / token == 1056
    recurrent = sum(not isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
    assert recurrent == 30 and recurrent * layer / MIB == 61.875
    assert cache_line(QWEN).fixed_bytes == recurrent * layer
    printed("ssm-try-hybrid-crossover", "2.0625 MiB", "= 2$ KiB", "1,056 tokens", "61.875 MiB")


def test_the_kernel_by_hand():
    state, states = 0.0, []
    for x in (1, 0, 3):
        state = 0.5 * state + x
        states.append(state)
    assert states == [1, 0.5, 3.25] and [2 * s for s in states] == [2, 1, 6.5]
    kernel = [2 * 0.5**j for j in range(3)]
    assert kernel == [2, 1, 0.5] and sum(k * x for k, x in zip(kernel, (3, 0, 1), strict=True)) == 6.5
    printed("ssm-try-kernel", "States 1, 0.5, 3.25; outputs 2, 1, 6.5. Kernel 2, 1, 0.5", "= 6.5")


def test_a_hundred_words_of_filler():
    enters = 1 - math.exp(-2)
    left = enters * math.exp(-100 * 0.01)
    fixed = (1 - math.exp(-0.1)) * math.exp(-100 * 0.1)
    assert (round(enters, 3), round(left, 3), round(1 - math.exp(-0.1), 3)) == (0.865, 0.318, 0.095)
    assert f"{fixed:.1e}" == "4.3e-06"
    printed("ssm-try-filler", "0.865", "= 0.368", "so 0.318", "0.095", r"4.3 \cdot 10^{-6}")


def test_two_steps_as_one():
    a, b = combine((0.5, 2.0), (0.9, 1.0))
    assert (a, b) == pytest.approx((0.45, 2.8))
    assert a * 10 + b == pytest.approx(0.9 * (0.5 * 10 + 2) + 1) == pytest.approx(7.3)
    printed("ssm-try-combine", "(0.45, 2.8)", "= 7.3", "7, then")


def test_the_end_of_float32():
    largest = math.log(torch.finfo(torch.float32).max)
    assert round(largest, 1) == 88.7 and f"{largest / 0.5:.1f}" == "177.4"
    assert math.ceil(largest / 0.5) == 178 and f"{math.exp(32):.1e}" == "7.9e+13"
    printed("ssm-try-range", "= 177.4$", "token 178", r"7.9 \cdot 10^{13}")


def test_which_order_is_cheaper():
    for n in (127, 128):
        pairs, state = products(n, 64, 64), 2 * n * 64 * 64
        assert pairs == n * (n + 1) // 2 * 128 and state == 8192 * n
        assert (pairs > state) is (n > 127) and (pairs == state) is (n == 127)
    assert products(4096, 64, 64, chunk=64) < products(4096, 64, 64)
    printed("ssm-try-orders", "$8192\\, n$", "$n = 127$", "from 128 on")


def test_half_a_correction():
    state = torch.zeros(2, 2)
    first = write(state, (1.0, 0.0), (3.0, 1.0))
    assert (first @ torch.tensor([1.0, 0.0])).tolist() == [3, 1]
    for beta, after in ((1.0, [5.0, 0.0]), (0.5, [4.0, 0.5])):
        assert write(first, (1.0, 0.0), (5.0, 0.0), beta)[:, 0].tolist() == after
    printed("ssm-try-delta", "Sum: $(8, 1)$", "$(5, 0)$", "(4, 0.5)")


def test_the_price_of_overlap():
    state = torch.tensor([[10.0, 0.0]])
    after = write(state, (0.6, 0.8), (2.0,))
    torch.testing.assert_close(after, torch.tensor([[7.6, -3.2]]))
    torch.testing.assert_close(after @ torch.tensor([0.6, 0.8]), torch.tensor([2.0]))
    summed = state + 2 * torch.tensor([0.6, 0.8])
    torch.testing.assert_close(summed, torch.tensor([[11.2, 1.6]]))
    torch.testing.assert_close(summed @ torch.tensor([0.6, 0.8]), torch.tensor([8.0]))
    assert 0.2 < (10 - 7.6) / 10 < 0.3
    printed("ssm-try-overlap", "(7.6, -3.2)", "recalls 2 for $k_2$ and 7.6", "(11.2, 1.6)", "8 and 11.2")


def test_a_gate_near_one():
    assert round(0.999**1000, 3) == 0.368 and f"{0.999**32768:.1e}" == "5.8e-15"
    half = 2 ** (-1 / 32768)
    assert f"{1 - half:.1e}" == "2.1e-05"
    rounded = torch.tensor([0.999, half], dtype=torch.float64).to(torch.bfloat16)
    assert rounded.tolist() == [1, 1]
    below = torch.nextafter(torch.tensor(1.0, dtype=torch.bfloat16), torch.tensor(0.0, dtype=torch.bfloat16))
    assert 1 - below.item() == 2**-8
    printed("ssm-try-hybrid-gate", "= 0.368", r"5.8 \cdot 10^{-15}", r"2.1 \cdot 10^{-5}", "rounded to 1")


def test_three_writes_at_once():
    keys = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    values = torch.tensor([10.0, 2.0, 5.0])
    system = torch.eye(3) + (keys @ keys.T).tril(-1)
    pseudo = torch.linalg.solve_triangular(system, values[:, None], upper=False)[:, 0]
    torch.testing.assert_close(pseudo, torch.tensor([10.0, -4.0, 8.2]))
    state = torch.zeros(1, 2)
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        state = write(state, key, (value,))
    torch.testing.assert_close(pseudo @ keys, state[0])
    torch.testing.assert_close(state[0], torch.tensor([7.6, 5.0]))
    torch.testing.assert_close(keys @ state[0], torch.tensor([7.6, 8.56, 5.0]))
    printed("ssm-try-pseudo", "u_1 = 10$", "= -4$", "= 8.2$", "(7.6, 5)", "7.6, 8.56 and 5")


def test_the_parameters_of_the_mixer():
    state, attention = mixer_weights(DELTA, QWEN.width), mixer_weights(ATTENDS, QWEN.width)
    assert state == 2048 * (8192 + 4096 + 64) + 4 * 8192 + 4096 * 2048
    assert attention == 2048 * (2 * 4096 + 2 * 512) + 4096 * 2048
    shown = f"= {state / 1e6:.1f}$ million", f"= {attention / 1e6:.1f}$ million"
    assert shown == ("= 33.7$ million", "= 27.3$ million")
    printed("ssm-try-hybrid-params", *shown)


def test_arithmetic_of_a_step():
    state, pair = recurrence_flops(DELTA), attention_flops_per_pair(ATTENDS)
    assert (state, pair, state / pair) == (7 * 524_288, 16_384, 224)
    assert round(pair * 32_768 / state) == 146 and round(pair * 32_768 / 1e6) == 537
    printed("ssm-try-hybrid-step", "3.67$ million", "224 tokens", "537 million, 146 times")


def test_parity_by_a_sign():
    state, seen = 1, []
    for bit in (1, 1, 0, 1):
        state *= 1 - 2 * bit
        seen.append(state)
    assert seen == [-1, 1, 1, -1] and min(1 - beta / 10 for beta in range(11)) == 0
    printed("ssm-try-parity", "$-1, 1, 1, -1$", "at or above zero")


def test_from_vectors_to_matrices():
    mixer = RWKV.layers[0].mixer
    assert state_elements(mixer, RWKV.width)[0] == 3 * 5120 and len(RWKV.layers) == 40
    vectors, matrices = 3 * 5120 * 40 * 4, 64 * 5120 * 40 * 4
    assert (f"{vectors / MIB:.2f}", matrices / MIB, round(matrices / vectors)) == ("2.34", 50, 21)
    printed("ssm-try-rwkv", "= 2.34$ MiB", "= 50$ MiB", "21 times")


def test_how_many_pairs_fit():
    heads = 30 * DELTA.value_heads
    assert heads == 960 and 262_144 // DELTA.key_dim == 2048 and heads * DELTA.key_dim == 122_880 < 131_072
    printed("ssm-try-hybrid-recall", "one token in 2,048", "122{,}880", "fewer than half")


def test_what_is_reused():
    block = kept(DELTA, QWEN.width) // (token_elements(ATTENDS) * 2)
    blocks = 5000 // block
    assert (block, 900 // block, blocks, blocks * block) == (1056, 0, 4, 4224) and round(
        100 * 4224 / 5000
    ) == 84
    copies, rows = blocks * cache_line(QWEN).fixed_bytes, 4224 * cache_bytes_per_token(QWEN)
    assert (copies / MIB, rows / MIB, copies / rows) == (247.5, 82.5, 3)
    printed("ssm-try-hybrid-prefix", "4,224 tokens, 84 %", "= 247.5$ MiB", "= 82.5$ MiB", "three times")


def test_states_in_a_batch():
    states = 30 * state_elements(DELTA, QWEN.width)[0] * STATE_BYTES
    assert states == 60 * MIB
    both, rows = 64 * 2 * states, 64 * 4096 * cache_bytes_per_token(QWEN)
    assert (f"{both / 1e9:.2f}", f"{rows / 1e9:.2f}") == ("8.05", "5.37")
    bandwidth = load_hardware("H200-SXM").bandwidth_bytes_per_s
    assert bandwidth == 4.8e12 and f"{both / bandwidth * 1e3:.2f}" == "1.68"
    assert 2 * states / cache_bytes_per_token(QWEN) == 6144
    printed("ssm-try-hybrid-batch", "= 8.05$ GB, 1.68 ms", "= 5.37$ GB", "6,144 tokens")


def test_three_quarters_of_a_cache():
    mixer = KIMI.layers[0].mixer
    token = cache_bytes_per_token(KIMI)
    states = cache_line(KIMI).fixed_bytes
    assert token == 7 * 576 * 2 == 8064 and states == 20 * kept(mixer, KIMI.width)
    assert f"{kept(mixer, KIMI.width) / MIB:.3f}" == "2.094" and f"{states / MIB:.1f}" == "41.9"
    assert round(100 * 20 / 27) == 74 and round(states / token) == 5445
    printed("ssm-problem-kimi", r"74\,\%", "8{,}064", "41.9 MiB", "5,445 tokens")
