"""Block-recurrent Transformer: a Transformer layer as the cell of a recurrent network.
It reads a block of tokens at a time and keeps a set of state vectors.

Symbols: b batch, t tokens of a block, n state vectors, d model width, h heads. For a
block of tokens X and the state S:

    upwards   X <- X + [self-attention of X; attention of X to S] W;  X <- X + mlp(X)
    sideways  Z  = [self-attention of S; attention of S to X] W'
              S <- S * g + Z * (1 - g), g = sigmoid(b)              the fixed gate
              S <- S * sigmoid(f(Z) + 1) + tanh(z(Z)) * sigmoid(i(Z) - 1)  LSTM's

The states of a block are read by the next one only, so a token sees none ahead. Inside
a block all is parallel; over blocks the cost is linear.

Terms:
    block-recurrent Transformer, recurrent cell of attention: state vectors and tokens
        of a block attend to one another; gates write the state -> BlockRecurrentLayer
    fixed gate: a learned rate for each coordinate at which a state takes in what is
        new -> BlockRecurrentLayer
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend
from course_lib.layers.feed_forward.mlp import MLP
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL
from course_lib.layers.norms import RMSNorm

State = Float[Tensor, "b n d"]
GATES = ("fixed", "lstm")


class TwoWayAttention(nn.Module):
    """Queries of one set attend to their own set and to another; one projection brings
    both results back.

    *Equation*: [softmax(q k_own^T) v_own; softmax(q' k_other^T) v_other] W.
    """

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.own = nn.Linear(d, 3 * d, bias=False)
        self.wq = nn.Linear(d, d, bias=False)
        self.other = nn.Linear(d, 2 * d, bias=False)
        self.wo = nn.Linear(2 * d, d, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        other: Float[Tensor, "b s d"],
        *,
        causal: bool,
    ) -> Float[Tensor, "b t d"]:
        places, there = _places(x), _places(other)
        heads = self.heads, -1
        q, k, v = (part.unflatten(-1, heads) for part in self.own(x).chunk(3, -1))
        mask = (CAUSAL if causal else BIDIRECTIONAL).mask(places, places)
        within, _ = attend(q, k, v, mask)
        k, v = (part.unflatten(-1, heads) for part in self.other(other).chunk(2, -1))
        q = self.wq(x).unflatten(-1, heads)
        across, _ = attend(q, k, v, BIDIRECTIONAL.mask(places, there))
        return self.wo(torch.cat([within.flatten(2), across.flatten(2)], -1))


class BlockRecurrentLayer(nn.Module):
    """One cell: a block of tokens and the state before it, to the tokens' new vectors
    and the state after it.

    Args:
        d, heads, states: d, h, n. ffn: inner width of the MLP; 4 d when left out.
        gate: "fixed" or "lstm".

    Raises:
        ValueError: `heads` does not divide d, `states` is below 1, or `gate` is another
        word.

    *Cost*: for each block t^2 + 2 t n + n^2 pairs a head: linear in the text's length.
        State n d numbers.
    *Source*: Hutchins et al. 2022, section 3, arXiv:2203.07852.
    *Differs from source*: no sliding window over the block before, no keys shared by
        the two directions, no positions of tokens (give them before), and no MLP in the
        sideways direction.

    >>> layer = BlockRecurrentLayer(8, heads=2, states=3)
    >>> x, state = layer(torch.zeros(1, 5, 8), layer.start(1))
    >>> x.shape, state.shape
    (torch.Size([1, 5, 8]), torch.Size([1, 3, 8]))
    """

    def __init__(
        self,
        d: int,
        heads: int,
        states: int,
        *,
        ffn: int | None = None,
        gate: str = "fixed",
    ) -> None:
        super().__init__()
        if heads < 1 or d % heads:
            raise ValueError(f"heads={heads}: allowed are the divisors of d={d}")
        if states < 1:
            raise ValueError(f"states={states}: allowed are whole numbers from 1")
        if gate not in GATES:
            raise ValueError(f"gate={gate!r}: allowed are {', '.join(GATES)}")
        self.first = nn.Parameter(torch.randn(states, d) * 0.1)
        self.identity = nn.Parameter(torch.randn(states, d) * 0.1)
        self.norm, self.state_norm, self.ffn_norm = (RMSNorm(d) for _ in range(3))
        self.upwards, self.sideways = (
            TwoWayAttention(d, heads),
            TwoWayAttention(d, heads),
        )
        self.ffn = MLP(d, 4 * d if ffn is None else ffn)
        self.lstm = nn.Linear(d, 3 * d) if gate == "lstm" else None
        self.rate = nn.Parameter(torch.ones(d)) if gate == "fixed" else None

    def forward(
        self, x: Float[Tensor, "b t d"], state: State
    ) -> tuple[Float[Tensor, "b t d"], State]:
        normed, known = self.norm(x), self.state_norm(state) + self.identity
        x = x + self.upwards(normed, known, causal=True)
        x = x + self.ffn(self.ffn_norm(x))
        new = self.sideways(known, normed, causal=False)
        return x, self.write(state, new)

    def write(self, state: State, new: State) -> State:
        """The state after a block, by the layer's gate."""
        if self.rate is not None:
            kept = torch.sigmoid(self.rate)
            return state * kept + new * (1 - kept)
        forget, take, value = self.lstm(new).chunk(3, -1)
        kept, taken = torch.sigmoid(forget + 1), torch.sigmoid(take - 1)
        return state * kept + torch.tanh(value) * taken

    def start(self, batch: int) -> State:
        """The learned state before the first block."""
        return self.first.expand(batch, -1, -1)

    def read(
        self,
        x: Float[Tensor, "b t d"],
        block: int,
        state: State | None = None,
        *,
        detach: bool = False,
    ) -> tuple[Float[Tensor, "b t d"], State]:
        """A whole row, block by block; `detach` stops the gradient between blocks.

        Raises:
            ValueError: `block` is below 1.
        """
        if block < 1:
            raise ValueError(f"block={block}: allowed are whole numbers from 1")
        state, rows = self.start(len(x)) if state is None else state, []
        for piece in x.split(block, 1):
            y, state = self(piece, state.detach() if detach else state)
            rows.append(y)
        return torch.cat(rows, 1), state


def _places(x: Float[Tensor, "b t d"]) -> Int[Tensor, "b t"]:
    return torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
