"""GRU and LSTM: recurrent networks with gates, one token after another. What a state
keeps is decided by the state itself, so no form computes all tokens at once.

Symbols: b batch, t tokens, d model width, w width of the state; h the state, c the
LSTM's cell, x_t the input; * is by coordinate. Matrices W read x_t, U read the state;
biases are left out.

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
Gates = Float[Tensor, "b gates"]


class GatedRNN(RecurrentMixer):
    """What GRU and LSTM share: two matrices, the loop over tokens, padding that leaves
    the state alone, and a projection back to the stream.

    Args:
        d: model width. width: w.
        gates: how many vectors of width w a step makes. state: names of its tensors.
    """

    def __init__(self, d: int, width: int, gates: int, state: tuple[str, ...]) -> None:
        super().__init__()
        self.into, self.again = (
            nn.Linear(d, gates * width),
            nn.Linear(width, gates * width),
        )
        self.wo = nn.Linear(width, d, bias=False)
        self.state_shapes = {name: (width,) for name in state}
        self.accumulators = state

    def step(
        self, from_input: Gates, again: Gates, states: States
    ) -> dict[str, Tensor]:
        """The states after a token, from W x and U h; "hidden" is what is shown."""
        raise NotImplementedError

    def mix(
        self, x: Inputs, kept: Bool[Tensor, "b t"] | None, states: States
    ) -> tuple[Inputs, States]:
        rows, states = [], dict(states)
        wide = states["hidden"].dtype
        for t, from_input in enumerate(self.into(x).to(wide).unbind(1)):
            again = self.again(states["hidden"].to(x.dtype)).to(wide)
            new = self.step(from_input, again, states)
            if kept is not None:
                real = kept[:, t, None]
                new = {name: torch.where(real, new[name], states[name]) for name in new}
            states = new
            rows.append(states["hidden"])
        return self.wo(torch.stack(rows, 1).to(x.dtype)), states


class GRU(GatedRNN):
    """A gated recurrent unit as a token mixer.

    *Equation*: that of this module's header.

    *Cost*: 3 w (d + w) + w d + 6 w parameters, and t steps that wait for one another;
        state w numbers.
    *Source*: Cho et al. 2014, arXiv:1406.1078; the reset gate behind the product, as
        `torch.nn.GRU` has it.

    >>> GRU(4, 6)(torch.zeros(1, 3, 4), torch.arange(3)[None]).shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__(d, width, 3, ("hidden",))

    def step(
        self, from_input: Gates, again: Gates, states: States
    ) -> dict[str, Tensor]:
        hidden = states["hidden"]
        r_in, z_in, n_in = from_input.chunk(3, -1)
        r_back, z_back, n_back = again.chunk(3, -1)
        r, z = torch.sigmoid(r_in + r_back), torch.sigmoid(z_in + z_back)
        new = torch.tanh(n_in + r * n_back)
        return {"hidden": (1 - z) * new + z * hidden}


class LSTM(GatedRNN):
    """A long short-term memory as a token mixer.

    *Equation*: that of this module's header.

    *Cost*: 4 w (d + w) + w d + 8 w parameters; state 2 w numbers.
    *Source*: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    >>> LSTM(4, 6).state_shapes
    {'hidden': (6,), 'cell': (6,)}
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__(d, width, 4, ("hidden", "cell"))

    def step(
        self, from_input: Gates, again: Gates, states: States
    ) -> dict[str, Tensor]:
        i, f, g, o = (from_input + again).chunk(4, -1)
        cell = torch.sigmoid(f) * states["cell"] + torch.sigmoid(i) * torch.tanh(g)
        return {"hidden": torch.sigmoid(o) * torch.tanh(cell), "cell": cell}
