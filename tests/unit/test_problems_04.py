"""The answers of the page on mixtures of experts, computed again; it must print what comes out."""

import math
import re
from pathlib import Path

import torch

from course_lib.costs.feed_forward import moe
from course_lib.costs.flops import flops_per_token
from course_lib.costs.hardware import load_hardware
from course_lib.costs.links import expert_parallel_traffic
from course_lib.costs.params import param_count
from course_lib.costs.roofline import weights_read
from course_lib.costs.serving import weight_bytes
from course_lib.kit.values import read_values
from course_lib.layers.feed_forward.balance import switch_loss, update_bias
from course_lib.layers.feed_forward.dispatch import by_expert, capacity_of
from course_lib.layers.feed_forward.router import Router, pick, score, weigh
from course_lib.specs.loader import load_spec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "04_moe.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "book" / "04_moe_reference.md").read_text(encoding="utf-8")
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", PAGE, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", PAGE, flags=re.S))
QWEN, DENSE, MIXTRAL, V3 = map(load_spec, ("qwen3.5-35b-a3b", "qwen3.5-27b", "mixtral-8x7b", "deepseek-v3"))
H200 = load_hardware("H200-SXM")
LAYER = QWEN.layers[0].ffn
ONE = 3 * 2048 * 512


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 18
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []


def test_numbers_of_the_story():
    values = read_values(ROOT / "notebooks/04_moe/12_experts_in_numbers.ipynb")
    eighth = flops_per_token(DENSE, context=4096) / flops_per_token(QWEN, context=4096)
    assert 7.5 < eighth < 8.5 and "an eighth of the arithmetic" in PAGE
    assert round(param_count(DENSE).total / 1e9) == 27 and round(param_count(QWEN).total / 1e9) == 35
    assert values["desk_factor"].value > 8 > 2 > values["busy_factor"].value
    assert moe.expected_active_experts(256, 8, 64) > 0.85 * 256 and "nearly all of its experts" in PAGE


def test_eight_times_seven():
    one = 3 * 4096 * 14336
    count = param_count(MIXTRAL)
    rest = count.total - 8 * 32 * one
    assert round(rest / 1e9, 3) == 1.606
    assert f"{one / 1e6:.1f} million" == "176.2 million" and round(32 * one / 1e9, 3) == 5.637
    shown = f"{count.total / 1e9:.2f}", f"{count.active / 1e9:.2f}", f"{8 * (32 * one + rest) / 1e9:.1f}"
    assert shown == ("46.70", "12.88", "57.9")
    printed("moe-problem-count", "= 176.2$ million", "5.637", "1.606", *shown)


def test_from_35_billion_to_3():
    count = param_count(QWEN)
    routed = 40 * 256 * ONE
    assert routed == count.by_part["experts"] and round(count.total / 1e9, 2) == 34.66
    assert round(100 * routed / count.total, 1) == 92.9
    idle = routed * 248 // 256
    assert idle == count.total - count.active and f"{count.active / 1e9:.2f}" == "3.45"
    printed("moe-try-hybrid-count", "= 3.146$ million", "32.21", "92.9 %", f"{idle / 1e9:.2f}", "= 3.45$")


def test_the_softmax_of_the_kept_is_the_renormalised_softmax_of_all():
    logits = torch.tensor([[2.0, 1.0, 0.0, 0.0]])
    of_all = score(logits)
    kept = pick(of_all, 2)
    assert kept.tolist() == [[0, 1]]
    both = logits.gather(-1, kept).softmax(-1), weigh(of_all, kept)
    torch.testing.assert_close(*both)
    assert [round(w, 3) for w in both[1][0].tolist()] == [0.731, 0.269]
    assert [round(w, 3) for w in of_all[0, :2].tolist()] == [0.610, 0.225]
    assert round(of_all[0, :2].sum().item(), 3) == 0.835
    assert round(math.e**2 + math.e + 2, 2) == 12.11
    printed("moe-try-softmax", "0.731", "0.269", "12.11", "0.610", "0.225", "0.835")


