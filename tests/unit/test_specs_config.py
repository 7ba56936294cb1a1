"""What `spec_from_hf_config` refuses, and the two spellings of rotary positions it reads."""

import pytest

from course_lib.specs.from_hf import PARSERS, spec_from_hf_config
from course_lib.specs.loader import list_specs, read_entry
from course_lib.specs.records import AttentionSpec, FFNSpec, MoESpec
from tests.parity.tiny_configs import TINY, tiny_config

LLAMA = {
    "model_type": "llama",
    "hidden_size": 24,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
    "intermediate_size": 13,
    "vocab_size": 17,
    "max_position_embeddings": 64,
}
GEMMA_3 = LLAMA | {"model_type": "gemma3_text", "sliding_window": 5, "sliding_window_pattern": 3}
ONE_OF_EACH = {read_entry(name)["config"]["model_type"]: read_entry(name)["config"] for name in list_specs()}
QWEN35 = ONE_OF_EACH["qwen3_5_moe"]
DENSE_QWEN35 = QWEN35["text_config"] | {"model_type": "qwen3_5_text", "intermediate_size": 17408}
SIBLINGS = {  # read as well, though no published model of ours is one
    "clip_text_model": ONE_OF_EACH["clip"]["text_config"] | {"model_type": "clip_text_model"},
    "clip_vision_model": ONE_OF_EACH["clip"]["vision_config"] | {"model_type": "clip_vision_model"},
    "qwen3_5": {"model_type": "qwen3_5", "text_config": DENSE_QWEN35},
    "qwen3_5_moe_text": QWEN35["text_config"],
    "qwen3_5_text": DENSE_QWEN35,
    "qwen3_next": QWEN35["text_config"] | {"model_type": "qwen3_next"},
    "smollm3": LLAMA | {"model_type": "smollm3"},
}
SHARED = ("vocab_size", "num_hidden_layers", "num_attention_heads", "hidden_size")
LLAMAS = (*SHARED, "intermediate_size")
GROUPED = (*LLAMAS, "num_key_value_heads")
ROUTED = (*GROUPED, "num_experts_per_tok")
DELTA = (
    *SHARED,
    "num_key_value_heads",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
)
EXPERTS = ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size")
LATENT = (
    *LLAMAS,
    "n_routed_experts",
    "n_shared_experts",
    "moe_intermediate_size",
    "kv_lora_rank",
    "v_head_dim",
)
PAIRED = (
    "d_model",
    "encoder_layers",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "max_position_embeddings",
)
REQUIRED = {
    "bart": PAIRED,
    "bert": (*LLAMAS, "max_position_embeddings"),
    "bloom": ("vocab_size", "n_layer", "n_head", "hidden_size"),
    "clip": ("projection_dim", "text_config", "vision_config"),
    "clip_text_model": (*LLAMAS, "max_position_embeddings"),
    "clip_vision_model": (*LLAMAS[1:], "image_size", "patch_size"),
    "cohere": LLAMAS,
    "deepseek_v2": (*LATENT, "qk_nope_head_dim", "qk_rope_head_dim"),
    "deepseek_v3": (*LATENT, "qk_nope_head_dim", "qk_rope_head_dim"),
    "falcon": SHARED,
    "gemma2": (*GROUPED, "sliding_window"),
    "gemma3_text": (*GROUPED, "sliding_window"),
    "glm": GROUPED,
    "glm4": GROUPED,
    "glm4_moe": (*ROUTED, "n_routed_experts", "moe_intermediate_size"),
    "gpt2": ("vocab_size", "n_layer", "n_head", "n_embd", "n_positions"),
    "gpt_neox": LLAMAS,
    "gpt_oss": (*ROUTED, "num_local_experts", "sliding_window"),
    "gptj": ("vocab_size", "n_layer", "n_head", "n_embd"),
    "jamba": (*ROUTED, "num_experts", "attn_layer_period", "attn_layer_offset", "expert_layer_period"),
    "llama": LLAMAS,
    "mamba": ("vocab_size", "num_hidden_layers", "hidden_size", "state_size"),
    "mamba2": (
        "vocab_size",
        "num_hidden_layers",
        "hidden_size",
        "state_size",
        "num_heads",
        "head_dim",
        "n_groups",
    ),
    "marian": PAIRED,
    "mistral": GROUPED,
    "mixtral": (*ROUTED, "num_local_experts"),
    "modernbert": LLAMAS,
    "olmoe": (*LLAMAS, "num_experts", "num_experts_per_tok"),
    "palm": (*GROUPED, "head_dim", "max_position_embeddings"),
    "qwen2": GROUPED,
    "qwen3": GROUPED,
    "qwen3_5": ("text_config",),
    "qwen3_5_moe": ("text_config",),
    "qwen3_5_moe_text": (*DELTA, *EXPERTS),
    "qwen3_5_text": (*DELTA, "intermediate_size"),
    "qwen3_next": (*DELTA, *EXPERTS),
    "qwen3_moe": (
        *SHARED,
        "num_key_value_heads",
        "num_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
    ),
    "roberta": (*LLAMAS, "max_position_embeddings"),
    "rwkv": ("vocab_size", "num_hidden_layers", "hidden_size"),
    "smollm3": GROUPED,
    "t5": ("vocab_size", "num_layers", "d_model", "d_kv", "d_ff", "num_heads"),
    "vit": (
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_size",
        "intermediate_size",
        "image_size",
        "patch_size",
    ),
}
EXAMPLES = ONE_OF_EACH | SIBLINGS
CASES = [(family, field) for family, needed in REQUIRED.items() for field in needed]


