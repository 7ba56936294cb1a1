"""Attention over depth (attention residuals): a sublayer is given a softmax mean of all
earlier outputs in place of their sum.

Symbols: b batch, t tokens, d model width; v_0 the embedding, v_i what sublayer i gave;
w_i a learned query of sublayer i, the same for all tokens.

    residual   h_i = v_0 + v_1 + ... + v_(i-1)
    attention  h_i = sum over j < i of a_ij v_j,  a_i = softmax(w_i . norm(v_j))
    by blocks  outputs within a block of layers are summed; attention is over the sums
               of whole blocks and the part of the block at hand

A query of zeros makes h_i the mean, and a pre-norm sublayer does not see the factor
between mean and sum: so the stack starts as an ordinary one.

Terms:
    attention over depth, attention residuals, AttnRes: a learned query a sublayer
        weighs the outputs of all sublayers below -> DepthAttention, DepthAttentionLM
    block attention residuals: attention over sums of whole blocks, so that few vectors
        are kept -> DepthAttentionLM
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.per_forward import PerForward
from course_lib.models.hybrids.plain_blocks import check_plain, feed_forward
from course_lib.models.lm import CausalLM, Logits


class DepthAttention(nn.Module):
    """The input of one sublayer from the outputs of those below.

    *Equation*: a = softmax over j of s w . rms(v_j); h = sum of a_j v_j, or of a_j
        rms(v_j) with `normed_values`.

    Args:
        d: model width. scale: s.
        normed_values: whether the summed vectors are divided by their root mean square
            (Inkling 2), too.

    *Cost*: d parameters; 4 d FLOPs a token and earlier output.
    *Source*: Kimi Team 2026, arXiv:2603.15031; with s = 1 / sqrt(d) and normed values
        `Inkling2BlockAttentionResidual` of transformers 5.23.
    """

    def __init__(
        self, d: int, *, scale: float = 1.0, normed_values: bool = False
    ) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(d))
        self.scale, self.normed_values = scale, normed_values

    def forward(self, outputs: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t d"]:
        return (self.weights(outputs)[..., None] * self.values(outputs)).sum(-2)

    def weights(self, outputs: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n"]:
        """How much of each output is taken; they sum to 1."""
        return (self.scale * _unit(outputs) @ self.query).softmax(-1)

    def values(self, outputs: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n d"]:
        """What is summed."""
        return _unit(outputs) if self.normed_values else outputs


class DepthAttentionLM(nn.Module):
    """A causal model whose sublayers attend over depth.

    Args:
        model: of pre-norm attention blocks; its sublayers, embedding and head are used.
        block: layers of which the outputs are summed, from the first on; None attends
            over every sublayer's own output. A block of all layers leaves the embedding
            and one sum.

    Raises:
        ValueError: `block` is below 1, or the model has other blocks.

    *Cost*: one vector a token for each output that is kept: 2 l + 1, or about l / block
        + 2.
    *Source*: Kimi Team 2026, arXiv:2603.15031.

    >>> from course_lib.specs.small import small_llama
    >>> model = DepthAttentionLM(CausalLM(small_llama(8, heads=2)))
    >>> model(torch.zeros(1, 5, dtype=torch.long)).shape, len(model.attend)
    (torch.Size([1, 5, 256]), 5)
    """

    def __init__(self, model: CausalLM, block: int | None = None) -> None:
        super().__init__()
        if block is not None and block < 1:
            raise ValueError(f"block={block}: allowed are None and numbers from 1")
        check_plain(model)
        self.model, self.block = model, block
        places = range(2 * len(model.blocks) + 1)  # each sublayer, and the final norm
        self.attend = nn.ModuleList(DepthAttention(model.spec.width) for _ in places)

    def forward(self, tokens: Int[Tensor, "b t"]) -> Logits:
        """Score the vocabulary after each token."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        positions, shared = places.expand(len(tokens), -1), PerForward()
        outputs = [self.model.embed(tokens, positions)]
        attend = iter(self.attend)
        for layer, block in enumerate(self.model.blocks):
            x = next(attend)(torch.stack(outputs, -2))
            mixed = block.mixer(block.mixer_norm(x), positions, None, shared)
            self._keep(outputs, mixed, 2 * layer)
            x = next(attend)(torch.stack(outputs, -2))
            self._keep(outputs, feed_forward(block, x), 2 * layer + 1)
        x = next(attend)(torch.stack(outputs, -2))
        return self.model.score(self.model.final_norm(x))

    def _keep(self, outputs: list[Tensor], new: Tensor, sublayer: int) -> None:
        """Add a sublayer's output to its block's sum, or begin another."""
        if self.block is None or sublayer % (2 * self.block) == 0:
            outputs.append(new)
        else:
            outputs[-1] = outputs[-1] + new


def _unit(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)
