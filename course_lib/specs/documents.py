"""What a JSON document is, by what it holds: a config.json, another way to write one
(Meta's and Mistral's params.json, BERT's config of 2018), or a file that says nothing
of a model's sizes, which is refused by its name.
"""

from collections.abc import Mapping
from typing import Any

from course_lib.specs.reader import Config, shown

MOST_CHARACTERS = 4_000_000
MOST_FIELDS = 5000
WANTED = "the config.json beside it is wanted"
OTHERS = (
    (("weight_map",), "an index of weight files (model.safetensors.index.json)"),
    (("added_tokens", "model", "pre_tokenizer"), "a tokenizer.json"),
    (("tokenizer_class",), "a tokenizer_config.json"),
    (("added_tokens_decoder",), "a tokenizer_config.json"),
    (("peft_type",), "an adapter_config.json of PEFT"),
    (("image_mean",), "a preprocessor_config.json"),
    (("feature_extractor_type",), "a preprocessor_config.json"),
    (("_diffusers_version",), "a config of diffusers"),
    (("_class_name",), "a config of diffusers"),
    (("zero_optimization",), "a config of DeepSpeed"),
    (("eos_token_id", "transformers_version"), "a generation_config.json"),
    (("chat_template",), "a chat_template.json"),
    (("cls_token", "sep_token"), "a special_tokens_map.json"),
    (("bos_token", "eos_token"), "a special_tokens_map.json"),
)
"""Fields that tell a file which is no config, and what it is called."""
BERT_OF_2018 = ("attention_probs_dropout_prob", "hidden_size", "type_vocab_size")
RENAMED = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "vocab_size": "vocab_size",
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "sliding_window": "sliding_window",
    "max_seq_len": "max_position_embeddings",
    "max_position_embeddings": "max_position_embeddings",
}
"""From Meta's and Mistral's names of sizes to those of a config.json."""


def fields_of(document: Any) -> Mapping[str, Any]:
    """Return the fields of a config.json that a JSON document stands for.

    Raises:
        ValueError: if it is no mapping, or a file of another kind (the message names
            it).

    >>> fields_of({"weight_map": {}})
    Traceback (most recent call last):
    ...
    ValueError: this is an index of weight files (model.safetensors.index.json): the ...
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"config={shown(document)}: a mapping is wanted")
    if len(document) > MOST_FIELDS:
        raise ValueError(
            f"config=a mapping of {len(document)}: at most {MOST_FIELDS} fields are "
            f"read; {WANTED}"
        )
    if document.get("model_type") is not None:
        return document
    if has(document, ("dim", "n_layers", "n_heads")):
        return params_json(document)
    if has(document, BERT_OF_2018):
        family = "roberta" if "Roberta" in first_class(document) else "bert"
        return {**document, "model_type": family}
    if has(document, ("n_ctx", "n_embd", "n_head", "n_layer", "n_vocab")):
        return gpt2_of_2019(document)
    for fields, name in OTHERS:
        if has(document, fields):
            raise ValueError(f"this is {name}: {WANTED}")
    return document


def too_long(text: str) -> ValueError:
    """Return the refusal of a JSON text of more characters than are read, which names
    the file's kind by the fields that stand in it.
    """
    for fields, name in OTHERS:
        if all(f'"{field}"' in text for field in fields):
            return ValueError(f"this is {name}: {WANTED}")
    return ValueError(
        f"The text is too long: at most {MOST_CHARACTERS:,} characters are read."
    )


def has(document: Mapping[str, Any], fields: tuple[str, ...]) -> bool:
    """Whether a document has all these fields."""
    return all(field in document for field in fields)


def first_class(document: Mapping[str, Any]) -> str:
    """Return the first of `architectures`, empty where there is none."""
    named = document.get("architectures")
    if isinstance(named, list) and len(named) > 0 and isinstance(named[0], str):
        return named[0]
    return ""


def gpt2_of_2019(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of GPT-2's hparams.json."""
    vocab, context = document.get("n_vocab"), document.get("n_ctx")
    more = {"vocab_size": vocab, "n_positions": context, "model_type": "gpt2"}
    return {**document, **more}


def params_json(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of a params.json of Meta's (Llama) or of Mistral's, which have
    names of their own for the same sizes.

    Meta's says no FFN width, but how it is made of the model's width.

    Raises:
        ValueError: if it has a part that is not read (the message names it).
    """
    named = {name: document[own] for own, name in RENAMED.items() if own in document}
    for part in ("vision_encoder", "quantization", "q_lora_rank", "kv_lora_rank"):
        if document.get(part) is not None:
            raise ValueError(f"params.json, field {part!r}: not read; {WANTED}")
    config = Config(document, "params.json")
    heads = config.count("n_heads")
    named["num_key_value_heads"] = config.count("n_kv_heads", heads)
    if "hidden_dim" not in document:
        return meta_params(config, named)
    moe = Config(config.table("moe"), "params.json")
    named["tie_word_embeddings"] = config.flag("tied_embeddings", False)
    named["rope_theta"] = config.number("rope_theta", 10_000.0)
    if len(config.table("moe")) == 0:
        return {"sliding_window": None, **named, "model_type": "mistral"}
    experts = {
        "num_local_experts": moe.count("num_experts"),
        "num_experts_per_tok": moe.count("num_experts_per_tok"),
    }
    return {**named, **experts, "model_type": "mixtral"}


def meta_params(config: Config, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of Meta's params.json.

    *Equation*: the FFN is 2/3 of 4 d wide, times `ffn_dim_multiplier`, rounded up to a
    multiple of `multiple_of`.
    """
    if config.count("vocab_size", 1, least=-1) < 1:
        raise ValueError(
            "params.json, field 'vocab_size': -1 leaves it to the tokenizer; a whole "
            "number from 1 is wanted (Llama 1 and 2: 32000)"
        )
    width, step = config.count("dim"), config.count("multiple_of", 256)
    inner = int(8 * width / 3)
    inner = int(config.number("ffn_dim_multiplier", 1.0, above=0) * inner)
    inner = step * ((inner + step - 1) // step)
    factors = config.flag("use_scaled_rope", False)
    scaling = LLAMA_3_1 if factors else None
    return {
        **named,
        "intermediate_size": inner,
        "model_type": "llama",
        "rope_scaling": scaling,
    }


LLAMA_3_1 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""What `use_scaled_rope` means."""