def rope(config, layer=0):
    return spec_from_hf_config(config).layers[layer].mixer.rope


OTHER_NAMES = {"gpt-sw3": "gpt2", "kimi_k2": "deepseek_v3"}
"""Model types that are read by another's parser, field by field."""
BY_TINY_CONFIG = sorted(set(PARSERS) - set(REQUIRED) - set(OTHER_NAMES))


def test_every_family_is_tried_with_sizes_missing():
    assert set(ONE_OF_EACH) <= set(PARSERS)
    assert all(PARSERS[other] is PARSERS[one] for other, one in OTHER_NAMES.items())
    assert set(BY_TINY_CONFIG) <= set(TINY)


@pytest.mark.parametrize("family", BY_TINY_CONFIG)
def test_a_field_that_is_missing_is_named_or_has_a_default(family):
    config, named = tiny_config(family, 0), 0
    for field in config:
        try:
            spec_from_hf_config({key: value for key, value in config.items() if key != field})
        except ValueError as error:
            assert field in str(error)
            named += 1
    assert named >= 5


@pytest.mark.parametrize(("family", "field"), CASES)
def test_a_missing_size_is_named(family, field):
    config = {key: value for key, value in EXAMPLES[family].items() if key != field}
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        spec_from_hf_config(config)


@pytest.mark.parametrize(("family", "field"), CASES)
@pytest.mark.parametrize("value", [-1, 2.5, True, "8", [8], 10**13])
def test_a_size_of_the_wrong_kind_is_named(family, field, value):
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        spec_from_hf_config(EXAMPLES[family] | {field: value})


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        ("qwen3_next", "attn_output_gate", False),
        ("bloom", "apply_residual_connection_post_layernorm", True),
        ("cohere", "use_qk_norm", True),
        ("falcon", "alibi", True),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "scale_attn_weights", False),
        ("gptj", "rotary_dim", None),
        ("gptj", "rotary_dim", 300),
        ("smollm3", "no_rope_layers", [1, 0]),
        ("smollm3", "no_rope_layers", [1, 2, 1]),
        ("smollm3", "no_rope_layers", 3),
    ],
)
def test_a_variant_that_is_not_built_is_refused_by_name(family, field, value):
    with pytest.raises(ValueError, match=rf"\b{field}\b"):
        spec_from_hf_config(EXAMPLES[family] | {field: value})


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'gpt5' is not supported; nearest: gpt-sw3, .*gpt_oss.* families"):
        spec_from_hf_config({"model_type": "gpt5"})


def test_a_size_of_zero_is_refused():
    with pytest.raises(ValueError, match="'hidden_size': 0 is not a whole number from 1"):
        spec_from_hf_config(LLAMA | {"hidden_size": 0})


@pytest.mark.parametrize("config", [{}, {"model_type": None}, {"model_type": 7}])
def test_a_config_must_say_its_family(config):
    with pytest.raises(ValueError, match="model_type"):
        spec_from_hf_config(config)


@pytest.mark.parametrize("config", [None, 3, [("model_type", "llama")]])
def test_a_config_must_be_a_mapping_or_a_path(config):
    with pytest.raises(ValueError, match="mapping"):
        spec_from_hf_config(config)


@pytest.mark.parametrize("text", [None, "{", "[]", "\x00", '{"model_type": NaN}'])
def test_a_file_must_hold_a_json_mapping(tmp_path, text):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="config"):
        spec_from_hf_config(path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("num_key_value_heads", 4, "heads=6 is not a multiple of kv_heads=4"),
        ("tie_word_embeddings", "yes", "'tie_word_embeddings': 'yes' is not true or false"),
        ("hidden_act", 3, "'hidden_act': 3 is not a string"),
        ("rms_norm_eps", float("nan"), "'rms_norm_eps': nan is not a finite number"),
        ("rope_theta", 0, "'rope_theta': 0 is not a finite number above 0"),
        ("rope_scaling", ["linear"], "'rope_scaling'.*mapping"),
        ("rope_scaling", {"rope_type": "linear", "factor": {}}, "'factor': {} is not"),
        ("rope_parameters", {"partial_rotary_factor": 2.0}, "'partial_rotary_factor': 2.0 is above 1"),
        ("num_hidden_layers", 10_001, "'num_hidden_layers': 10001 is not a whole number from 1 to 10000"),
    ],
)
def test_what_is_wrong_is_said(field, value, words):
    with pytest.raises(ValueError, match=words):
        spec_from_hf_config(LLAMA | {field: value})


