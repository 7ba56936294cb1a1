"""Compressed attention (HCA, CSA): blocks of tokens are pooled into one entry each, and
a query attends to entries besides a window of single tokens.

Symbols: n tokens in blocks of c, m = n // c whole ones; h heads, k head width. The
paper writes m for c (4 in CSA, 128 in HCA).

    HCA   entry i = sum over the c tokens of block i of softmax(gate + bias) * value,
          each coordinate with weights of its own. A query attends to all entries
    CSA   each token makes two values: one for its own block's entry, one for the next
          block's. Entry i pools 2 c of them. Smaller blocks, so more entries: an
          indexer picks the best
    both  a window of the newest tokens, a learned sink, and keys that are the values,
          too: one KV head

An entry is seen once its block is complete: by query t, entry i if i < (t + 1) // c. A
cache keeps m entries and a window: k (n / c + W) numbers for n tokens.

As keys are turned by their position and values are the same numbers, the output comes
out turned; turned back by the query's own position it depends on distances alone.

Source: DeepSeek-V4's layers as transformers 5.23 builds them.

Terms:
    HCA, heavily compressed attention: one entry for each block of tokens, pooled with
        learned weights -> Compressor, pooled
    CSA, compressed sparse attention: overlapping blocks, whose entries an indexer picks
        -> Compressor, EntryIndexer, pooled_overlapping
    attention to entries: a window of tokens and entries of blocks in one softmax, with
        keys for values -> attend_to_entries, visible_entries
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.indexer import index_scores, top_keys
from course_lib.layers.masks import CAUSAL, sliding_window
from course_lib.layers.norms import RMSNorm
from course_lib.layers.positions.rope import Rope, apply_rope


def pooled(
    values: Float[Tensor, "b n k"],
    gates: Float[Tensor, "b n k"],
    bias: Float[Tensor, "c k"],
) -> Float[Tensor, "b m k"]:
    """One entry for each whole block: HCA.

    *Equation*: entry_i = sum_j softmax_j(gate_ij + bias_j) value_ij, coordinate by
        coordinate.

    >>> x = torch.tensor([1.0, 3.0, 9.0]).view(1, 3, 1)
    >>> pooled(x, torch.zeros_like(x), torch.zeros(2, 1)).flatten().tolist()
    [2.0]
    """
    values, gates = _whole_blocks(values, len(bias)), _whole_blocks(gates, len(bias))
    return ((gates + bias).softmax(2) * values).sum(2)


def pooled_overlapping(
    values: Float[Tensor, "b n pair"],
    gates: Float[Tensor, "b n pair"],
    bias: Float[Tensor, "c pair"],
) -> Float[Tensor, "b m k"]:
    """One entry for each whole block, from its own tokens and those of the block
    before: CSA. The first half of a token's numbers is for the next block's entry.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None]  # blocks of one token
    >>> pooled_overlapping(x, torch.zeros_like(x), torch.zeros(1, 2)).flatten().tolist()
    [2.0, 2.5]
    """
    values, gates = _whole_blocks(values, len(bias)), _whole_blocks(gates, len(bias))
    for_next, own = values.chunk(2, -1)
    next_gate, own_gate = (gates + bias).chunk(2, -1)
    before = torch.cat((torch.zeros_like(for_next[:, :1]), for_next[:, :-1]), 1)
    nothing = torch.full_like(next_gate[:, :1], float("-inf"))
    before_gate = torch.cat((nothing, next_gate[:, :-1]), 1)
    weights = torch.cat((before_gate, own_gate), 2).softmax(2)
    return (weights * torch.cat((before, own), 2)).sum(2)


def visible_entries(
    positions: Int[Tensor, "b t"], entries: int, size: int
) -> Bool[Tensor, "b t m"]:
    """Which entries a query may see: those of blocks that are complete with it.

    >>> visible_entries(torch.tensor([[2, 3, 6]]), 2, 4).int().tolist()
    [[[0, 0], [1, 0], [1, 0]]]
    """
    number = torch.arange(entries, device=positions.device)
    return number < ((positions + 1) // size)[..., None]


class Compressor(nn.Module):
    """From tokens to entries: project, pool, norm, and turn by the place of each
    block's first token.

    Args:
        d: model width. head_dim: k.
        size: c, tokens in a block.
        overlap: CSA's pooling over two blocks; else HCA's.
        rope: how the last `rope.dim` numbers of an entry turn.
        norm_eps: of the norm on the entries.

    Raises:
        ValueError: `size` is below 1 or `rope.dim` above `head_dim`.

    *Cost*: 2 d k + c k + k parameters, with overlap 4 d k + 2 c k + k.
    """

    def __init__(
        self,
        d: int,
        head_dim: int,
        *,
        size: int,
        overlap: bool,
        rope: Rope,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size={size}: allowed are whole numbers from 1")
        if rope.dim > head_dim:
            raise ValueError(f"rope.dim={rope.dim}: allowed is at most {head_dim}")
        width = 2 * head_dim if overlap else head_dim
        self.size, self.overlap, self.rope = size, overlap, rope
        self.values = nn.Linear(d, width, bias=False)
        self.gates = nn.Linear(d, width, bias=False)
        self.position_bias = nn.Parameter(torch.zeros(size, width))
        self.norm = RMSNorm(head_dim, norm_eps)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b m k"]:
        """The entries of a row's whole blocks; x starts at position 0."""
        pool = pooled_overlapping if self.overlap else pooled
        entries = self.norm(pool(self.values(x), self.gates(x), self.position_bias))
        first = torch.arange(entries.shape[1], device=x.device) * self.size
        first = first.expand(len(x), -1)
        return turn_last(entries[:, :, None], first, self.rope)[:, :, 0]


