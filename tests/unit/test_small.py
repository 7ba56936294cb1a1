"""The small Llama is what the same fields of a config.json give, and every argument reaches its field."""

import pytest

from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.small import small_llama

FIELDS = {"model_type": "llama", "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 6}
FIELDS |= {"num_key_value_heads": 2, "intermediate_size": 40, "vocab_size": 11, "tie_word_embeddings": False}


def test_it_equals_the_config_written_out():
    found = small_llama(96, 3, 6, kv_heads=2, ffn=40, vocab=11, tied=False, rope_theta=100.0)
    assert found == spec_from_hf_config(FIELDS | {"rope_theta": 100.0})


def test_what_is_left_out():
    spec = small_llama()
    layer = spec.layers[0]
    assert (spec.width, len(spec.layers), spec.vocab, spec.embeddings.tied) == (64, 2, 256, True)
    assert (layer.mixer.heads, layer.mixer.kv_heads, layer.ffn.width) == (4, 4, 128)
    assert small_llama(width=48).layers[0].ffn.width == 96


def test_further_fields_may_name_another_family():
    spec = small_llama(model_type="mixtral", num_local_experts=8, num_experts_per_tok=2, sliding_window=None)
    assert spec.layers[0].ffn != small_llama().layers[0].ffn and spec.name == "mixtral"


def test_a_bad_field_is_named():
    with pytest.raises(ValueError, match="hidden_size"):
        small_llama(width=0)
