"""GRU and LSTM: recurrent networks with gates, one token after another. What a state
keeps is decided by the state itself, so no form computes all tokens at once.

Symbols: b batch, t tokens, d model width; h the state, c the LSTM's cell, x_t the
input; * is by coordinate. Matrices W read x_t, U read the state; biases are left out.

    GRU   r, z = sigmoid(W x_t + U h);  n = tanh(W_n x_t + r * (U_n h))
          h <- (1 - z) * n + z * h
    LSTM  i, f, o = sigmoid(W x_t + U h);  g = tanh(W_g x_t + U_g h)
          c <- f * c + i * g;  h <- o * tanh(c)

A linear recurrence (Mamba, linear attention) has no U within its gates: that is what
makes it a scan, and what it gave up.

Terms:
    GRU, gated recurrent unit: a state that a gate replaces by degrees -> GRU
    LSTM, long short-term memory: a cell that gates write, keep and show -> LSTM
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.recurrent.mixer import RecurrentMixer, States

Inputs = Float[Tensor, "b t d"]


class GatedRNN(RecurrentMixer):
    """What GRU and LSTM share: two matrices, the loop over tokens, padding that leaves
    the state alone, and a projection back to the stream.

    Args:
        d: model width. gates: how many vectors of width d a step makes.
    """

    def __init__(self, d: int, gates: int, state: tuple[str, ...]) -> None:
        super().__init__()
        self.into, self.again = nn.Linear(d, gates * d), nn.Linear(d, gates * d)
        self.wo = nn.Linear(d, d, bias=False)
        self.state_shapes = {name: (d,) for name in state}

    def step(
        self, from_input: Float[Tensor, "b gates"], states: States
    ) -> dict[str, Tensor]:
        """The states after one token; "hidden" is what is shown."""
        raise NotImplementedError

    def mix(
        self, x: Inputs, kept: Bool[Tensor, "b t"] | None, states: States
    ) -> tuple[Inputs, States]:
        rows, states = [], dict(states)
        for t, from_input in enumerate(self.into(x).unbind(1)):
            new = self.step(from_input, states)
            if kept is not None:
                real = kept[:, t, None]
                new = {name: torch.where(real, new[name], states[name]) for name in new}
            states = new
            rows.append(states["hidden"])
        return self.wo(torch.stack(rows, 1)), states


class GRU(GatedRNN):
    """A gated recurrent unit as a token mixer.

    *Equation*: that of this module's header.

    *Cost*: 7 d^2 + 6 d parameters, 6 of them in t steps that wait for one another;
        state d numbers.
    *Source*: Cho et al. 2014, arXiv:1406.1078; the reset gate behind the product, as
        `torch.nn.GRU` has it.

    >>> GRU(4)(torch.zeros(1, 3, 4), torch.arange(3)[None]).shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, d: int) -> None:
        super().__init__(d, 3, ("hidden",))

    def step(
        self, from_input: Float[Tensor, "b gates"], states: States
    ) -> dict[str, Tensor]:
        hidden = states["hidden"]
        r_in, z_in, n_in = from_input.chunk(3, -1)
        r_back, z_back, n_back = self.again(hidden).chunk(3, -1)
        r, z = torch.sigmoid(r_in + r_back), torch.sigmoid(z_in + z_back)
        new = torch.tanh(n_in + r * n_back)
        return {"hidden": (1 - z) * new + z * hidden}


class LSTM(GatedRNN):
    """A long short-term memory as a token mixer.

    *Equation*: that of this module's header.

    *Cost*: 9 d^2 + 8 d parameters; state 2 d numbers.
    *Source*: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    >>> LSTM(4).state_shapes
    {'hidden': (4,), 'cell': (4,)}
    """

    def __init__(self, d: int) -> None:
        super().__init__(d, 4, ("hidden", "cell"))

    def step(
        self, from_input: Float[Tensor, "b gates"], states: States
    ) -> dict[str, Tensor]:
        both = from_input + self.again(states["hidden"])
        i, f, g, o = both.chunk(4, -1)
        cell = torch.sigmoid(f) * states["cell"] + torch.sigmoid(i) * torch.tanh(g)
        return {"hidden": torch.sigmoid(o) * torch.tanh(cell), "cell": cell}
