"""Costs of chapter 9's stacks: a hybrid's cache, and a search for one."""

import math
import random
from dataclasses import replace
from statistics import mean

import pytest

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hybrid_cache import attending_bytes, attending_layers, equal_tokens, everywhere_bytes
from course_lib.costs.search_cost import expected_largest, luck, search_runs, training_flops
from course_lib.costs.state_or_cache import state_bytes
from course_lib.course.calculators.hybrids import is_a_hybrid
from course_lib.course.calculators.presets import list_models
from course_lib.models.hybrids.stack import hybrid_spec
from course_lib.specs.loader import load_spec
from course_lib.specs.records import JointSpec
from tests.unit.costs_models import LLAMA_70B

HYBRIDS = [name for name in list_models() if is_a_hybrid(load_spec(name))]


def test_keys_and_states_are_the_whole_cache():
    assert len(HYBRIDS) >= 9 and "llama-3-8b" not in HYBRIDS and "mamba-2.8b" not in HYBRIDS
    stacks = [*map(load_spec, HYBRIDS), hybrid_spec("mwca"), hybrid_spec("gwl"), hybrid_spec("dan")]
    for spec in stacks:
        for tokens in (3, 1000):
            keys = attending_bytes(spec, batch=3, tokens=tokens)
            assert keys + state_bytes(spec, batch=3) == cache_bytes(spec, batch=3, tokens=tokens)


def test_attention_in_the_place_of_each_state_is_a_stack_of_attention():
    for pattern in ("mmma", "daad", "cwwac"):
        everywhere = hybrid_spec("".join(letter if letter in "aw" else "a" for letter in pattern))
        found = everywhere_bytes(hybrid_spec(pattern), batch=2, tokens=100)
        assert found == attending_bytes(everywhere, batch=2, tokens=100)
    spec = hybrid_spec("mw", window=16)  # no layer attends to everything: windows in every place
    assert everywhere_bytes(spec, batch=1, tokens=100) == 2 * attending_bytes(spec, batch=1, tokens=100)


def test_a_layer_of_both_kinds_is_counted_once_among_those_that_attend():
    spec = hybrid_spec("sa")
    state, attention = (layer.mixer for layer in spec.layers)
    both = replace(spec.layers[0], mixer=JointSpec(attention=attention, state=state))
    spec = replace(spec, layers=(both,))
    assert attending_layers(spec) == 1
    own = attending_bytes(spec, batch=1, tokens=100)
    assert everywhere_bytes(spec, batch=1, tokens=100) == own > 0


def test_keys_outweigh_states_from_the_length_that_is_said():
    for name in HYBRIDS:
        spec = load_spec(name)
        at = equal_tokens(spec)
        sizes = [attending_bytes(spec, batch=1, tokens=tokens) for tokens in (at - 1, at)]
        assert sizes[0] < state_bytes(spec) <= sizes[1]


def test_a_hybrid_is_needed_and_no_window():
    with pytest.raises(ValueError, match="allowed is a model with attention"):
        everywhere_bytes(hybrid_spec("mm"), batch=1, tokens=10)
    with pytest.raises(ValueError, match="allowed is a model without windows"):
        equal_tokens(hybrid_spec("mw"))
    with pytest.raises(ValueError, match="tokens=0: a whole number"):
        attending_bytes(LLAMA_70B, batch=1, tokens=0)


def test_the_expected_largest_is_known_for_few_and_simulated_for_more():
    assert expected_largest(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)
    assert expected_largest(3) == pytest.approx(1.5 / math.sqrt(math.pi), rel=1e-12)
    chance = random.Random(0)
    drawn = [max(chance.gauss(0, 1) for _ in range(40)) for _ in range(4000)]
    assert mean(drawn) == pytest.approx(expected_largest(40), abs=0.03)  # four standard errors
    assert luck(40, 0.02, seeds=4) == pytest.approx(0.01 * expected_largest(40))


def test_a_search_counts_its_second_round_and_keeps_no_more_than_it_scored():
    assert search_runs(100, 3) == 300 and search_runs(100, 1, kept=10, fresh_seeds=5) == 150
    assert training_flops(2, 3) == 36
    with pytest.raises(ValueError, match="kept=6: at most designs=5 is allowed"):
        search_runs(5, kept=6, fresh_seeds=1)
    with pytest.raises(ValueError, match="scatter=0: a finite number above 0"):
        luck(5, 0)
