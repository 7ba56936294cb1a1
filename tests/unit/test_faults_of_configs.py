"""Config texts of the kinds that people have, each with the answer that is right, and its kind beside it."""

import json

import pytest

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.specs.from_hf import spec_from_hf_config

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
}
T5 = {
    "architectures": ["T5EncoderModel"],
    "model_type": "t5",
    "d_model": 64,
    "d_kv": 16,
    "num_heads": 4,
    "num_layers": 3,
    "d_ff": 96,
    "vocab_size": 1000,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
TYPES = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
MISTRAL = LLAMA | {
    "model_type": "mistral",
    "num_hidden_layers": 4,
    "sliding_window": 16,
    "layer_types": TYPES,
}
MAMBA = {
    "model_type": "mamba",
    "hidden_size": 64,
    "expand": 2,
    "intermediate_size": 96,
    "state_size": 16,
    "num_hidden_layers": 3,
    "vocab_size": 1000,
}
MAMBA_2 = {
    "model_type": "mamba2",
    "hidden_size": 64,
    "num_heads": 8,
    "head_dim": 16,
    "n_groups": 1,
    "expand": 2,
    "state_size": 16,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
    "time_step_limit": [0.0, float("inf")],
}
BERT = {
    "architectures": ["BertLMHeadModel"],
    "model_type": "bert",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "vocab_size": 1000,
    "max_position_embeddings": 64,
    "is_decoder": True,
    "add_cross_attention": True,
}
KIMI = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "kimi_k2",
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": 3,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_group": 1,
    "topk_group": 1,
    "vocab_size": 1000,
}
GEMMA_3 = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
    "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 1152, "num_hidden_layers": 27},
}
CLIP = {
    "architectures": ["CLIPModel"],
    "model_type": "clip",
    "projection_dim": 512,
    "text_config": {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
    "vision_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "image_size": 224,
        "patch_size": 32,
    },
}
RIGHT = {
    "an encoder of T5": (T5, 169_024),
    "a classifier of Llama": (
        LLAMA | {"architectures": ["LlamaForSequenceClassification"], "num_labels": 1},
        125_824,
    ),
    "Mamba's own inner width": (MAMBA, 137_696),
    "BERT as a decoder with cross-attention": (BERT, 165_864),
    "an infinite limit": (MAMBA_2, 184_368),
    "a type with DeepSeek-V3's class": (KIMI, 302_440),
    "the same by its type alone": ({k: v for k, v in KIMI.items() if k != "architectures"}, 302_440),
    "another type with that class": (KIMI | {"model_type": "somebody's own"}, 302_440),
    "the language part of a wrapper": (GEMMA_3, 3_880_263_168),
    "parts without their defaults": (CLIP, 151_277_313),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_config_is_counted_right(name, tmp_path):
    fields, total = RIGHT[name]
    path = tmp_path / "model.txt"
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert param_count(spec_from_hf_config(path)).total == total


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_is_read_in_any_encoding_of_json(encoding, tmp_path):
    path = tmp_path / "config"
    path.write_bytes(json.dumps(LLAMA | {"_name_or_path": "ключ"}, ensure_ascii=False).encode(encoding))
    assert param_count(spec_from_hf_config(path)).total == 189_760


def test_caches_are_those_of_what_is_read():
    def held(fields, tokens=40):
        return cache_bytes(spec_from_hf_config(fields), batch=1, tokens=tokens)

    assert held(T5) == 0
    assert held(MISTRAL) == 14_080
    assert held(MAMBA) == 20_736
    assert held(BERT) > 0
    assert held(LLAMA | {"architectures": ["LlamaModel"]}) == 0


@pytest.mark.parametrize(
    "family", ["llama", "mistral", "mixtral", "qwen3_moe", "olmoe", "glm", "cohere", "qwen2"]
)
def test_layer_types_are_read_in_every_family(family):
    fields = MISTRAL | {
        "model_type": family,
        "head_dim": 16,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 8,
        "use_sliding_window": True,
        "max_window_layers": 0,
    }
    windows = [layer.mixer.window for layer in spec_from_hf_config(fields).layers]
    assert windows == [None, 16, None, 16]
    with pytest.raises(ValueError, match=r"'layer_types': .* is not a list of 4"):
        spec_from_hf_config(fields | {"layer_types": TYPES[:3]})


def test_a_window_for_every_layer_is_read_where_no_family_declares_it():
    windows = [layer.mixer.window for layer in spec_from_hf_config(LLAMA | {"sliding_window": 16}).layers]
    assert windows == [16, 16]
    off = LLAMA | {"sliding_window": 16, "use_sliding_window": False}
    assert [layer.mixer.window for layer in spec_from_hf_config(off).layers] == [None, None]


JAMBA = LLAMA | {
    "model_type": "jamba",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (LLAMA | {"num_attention_heads": 6}, "'num_attention_heads': 6 is no divisor of the width"),
        (MISTRAL | {"num_attention_heads": 6}, "'num_attention_heads': 6 is no divisor"),
        (BERT | {"num_attention_heads": 6}, "'num_attention_heads': 6 is no divisor"),
        (LLAMA | {"hidden_size": 60}, "'head_dim': 15 is odd"),
        (MISTRAL | {"head_dim": 7}, "'head_dim': 7 is odd"),
        (JAMBA | {"attn_layer_offset": 2}, "'attn_layer_offset': 2 is not below 'attn_layer_period', 2"),
        (JAMBA | {"expert_layer_offset": 5}, "'expert_layer_offset': 5 is not below"),
        (BERT | {"is_decoder": False}, "'add_cross_attention'.*'is_decoder'"),
        (T5 | {"feed_forward_proj": "plain-gelu"}, "'feed_forward_proj'"),
        (MAMBA_2 | {"n_groups": 3}, "'n_groups': 3"),
        (LLAMA | {"hidden_size": float("nan")}, "'hidden_size': nan is not a whole number"),
    ],
)
def test_what_transformers_refuses_is_refused_by_key_and_value(fields, words):
    with pytest.raises(ValueError, match=words) as caught:
        spec_from_hf_config(fields)
    assert "\n" not in str(caught.value)