def test_temperature_meets_a_bias():
    bias = torch.tensor([0.0, 0.1])
    logits = torch.tensor([[2.0, 1.0]])
    picks = {t: pick(score(logits / t, "sigmoid"), 1, bias).item() for t in (1, 0.25)}
    assert picks == {1: 0, 0.25: 1}
    assert all(pick(score(logits / t, "sigmoid"), 1).item() == 0 for t in (0.25, 1, 4))
    printed("moe-try-temperature", "0.881", "0.731", "0.831", "0.9997", "0.982", "1.082")


def test_temperature_moves_picks_only_with_a_bias_or_groups():
    torch.manual_seed(4)
    x = torch.randn(400, 32)
    changed = {}
    for name, given in (
        ("plain", {}),
        ("sigmoid", {"scoring": "sigmoid"}),
        ("bias", {"scoring": "sigmoid", "selection_bias": True}),
        ("groups", {"groups": 8, "top_groups": 3}),
    ):
        router = Router(32, 64, 6, **given)
        if router.selection_bias is not None:
            router.selection_bias.copy_(0.05 * torch.randn(64))
        before = router(x).experts.sort(-1).values
        router.temperature = 3.0
        changed[name] = (router(x).experts.sort(-1).values != before).any(-1).float().mean().item()
    assert changed["plain"] == changed["sigmoid"] == 0
    assert changed["bias"] > 0.2 and changed["groups"] > 0.05, changed


def test_is_routing_expensive():
    router = 2048 * 256
    experts = moe.weights(LAYER, 2048) - router
    assert experts == 9 * ONE + 2048  # the shared expert has a gate
    assert round(100 * router / (9 * ONE), 2) == 1.85
    printed("moe-try-hybrid-router", "$524{,}288$", "28.3", "1.85 %", "1.05 MB", "56.6 MB")
    assert [round(2 * n / 1e6, 2) for n in (router, 9 * ONE)] == [1.05, 56.62]


def test_the_way_back():
    order, _ = by_expert(torch.tensor([[1], [0], [2], [0]]), 3)
    assert order.tolist() == [1, 3, 0, 2] and order.argsort().tolist() == [2, 0, 3, 1]
    wrong = order[order]
    assert not (wrong == torch.arange(4)).any()
    printed("moe-try-permutation", "1, 3, 0, 2", "2, 0, 3, 1", "every token here")


def test_slots_and_drops():
    slots = capacity_of(4096, 8, 2, 1.25)
    assert slots == 1280 and 8192 / (8 * slots) == 0.8
    wanted = round(8192 / 5)
    printed("moe-problem-capacity", "= 1280$", "10,240", "20 %", f"{wanted:,}", f"{wanted - slots} picks")


def binomial_excess(n: int, p: float, limit: int) -> float:
    """E max(0, X - limit), X binomial."""

    def log_mass(x):
        ways = math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)
        return ways + x * math.log(p) + (n - x) * math.log(1 - p)

    return sum((x - limit) * math.exp(log_mass(x)) for x in range(limit + 1, n + 1))


def test_the_same_factor_two_batches():
    label = "moe-try-hybrid-capacity"
    for tokens, slots, mean, spread in ((4096, 160, 128, "11.1"), (64, 3, 2, "1.39")):
        assert capacity_of(tokens, 256, 8, 1.25) == slots and tokens / 32 == mean
        deviation = math.sqrt(tokens / 32 * 31 / 32)
        printed(label, spread)
        assert float(spread) == round(deviation, len(spread.split(".")[1]))
    assert round((160 - 128) / 11.1, 1) == 2.9 and round((3 - 2) / 1.39, 1) == 0.7
    assert round(100 * binomial_excess(4096, 1 / 32, 160) / 128, 3) == 0.008
    assert round(100 * binomial_excess(64, 1 / 32, 3) / 2) == 10
    printed(label, "2.9", "0.008 %", "0.7", "10 %")


