"""Leaky integrate-and-fire neurons (LIF): a membrane adds up its inputs, leaks, and
sends an event, a spike, when it passes a threshold.

Symbols: b batch, t steps, d neurons; u membrane, beta what is left of it after a step,
theta the threshold, s the spike, 0 or 1.

    u_t = beta u_(t-1) + x_t - theta [u_(t-1) > theta];   s_t = [u_t > theta]

The reset comes a step late, by the membrane before. Without a threshold this is a
linear recurrence with a fixed decay, linear attention of width 1. A step has slope 0
everywhere, so training puts a smooth slope in its place on the way back.

Terms:
    spiking neuron, LIF, leaky integrate-and-fire: a leaking sum of inputs that sends an
        event above a threshold -> lif
    surrogate gradient: a smooth slope in place of a step's, backward alone -> Spike
    spike rate, firing rate: events a neuron and step -> spike_rate
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

Steps = Float[Tensor, "b t d"]
Membrane = Float[Tensor, "b d"]


class Spike(torch.autograd.Function):
    """A step function, with the slope of an arctangent on the way back.

    *Equation*: s = [x > 0]; ds/dx taken as (a / 2) / (1 + (pi a x / 2)^2), a = 2.
    *Source*: surrogate gradients, Neftci et al. 2019, arXiv:1901.09948; this slope is
        snnTorch's default, Eshraghian et al. 2021, arXiv:2109.12894.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope / (1 + (torch.pi * x).square())


def lif(
    x: Steps,
    beta: float | Tensor,
    threshold: float = 1.0,
    *,
    membrane: Membrane | None = None,
) -> tuple[Steps, Steps]:
    """Spikes and membranes of neurons that are each given their own input.

    Args:
        x: input of each neuron at each step.
        beta: what is left of the membrane after a step, one for all or one a neuron.
        threshold: theta, above which a spike is sent; infinite for none.
        membrane: before the first step; zeros when left out. It is one of the
            membranes that an earlier call returned, so that a text goes on.

    Returns:
        spikes and membranes after each step.

    *Cost*: a multiplication, an addition and a comparison a neuron and step, whether
        there are events or not.
    *Source*: Eshraghian et al. 2021, section 3, arXiv:2109.12894.

    >>> spikes, membranes = lif(torch.full((1, 4, 1), 0.75), beta=0.5)
    >>> spikes.flatten().tolist(), membranes.flatten().tolist()
    ([0.0, 1.0, 0.0, 0.0], [0.75, 1.125, 0.3125, 0.90625])
    """
    u = x.new_zeros(len(x), x.shape[-1]) if membrane is None else membrane
    high, low = x.new_tensor(threshold), x.new_zeros(())
    spikes, membranes = [], []
    for step in x.unbind(1):
        reset = torch.where(u > threshold, high, low)
        u = beta * u + step - reset
        membranes.append(u)
        spikes.append(Spike.apply(u - threshold))
    return torch.stack(spikes, 1), torch.stack(membranes, 1)


def lif_naive(
    x: list[float], beta: float, threshold: float = 1.0
) -> tuple[list[int], list[float]]:
    """One neuron in plain numbers: the reference for `lif`."""
    u, spikes, membranes = 0.0, [], []
    for step in x:
        u = beta * u + step - (threshold if u > threshold else 0.0)
        spikes.append(int(u > threshold))
        membranes.append(u)
    return spikes, membranes


class SpikingLayer(nn.Module):
    """A dense layer whose neurons send spikes.

    Args:
        d: numbers or spikes that come in. neurons: that send.
        beta: leak. threshold: theta.

    *Equation*: s = lif(W x + b).

    >>> SpikingLayer(3, 5)(torch.ones(2, 4, 3)).shape
    torch.Size([2, 4, 5])
    """

    def __init__(
        self, d: int, neurons: int, beta: float = 0.9, threshold: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= beta <= 1:
            raise ValueError(f"beta={beta}: allowed are numbers from 0 to 1")
        self.weights = nn.Linear(d, neurons)
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t neurons"]:
        return lif(self.weights(x), self.beta, self.threshold)[0]


def spike_rate(spikes: Steps) -> float:
    """Events a neuron and step, 0 to 1."""
    return spikes.mean().item()
