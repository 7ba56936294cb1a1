"""Conditional memory: hashed n-gram tables (Engram), parameters that are looked up and
cost almost no FLOPs.

Symbols: b rows, t tokens, d model width; n-grams of the orders 2 to n, a table for
each of m heads and each order, with r rows of w numbers.

    address   XOR of token times multiplier over the last j tokens, modulo the rows of
              the head's table: known from the text alone, before any layer has run
    memory    the rows of all heads, side by side
    gate      how well the memory fits what the stream holds here: it can shut out a row
              that another n-gram shares by accident
    y         gate * W_v memory, and a short convolution over it

Terms:
    conditional memory, n-gram table, hashed n-grams: rows looked up by the hash of the
        last tokens -> NGramTable, ngram_hash
    Engram: n-gram tables with a gate made from the residual stream -> Engram,
        MemoryBlock
    collision: two n-grams with one address -> ngram_hash
"""

from collections.abc import Iterator
from itertools import count, islice
from math import isqrt
from random import Random

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.norms import RMSNorm
from course_lib.layers.per_forward import PerForward


def ngram_hash_naive(
    tokens: list[int], multipliers: list[int], sizes: list[list[int]], pad: int
) -> list[list[int]]:
    """The addresses of one row, as they are defined."""
    rows = []
    for place, token in enumerate(tokens):
        mixed, row, back = token * multipliers[0], [], tokens[:place][::-1]
        back = back[: back.index(pad)] if pad in back else back
        for j, own in enumerate(sizes, start=1):
            mixed ^= (back[j - 1] if j <= len(back) else pad) * multipliers[j]
            row += [mixed % size for size in own]
        rows.append(row)
    return rows


def ngram_hash(
    tokens: Int[Tensor, "b t"],
    multipliers: Int[Tensor, " n"],
    sizes: Int[Tensor, "orders m"],
    pad: int,
) -> Int[Tensor, "b t heads"]:
    """The addresses of the n-grams that end at each token.

    *Equation*: h_j = (x_t a_0) ^ (x_(t-1) a_1) ^ ... ^ (x_(t-j) a_j), for each head of
        order j + 1 modulo its rows.

    Args:
        tokens: x.
        multipliers: a, one a place; odd, so small that no product reaches 2^63.
        sizes: rows of each head's table, by order from 2 on; primes.
        pad: what stands before the row; a token of that number cuts n-grams off, as at
            the end of a document.

    *Source*: Cheng et al. 2026, section 2.2, arXiv:2601.07372 (Engram).
    """
    t, addresses = tokens.shape[1], []
    mixed, cut = tokens * multipliers[0], torch.zeros_like(tokens, dtype=torch.bool)
    for j, own in enumerate(sizes, start=1):
        earlier = F.pad(tokens, (j, 0), value=pad)[:, :t]
        cut = cut | (earlier == pad)
        mixed = mixed ^ (earlier.masked_fill(cut, pad) * multipliers[j])
        addresses.append(mixed[..., None] % own)
    return torch.cat(addresses, -1)


