"""Decoders whose heads turn in part: Phi (1, 1.5, 2) and StableLM. They stand for
`PhiForCausalLM` and `StableLmForCausalLM` of `transformers`.
"""

from dataclasses import replace

from course_lib.specs.families.gpt import layer_norm, mlp, share_of
from course_lib.specs.families.llama import causal_lm, gated_ffn, kv_heads_of
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    LayerSpec,
    ModelSpec,
    SideSpec,
)
from course_lib.specs.rotary import rope_spec


def phi(config: Config) -> ModelSpec:
    """One norm for attention and FFN side by side, biases everywhere, RoPE on half of
    each head (Phi-1, 1.5, 2).
    """
    norm = layer_norm(config.number("layer_norm_eps", 1e-5))
    share = share_of(config.count("hidden_size"), config.count("num_attention_heads"))
    both = 4 * share if config.flag("qk_layernorm", False) else 0
    note = SideSpec(words="LayerNorm on queries and keys", of="mixer", vectors=both)
    layer = LayerSpec(
        mixer=partly_turned(config, 0.5, bias_qkv=True, bias_out=True),
        ffn=mlp(
            config.count("intermediate_size"), config.word("hidden_act", "gelu_new")
        ),
        norm=norm,
        norm_layout="parallel",
        sides=(note,) if both else (),
    )
    tied = config.flag("tie_word_embeddings", False)
    return causal_lm(
        config,
        (layer,) * config.layers(),
        embeddings=EmbeddingSpec(tied=tied, head_bias=True),
    )


def stablelm(config: Config) -> ModelSpec:
    """LLaMA with LayerNorms and RoPE on a quarter of each head; with
    `use_parallel_residual`, one norm for attention and FFN side by side.
    """
    norm = layer_norm(config.number("layer_norm_eps", 1e-5))
    bias = config.flag("use_qkv_bias", False)
    mixer = partly_turned(config, 0.25, bias_qkv=bias)
    gains = (mixer.heads + mixer.kv_heads) * mixer.head_dim
    each = gains if config.flag("qk_layernorm", False) else 0
    note = SideSpec(
        words="a LayerNorm for each head of queries and keys", of="mixer", vectors=each
    )
    beside = config.flag("use_parallel_residual", False)
    layer = LayerSpec(
        mixer=mixer,
        ffn=replace(gated_ffn(config), bias=False),
        norm=norm,
        norm_layout="parallel" if beside else "pre",
        sides=(note,) if each else (),
    )
    return causal_lm(config, (layer,) * config.layers())


def partly_turned(config: Config, fraction: float, **options: bool) -> AttentionSpec:
    """Return grouped attention whose heads share the width and turn in part."""
    heads = config.count("num_attention_heads")
    share = share_of(config.count("hidden_size"), heads)
    return AttentionSpec(
        heads=heads,
        kv_heads=kv_heads_of(config),
        head_dim=share,
        value_dim=share,
        rope=rope_spec(config, share, fraction=fraction),
        **options,
    )
