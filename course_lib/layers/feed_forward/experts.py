"""Experts: e feed-forward networks of one shape with stacked weights, and the shared
expert that every token visits.

Symbols: e experts, d model width, f width inside an expert, c tokens of one expert.
Weights are stacked as gate [e f d], up [e f d], down [e d f]; Hugging Face packs the
first two as gate_up_proj [e 2f d].

Terms:
    expert, stacked expert weights: one of e feed-forward networks of the same shape ->
        Experts
    clamped SwiGLU: gate and up are clamped before they are multiplied, and up is raised
        by one in gpt-oss -> clamped_swiglu
    shared-expert gate: a sigmoid of the token by which the shared expert's output is
        multiplied -> SharedExpert
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.layers.feed_forward.mlp import MLP, GatedMLP, activation_named

CLAMPED = "swiglu_clamped"
"""The activation of gpt-oss, by its name in a spec: `clamped_swiglu`."""

Stacked = Float[Tensor, "*e out inner"]
Biases = Float[Tensor, "*e out"]


class ExpertWeights(NamedTuple):
    """The weights of one expert, or of all of them stacked; None for what is absent."""

    up: Stacked
    down: Float[Tensor, "*e inner out"]
    gate: Stacked | None
    up_bias: Biases | None
    down_bias: Float[Tensor, "*e inner"] | None
    gate_bias: Biases | None


def clamped_swiglu(
    gate: Float[Tensor, "*c f"],
    up: Float[Tensor, "*c f"],
    limit: float = 7.0,
    alpha: float = 1.702,
) -> Float[Tensor, "*c f"]:
    """gpt-oss's SwiGLU, whose values cannot grow beyond a limit.

    *Equation*: (up + 1) * gate sigmoid(alpha gate), with gate at most `limit` and up
        between -limit and limit.

    *Source*: OpenAI 2025, model card of gpt-oss, arXiv:2508.10925; limit and alpha as
        `transformers` 5.23 has them.
    """
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * gate * torch.sigmoid(alpha * gate)


class Experts(nn.Module):
    """e networks of one shape, of which each is called by its number.

    *Equation*: y = W_down (act(W_gate x) * W_up x), or W_down act(W_up x) where not
        `gated`, with the weights of expert i.

    Args:
        e: how many.
        d, f: model width, width inside one expert. Many narrow experts in the place of
            few wide ones are called fine-grained.
        activation: a name in `mlp.ACTIVATIONS`, or "swiglu_clamped".
        gated: whether there is a gate.
        bias: whether the matrices have biases, zero at the start.
        limit: gate is clamped from above, up on both sides (DeepSeek-V4); for
            "swiglu_clamped" 7 when left out.

    Raises:
        ValueError: e is below 1, or the activation is unknown, or a limit has no gate.

    *Cost*: 3 e d f parameters (2 without gate), 6 d f FLOPs for each pick of a token.
    *Source*: Shazeer et al. 2017, arXiv:1701.06538; fine-grained: Dai et al. 2024,
        section 3.1, arXiv:2401.06066.

    >>> experts = Experts(3, 4, 8)
    >>> experts(torch.zeros(5, 4), 2).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        e: int,
        d: int,
        f: int,
        *,
        activation: str = "silu",
        gated: bool = True,
        bias: bool = False,
        limit: float | None = None,
    ) -> None:
        super().__init__()
        if e < 1:
            raise ValueError(f"e={e}: allowed are 1 and more")
        clamped = activation == CLAMPED
        if (clamped or limit is not None) and not gated:
            raise ValueError(f"gated=False: {CLAMPED} and a limit need a gate")
        self.e, self.activation = e, activation
        self.limit = 7.0 if clamped and limit is None else limit
        self.act = None if clamped else activation_named(activation)
        self.up = _uniform(e, f, d)
        self.down = _uniform(e, d, f)
        self.register_parameter("gate", _uniform(e, f, d) if gated else None)
        for name, width in (("up", f), ("down", d), ("gate", f)):
            has = bias and (gated or name != "gate")
            zeros = nn.Parameter(torch.zeros(e, width)) if has else None
            self.register_parameter(f"{name}_bias", zeros)

    def forward(self, x: Float[Tensor, "c d"], index: int) -> Float[Tensor, "c d"]:
        """What expert `index` makes of its tokens."""
        return self.run(x, self.of([index])[0])

    def run(
        self, x: Float[Tensor, "*e c d"], weights: ExpertWeights
    ) -> Float[Tensor, "*e c d"]:
        """One expert on its tokens [c d], or all of them at once, stacked, on as many
        tokens each [e c d].
        """
        up = _linear(x, weights.up, weights.up_bias)
        gate = weights.gate
        gate = None if gate is None else _linear(x, gate, weights.gate_bias)
        return _linear(self.bend(gate, up), weights.down, weights.down_bias)

    def each(self) -> list[ExpertWeights]:
        """The weights of every expert, as in `of`."""
        return self.of(range(self.e))

    def bend(
        self, gate: Float[Tensor, "*c f"] | None, up: Float[Tensor, "*c f"]
    ) -> Float[Tensor, "*c f"]:
        """The inner vector, from gate and up."""
        if gate is None:
            return self.act(up)
        if self.activation == CLAMPED:
            return clamped_swiglu(gate, up, self.limit)
        if self.limit is not None:
            gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return self.act(gate) * up

    def stacked(self) -> ExpertWeights:
        """The weights of all experts."""
        biases = self.up_bias, self.down_bias, self.gate_bias
        return ExpertWeights(self.up, self.down, self.gate, *biases)

    def of(self, indices: Sequence[int]) -> list[ExpertWeights]:
        """The weights of some experts, for a loop over them.

        With gradients they come from `unbind`, whose gradient stacks what the experts
        return, once. That of `w[i]` is a tensor as large as all experts together, for
        each of them.
        """
        whole = self.stacked()
        if torch.is_grad_enabled():
            whole = [None if w is None else w.unbind() for w in whole]
        return [
            ExpertWeights(*[None if w is None else w[i] for w in whole])
            for i in indices
        ]


class SharedExpert(nn.Module):
    """The shared experts as the one network that they run as, optionally gated.

    *Equation*: y = sigmoid(W_g x) network(x), or network(x) without `gate`.

    Args:
        network: an MLP as wide as the shared experts together.
        d: model width; with a gate.
        gate: whether a scalar of each token weighs the output (Qwen2-MoE).

    *Source*: Dai et al. 2024, section 3.2, arXiv:2401.06066 (DeepSeekMoE).
    """

    def __init__(self, network: MLP | GatedMLP, d: int, *, gate: bool = False) -> None:
        super().__init__()
        self.network = network
        self.gate = nn.Linear(d, 1, bias=False) if gate else None

    def forward(self, x: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes d"]:
        y = self.network(x)
        return y if self.gate is None else torch.sigmoid(self.gate(x)) * y


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = x @ weight.mT
    return y if bias is None else y + bias.unsqueeze(-2)


def _uniform(e: int, out: int, inner: int) -> nn.Parameter:
    """Stacked matrices that start as `nn.Linear` does."""
    bound = inner**-0.5
    return nn.Parameter(torch.empty(e, out, inner).uniform_(-bound, bound))
