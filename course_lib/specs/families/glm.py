"""GLM-4: LLaMA with interleaved RoPE on half of each head, biases on queries, keys and
values, two KV heads.

glm (GLM-4-9B of 2024) has pre-norms, glm4 (GLM-4-0414) norms both sides of each part.
They stand for `GlmForCausalLM` and `Glm4ForCausalLM` of `transformers`.
"""

from dataclasses import replace

from course_lib.specs.families.llama import (
    attention,
    causal_lm,
    decoder_layer,
    head_dim_of,
)
from course_lib.specs.reader import Config
from course_lib.specs.records import LayerSpec, ModelSpec
from course_lib.specs.rotary import rope_spec


def glm(config: Config) -> ModelSpec:
    """GLM-4-9B, with a norm before each part."""
    return causal_lm(config, (glm_layer(config),) * config.layers())


def glm4(config: Config) -> ModelSpec:
    """GLM-4-0414, with a norm before and after each part."""
    return causal_lm(
        config, (replace(glm_layer(config), norm_layout="sandwich"),) * config.layers()
    )


def glm_layer(config: Config) -> LayerSpec:
    """Return a GLM block with pre-norms."""
    rope = rope_spec(config, head_dim_of(config), pairing="interleaved", fraction=0.5)
    mixer = attention(config, rope=rope, bias_qkv=config.flag("attention_bias", True))
    return decoder_layer(config, mixer, eps=0.00000015625)
