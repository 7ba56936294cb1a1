"""Gated DeltaNet and Kimi Delta Attention (KDA): a short convolution, the delta rule
with gates that forget, a norm and a gate on what comes out.

Symbols: b batch, t tokens, d model width, h value heads, m key heads, k key width, v
value width. Papers write alpha for exp(g), and beta as here.

    decay     g = -exp(rate) softplus(W x + step), one a head; KDA: one a channel
    strength  beta = sigmoid(W x), one a head
    keys      silu(conv(W x)), then length 1; queries alike, and times 1 / sqrt(k)
    output    norm(y) * silu(W x); KDA: norm(y) * sigmoid(W x)

Terms:
    gated DeltaNet layer: the delta rule with one gate a head, between a short
        convolution and a gated norm -> GatedDeltaNet
    Kimi Delta Attention layer, KDA layer: the delta rule with a gate for each channel
        -> KimiDelta
    norm and gate of a state: what is read is normed a head, and times a gate made from
        the input -> DeltaMixer.gated
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.norms import RMSNorm
from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.layers.recurrent.delta_rule import delta_rule_chunked, unit
from course_lib.layers.recurrent.linear_attention import Keys, Values
from course_lib.layers.recurrent.mixer import RecurrentMixer, States, without_padding

Stream = Float[Tensor, "b t d"]
Kept = Bool[Tensor, "b t"] | None

SLOWEST, FASTEST = 1e-3, 0.1
"""How much a head forgets a token at the start, its rate aside."""


class DeltaMixer(RecurrentMixer):
    """What both have in common: projections, convolution, strength, norm and state.

    Args:
        d: model width.
        key_heads, value_heads: m and h; m divides h, and each key head serves h / m
            neighbours.
        key_dim, value_dim: k and v.
        conv: width of the short convolution over queries, keys and values.
        gates: decays of a token.
        norm_eps: of the norm on the output.
        chunk: tokens at a time of the chunked form.
    """

    accumulators = ("memory",)
    strongest = 1.0

    def __init__(
        self,
        d: int,
        key_heads: int,
        value_heads: int,
        key_dim: int,
        value_dim: int,
        *,
        conv: int,
        gates: int,
        norm_eps: float,
        chunk: int,
    ) -> None:
        super().__init__()
        if key_heads < 1 or value_heads % key_heads:
            raise ValueError(
                f"key_heads={key_heads}: allowed are divisors of "
                f"value_heads={value_heads}"
            )
        self.key_heads, self.heads = key_heads, value_heads
        self.key_dim, self.value_dim, self.chunk = key_dim, value_dim, chunk
        keys, values = key_heads * key_dim, value_heads * value_dim
        self.widths = keys, keys, values
        self.wq, self.wk, self.wv = (nn.Linear(d, w, bias=False) for w in self.widths)
        self.conv = CausalConv(sum(self.widths), conv, bias=False)
        self.strength = nn.Linear(d, value_heads, bias=False)
        self.rate, self.step = start_of_decay(value_heads, gates)
        self.norm = RMSNorm(value_dim, norm_eps)
        self.wo = nn.Linear(values, d, bias=False)
        self.state_shapes = {
            "memory": (value_heads, key_dim, value_dim),
            "inputs": (sum(self.widths), conv),
        }

    def convolved(
        self, x: Stream, kept: Kept, states: States
    ) -> tuple[Keys, Keys, Values, Tensor]:
        """Queries and keys of length 1 for each value head, values, and the last inputs
        of the convolution.
        """
        line = torch.cat([self.wq(x), self.wk(x), self.wv(x)], -1)
        line, inputs = self.conv(line, states["inputs"], kept)
        q, k, v = F.silu(line).split(self.widths, -1)
        share = self.heads // self.key_heads
        q, k = (
            unit(part.unflatten(-1, (self.key_heads, -1))).repeat_interleave(share, 2)
            for part in (q, k)
        )
        return q * self.key_dim**-0.5, k, v.unflatten(-1, (self.heads, -1)), inputs

    def decay(self, x: Stream) -> Float[Tensor, "b t h gates"]:
        """The log decay g of each token."""
        raise NotImplementedError

    def gated(self, y: Values, x: Stream) -> Values:
        """What comes out of the state, normed and gated."""
        raise NotImplementedError

    def mix(self, x: Stream, kept: Kept, states: States) -> tuple[Stream, States]:
        q, k, v, inputs = self.convolved(x, kept, states)
        beta = self.strongest * torch.sigmoid(self.strength(x))
        beta = without_padding(kept, beta)
        decay = without_padding(kept, self.decay(x))
        y, memory = delta_rule_chunked(
            *(q, k, v, beta, decay), state=states["memory"], chunk=self.chunk
        )
        y = self.wo(self.gated(y, x).flatten(2))
        return y, {"memory": memory, "inputs": inputs}


class GatedDeltaNet(DeltaMixer):
    """Gated DeltaNet: one decay a head, a SiLU gate on the output (Qwen3-Next).

    Args:
        d, key_heads, value_heads, key_dim, value_dim, conv, norm_eps, chunk: as in
            `DeltaMixer`.
        strongest: the largest beta. With 2, what a key recalls may change its sign.

    Raises:
        ValueError: `key_heads` does not divide `value_heads`.

    *Cost*: `costs/mixers/delta_rule`.
    *Source*: Yang et al. 2024, arXiv:2412.06464.

    >>> layer = GatedDeltaNet(8, 1, 2, 4, 4, conv=4)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d: int,
        key_heads: int,
        value_heads: int,
        key_dim: int,
        value_dim: int,
        *,
        conv: int,
        strongest: float = 1.0,
        norm_eps: float = 1e-6,
        chunk: int = 64,
    ) -> None:
        sizes = key_heads, value_heads, key_dim, value_dim
        options = {"conv": conv, "norm_eps": norm_eps, "chunk": chunk}
        super().__init__(d, *sizes, gates=1, **options)
        self.strongest = strongest
        self.forget = nn.Linear(d, value_heads, bias=False)
        self.gate = nn.Linear(d, value_heads * value_dim, bias=False)

    def decay(self, x: Stream) -> Float[Tensor, "b t h 1"]:
        return log_decay(self.forget(x), self.rate, self.step)[..., None]

    def gated(self, y: Values, x: Stream) -> Values:
        return self.norm(y) * F.silu(self.gate(x).unflatten(-1, (self.heads, -1)))


