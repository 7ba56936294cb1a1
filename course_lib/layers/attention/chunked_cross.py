"""Chunked cross-attention: the text is cut into chunks, something is looked up for each
chunk, and the tokens that come next attend to what was found.

Symbols: b batch, t tokens, m tokens of a chunk, u looked-up sets (one for each whole
chunk), s tokens of a set (all its neighbours, one after another), h heads, g KV groups,
k key width, v value width. RETRO writes H for the stream, E_u for the encoded
neighbours of chunk u and CCA for this operator.

    the token at position p attends to the set (p + 1) // m - 1

With m = 4, positions 0, 1, 2 attend to nothing, 3, 4, 5, 6 to the neighbours of the
chunk 0 to 3, and 7 to 10 to those of the chunk 4 to 7. The first token that may know
what a chunk looks for is the chunk's last: there the whole chunk has been read, and the
next token is predicted.

Two forms of one function: `chunked_attend_naive` is attention to all sets under a mask
and costs t u s pairs; `chunked_attend` cuts the queries into groups, each of which sees
one set, and costs t s.

Terms:
    chunked cross-attention, CCA, RETRO: a chunk's last token and those after it attend
        to what was found for that chunk -> chunked_attend, ChunkedCrossAttention
    looked-up set, retrieved neighbours: the passages found for one chunk, as one row of
        keys and values -> NeighbourKV
    attending chunk: the m queries that attend to one set -> set_of
    tanh gate, gated cross-attention: a learned factor that starts at 0, with which a
        trained model begins as it was -> ChunkedCrossAttention
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import AttentionHeads

Queries = Float[Tensor, "b t h k"]
Found = Float[Tensor, "b t h v"]


@dataclass(frozen=True)
class NeighbourKV:
    """Keys and values of all looked-up sets of one layer: keys [b u s g k], values [b u
    s g v], real [b u s], which is False at padding.

    Set i was found for chunk i. A decode makes the next one when a chunk is whole.
    """

    keys: Float[Tensor, "b u s g k"]
    values: Float[Tensor, "b u s g v"]
    real: Bool[Tensor, "b u s"]


def set_of(positions: Int[Tensor, "*shape"], chunk: int) -> Int[Tensor, "*shape"]:
    """The set to which a token attends, -1 for none.

    >>> set_of(torch.arange(9), chunk=4).tolist()
    [-1, -1, -1, 0, 0, 0, 0, 1, 1]
    """
    return (positions + 1) // chunk - 1


def chunked_attend_naive(
    queries: Queries, found: NeighbourKV, chunk: int, *, start: int = 0
) -> Found:
    """Attention to all sets at once, under a mask that leaves each token its own."""
    places = torch.arange(start, start + queries.shape[1], device=queries.device)
    owner = torch.arange(found.keys.shape[1], device=queries.device)
    own = set_of(places, chunk)[:, None] == owner  # [t u]
    mask = own[None, :, :, None] & found.real[:, None]  # [b t u s]
    keys, values = found.keys.flatten(1, 2), found.values.flatten(1, 2)
    return attend(queries, keys, values, mask.flatten(2))[0]


def chunked_attend(
    queries: Queries, found: NeighbourKV, chunk: int, *, start: int = 0
) -> Found:
    """The same, group by group: the queries that share a set attend to it alone.

    Args:
        queries: of the tokens at positions start, start + 1, ...
        found: the sets of all whole chunks up to the last query, in order.
        chunk: m.
        start: position of the first query; above 0 in a decode.

    Returns:
        y; zeros for tokens before the end of the first chunk, and where a set holds
        nothing but padding.

    Raises:
        ValueError: `chunk` is below 1, `start` below 0, or there is another number of
        sets than of whole chunks, (start + t) // m.

    *Cost*: 2 b t s h (k + v) FLOPs, however many sets there are.
    *Source*: Borgeaud et al. 2021, section 2.4, equation 3, arXiv:2112.04426.

    >>> found = NeighbourKV(*torch.zeros(2, 1, 2, 3, 1, 4), torch.ones(1, 2, 3) > 0)
    >>> chunked_attend(torch.zeros(1, 7, 2, 4), found, chunk=3).shape
    torch.Size([1, 7, 2, 4])
    """
    length, sets = queries.shape[1], found.keys.shape[1]
    if chunk < 1 or start < 0:
        raise ValueError(
            f"chunk={chunk}, start={start}: allowed are chunk >= 1, start >= 0"
        )
    whole = (start + length) // chunk
    if sets != whole:
        raise ValueError(
            f"found has {sets} sets for {start + length} tokens in chunks of {chunk}: "
            f"allowed are {whole}, one for each whole chunk"
        )
    # 1. move the borders between groups to multiples of m, and fill up both ends
    before = (start + 1) % chunk
    groups = -(-(before + length) // chunk)
    after = groups * chunk - before - length
    grouped = F.pad(queries, (0, 0, 0, 0, before, after)).unflatten(1, (groups, chunk))
    # 2. the sets of these groups; the first group may have none yet
    first = (start + 1) // chunk - 1
    nothing = int(first < 0)
    keys, values, real = (
        part[:, first + nothing : first + groups].flatten(0, 1)
        for part in (found.keys, found.values, found.real)
    )
    # 3. attention within each group, groups as rows of a batch
    mine = grouped[:, nothing:].flatten(0, 1)
    mask = real[:, None].expand(-1, chunk, -1)
    y, _ = attend(mine, keys, values, mask)
    # 4. zeros where there was no set, and the borders back
    y = y.unflatten(0, (len(queries), groups - nothing))
    y = F.pad(y, (0, 0, 0, 0, 0, 0, nothing, 0)).flatten(1, 2)
    return y[:, before : before + length]


class ChunkedCrossAttention(AttentionHeads):
    """A layer whose tokens attend to what was looked up for the chunk before them.

    *Equation*: tanh(alpha) W_o CCA(x, E); to be added to the residual stream, so that a
        token without neighbours stays as it is.

    Args:
        d, heads, kv_heads, head_dim: as in `Attention`.
        chunk: m.
        source_width: of the neighbours' vectors; d when left out.
        gated: whether there is the gate tanh(alpha), alpha = 0 at the start; a trained
            model then begins as it was. Without, the factor is 1.

    Raises:
        ValueError: as in `chunked_attend` and `Attention`; or the positions of a call
        are not one row of consecutive numbers for the whole batch.

    *Cost*: d h k + source_width g (k + v) + h v d parameters, and one for the gate; a
        set keeps s g (k + v) numbers.
    *Source*: Borgeaud et al. 2021, section 2.4, arXiv:2112.04426.
    *Differs from source*: no relative positions between chunk and neighbour; the gate,
        which is that of `MllamaCrossAttentionDecoderLayer` in transformers 5.23.

    >>> layer = ChunkedCrossAttention(8, 2, 1, 4, chunk=3)
    >>> found = layer.neighbour_kv(torch.zeros(1, 2, 5, 8))
    >>> layer(torch.zeros(1, 7, 8), torch.arange(7)[None], found).shape
    torch.Size([1, 7, 8])
    """

    def __init__(
        self,
        d: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        *,
        chunk: int,
        source_width: int | None = None,
        gated: bool = True,
    ) -> None:
        super().__init__(d, heads, kv_heads, head_dim, source_width=source_width)
        if chunk < 1:
            raise ValueError(f"chunk={chunk}: allowed are whole numbers from 1")
        self.chunk = chunk
        self.alpha = nn.Parameter(torch.zeros(1)) if gated else None

    def neighbour_kv(
        self,
        states: Float[Tensor, "b u s w"],
        real: Bool[Tensor, "b u s"] | None = None,
    ) -> NeighbourKV:
        """Keys and values of the encoded neighbours; `real` is False at padding."""
        if real is None:
            real = torch.ones(states.shape[:3], dtype=torch.bool, device=states.device)
        flat, sizes = states.flatten(1, 2), states.shape[1:3]
        keys, values = self.keys(flat), self.values(flat)
        return NeighbourKV(keys.unflatten(1, sizes), values.unflatten(1, sizes), real)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        found: NeighbourKV,
    ) -> Float[Tensor, "b t d"]:
        """What each token takes from the neighbours of the chunk before it."""
        start = int(positions[0, 0])
        row = torch.arange(start, start + x.shape[1], device=x.device)
        if start < 0 or not bool((positions == row).all()):
            raise ValueError(
                f"positions={positions.tolist()}: allowed is one row of consecutive "
                "numbers for the whole batch, without padding"
            )
        y = chunked_attend(self.queries(x), found, self.chunk, start=start)
        y = self.wo(y.flatten(2))
        return y if self.alpha is None else torch.tanh(self.alpha) * y
