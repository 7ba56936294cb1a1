"""Decoders of GPT-2's kin: OPT, GPT-Neo, BigCode's, CodeGen, BioGPT, XGLM.

Each stands for its `<Family>ForCausalLM` of `transformers`.
"""

from dataclasses import replace
from typing import Any

from course_lib.specs.classes import BACKBONE, DECODER, LM
from course_lib.specs.families.gpt import (
    cross_attention,
    full_attention,
    layer_norm,
    mlp,
    model,
)
from course_lib.specs.reader import MOST_LAYERS, Config
from course_lib.specs.records import (
    EmbeddingSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
)

PLAIN = {"ForCausalLM": LM, "Model": BACKBONE}
"""Classes of families that have no classifiers."""
LABELLED = {
    name: ends for name, ends in DECODER.items() if name != "ForQuestionAnswering"
}
GPT2_NAMES = (
    ("n_embd", "hidden_size"),
    ("n_head", "num_attention_heads"),
    ("n_layer", "num_hidden_layers"),
    ("n_positions", "max_position_embeddings"),
)
XGLM_NAMES = (
    ("d_model", "hidden_size"),
    ("attention_heads", "num_attention_heads"),
    ("num_layers", "num_hidden_layers"),
)
NEO_NAMES = XGLM_NAMES[2:] + (("num_heads", "num_attention_heads"),)  # noqa: RUF005
SHIFT = 2  # rows of a table of positions that stand before the first


def opt(config: Config) -> ModelSpec:
    """GPT-2 with ReLU, and two rows before its first position; OPT-350m has its norms
    behind each part and words of a width of their own, which is not supported.
    """
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    words = config.count("word_embed_proj_dim", width)
    if words != width:
        raise ValueError(
            f"config field 'word_embed_proj_dim': {words} is not the hidden_size of "
            f"{width}; words of a width of their own are not supported"
        )
    bias = config.flag("enable_bias", True)
    learned = config.flag("layer_norm_elementwise_affine", True)
    first = config.flag("do_layer_norm_before", True)
    norm = NormSpec(kind="layernorm", eps=1e-5, bias=learned, gain=learned)
    mixer = full_attention(width, heads)
    layer = LayerSpec(
        mixer=replace(mixer, bias_qkv=bias, bias_out=bias),
        ffn=mlp(
            config.count("ffn_dim"),
            config.word("activation_function", "relu"),
            bias=bias,
        ),
        norm=norm,
        norm_layout="pre" if first else "post",
    )
    ends = first and not config.flag("_remove_final_layer_norm", False)
    return learned_positions(config, width, layer, norm if ends else None, SHIFT)


def gpt_bigcode(config: Config) -> ModelSpec:
    """GPT-2 whose heads share one key and one value (SantaCoder, StarCoder)."""
    config = config.renamed(GPT2_NAMES)
    shared = config.flag("multi_query", True)
    if shared and config.flag("add_cross_attention", False):
        raise ValueError(
            "config field 'add_cross_attention': true is allowed with 'multi_query' "
            "false only"
        )
    width = config.count("n_embd")
    heads = config.count("n_head")
    scaled = config.flag("scale_attn_weights", True)
    mixer = replace(
        full_attention(width, heads),
        kv_heads=1 if shared else heads,
        scale=None if scaled else 1.0,
    )
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    layer = LayerSpec(
        mixer=mixer,
        cross=cross_attention(config, width, heads, decodes=True),
        ffn=mlp(
            config.count("n_inner", 4 * width),
            config.word("activation_function", "gelu_pytorch_tanh"),
        ),
        norm=norm,
    )
    context = config.count("n_positions")
    return model(
        config,
        width,
        layers=(layer,) * config.layers("n_layer"),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True), learned_positions=context
        ),
        final_norm=norm,
        context=context,
    )


def gpt_neo(config: Config) -> ModelSpec:
    """GPT-2 without biases on queries, keys and values, with unscaled scores, and with
    a window in the layers that `attention_types` calls local.
    """
    config = config.renamed(NEO_NAMES)
    width, heads = config.count("hidden_size"), config.count("num_heads")
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    everything = replace(full_attention(width, heads), bias_qkv=False, scale=1.0)
    window = config.count("window_size", 256)
    ffn = mlp(
        config.count("intermediate_size", 4 * width),
        config.word("activation_function", "gelu_new"),
    )
    layers = [
        LayerSpec(
            mixer=replace(everything, window=window if local else None),
            ffn=ffn,
            norm=norm,
        )
        for local in local_layers(config, config.layers("num_layers"))
    ]
    context = config.count("max_position_embeddings")
    return model(
        config,
        width,
        layers=tuple(layers),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True), learned_positions=context
        ),
        final_norm=norm,
        context=context,
    )


def local_layers(config: Config, depth: int) -> list[bool]:
    """Return which layers are local: pairs of a list of kinds and how often it is
    repeated.
    """
    given = config.get("attention_types", [[["global", "local"], 12]])
    found = []
    for pair in given if isinstance(given, list | tuple) else []:
        if len(found) <= depth:
            found += [kind == "local" for kind in repeated(pair)]
    if len(found) != depth:
        raise ValueError(
            f"config field 'attention_types': wanted are pairs of a list of kinds and "
            f"a number, {depth} layers together ('num_layers')"
        )
    return found


def repeated(pair: Any) -> list[str]:
    """Return the kinds of a pair as often as it says, or none where it is no such pair
    or where they are too many.
    """
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return []
    kinds, times = pair[0], pair[1]
    if not isinstance(kinds, list | tuple) or not isinstance(times, int):
        return []
    few = times >= 0 and len(kinds) * times <= MOST_LAYERS
    known = [kind for kind in kinds if kind in ("global", "local")]
    return known * times if few and len(known) == len(kinds) else []


def biogpt(config: Config) -> ModelSpec:
    """GPT-2 whose words are scaled by the root of the width; two rows before its first
    position.
    """
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    norm = layer_norm(1e-5)
    layer = LayerSpec(
        mixer=full_attention(width, heads),
        ffn=mlp(config.count("intermediate_size"), config.word("hidden_act", "gelu")),
        norm=norm,
    )
    scale = width**0.5 if config.flag("scale_embedding", True) else 1.0
    return learned_positions(config, width, layer, norm, SHIFT, scale=scale)


def xglm(config: Config) -> ModelSpec:
    """BioGPT with sines for positions."""
    config = config.renamed(XGLM_NAMES)
    width, heads = config.count("d_model"), config.count("attention_heads")
    norm = layer_norm(1e-5)
    layer = LayerSpec(
        mixer=full_attention(width, heads),
        cross=cross_attention(config, width, heads, decodes=True),
        ffn=mlp(config.count("ffn_dim"), config.word("activation_function", "gelu")),
        norm=norm,
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers("num_layers"),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True),
            sinusoidal="halves",
            scale=width**0.5 if config.flag("scale_embedding", True) else 1.0,
        ),
        final_norm=norm,
        context=config.count("max_position_embeddings", None),
    )


def learned_positions(
    config: Config,
    width: int,
    layer: LayerSpec,
    final_norm: NormSpec | None,
    before: int,
    scale: float = 1.0,
) -> ModelSpec:
    """Return a decoder of equal layers with a table of positions, `before` rows of
    which no position reads.
    """
    context = config.count("max_position_embeddings")
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True),
            learned_positions=context + before,
            position_offset=before,
            scale=scale,
        ),
        final_norm=final_norm,
        context=context,
    )
