"""The diagrams of the page on state spaces and linear attention say what comes out when it is computed."""

import pytest
import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.mixers.dispatch import recurrence_flops, state_elements
from course_lib.course.pictures import (
    delta_rule,
    forgetting_kinds,
    recurrence_convolution,
    rwkv_versions,
    scan_tree,
    selective_state,
    ssd_orders,
    state_or_cache,
)
from course_lib.course.pictures.drawn import drawing
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec
from tests.repo.repository import text
from tests.unit.drawn import cells, words

NAMES = "state_or_cache recurrence_convolution selective_state scan_tree ssd_orders delta_rule"
NAMES += " forgetting_kinds deltanet_layer rwkv_versions"
QWEN = load_spec("qwen3.5-35b-a3b")


@pytest.mark.parametrize("name", NAMES.split())
def test_nothing_lies_on_anything(name):
    assert drawing(name).faults() == []


def test_one_layer_keeps_its_share_of_the_models_cache():
    attends = sum(isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
    keeps = len(QWEN.layers) - attends
    for tokens in (1, 4096):
        both = attends * state_or_cache.cache_bytes_at(tokens) + keeps * state_or_cache.state_bytes()
        assert both == cache_bytes(QWEN, batch=1, tokens=tokens)
    meet = state_or_cache.crossing()
    assert state_or_cache.cache_bytes_at(meet) == state_or_cache.state_bytes()
    assert f"equal at {meet:,} tokens" in words("state_or_cache")


def test_the_loop_and_the_convolution_agree():
    inputs, kernel = (
        torch.tensor(x) for x in (recurrence_convolution.INPUTS, recurrence_convolution.kernel())
    )
    padded = torch.cat([torch.zeros(len(kernel) - 1), inputs])
    convolved = torch.nn.functional.conv1d(padded[None, None], kernel.flip(0)[None, None])[0, 0]
    assert convolved.tolist() == recurrence_convolution.outputs()
    assert "0.25 + 3 + 2 = 5.25" in words("recurrence_convolution")


@pytest.mark.parametrize("selective", [False, True])
def test_the_weight_of_the_marked_token_is_that_of_the_recurrence(selective):
    """A state of one number, an input of 1 at the marked token, zero-order hold for A = -1."""
    steps = torch.tensor(selective_state.step_sizes(selective))
    given = torch.zeros(len(steps))
    given[selective_state.MARKED] = 1
    state, seen = torch.tensor(0.0), []
    for step, x in zip(steps, given, strict=True):
        state = torch.exp(-step) * state + (1 - torch.exp(-step)) * x
        seen.append(state)
    torch.testing.assert_close(torch.stack(seen), torch.tensor(selective_state.shares(selective)))


def test_the_selective_state_keeps_what_the_fixed_one_loses():
    assert {"0.26", "0.02", "0.86", "0.72"} <= set(words("selective_state"))
    # no fixed step both takes in and keeps as much
    kept = [
        (1 - (-torch.tensor(s)).exp()) * (-9 * torch.tensor(s)).exp() for s in (0.01, 0.05, 0.1, 0.2, 0.5)
    ]
    assert max(kept) < 0.05 < selective_state.shares(True)[-1]


def test_the_tree_gives_each_place_everything_before_it():
    pairs = [(0.5 + 0.05 * i, float(i)) for i in range(scan_tree.STEPS)]
    loop, state = [], 0.0
    for a, b in pairs:
        state = a * state + b
        loop.append(state)
    levels = scan_tree.tree_levels(scan_tree.STEPS)
    for level in levels:
        before = list(pairs)
        for first, then in level:
            pairs[then] = scan_tree.combine(before[first], before[then])
    assert [b for _, b in pairs] == pytest.approx(loop)
    assert len(levels) == 3 and "3 rounds for 8 steps, all places at once" in words("scan_tree")


def test_blocks_and_pairs_give_the_same_product():
    """In the drawing's sizes: the state order, the pair order, and the chunked one."""
    n, chunk = ssd_orders.N, ssd_orders.CHUNK
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 3, generator=g, dtype=torch.float64) for _ in range(3))
    decay = torch.rand(n, generator=g, dtype=torch.float64)
    reach = decay.log().cumsum(0)
    pairs = (q @ k.T) * (reach[:, None] - reach[None, :]).exp().tril()
    inside = torch.tensor([[ssd_orders.kind(t, s) == "inside" for s in range(n)] for t in range(n)])
    state, out = torch.zeros(3, 3, dtype=torch.float64), []
    for t in range(n):
        if t % chunk == 0:
            carried, start = state, t
        state = decay[t] * state + torch.outer(v[t], k[t])
        shrunk = (reach[t] - reach[start] + decay[start].log()).exp()
        out.append(shrunk * carried @ q[t])
    torch.testing.assert_close((pairs * inside) @ v + torch.stack(out), pairs @ v)
    left, right = drawing("ssd_orders").panels
    assert cells(left, "p attn") == n * (n + 1) // 2 and f"{n * (n + 1) // 2} cells for" in words(
        "ssd_orders"
    )
    assert cells(right, "p attn") == int(inside.sum())


