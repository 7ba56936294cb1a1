"""Longformer's attention: a two-sided window, and a few global tokens with projections
of their own.

Symbols: n tokens, r places on either side (a window of w = 2 r tokens beside the own
one), j global tokens.

    a token             attends to its window and to the global tokens, in one softmax
    a global token      attends to all, with other queries, keys and values:
                        q_g, k_g, v_g in place of q, k, v

Which tokens are global is the task's choice: the first one for a classifier, the
question's for an answer in a text. With no global token it is a plain local window.

Terms:
    Longformer: windows, and global tokens that have projections of their own ->
        LongformerAttention
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import AttentionHeads
from course_lib.layers.attention.sliding_window import More, local_window_attention


class LongformerAttention(AttentionHeads):
    """A bidirectional layer with a window and global tokens.

    Args:
        d, heads, head_dim: model width, h and k.
        distance: r, tokens on either side.
        bias: whether the projections have biases.

    Raises:
        ValueError: `distance` is below 0.

    *Cost*: 7 d h k parameters without biases; 2 n (c + 2 r + j) h 2k + 2 j n h 2k
        FLOPs for the scores and sums, c tokens in a chunk.
    *Source*: Beltagy et al. 2020, section 3.1, arXiv:2004.05150.

    >>> layer = LongformerAttention(8, 2, 4, distance=1)
    >>> x, positions = torch.zeros(1, 5, 8), torch.arange(5)[None]
    >>> layer(x, positions, positions == 0).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self, d: int, heads: int, head_dim: int, *, distance: int, bias: bool = True
    ) -> None:
        super().__init__(d, heads, heads, head_dim, bias_qkv=bias, bias_out=bias)
        if distance < 0:
            raise ValueError(f"distance={distance}: allowed are whole numbers from 0")
        self.distance = distance
        self.wq_global = nn.Linear(d, heads * head_dim, bias=bias)
        self.wk_global = nn.Linear(d, heads * head_dim, bias=bias)
        self.wv_global = nn.Linear(d, heads * head_dim, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        positions: Int[Tensor, "b n"],
        global_tokens: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n d"]:
        """Mix the tokens of each row; `positions` rise, -1 for padding, which is never
        global.
        """
        return self.wo(self.heads_of(x, positions, global_tokens).flatten(2))

    def heads_of(
        self,
        x: Float[Tensor, "b n d"],
        positions: Int[Tensor, "b n"],
        global_tokens: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n h k"]:
        """The heads' outputs, before the projection back."""
        is_global = global_tokens & (positions >= 0)
        chosen, real = _places(is_global)  # [b j]
        queries, keys, values = self.queries(x), self.keys(x), self.values(x)

        # 1. every token: its window, and the global tokens that lie outside of it
        at = positions.gather(1, chosen)
        apart = (positions[:, :, None] - at[:, None]).abs()
        outside = (apart > self.distance) & real[:, None] & (positions >= 0)[..., None]
        more = More(_rows(keys, chosen), _rows(values, chosen), outside)
        parts = queries, keys, values, positions
        y = local_window_attention(*parts, distance=self.distance, more=more)

        # 2. the global tokens again: all of the row, by their own projections
        width = self.head_dim
        q, k, v = (
            project(part).unflatten(-1, (-1, width))
            for project, part in (
                (self.wq_global, _rows(x, chosen)),
                (self.wk_global, x),
                (self.wv_global, x),
            )
        )
        mask = real[:, :, None] & (positions >= 0)[:, None]
        found, _ = attend(q, k, v, mask)
        places = chosen[..., None, None].expand_as(found)
        return torch.where(is_global[..., None, None], y.scatter(1, places, found), y)


def _places(chosen: Bool[Tensor, "b n"]) -> tuple[Tensor, Tensor]:
    """Where the True ones of each row stand, and which of these places are real: rows
    have different numbers of them.

    >>> places, real = _places(torch.tensor([[False, True], [False, False]]))
    >>> places.tolist(), real.tolist()
    ([[1], [0]], [[True], [False]])
    """
    most = int(chosen.sum(-1).max())
    order = chosen.int().argsort(dim=-1, descending=True, stable=True)[:, :most]
    return order, chosen.gather(1, order)


def _rows(x: Tensor, places: Int[Tensor, "b j"]) -> Tensor:
    """x at these places of each row: [b n ...] to [b j ...]."""
    return x[torch.arange(len(x), device=x.device)[:, None], places]