def test_the_balance_loss_by_hand():
    """Picks in the shares f, and scores whose mean is P. At even load the loss is 1, or k in other codes."""
    experts = torch.tensor([[0], [0], [1], [2]])
    scores = torch.tensor([0.4, 0.3, 0.2, 0.1]).expand(4, 4)
    assert round(switch_loss(scores, experts).item(), 6) == 1.3
    even = torch.full((4, 4), 0.25)
    assert switch_loss(even, torch.arange(4)[:, None]).item() == 1
    two = torch.tensor([[0, 1], [2, 3], [0, 1], [2, 3]])
    assert switch_loss(even, two, over_k=False).item() == 2
    f, p = [0.5, 0.25, 0.25, 0], [0.4, 0.3, 0.2, 0.1]
    by_logit = [p_e * (4 * f_e - 1.3) for p_e, f_e in zip(p, f, strict=True)]
    assert by_logit[0] > 0 > by_logit[2] > by_logit[1] > min(by_logit) == by_logit[3]
    printed("moe-problem-balance", "= 1.3$", "$4 f_e$", "twice as hard", "the fourth's logit most")


def test_loads_and_probabilities_that_avoid_each_other_cost_nothing():
    experts = torch.zeros(6, 1, dtype=torch.long)
    scores = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(6, 4)
    assert switch_loss(scores, experts).item() == 0


def test_one_update_of_the_bias():
    loads = torch.tensor([10, 4, 4, 6])
    moved = 0.001 * torch.sign(loads.float().mean() - loads)
    assert [round(m, 4) for m in moved.tolist()] == [-0.001, 0.001, 0.001, 0.0]
    torch.testing.assert_close(update_bias(torch.zeros(4), loads, 0.001), moved - moved.mean())
    printed("moe-try-bias", "$-0.001$, $+0.001$, $+0.001$ and 0", "grows by 0.001")


def test_an_alert_that_knows_chance():
    deviation = math.sqrt(1024 / 32 * 31 / 32)
    largest = 32 + 2.8 * deviation
    of_rank = 256 + 2.1 * 15.75
    assert (round(deviation, 2), round(math.sqrt(8) * 5.57, 2)) == (5.57, 15.75)
    assert (round(largest, 1), round(largest / 32, 2)) == (47.6, 1.49)
    assert (round(of_rank), round(of_rank / 256, 2)) == (289, 1.13)
    printed("moe-try-hybrid-alert", "= 5.57$", "47.6", "1.49", "15.75", "289", "1.13")
    values = read_values(ROOT / "notebooks/04_moe/12_experts_in_numbers.ipynb")
    shown = f"{values['null_expert'].text()} and {values['null_rank'].text()}"
    printed("moe-try-hybrid-alert", shown, f"{values['null_expert_p99'].text()} for experts")


def test_cut_into_four():
    assert 32 / 8 == 8 / 2 == 4 and 8 / 4 == 2
    printed("moe-try-fine", "grow fourfold", "from 2 to 8")


def test_rows_for_an_expert():
    met = moe.expected_active_experts(256, 8, 64)
    assert round(met) == 222 and round(64 * 8 / met, 1) == 2.3
    ridge = H200.peak_flops / H200.bandwidth_bytes_per_s
    assert round(ridge) == 206 and 206 * 32 == 6592
    printed("moe-try-hybrid-touched", "= 222$", "= 2.3$", "6{,}592")


def test_a_price_for_memory():
    more = weight_bytes(QWEN) - weight_bytes(DENSE)
    saved = flops_per_token(DENSE, context=4096) - flops_per_token(QWEN, context=4096)
    assert (round(more / 1e9, 1), round(saved / 1e9, 1)) == (15.5, 46.4)
    seconds = 46.4e9 * 1e7 / 400e12
    dollars = 2 * seconds / 3600
    price, own = dollars / 15.5, 2 / 141
    assert (seconds, round(dollars, 2), round(price, 3), round(own, 3)) == (1160, 0.64, 0.042, 0.014)
    assert round(1e7 * own / price / 1e6, 1) == 3.4
    printed("moe-try-hybrid-price", "1{,}160", "0.64", "0.042", "0.014", "3.4 million")