def test_the_delta_rule_overwrites_and_the_sum_mixes():
    key, new, old = (torch.tensor(x) for x in (delta_rule.KEY, delta_rule.NEW, delta_rule.OLD))
    state = torch.outer(old, key)
    erased = state @ (torch.eye(2) - torch.outer(key, key)) + torch.outer(new, key)
    torch.testing.assert_close(
        torch.tensor(delta_rule.by_delta(delta_rule.before(), delta_rule.KEY, delta_rule.NEW)), erased
    )
    torch.testing.assert_close(erased @ key, new)
    mixed = torch.tensor(delta_rule.by_sum(delta_rule.before(), delta_rule.KEY, delta_rule.NEW))
    torch.testing.assert_close(mixed @ key, old + new)
    assert "It now recalls (0, 10) for k." in words("delta_rule")


def test_what_is_forgotten_is_the_product_of_the_decays():
    tokens = forgetting_kinds.TOKENS
    assert len(forgetting_kinds.BY_TOKEN) == tokens and len(forgetting_kinds.BY_CHANNEL) == 8
    product = torch.tensor(forgetting_kinds.BY_TOKEN).prod().item()
    assert forgetting_kinds.left_over("token") == pytest.approx([product] * 8)
    assert forgetting_kinds.left_over("channel") == pytest.approx(
        (torch.tensor(forgetting_kinds.BY_CHANNEL) ** tokens).tolist()
    )
    shown = {
        "1.00 left",
        f"{forgetting_kinds.FIXED**tokens:.2f} left",
        f"{product:.2f} left",
        "0.03 to 1.00 left",
    }
    assert shown <= set(words("forgetting_kinds"))


def test_the_layer_is_that_of_the_configuration():
    mixer = QWEN.layers[0].mixer
    states, inputs = state_elements(mixer, QWEN.width)
    heads, key, value = mixer.value_heads, mixer.key_dim, mixer.value_dim
    assert states == heads * key * value and inputs == 8192 * mixer.conv
    assert recurrence_flops(mixer) == 7 * states
    shown = {
        f"{heads} states of {key} × {value}",
        "8,192 channels",
        f"2 × {heads}",
        "4 tokens",
        "4,096 → 2,048",
    }
    assert shown <= set(words("deltanet_layer"))


def test_rwkv_keeps_three_numbers_a_channel_and_then_a_matrix():
    mixer = load_spec("rwkv-4-14b").layers[0].mixer
    assert state_elements(mixer, mixer.width)[0] == rwkv_versions.VERSIONS[0].numbers * mixer.width
    sizes = [version.numbers for version in rwkv_versions.VERSIONS]
    assert sizes == [3, 64, 64, 64]
    (panel,) = drawing("rwkv_versions").panels
    assert (cells(panel, "q state"), cells(panel, "p state")) == (3 * 8 + 2 * 64, 64)
    sources = {version.source for version in rwkv_versions.VERSIONS}
    assert [key for key in sources if f"{{{key}," not in text("book/references.bib")] == []
