"""Decoders that run attention and feed-forward network side by side: GPT-J, GPT-NeoX,
Falcon, PaLM, Cohere.

They stand for `GPTJForCausalLM`, `GPTNeoXForCausalLM`, `FalconForCausalLM` and
`CohereForCausalLM` of `transformers`. PaLM is not there: "palm" and its fields are this
course's.
"""

from course_lib.specs.classes import DECODER, TOKENS
from course_lib.specs.families.gpt import layer_norm, mlp, model, share_of
from course_lib.specs.families.llama import attention, causal_lm, gated_ffn, head_dim_of
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
    RopeSpec,
)
from course_lib.specs.rotary import rope_spec

GPTJ = {**DECODER, "ForQuestionAnswering": TOKENS}


def gptj(config: Config) -> ModelSpec:
    """One norm for both parts, interleaved RoPE on the first `rotary_dim` of a head, a
    bias on the head.
    """
    width, heads = config.count("n_embd"), config.count("n_head")
    head_dim = share_of(width, heads)
    turned = config.count("rotary_dim", config.unless_null("rotary_dim", 64))
    if turned is None or turned > head_dim:
        raise ValueError(
            f"config field 'rotary_dim': {turned} is no number up "
            f"to the head width {head_dim}"
        )
    rope = RopeSpec(theta=10_000.0, dim=turned, pairing="interleaved")
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    activation = config.word("activation_function", "gelu_new")
    layer = LayerSpec(
        mixer=AttentionSpec(
            heads=heads,
            kv_heads=heads,
            head_dim=head_dim,
            value_dim=head_dim,
            rope=rope,
        ),
        ffn=mlp(config.count("n_inner", 4 * width), activation),
        norm=norm,
        norm_layout="parallel",
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers("n_layer"),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", False), head_bias=True
        ),
        final_norm=norm,
        context=config.count("n_positions", None),
    )


def gpt_neox(config: Config) -> ModelSpec:
    """A norm for each part, biases everywhere, RoPE on a quarter of each head
    (GPT-NeoX-20B, Pythia).
    """
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    bias, head_dim = config.flag("attention_bias", True), share_of(width, heads)
    theta = config.number("rotary_emb_base", 10_000.0, above=0)
    rope = rope_spec(
        config,
        head_dim,
        theta=theta,
        fraction=config.number("rotary_pct", 0.25, above=0),
    )
    norm = layer_norm(config.number("layer_norm_eps", 1e-5))
    mixer = AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        value_dim=head_dim,
        bias_qkv=bias,
        bias_out=bias,
        rope=rope,
    )
    layer = LayerSpec(
        mixer=mixer,
        ffn=mlp(config.count("intermediate_size"), config.word("hidden_act", "gelu")),
        norm=norm,
        norm_layout="parallel_two"
        if config.flag("use_parallel_residual", True)
        else "pre",
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(tied=config.flag("tie_word_embeddings", False)),
        final_norm=norm,
        context=config.count("max_position_embeddings", None),
    )


def falcon(config: Config) -> ModelSpec:
    """Falcon-7B: one KV head, one norm for both parts. Falcon-40B ("new"): groups of
    heads, a norm for each.

    Falcon-RW's ALiBi is not supported: its kernels round the slopes to bfloat16.
    """
    if config.flag("alibi", False):
        raise ValueError(
            "config field 'alibi': true is not supported for falcon, only false"
        )
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    bias, head_dim = config.flag("bias", False), share_of(width, heads)
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    activation = config.word("activation", "gelu")
    mixer = AttentionSpec(
        heads=heads,
        kv_heads=falcon_kv_heads(config, heads),
        head_dim=head_dim,
        value_dim=head_dim,
        bias_qkv=bias,
        bias_out=bias,
        rope=rope_spec(config, head_dim),
    )
    layer = LayerSpec(
        mixer=mixer,
        ffn=mlp(config.count("ffn_hidden_size", 4 * width), activation, bias=bias),
        norm=norm,
        norm_layout=falcon_layout(config),
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(tied=config.flag("tie_word_embeddings", True)),
        final_norm=norm,
        context=config.count("max_position_embeddings", None),
    )


def falcon_kv_heads(config: Config, heads: int) -> int:
    """Return g: `num_kv_heads` counts in the new architecture and where heads are not
    shared.
    """
    given = config.count("num_kv_heads", heads)
    if config.flag("new_decoder_architecture", False):
        return given
    return 1 if config.flag("multi_query", True) else heads


def falcon_layout(config: Config) -> str:
    """Return where the norms stand; the new architecture is always parallel, with two
    norms unless told.
    """
    norms = config.count("num_ln_in_parallel_attn", None, most=2)
    if config.flag("new_decoder_architecture", False):
        return "parallel" if norms == 1 else "parallel_two"
    return "parallel" if config.flag("parallel_attn", True) else "pre"


def cohere(config: Config) -> ModelSpec:
    """Command R: one norm without a shift for both parts, SwiGLU, interleaved RoPE,
    scaled logits.
    """
    if config.flag("use_qk_norm", False):
        raise ValueError(
            "config field 'use_qk_norm': true is not supported for cohere, only false"
        )
    bias = config.flag("attention_bias", False)
    rope = rope_spec(
        config, head_dim_of(config), pairing="interleaved", theta=500_000.0
    )
    layer = LayerSpec(
        mixer=attention(config, rope=rope, bias_qkv=bias, bias_out=bias),
        ffn=gated_ffn(config),
        norm=NormSpec(kind="layernorm", eps=config.number("layer_norm_eps", 1e-5)),
        norm_layout="parallel",
    )
    return causal_lm(
        config,
        (layer,) * config.layers(),
        embeddings=EmbeddingSpec(tied=config.flag("tie_word_embeddings", True)),
        logit_scale=config.number("logit_scale", 0.0625, above=0),
    )


def palm(config: Config) -> ModelSpec:
    """One KV head for all, attention and SwiGLU side by side on one norm, and no bias
    anywhere.
    """
    width, head_dim = config.count("hidden_size"), config.count("head_dim")
    norm = NormSpec(kind="layernorm", eps=config.number("layer_norm_eps", 1e-6))
    layer = LayerSpec(
        mixer=AttentionSpec(
            heads=config.count("num_attention_heads"),
            kv_heads=config.count("num_key_value_heads"),
            head_dim=head_dim,
            value_dim=head_dim,
            rope=rope_spec(config, head_dim),
        ),
        ffn=FFNSpec(
            kind="glu", activation="silu", width=config.count("intermediate_size")
        ),
        norm=norm,
        norm_layout="parallel",
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(tied=config.flag("tie_word_embeddings", True)),
        final_norm=norm,
        context=config.count("max_position_embeddings"),
    )
