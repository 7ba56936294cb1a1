"""What does the feed-forward network add, at equal parameters?

The standard run's four blocks beside four blocks of attention alone, made wider until
they have as many weights: a block of attention has 4 d^2, and 4 * 112^2 is exactly
4 * 64^2 + 3 * 64 * 176. The token table is wider too, so in all the model without
feed-forward networks has 5.6 % more parameters.
"""

import torch
from torch import Tensor, nn

from course_lib.models.layer_factory import initialise
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task


class Nothing(nn.Module):
    """A feed-forward network that adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros_like(x)


def attention_alone() -> CausalLM:
    """Four blocks of attention, 112 wide."""
    model = CausalLM(small_llama(112, layers=4, heads=4, ffn=8))
    for block in model.blocks:
        block.ffn, block.ffn_norm = Nothing(), nn.Identity()
    initialise(model)
    return model


experiment = Experiment(
    asks="What does the feed-forward network add, at equal parameters?",
    task=stdlib_task(),
    variants={"with FFN": STANDARD, "attention alone": attention_alone},
    seeds=range(8),
)
