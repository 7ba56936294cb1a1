"""Does a mixture of experts predict better than a dense network of the same FLOPs a
token?

The standard run, with its feed-forward networks of width 176 in all four blocks, beside
the same blocks with eight experts of width 88, of which each token visits two: 176
columns too, so that a token is multiplied by equally many weights but for the router
(64 x 8, 1.5 % of the block's feed-forward weights). Stored are four times as many.
Balance loss of Switch, weight 0.01.

Each model is scored, too, on how evenly its experts are used over the held-out bytes,
and on what they specialise in: the mutual information of expert and class of the byte,
beside that after the classes were shuffled.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from course_lib.evaluate.specialisation import (
    CLASSES,
    byte_class,
    expert_information,
    shuffled_information,
)
from course_lib.layers.feed_forward.balance import (
    dead_experts,
    entropy,
    expert_load,
    max_over_mean,
)
from course_lib.models.lm import CausalLM
from course_lib.specs.records import FFNSpec, ModelSpec, MoESpec
from course_lib.train.balanced import balanced_loss
from course_lib.train.experiment import Experiment, Variant
from course_lib.train.standard import STANDARD, stdlib_task

EXPERTS, TOP_K, WIDTH = 8, 2, 88
DENSE = stdlib_task()


def mixture() -> ModelSpec:
    """The standard model with a mixture in each block."""
    expert = FFNSpec(kind="glu", activation="silu", width=WIDTH)
    moe = MoESpec(experts=EXPERTS, top_k=TOP_K, expert=expert)
    layers = (replace(layer, ffn=moe) for layer in STANDARD.layers)
    return replace(STANDARD, layers=tuple(layers))


@torch.no_grad()
def routed(model: CausalLM) -> tuple[Tensor, list[Tensor]]:
    """The held-out bytes [n], and each layer's picks for them [n k]."""
    bytes_, picks = [], [[] for _ in model.blocks]
    for inputs, _ in DENSE.held_out:
        _, auxiliary = model(inputs, return_auxiliary=True)
        bytes_.append(inputs.flatten())
        for layer, found in enumerate(picks):
            found.append(auxiliary.statistics[layer, "picks"])
    return torch.cat(bytes_), [torch.cat(found) for found in picks]


def use_of_experts(model: CausalLM) -> Mapping[str, float]:
    """For each layer its load and its specialisation; names begin with the layer."""
    tokens, layers = routed(model)
    classes, sizes = byte_class(tokens), (len(CLASSES), EXPERTS)
    scores = {}
    for number, picks in enumerate(layers, start=1):
        load, draw = expert_load(picks, EXPERTS), torch.Generator().manual_seed(0)
        shuffled = shuffled_information(
            classes, picks, *sizes, draws=20, generator=draw
        )
        scores |= {
            f"{number} max/mean": max_over_mean(load),
            f"{number} entropy": entropy(load),
            f"{number} dead": dead_experts(load),
            f"{number} class bits": expert_information(classes, picks, *sizes),
            f"{number} shuffled class bits": max(shuffled),
            f"{number} byte bits": expert_information(tokens, picks, 256, EXPERTS),
        }
    return scores


experiment = Experiment(
    asks="Does a mixture of experts beat a dense network of equal FLOPs a token?",
    task=replace(DENSE, loss=balanced_loss, scores=use_of_experts),
    variants={
        "dense": Variant(STANDARD, task=DENSE),
        "8 experts, 2 a token": mixture(),
    },
    seeds=range(8),
    updates=(350, 700, 1400),
)