class NGramTable(nn.Module):
    """Tables of rows, addressed by the hash of the last tokens.

    Args:
        vocab: tokens lie below it.
        rows: each head's table has the next prime above; no two have the same.
        width: w, numbers in a row.
        n: the longest n-gram; orders 2 to n.
        heads: m, tables for each order: two n-grams rarely share a row in all of them.
        pad, seed: of `ngram_hash` and its multipliers.

    Raises:
        ValueError: n is below 2, or `heads`, `rows` or `width` below 1.

    *Cost*: about (n - 1) m r w parameters; a look-up of (n - 1) m w numbers a token.

    >>> table = NGramTable(50, rows=10, width=4, n=3, heads=2)
    >>> table.sizes.tolist(), table(torch.zeros(1, 5, dtype=torch.long)).shape
    ([[11, 13], [17, 19]], torch.Size([1, 5, 16]))
    """

    def __init__(
        self,
        vocab: int,
        rows: int,
        width: int,
        *,
        n: int = 3,
        heads: int = 1,
        pad: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n", n, 2),
            ("heads", heads, 1),
            ("rows", rows, 1),
            ("width", width, 1),
        ):
            if value < least:
                raise ValueError(f"{name}={value}: allowed are {least} and more")
        draw, top = Random(seed), max(1, (2**63 - 1) // vocab // 2)
        sizes = torch.tensor(list(islice(_primes(rows), (n - 1) * heads)))
        self.n, self.pad, self.width = n, pad, (n - 1) * heads * width
        self.register_buffer("sizes", sizes.view(n - 1, heads))
        multipliers = [2 * draw.randrange(top) + 1 for _ in range(n)]
        self.register_buffer("multipliers", torch.tensor(multipliers))
        self.register_buffer("starts", sizes.cumsum(0) - sizes)
        self.table = nn.Embedding(int(sizes.sum()), width)

    def forward(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, "b t w"]:
        """The rows of every head for each token, side by side: w = (n - 1) m width."""
        addresses = ngram_hash(tokens, self.multipliers, self.sizes, self.pad)
        return self.table(addresses + self.starts).flatten(-2)


class Engram(nn.Module):
    """What a layer adds to the stream from its n-gram tables.

    *Equation*: e = table(tokens); s = norm(W_k e) . norm(x) / sqrt(d); gate =
        sigmoid(sign(s) sqrt(|s|)); v = gate W_v e; y = v + silu(conv(norm(v))).

    Args:
        d: model width.
        table: an `NGramTable`.
        kernel: places that the convolution over v takes in, n apart; 0 for none.
        eps: of the norms.

    *Cost*: beside the table 2 w d parameters and 4 w d FLOPs a token, however many rows
        it has.
    *Source*: Cheng et al. 2026, section 2.3, arXiv:2601.07372, for one residual stream.
    *Differs from source*: tokens are taken as they are; the paper first gives one
        number to those that differ in case or leading space.
    """

    def __init__(
        self, d: int, table: NGramTable, *, kernel: int = 4, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.table = table
        self.key = nn.Linear(table.width, d, bias=False)
        self.value = nn.Linear(table.width, d, bias=False)
        self.key_norm, self.query_norm = RMSNorm(d, eps), RMSNorm(d, eps)
        self.conv_norm = RMSNorm(d, eps) if kernel else None
        self.conv = nn.Parameter(torch.zeros(d, kernel)) if kernel else None

    def forward(
        self, x: Float[Tensor, "b t d"], tokens: Int[Tensor, "b t"]
    ) -> Float[Tensor, "b t d"]:
        """What to add to the stream x, whose tokens these are; padding has `table.pad`
        as its token.
        """
        memory = self.table(tokens)
        value = self.gate(x, memory) * self.value(memory)
        if self.conv is None:
            return value
        local = causal_conv(self.conv_norm(value), self.conv, dilation=self.table.n)
        return value + F.silu(local)

    def gate(
        self, x: Float[Tensor, "b t d"], memory: Float[Tensor, "b t w"]
    ) -> Float[Tensor, "b t 1"]:
        """How much of the memory passes, between 0 and 1."""
        key, query = self.key_norm(self.key(memory)), self.query_norm(x)
        fit = (key * query).sum(-1, keepdim=True) / x.shape[-1] ** 0.5
        return torch.sigmoid(fit.abs().clamp_min(1e-6).sqrt() * fit.sign())


class MemoryBlock(nn.Module):
    """A block with a memory before it: x + memory(x, tokens), then the block.

    Args:
        block: a `Block`.
        memory: an `Engram`, or an `NGramTable` as wide as the model, whose rows are
            then added as they are.

    Tokens and positions come from the `PerForward`, as `CausalLM` fills it. A cache is
    refused: it holds no earlier tokens, and a step could not address its n-grams.
    """

    def __init__(self, block: nn.Module, memory: nn.Module) -> None:
        super().__init__()
        self.block, self.memory = block, memory

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: object = None,
        per_forward: PerForward | None = None,
        **options,
    ) -> Float[Tensor, "b t d"]:
        """As `Block.forward`."""
        if cache is not None or per_forward is None or per_forward.tokens is None:
            raise ValueError(
                "cache or per_forward: a memory takes no cache, and needs the tokens"
            )
        engram = isinstance(self.memory, Engram)
        pad = self.memory.table.pad if engram else self.memory.pad
        tokens = per_forward.tokens.masked_fill(positions < 0, pad)
        found = self.memory(x, tokens) if engram else self.memory(tokens)
        return self.block(x + found, positions, None, per_forward, **options)


def causal_conv(
    x: Float[Tensor, "b t d"], weight: Float[Tensor, "d kernel"], dilation: int = 1
) -> Float[Tensor, "b t d"]:
    """A convolution over time, each channel by itself: y_t = sum over i of
    w_i x_(t - (kernel - 1 - i) dilation), with zeros before the row.
    """
    kernel, t = weight.shape[1], x.shape[1]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    places = (padded[:, i * dilation : i * dilation + t] for i in range(kernel))
    return sum(weight[:, i] * place for i, place in enumerate(places))


def _primes(above: int) -> Iterator[int]:
    """The primes above a number."""
    for number in count(max(above + 1, 2)):
        if all(number % divisor for divisor in range(2, isqrt(number) + 1)):
            yield number