class KimiDelta(DeltaMixer):
    """Kimi Delta Attention: a decay for each channel, a sigmoid gate on the output.

    Args:
        d, heads, head_dim, conv, norm_eps, chunk: as in `DeltaMixer`; keys and values
            have as many heads of one width.
        decay_rank, gate_rank: inner widths of the projections to the decay and to the
            output's gate; None for one matrix each.

    *Cost*: `costs/mixers/kimi_delta`.
    *Source*: Kimi Team 2025, arXiv:2510.26692.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        head_dim: int,
        *,
        conv: int,
        decay_rank: int | None = None,
        gate_rank: int | None = None,
        norm_eps: float = 1e-6,
        chunk: int = 32,
    ) -> None:
        options = {"conv": conv, "norm_eps": norm_eps, "chunk": chunk}
        super().__init__(d, heads, heads, head_dim, head_dim, gates=head_dim, **options)
        self.forget = projection(d, heads * head_dim, decay_rank)
        self.gate = projection(d, heads * head_dim, gate_rank)

    def decay(self, x: Stream) -> Float[Tensor, "b t h k"]:
        raw = self.forget(x).unflatten(-1, (self.heads, -1))
        step = self.step.view(self.heads, -1)
        return log_decay(raw, self.rate[:, None], step)

    def gated(self, y: Values, x: Stream) -> Values:
        gate = self.gate(x).unflatten(-1, (self.heads, -1))
        return self.norm(y) * torch.sigmoid(gate)


def log_decay(raw: Tensor, rate: Tensor, step: Tensor) -> Tensor:
    """g = -exp(rate) softplus(raw + step), in float32 at least."""
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
    return -rate.exp() * F.softplus(raw + step)


def start_of_decay(heads: int, gates: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Rates and steps with which heads, and channels of a head, begin to forget at
    different speeds: from a thousandth of the state with each token to most of it.

    *Differs from source*: spread evenly, where `transformers` and the authors draw.
    """
    rate = torch.linspace(1.0, 16.0, heads).log()
    share = torch.logspace(0.0, 1.0, heads * gates, base=FASTEST / SLOWEST) * SLOWEST
    step = share + torch.log(-torch.expm1(-share))  # softplus(step) is the share
    return nn.Parameter(rate), nn.Parameter(step)


def projection(d: int, width: int, rank: int | None) -> nn.Module:
    """A matrix from d to `width`, or two through a narrow `rank`."""
    if rank is None:
        return nn.Linear(d, width, bias=False)
    inner = nn.Linear(d, rank, bias=False), nn.Linear(rank, width, bias=False)
    return nn.Sequential(*inner)
