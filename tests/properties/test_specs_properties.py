"""Whatever it is given, the reader of configs answers with a model or with a ValueError."""

from hypothesis import given
from hypothesis import strategies as st

from course_lib.specs.from_hf import PARSERS, spec_from_hf_config
from course_lib.specs.loader import list_specs, load_spec, read_entry
from course_lib.specs.records import ModelSpec

ENTRIES = {name: read_entry(name)["config"] for name in list_specs()}
FIELDS = sorted(
    {field for config in ENTRIES.values() for field in config} | {"rope_parameters", "layer_types"}
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | SCALARS, inner, max_size=3)
    ),
    max_leaves=5,
)


def answers(config):
    """Whether the config is read; anything but a ValueError goes through."""
    try:
        spec = spec_from_hf_config(config)
    except ValueError:
        return False
    assert isinstance(spec, ModelSpec)
    return True


@given(st.sampled_from(sorted(PARSERS)), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=12))
def test_any_fields(model_type, fields):
    assert answers({**fields, "model_type": model_type}) in (True, False)


@given(
    st.sampled_from(list_specs()), st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=2)
)
def test_a_published_config_with_some_fields_overwritten(name, fields):
    assert answers({**ENTRIES[name], **fields}) in (True, False)


@given(VALUES)
def test_anything_at_all(config):
    if not isinstance(config, str):
        assert not answers(config)


@given(st.text(max_size=30))
def test_any_name(name):
    try:
        assert load_spec(name).name == name
    except ValueError as error:
        assert "no such model" in str(error)
