"""Parameter counts equal those of `transformers` models on the meta device, where no weight is allocated."""

from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from course_lib.costs.params import param_count
from course_lib.specs.families.table import DIVIDED
from course_lib.specs.from_hf import PARSERS, spec_from_hf_config
from course_lib.specs.loader import list_specs, load_spec, read_entry
from course_lib.specs.records import ModelSpec
from tests.parity.tiny_configs import TINY, tiny_config

CLASSES = {
    "bart": "BartForConditionalGeneration",
    "bert": "BertModel",
    "bloom": "BloomForCausalLM",
    "clip": "CLIPModel",
    "clip_text_model": "CLIPTextModel",
    "clip_vision_model": "CLIPVisionModel",
    "cohere": "CohereForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "falcon": "FalconForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "glm": "GlmForCausalLM",
    "glm4": "Glm4ForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "gptj": "GPTJForCausalLM",
    "jamba": "JambaForCausalLM",
    "llama": "LlamaForCausalLM",
    "mamba": "MambaForCausalLM",
    "mamba2": "Mamba2ForCausalLM",
    "marian": "MarianMTModel",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "modernbert": "ModernBertModel",
    "olmoe": "OlmoeForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_5": "Qwen3_5ForCausalLM",
    "qwen3_5_moe": "Qwen3_5MoeForCausalLM",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "roberta": "RobertaModel",
    "rwkv": "RwkvForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "t5": "T5ForConditionalGeneration",
    "xlm-roberta": "XLMRobertaModel",
    "camembert": "CamembertModel",
    "distilbert": "DistilBertModel",
    "mpnet": "MPNetModel",
    "nomic_bert": "NomicBertModel",
    "electra": "ElectraModel",
    "mt5": "MT5ForConditionalGeneration",
    "switch_transformers": "SwitchTransformersForConditionalGeneration",
    "umt5": "UMT5ForConditionalGeneration",
    "mbart": "MBartForConditionalGeneration",
    "pegasus": "PegasusForConditionalGeneration",
    "qwen2_vl_text": "Qwen2VLTextModel",
    "qwen2_5_vl_text": "Qwen2_5_VLTextModel",
    "qwen3_vl_text": "Qwen3VLTextModel",
    "qwen3_vl_moe_text": "Qwen3VLMoeTextModel",
    "vit": "ViTForImageClassification",
}
CLASSES |= {name: MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name] for name in TINY if name not in CLASSES}
WITH_TEXT_MODEL = ("qwen3_5", "qwen3_5_moe")
OF_OURS = {
    "palm",
    "kimi_k2",
    "gpt-sw3",
}  # Not in transformers; tests/unit/test_params.py holds it against its paper.
PUBLISHED = [name for name in list_specs() if read_entry(name)["config"]["model_type"] not in OF_OURS]
SEEDS = range(4)


def hf_config(fields: dict[str, Any]) -> PreTrainedConfig:
    """The config of `transformers`, which changes the mapping it is given."""
    return CONFIG_MAPPING[fields["model_type"]].from_dict(deepcopy(fields))


def hf_count(config: PreTrainedConfig) -> int:
    """The parameters of the family's model, or of the one the config asks for; a tied one counts once.

    Marian's sines are a frozen table there, which is no parameter.
    """
    name = (config.architectures or [CLASSES[config.model_type]])[0]
    if config.model_type in WITH_TEXT_MODEL:  # whose text model is counted, tied as the whole says
        whole, config = config, config.text_config
        config.tie_word_embeddings = whole.tie_word_embeddings
    untied = (
        getattr(config, "scale_decoder_outputs", None) is False
    )  # T5 1.1, which version 5 ties all the same
    if untied:
        config.tie_word_embeddings = False
    with torch.device("meta"):
        model = class_of(config, name)(config)
    if untied:  # that unties the two stacks' word tables as well, which the checkpoints share
        model.encoder.embed_tokens = model.decoder.embed_tokens = model.shared
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def class_of(config: PreTrainedConfig, name: str) -> type:
    """A class by its name, from the module of its family where the package does not show it."""
    package = type(config).__module__.replace("configuration", "modeling")
    return getattr(transformers, name, None) or getattr(import_module(package), name)


def test_t5_1_1_does_not_tie_its_head():
    fields = tiny_config("t5", seed=0) | {"tie_word_embeddings": False}
    spec = spec_from_hf_config(fields)
    assert param_count(spec).total == hf_count(hf_config(fields))
    assert (spec.embeddings.tied, spec.logit_scale) == (False, 1.0)
    assert spec_from_hf_config(hf_config(fields).to_dict()) == spec


def test_every_family_stands_for_a_class():
    assert set(CLASSES) | OF_OURS == set(PARSERS)
    assert set(TINY) == set(CLASSES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_config(name):
    assert param_count(load_spec(name)).total == hf_count(hf_config(read_entry(name)["config"]))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model_type", sorted(TINY))
def test_tiny_config(model_type, seed):
    fields = tiny_config(model_type, seed)
    assert param_count(spec_from_hf_config(fields)).total == hf_count(hf_config(fields)), fields


def rewritten(fields: dict[str, Any]) -> ModelSpec:
    """What is read from fields that `transformers` has written, without the towers that it makes up."""
    return replace(spec_from_hf_config(hf_config(fields).to_dict()), beside=())


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_config_reads_the_same_after_transformers_has_rewritten_it(name):
    """Version 5 turns `rope_theta` and `rope_scaling` into `rope_parameters` and adds its defaults."""
    fields = read_entry(name)["config"]
    assert rewritten(fields) == replace(spec_from_hf_config(fields), beside=())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model_type", sorted(TINY))
def test_tiny_config_reads_the_same_after_transformers_has_rewritten_it(model_type, seed):
    fields = tiny_config(model_type, seed)
    assert rewritten(fields) == replace(spec_from_hf_config(fields), beside=())


@pytest.mark.parametrize("model_type", sorted(TINY))
def test_what_a_config_leaves_out_is_filled_in_as_transformers_does_or_refused(model_type):
    fields = tiny_config(model_type, seed=0)
    for left_out in sorted(set(fields) - {"model_type"}):
        fewer = {field: value for field, value in fields.items() if field != left_out}
        try:
            ours = spec_from_hf_config(fewer)
        except ValueError as error:
            assert left_out in str(error)
            continue
        theirs = rewritten(fewer)
        # A context which is not given stays unknown: a default of the library says nothing of the model.
        assert replace(theirs, context=ours.context) == ours, left_out


@pytest.mark.parametrize("model_type", sorted(TINY))
@pytest.mark.parametrize("head_dim", [None, 8])
def test_heads_that_do_not_divide_the_width_are_refused_where_transformers_refuses_them(model_type, head_dim):
    """Three heads over 32: Llama's and Gemma's config classes refuse them even where `head_dim` is given."""
    fields = tiny_config(model_type, seed=0)
    if not {"hidden_size", "num_attention_heads"} <= set(fields):
        return
    fields |= {"hidden_size": 32, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": head_dim}
    try:
        hf_config({name: value for name, value in fields.items() if value is not None})
    except Exception as error:
        if "multiple" in str(error) or "divis" in str(error):  # else it is about something else
            with pytest.raises(ValueError, match=r"divisor|divide"):
                spec_from_hf_config(fields)
    else:
        assert model_type not in DIVIDED
