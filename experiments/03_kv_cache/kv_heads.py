"""Sharing keys and values among query heads, at equal parameters: MHA, GQA and MQA.

What fewer key/value heads save in W_K and W_V is spent on the feed-forward network, as
designers do. With 1 head that comes out even (176 + 32 columns). With 2 it does not: 85
columns over four layers leave 64 of 217,664 parameters unspent.
"""

from dataclasses import replace

from course_lib.specs.records import ModelSpec
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task


def shared(kv_heads: int, columns: tuple[int, ...]) -> ModelSpec:
    """The standard model with `kv_heads` in every layer, and so many more columns in
    each layer's feed-forward network.
    """
    layers = [
        replace(
            layer,
            mixer=replace(layer.mixer, kv_heads=kv_heads),
            ffn=replace(layer.ffn, width=layer.ffn.width + more),
        )
        for layer, more in zip(STANDARD.layers, columns, strict=True)
    ]
    return replace(STANDARD, layers=tuple(layers))


experiment = Experiment(
    asks="Does a model predict worse when its query heads share keys and values?",
    task=stdlib_task(),
    variants={
        "MHA, 4 KV heads": STANDARD,
        "GQA, 2 KV heads": shared(2, (21, 21, 21, 22)),
        "MQA, 1 KV head": shared(1, (32, 32, 32, 32)),
    },
    seeds=range(12),
)