class EntryIndexer(nn.Module):
    """CSA's pick: a small compressor of its own, whose entries index heads score.

    Args:
        d, q_rank: model width, and width of the latent that queries are made from.
        heads, head_dim: i and k of the index.
        size: c, as the layer's compressor.
        top_k: entries that a query attends to.
        rope, norm_eps: as in `Compressor`.

    Raises:
        ValueError: as in `Compressor`.
    """

    def __init__(
        self,
        d: int,
        q_rank: int,
        *,
        heads: int,
        head_dim: int,
        size: int,
        top_k: int,
        rope: Rope,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        options = {"size": size, "rope": rope, "norm_eps": norm_eps}
        self.compressor = Compressor(d, head_dim, overlap=True, **options)
        self.head_dim, self.top_k, self.rope = head_dim, top_k, rope
        self.wq = nn.Linear(q_rank, heads * head_dim, bias=False)
        self.head_weights = nn.Linear(d, heads, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        q_latent: Float[Tensor, "b n q"],
        positions: Int[Tensor, "b n"],
    ) -> Bool[Tensor, "b n m"]:
        """Of the entries that each token may see, those that it attends to."""
        entries = self.compressor(x)
        visible = visible_entries(positions, entries.shape[1], self.compressor.size)
        if not entries.shape[1]:
            return visible
        q = self.wq(q_latent).unflatten(-1, (-1, self.head_dim))
        q = turn_last(q, positions, self.rope)
        scores = index_scores(q, entries, self.head_weights(x))
        return top_keys(scores, visible, self.top_k)


def attend_to_entries(
    queries: Float[Tensor, "b n h k"],
    tokens: Float[Tensor, "b n k"],
    entries: Float[Tensor, "b m k"],
    seen: Bool[Tensor, "b n m"],
    positions: Int[Tensor, "b n"],
    *,
    window: int,
    rope: Rope,
    sinks: Float[Tensor, " h"] | None = None,
) -> Float[Tensor, "b n h k"]:
    """A window of tokens and the entries that are seen, in one softmax; keys are the
    values, and the output is turned back.

    Args:
        queries, tokens, entries: turned by their positions.
        seen: which entries each token attends to.
        window: W, the newest tokens, the own one among them.
        rope: how they were turned.
        sinks: one learned score a head, as in `attend`.

    *Cost*: 4 n (W + entries seen) h k FLOPs.
    """
    near = (CAUSAL & sliding_window(window)).mask(positions, positions)
    keys = torch.cat((tokens, entries), 1)[:, :, None]
    mask = torch.cat((near, seen), -1)
    y, _ = attend(queries, keys, keys, mask, sinks=sinks)
    return turn_last(y, positions, rope, back=True)


def turn_last(
    x: Float[Tensor, "b t h k"],
    positions: Int[Tensor, "b t"],
    rope: Rope,
    *,
    back: bool = False,
) -> Float[Tensor, "b t h k"]:
    """Turn the last `rope.dim` numbers of each head, forth or back."""
    cos, sin = rope.tables(positions, x.dtype)
    still, turning = x.split((x.shape[-1] - rope.dim, rope.dim), -1)
    turned = apply_rope(turning, cos, -sin if back else sin, rope.pairing)
    return torch.cat((still, turned), -1)


def _whole_blocks(x: Tensor, size: int) -> Tensor:
    """[b n k] to [b m c k]; the tokens after the last whole block wait."""
    whole = x.shape[1] // size
    return x[:, : whole * size].unflatten(1, (whole, size))
