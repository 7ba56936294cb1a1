"""Training loss of a language model with mixtures of experts: cross-entropy, and the
balance losses that its layers leave beside the stream.

    loss = cross-entropy + sum over the MoE layers of weight * balance loss

In evaluation the cross-entropy stands alone, so that models are compared by what they
predict. A selection bias belongs to no loss: it is moved after the pass, by the load of
that batch.

Terms:
    total training loss of a mixture: cross-entropy plus weighted balance losses ->
        balanced_loss
"""

import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.layers.feed_forward.balance import switch_loss, update_bias
from course_lib.layers.feed_forward.moe import MoE
from course_lib.train.loop import next_token_loss

WEIGHT = 0.01
"""Of the balance loss, as in Switch (Fedus et al. 2021, section 2.2)."""


def balanced_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The cross-entropy of a batch, in training with the balance loss of every MoE
    layer, weighted by `WEIGHT`; nats a token.

    Args:
        model: called as model(inputs, return_auxiliary=True).
        batch: inputs and targets [b t].
    """
    if not model.training:
        return next_token_loss(model, batch)
    inputs, targets = batch
    logits, auxiliary = model(inputs, return_auxiliary=True)
    left = auxiliary.statistics
    losses = (
        switch_loss(scores, left[layer, "picks"])
        for (layer, name), scores in left.items()
        if name == "scores"
    )
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    return loss + WEIGHT * sum(losses)


def biases_updated(model: nn.Module, statistics: dict, rate: float = 0.001) -> None:
    """Move the selection bias of each MoE layer by the load that it left in the last
    pass: `Auxiliary.statistics` of that pass.
    """
    for layer, block in enumerate(model.blocks):
        ffn = block.ffn
        if isinstance(ffn, MoE) and ffn.router.selection_bias is not None:
            load = statistics[layer, "load"]
            moved = update_bias(ffn.router.selection_bias, load, rate)
            ffn.router.selection_bias.copy_(moved)
