"""The published models the cost tests compute with, and two variants that none of them is."""

from dataclasses import replace

from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec
from course_lib.specs.records import ModelSpec

LLAMA_70B = load_spec("llama-3-70b")
DEEPSEEK_V2 = load_spec("deepseek-v2")
DEEPSEEK_V3 = load_spec("deepseek-v3")
MIXTRAL = load_spec("mixtral-8x7b")
MISTRAL_V01 = load_spec("mistral-7b-v0.1")
T5 = load_spec("t5-base")
BERT = load_spec("bert-base")
VIT = load_spec("vit-l-16")


def with_groups(spec: ModelSpec, kv_heads: int) -> ModelSpec:
    """The same model with another number of key and value heads in every layer."""
    layers = (replace(layer, mixer=replace(layer.mixer, kv_heads=kv_heads)) for layer in spec.layers)
    return replace(spec, layers=tuple(layers))


LLAMA_70B_MHA = with_groups(LLAMA_70B, 64)

# DeepSeek 67B, the model DeepSeek-V2 is compared with: arXiv 2401.02954, table 2.
DEEPSEEK_67B = spec_from_hf_config(
    {
        "model_type": "llama",
        "vocab_size": 102400,
        "hidden_size": 8192,
        "intermediate_size": 22016,
        "num_hidden_layers": 95,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
    }
)
