"""Training loss of a language model with mixtures of experts (MoE): cross-entropy, and
the balance loss of Switch for each layer with experts.

    loss = cross-entropy + weight * sum over the MoE layers of e sum_i f_i P_i

It is made from the scores and picks that the layers leave beside the stream. In
evaluation the cross-entropy stands alone, so that models are compared by what they
predict.

Terms:
    total training loss of a mixture: cross-entropy plus weighted balance losses ->
        balanced_loss
"""

import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.layers.feed_forward.balance import switch_loss
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
