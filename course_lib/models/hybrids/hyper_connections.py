"""Hyper-connections: the residual stream is widened to n streams, which a sublayer
reads a mix of, writes to, and mixes with one another. mHC keeps the mixing matrix
doubly stochastic, so that no stack of layers can blow the streams up.

Symbols: b batch, t tokens, n streams, d model width, X [b t n d]. HC's paper writes A_m
(n), A_r (n x n) and B (n); mHC's H_pre, H_res and H_post. For a sublayer F:

    x = pre^T X                       the sublayer's input, one vector
    X <- mix^T X + post (F(x))^T      all streams mixed, and the output written to each

    static   pre, mix, post are parameters: hyper-connections at their start
    mHC      they depend on X; pre = sigmoid, post = 2 sigmoid, mix = sinkhorn(exp(...))

A doubly stochastic matrix has rows and columns that sum to 1 and no singular value
above 1: |mix^T X| <= |X|, and the mean of the streams passes unchanged. So does a
product of such matrices. With n = 1 it is the number 1: the residual connection.

Terms:
    hyper-connections, HC: several residual streams, mixed by learned numbers at each
        sublayer -> StaticConnection
    mHC, manifold-constrained hyper-connections: their mixing matrix is kept doubly
        stochastic -> ManifoldConnection
    doubly stochastic matrix, Birkhoff polytope, Sinkhorn-Knopp: rows and columns sum
        to 1; found by dividing by both in turn -> sinkhorn
    residual streams: n copies of the stream that grow apart -> HyperLM
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.per_forward import PerForward
from course_lib.models.hybrids.plain_blocks import check_plain, feed_forward
from course_lib.models.lm import CausalLM, Logits

Streams = Float[Tensor, "b t n d"]
Parts = tuple[Float[Tensor, "*b n"], Float[Tensor, "*b n n"], Float[Tensor, "*b n"]]


def sinkhorn(
    logits: Float[Tensor, "*axes n n"], iterations: int = 20, eps: float = 1e-6
) -> Float[Tensor, "*axes n n"]:
    """A doubly stochastic matrix from any logits: exponentials, then rows and columns
    divided by their sums in turn. The columns come last and sum to 1; the rows do so
    as far as the iterations got, which is less far for steep logits.

    *Source*: Sinkhorn and Knopp 1967; the order of the steps, and eps on exponentials
        and sums, as in DeepSeek-V4 of transformers 5.23.

    >>> sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 2.5]])).sum(1)
    tensor([1.0000, 1.0000])
    >>> sinkhorn(torch.tensor([[0.0, 9.0], [1.0, 2.0]])).sum(1)
    tensor([0.9824, 1.0176])
    """
    mix = logits.softmax(-1) + eps
    mix = mix / (mix.sum(-2, keepdim=True) + eps)
    for _ in range(iterations - 1):
        mix = mix / (mix.sum(-1, keepdim=True) + eps)
        mix = mix / (mix.sum(-2, keepdim=True) + eps)
    return mix


class StaticConnection(nn.Module):
    """Hyper-connections of one sublayer by learned numbers, without a constraint.

    They start so that all n streams are equal and the whole is a pre-norm stack:
    sublayer number i reads stream i mod n, no stream is mixed, each takes the output.

    *Source*: Zhu et al. 2024, sections 2.1 and 2.3, arXiv:2409.19606.
    *Differs from source*: without the part that depends on the token.
    """

    def __init__(self, streams: int, d: int, number: int) -> None:
        super().__init__()
        pre = F.one_hot(torch.tensor(number % streams), streams)
        self.pre = nn.Parameter(pre.to(torch.get_default_dtype()))
        self.mix = nn.Parameter(torch.eye(streams))
        self.post = nn.Parameter(torch.ones(streams))

    def forward(self, streams: Streams) -> Parts:
        return self.pre, self.mix, self.post


class ManifoldConnection(nn.Module):
    """mHC of one sublayer: what is read, mixed and written depends on the streams, and
    the mix is doubly stochastic.

    *Equation*: (p, q, M) = alpha W rms(vec X) + beta; pre = sigmoid(p) + eps, post = 2
        sigmoid(q), mix = sinkhorn(M).

    *Cost*: (n^2 + 2 n) (n d + 1) + 3 parameters.
    *Source*: Xie et al. 2025, arXiv:2512.24880; equal to `DeepseekV4HyperConnection` of
        transformers 5.23.
    """

    def __init__(
        self, streams: int, d: int, number: int = 0, *, iterations: int = 20
    ) -> None:
        super().__init__()
        self.streams, self.iterations, self.eps = streams, iterations, 1e-6
        out = (streams + 2) * streams
        self.weight = nn.Parameter(
            torch.randn(out, streams * d) * (streams * d) ** -0.5
        )
        pre = F.one_hot(torch.tensor(number % streams), streams) * 8.0 - 4.0
        mix = torch.eye(streams).flatten() * 8.0
        self.bias = nn.Parameter(torch.cat([pre, torch.zeros(streams), mix]))
        self.scale = nn.Parameter(torch.full((3,), 0.01))

    def forward(self, streams: Streams) -> Parts:
        n, flat = self.streams, streams.flatten(-2)
        flat = F.rms_norm(flat, flat.shape[-1:], eps=self.eps)
        sizes = [n, n, n * n]
        parts = zip(
            F.linear(flat, self.weight).split(sizes, -1),
            self.bias.split(sizes),
            self.scale,
            strict=True,
        )
        pre, post, mix = (part * scale + bias for part, bias, scale in parts)
        mix = sinkhorn(mix.unflatten(-1, (n, n)), self.iterations, self.eps)
        return torch.sigmoid(pre) + self.eps, mix, 2 * torch.sigmoid(post)


CONNECTIONS = {"static": StaticConnection, "mhc": ManifoldConnection}


def read(pre: Float[Tensor, "*b n"], streams: Streams) -> Float[Tensor, "b t d"]:
    """x = pre^T X."""
    return (pre[..., None] * streams).sum(-2)


def write(
    mix: Float[Tensor, "*b n n"],
    post: Float[Tensor, "*b n"],
    streams: Streams,
    output: Float[Tensor, "b t d"],
) -> Streams:
    """mix^T X + post output^T."""
    return mix.mT @ streams + post[..., None] * output[..., None, :]


class HyperLM(nn.Module):
    """A causal model with n residual streams.

    Args:
        model: of pre-norm attention blocks; its sublayers, embedding and head are used.
        streams: n. kind: "static" or "mhc".

    Raises:
        ValueError: `streams` is below 1, `kind` is another word, or the model has other
        blocks.

    *Cost*: n d numbers a token between layers; the cache is that of the model.
    *Differs from source*: the streams' mean goes to the final norm, where HC takes
        their sum and DeepSeek-V4 a learned mix. The norm sees no factor.

    >>> from course_lib.specs.small import small_llama
    >>> model = HyperLM(CausalLM(small_llama(8, heads=2)), streams=4)
    >>> model(torch.zeros(1, 5, dtype=torch.long)).shape
    torch.Size([1, 5, 256])
    """

    def __init__(self, model: CausalLM, streams: int, kind: str = "static") -> None:
        super().__init__()
        if streams < 1:
            raise ValueError(f"streams={streams}: allowed are whole numbers from 1")
        if kind not in CONNECTIONS:
            raise ValueError(f"kind={kind!r}: allowed are {', '.join(CONNECTIONS)}")
        check_plain(model)
        self.model, self.streams = model, streams
        numbers, width = range(2 * len(model.blocks)), model.spec.width
        make = CONNECTIONS[kind]
        self.connections = nn.ModuleList(make(streams, width, i) for i in numbers)

    def forward(self, tokens: Int[Tensor, "b t"]) -> Logits:
        """Score the vocabulary after each token."""
        streams = self.run(tokens)[-1]
        return self.model.score(self.model.final_norm(streams.mean(-2)))

    def run(self, tokens: Int[Tensor, "b t"]) -> list[Streams]:
        """The streams before the first sublayer and after each."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        positions, shared = places.expand(len(tokens), -1), PerForward()
        x = self.model.embed(tokens, positions)
        streams = [x[:, :, None].expand(-1, -1, self.streams, -1)]
        connections = iter(self.connections)
        for block in self.model.blocks:
            pre, mix, post = next(connections)(streams[-1])
            normed = block.mixer_norm(read(pre, streams[-1]))
            mixed = block.mixer(normed, positions, None, shared)
            streams.append(write(mix, post, streams[-1], mixed))
            pre, mix, post = next(connections)(streams[-1])
            added = feed_forward(block, read(pre, streams[-1]))
            streams.append(write(mix, post, streams[-1], added))
        return streams
