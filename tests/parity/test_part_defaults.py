"""The table of defaults that parts of a config are filled in from is what `transformers` declares today."""

import importlib.util
import json
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from course_lib.specs.defaults import TABLE, absent_part, filled_in, part_type

TOOL = Path(__file__).parents[2] / "tools" / "make_part_defaults.py"


def tool():
    spec = importlib.util.spec_from_file_location("make_part_defaults", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_current():
    made = tool()
    assert made.FILE.read_text(encoding="utf-8") == made.written()


def test_a_field_of_the_table_is_what_a_config_of_the_class_has():
    checked = 0
    for model_type, fields in TABLE["fields"].items():
        if model_type not in ("llama", "mistral", "gemma3_text", "clip_text_model", "siglip_vision_model"):
            continue
        theirs = CONFIG_MAPPING[model_type]()
        for name, value in fields.items():
            assert json.loads(json.dumps(getattr(theirs, name))) == value, (model_type, name)
            checked += 1
    assert checked > 50


@pytest.mark.parametrize("wrapper", ["gemma3", "llava", "mistral3", "kimi_k25", "qwen2_vl"])
def test_a_part_that_is_left_out_is_the_wrapper_s_default(wrapper):
    whole = CONFIG_MAPPING[wrapper]()
    for field in ("text_config", "vision_config"):
        part, given = getattr(whole, field), absent_part(wrapper, field)
        model_type = part_type(wrapper, field, given)
        assert model_type == part.model_type
        found = filled_in(model_type, given)
        for name in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size"):
            if name in found and hasattr(part, name):
                assert found[name] == getattr(part, name), (field, name)
