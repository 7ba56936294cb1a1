"""Whatever is pasted, the page's reader answers as the library does, or refuses in the library's words."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.costs.summary import summary
from course_lib.course.calculators.config import published
from course_lib.specs.from_hf import PARSERS, spec_from_fields
from tests.parity.tiny_configs import TINY, tiny_config
from tests.unit.test_calculator_config import by_page

CONFIGS = [*published().values(), *(tiny_config(family, seed) for family in TINY for seed in range(3))]
FIELDS = sorted({field for config in CONFIGS for field in config})
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 200),
    st.sampled_from(
        [10**6, 10**12, 10**12 + 1, 10_001, 1.0, 0.5, -0.0, 1e-7, 1.5e300, "", "auto", "silu", "é'\"\n"]
    ),
    st.sampled_from(sorted(PARSERS)),
    st.lists(st.sampled_from(["full_attention", "sliding_attention", 3, None]), max_size=4),
    st.dictionaries(
        st.sampled_from(["rope_type", "type", "factor", "rope_theta", "full_attention"]),
        st.sampled_from(["yarn", "llama3", "default", 2, 8.0, None, [1, 2.5], True, {}]),
        max_size=3,
    ),
)


@st.composite
def mutated(draw):
    """A config of some family with fields taken out, and others changed or added."""
    config = dict(draw(st.sampled_from(CONFIGS)))
    for field in draw(st.lists(st.sampled_from(sorted(config)), max_size=2)):
        config.pop(field, None)
    names = st.one_of(st.sampled_from(sorted(config) or ["model_type"]), st.sampled_from(FIELDS))
    return config | draw(st.dictionaries(names, VALUES, max_size=3))


def by_library(config: dict) -> dict:
    """What the library says of a config."""
    try:
        return asdict(summary(spec_from_fields(config), 64))
    except ValueError as error:
        return {"error": str(error)}


# One call of node for many configs: starting it takes longer than all of them.
@settings(max_examples=12)
@given(st.lists(mutated(), min_size=60, max_size=60))
def test_a_changed_config_is_read_or_refused_as_the_library_does(configs):
    for config, found in zip(configs, by_page(configs, 64), strict=True):
        expected = by_library(config)
        assert "broken" not in found, (config, found)
        if "error" in expected:
            assert found.get("error") == expected["error"], config
        elif expected["total"] >= 2**53:
            assert "counted exactly" in found["error"]
        else:
            assert found.get("total") == pytest.approx(expected["total"], rel=1e-12), (config, found)
            assert found["prefill_flops"] == pytest.approx(expected["prefill_flops"], rel=1e-12)


ANY = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False),
        st.text(max_size=6),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=12)
@given(
    st.lists(ANY, min_size=40, max_size=40),
    st.lists(st.text(alphabet='{}[]",:0123eE+-.truefalsn \n\\u', max_size=20), min_size=40, max_size=40),
)
def test_any_text_is_answered_by_a_message(values, texts):
    pasted = [json.dumps(value) for value in values] + texts
    for text, found in zip(pasted, by_page(pasted), strict=True):
        assert "error" in found and "broken" not in found, (text, found)
        try:
            json.loads(text, parse_constant=float.fromhex)
        except ValueError:
            assert found["error"].startswith("Not JSON at line "), (text, found)
