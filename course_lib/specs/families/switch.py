"""Switch Transformers: T5 with experts in some of its layers, one a token.

It stands for `SwitchTransformersForConditionalGeneration` of `transformers`, where an
expert takes a number of tokens of each row, in training and after it.
"""

from dataclasses import replace

from course_lib.specs.families.t5 import T5, t5_pair
from course_lib.specs.reader import Config
from course_lib.specs.records import FFNSpec, LayerSpec, ModelSpec, MoESpec

CLASSES = ("ForConditionalGeneration", "Model", "EncoderModel")
SWITCH = {name: T5[name] for name in CLASSES}


def switch_transformers(config: Config) -> ModelSpec:
    """T5 whose every n-th FFN is a mixture of which a token visits one expert; the
    weight is its probability, not renormalised.
    """
    config.layers("num_decoder_layers")  # as many as the encoder's only if it says so
    tied = config.flag("tie_word_embeddings", True)
    ffn = FFNSpec(
        kind="mlp",
        activation=config.word("dense_act_fn", "relu"),
        width=config.count("d_ff"),
    )
    moe = MoESpec(
        experts=config.count("num_experts"),
        top_k=1,
        expert=ffn,
        renormalise=False,
        router_bias=config.flag("router_bias", False),
        capacity=config.count("expert_capacity", 64),
    )
    pair = t5_pair(config, tied=tied, scaled=tied)
    steps = {
        side: sparse_step(config, f"num_sparse_{side}_layers", len(stack))
        for side, stack in (("encoder", pair.encoder), ("decoder", pair.layers))
    }
    return replace(
        pair,
        encoder=with_experts(pair.encoder, ffn, moe, steps["encoder"]),
        layers=with_experts(pair.layers, ffn, moe, steps["decoder"]),
    )


def sparse_step(config: Config, field: str, depth: int) -> int:
    """Return how many layers there are to a sparse one. Of none, `transformers` makes
    one: a stack's second layer.
    """
    return depth // (config.count(field, 3, least=0) or 1)


def with_experts(
    layers: tuple[LayerSpec, ...], ffn: FFNSpec, moe: MoESpec, step: int
) -> tuple[LayerSpec, ...]:
    """Return the stack with the mixture in the second of every `step` layers."""
    return tuple(
        replace(layer, ffn=moe if step == 1 or (step and i % step == 1) else ffn)
        for i, layer in enumerate(layers)
    )