def test_the_time_of_an_exchange():
    sent = expert_parallel_traffic(QWEN, 512 * 8, devices=8).sent_bytes
    assert 512 * 8 * 7 / 8 == 3584 and 3584 * 4096 / 1e6 == 14.680064
    assert sent == 2 * 40 * 3584 * 4096 and round(sent / 1e9, 2) == 1.17
    times = [f"{sent / speed * 1e3:.1f} ms" for speed in (450e9, 50e9)]
    printed("moe-try-hybrid-exchange", "3584", "= 14.7$ MB", "29.4 MB", "1.17 GB", *times)
    parts = param_count(QWEN).by_part
    rest = weights_read(QWEN, batch=4096) - parts["experts"]
    step = 2 * (parts["experts"] / 8 + rest) / H200.bandwidth_bytes_per_s
    assert 0.9 < step / (sent / 450e9) < 1.1 and round(450 / 50) == 9


def test_what_the_slowest_rank_costs():
    quiet, busy = 8 + 12 * 1.13, 8 + 12 * 3.3
    assert (round(quiet, 1), round(busy, 1), round(busy / quiet, 1)) == (21.6, 47.6, 2.2)
    printed("moe-try-straggler", "= 21.6$ ms", "= 47.6$ ms", "2.2 times")


def test_a_guess_in_a_mixture():
    read = {b: weights_read(QWEN, batch=b) / 1e9 for b in (1, 2, 64, 128)}
    assert [round(read[b], 2) for b in (1, 2)] == [2.95, 3.92]
    assert [round(read[b], 1) for b in (64, 128)] == [29.9, 33.6]
    gains = [1.85 / (read[2 * b] / read[b]) for b in (1, 64)]
    assert [round(gain, 2) for gain in gains] == [1.39, 1.65]
    count = param_count(QWEN)
    assert round((count.active - count.by_part["embedding"]) / 1e9, 2) == 2.95
    values = read_values(ROOT / "notebooks/04_moe/12_experts_in_numbers.ipynb")
    own = [f"{values[f'mtp_whole_{n}'].value:.2f}" for n in ("desk", "busy", "dense")]
    assert values["guess_reads"].text().startswith("0.57 ")
    printed("moe-try-hybrid-mtp", "1.39", "1.65", "1.85 times", "0.57 billion", *own)


def test_eight_places_sixteen_experts():
    loads = [40, 20] + [10] * 14
    assert sum(loads) == 200 and (40 + 20) / 25 == 2.4 and (40 + 10) / 25 == 2.0
    ranks = [[10, 10, 10], [20, 10], [20, 10], [20, 10], *[[10, 10]] * 4]
    assert sorted(load for rank in ranks for load in rank) == sorted([20, 20, 20] + [10] * 14)
    assert max(map(sum, ranks)) / 25 == 1.2
    printed("moe-problem-placement", "25 per rank", "2.4", "2.0", "30: 1.2")


def test_facts_of_the_text():
    assert round(100 * param_count(load_spec("llama-3.1-70b")).by_part["ffn"] / 70.55e9) == 80
    assert V3.layers[-1].ffn.experts / V3.layers[-1].ffn.top_k == 32 and "a thirty-second" in REFERENCE
    assert "about a third" in REFERENCE and 0.33 < 456 / 1287 < 0.36
    assert "a sixth" in REFERENCE and 0.16 < 213 / 1287 < 0.17
    assert round(7 * (1 - (7 / 8) ** 8), 1) == 4.6 and "= 4.6$" in REFERENCE


def test_rounding_of_large_logits():
    """In bf16 a difference of 0.4 is 0 or 1 between 128 and 256; near 1 a step is 0.008."""
    low = torch.arange(1280, 2000) / 10
    apart = (low + 0.4).bfloat16().float() - low.bfloat16().float()
    assert set(apart.tolist()) == {0.0, 1.0}
    assert round(torch.finfo(torch.bfloat16).eps, 3) == 0.008
