"""Wrappers of Qwen that see: their language part and its head are counted as `transformers` builds them."""

from copy import deepcopy
from random import Random

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING

from course_lib.costs.params import param_count
from course_lib.specs.from_hf import spec_from_hf_config
from tests.parity.tiny_kin import SEEING

NAMES = {
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
    "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
}
VISION = {"depth": 1, "hidden_size": 12, "num_heads": 2}


def whole(family: str, seed: int, *, flat: bool, tied: bool | None) -> dict:
    """A tiny wrapper, its language part in a field of its own or beside its tower."""
    text = SEEING[f"{family}_text"](Random(f"{family} {seed}"))
    for field in ("architectures", "tie_word_embeddings", "model_type"):
        text.pop(field)
    fields = {"model_type": family, "architectures": [NAMES[family]], "vision_config": VISION}
    fields |= {} if tied is None else {"tie_word_embeddings": tied}
    return fields | (text if flat else {"text_config": text})


def theirs(fields: dict) -> int:
    """Parameters of the language model and of its head, where that is not the word table."""
    config = CONFIG_MAPPING[fields["model_type"]].from_dict(deepcopy(fields))
    with torch.device("meta"):
        model = getattr(transformers, fields["architectures"][0])(config)
    parts = (model.model.language_model, model.lm_head)
    return sum({id(one): one.numel() for part in parts for one in part.parameters()}.values())


FLAT = [("qwen2_vl", True), ("qwen2_5_vl", True)]


@pytest.mark.parametrize("tied", [None, True, False])
@pytest.mark.parametrize(("family", "flat"), [*FLAT, *((name, False) for name in NAMES)])
def test_the_language_part_is_counted(family, flat, tied):
    for seed in range(3):
        fields = whole(family, seed, flat=flat, tied=tied)
        spec = spec_from_hf_config(fields)
        assert param_count(spec).total == theirs(fields)
        assert "language part" in spec.counted
        assert any("vision_config" in part.name for part in spec.beside)