def test_both_spellings_of_plain_rope_agree():
    old, new = {"rope_theta": 5e5}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    assert rope(LLAMA | old) == rope(LLAMA | new)
    assert (rope(LLAMA | old).theta, rope(LLAMA | old).scaling) == (5e5, None)


def test_both_spellings_of_scaled_rope_agree():
    old = {"rope_theta": 5e5, "rope_scaling": {"type": "yarn", "factor": 4.0}}
    new = {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 5e5}}
    assert rope(LLAMA | old) == rope(LLAMA | new)
    # The context before the extension is the config's own, where it is not given.
    wanted = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    assert dict(rope(LLAMA | old).scaling) == wanted


def test_both_spellings_of_gemma_3_rope_agree():
    old = {
        "rope_theta": 3e5,
        "rope_local_base_freq": 2e4,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    }
    full = {"rope_type": "linear", "factor": 8.0, "rope_theta": 3e5}
    sliding = {"rope_type": "default", "rope_theta": 2e4}
    new = {"rope_parameters": {"full_attention": full, "sliding_attention": sliding}}
    for layer in range(3):
        assert rope(GEMMA_3 | old, layer) == rope(GEMMA_3 | new, layer)
    assert [rope(GEMMA_3 | old, layer).theta for layer in range(3)] == [2e4, 2e4, 3e5]


def test_layer_types_overrule_the_pattern():
    types = ["full_attention", "sliding_attention", "full_attention"]
    layers = spec_from_hf_config(GEMMA_3 | {"layer_types": types}).layers
    assert [layer.mixer.window for layer in layers] == [None, 5, None]
    with pytest.raises(ValueError, match=r"'layer_types'.*list of 3"):
        spec_from_hf_config(GEMMA_3 | {"layer_types": types[:2]})


def test_head_width_is_the_config_s_or_the_share_of_the_width():
    assert spec_from_hf_config(LLAMA).layers[0].mixer.head_dim == 4
    assert spec_from_hf_config(LLAMA | {"head_dim": 10}).layers[0].mixer.head_dim == 10


def test_without_kv_heads_every_head_has_its_own():
    config = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert spec_from_hf_config(config).layers[0].mixer.kv_heads == 6


def test_records_refuse_sizes_which_are_none():
    with pytest.raises(ValueError, match="heads=0"):
        AttentionSpec(heads=0, kv_heads=1, head_dim=4, value_dim=4)
    with pytest.raises(ValueError, match=r"width=2\.5"):
        FFNSpec(kind="mlp", activation="gelu", width=2.5)
    with pytest.raises(ValueError, match="top_k=3 is more than experts=2"):
        MoESpec(experts=2, top_k=3, expert=FFNSpec(kind="mlp", activation="gelu", width=2))


@pytest.mark.parametrize("names", [7, "BertForMaskedLM", [3]])
def test_architectures_are_a_list_of_names(names):
    with pytest.raises(ValueError, match=r"'architectures'.*a list of strings"):
        spec_from_hf_config(ONE_OF_EACH["bert"] | {"architectures": names})


def test_a_masked_model_has_a_transform_and_no_pooler():
    bare = spec_from_hf_config(ONE_OF_EACH["bert"])
    masked = spec_from_hf_config(ONE_OF_EACH["bert"] | {"architectures": ["BertForMaskedLM"]})
    assert (bare.head, bare.transform) == ("pooler", None)
    assert (masked.head, masked.transform.activation, masked.embeddings.tied) == ("mlm", "gelu", True)


@pytest.mark.parametrize(
    "fields", [{"share_encoder_decoder_embeddings": False}, {"decoder_vocab_size": 11}], ids=str
)
def test_marian_with_two_word_tables_is_refused(fields):
    with pytest.raises(ValueError, match="share_encoder_decoder_embeddings"):
        spec_from_hf_config(ONE_OF_EACH["marian"] | fields)


def test_modernbert_reads_the_whole_text_in_every_third_layer():
    spec = spec_from_hf_config(ONE_OF_EACH["modernbert"])
    assert [layer.mixer.window for layer in spec.layers[:5]] == [None, 128, 128, None, 128]
    assert [layer.mixer.rope.theta for layer in spec.layers[:2]] == [160_000, 10_000]
    assert [layer.mixer_norm for layer in spec.layers[:2]] == [False, True]
