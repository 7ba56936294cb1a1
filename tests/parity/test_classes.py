"""Every class of every family that a file may name is counted as `transformers` builds it: heads, poolers,
stacks.
"""

from functools import cache

import pytest
import torch
from transformers.models.auto import modeling_auto as auto

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.specs.from_hf import spec_from_hf_config
from tests.parity.test_params import WITH_TEXT_MODEL, class_of, hf_config
from tests.parity.tiny_configs import TINY, tiny_config

MAPPINGS = (
    auto.MODEL_MAPPING_NAMES,
    auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    auto.MODEL_FOR_PRETRAINING_MAPPING_NAMES,
    auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    auto.MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES,
    auto.MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES,
    auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES,
    auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)
MORE = {
    "clip": [f"CLIP{tower}Model{end}" for tower in ("Text", "Vision") for end in ("", "WithProjection")],
    "clip_text_model": ["CLIPTextModelWithProjection"],
    "clip_vision_model": ["CLIPVisionModelWithProjection"],
    "t5": ["T5EncoderModel"],
}
TWO_LABELS = ("DistilBertForQuestionAnswering",)  # which refuses any other number
PART_OF = {"CLIPText": "text_config", "CLIPVision": "vision_config"}


def names(family: str) -> list[str]:
    """The classes of `transformers` that a config of a family may name."""
    found = []
    for mapping in MAPPINGS:
        named = mapping.get(family, ())
        found += [named] if isinstance(named, str) else list(named)
    return sorted({*found, *MORE.get(family, [])})


CASES = [(family, name) for family in sorted(TINY) if family not in WITH_TEXT_MODEL for name in names(family)]


@cache
def built(family: str, name: str, seed: int):
    labels = 2 if name in TWO_LABELS else 3 + seed
    fields = tiny_config(family, seed) | {"architectures": [name], "num_labels": labels}
    config = hf_config(fields)
    for prefix, part in PART_OF.items():
        if family == "clip" and name.startswith(prefix):
            whole, config = config, getattr(config, part)
            config.projection_dim = whole.projection_dim
    with torch.device("meta"):
        return fields, class_of(config, name)(config)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("family", "name"), CASES, ids=str)
def test_the_class_that_a_file_names_is_counted(family, name, seed):
    fields, model = built(family, name, seed)
    spec = spec_from_hf_config(fields)
    assert spec.counted == f"{name}, the class that the file names"
    theirs = sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert param_count(spec).total == theirs


WRITE = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "MTModel")


@pytest.mark.parametrize(("family", "name"), [case for case in CASES if not case[1].endswith(WRITE)], ids=str)
def test_a_class_that_writes_nothing_keeps_no_cache(family, name):
    spec = spec_from_hf_config(tiny_config(family, 0) | {"architectures": [name]})
    assert cache_bytes(spec, batch=1, tokens=9) == 0
    assert spec.head != "lm"
