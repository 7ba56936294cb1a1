"""Absolute positions, added to the token embeddings: sinusoidal, or rows of a learned
table.

Symbols: p a position, d model width, i a pair's index, w_i its speed in radians
per token. Position -1 is padding: it gets some vector, and no token attends to it.

Terms:
    absolute positions, absolute position embedding: a vector for each place in the row,
        added to the token embedding -> sinusoidal, LearnedPositions
    sinusoidal positions, sinusoidal encoding, sinusoidal: sines and cosines of the
        position at speeds that fall geometrically -> sinusoidal
    learned positions, learned position embedding: a trained table with a row for each
        place, and none beyond its end -> LearnedPositions
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

LAYOUTS = ("interleaved", "halves")


def sinusoidal(
    positions: Int[Tensor, "b t"],
    width: int,
    *,
    layout: str = "interleaved",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b t d"]:
    """Sines and cosines of the position, at speeds that fall from 1 to about 1 / 10,000
    radians a token.

    *Equation*: w_i = 10,000^(-2 i / d). "interleaved" puts sin(p w_i) at 2i and cos(p
        w_i) at 2i + 1, as the paper does; "halves" puts the sines first and the cosines
        after them, as Marian does. An odd width has one sine more.

    Args:
        positions: p of each token.
        width: d.
        layout: "interleaved" or "halves".
        dtype: of the result; angles are worked out in float64.

    Raises:
        ValueError: `width` is below 1, or `layout` is another word.

    *Cost*: no parameters, b t d numbers.
    *Source*: Vaswani et al. 2017, section 3.5, arXiv:1706.03762.

    >>> first = torch.tensor([[0]])
    >>> [sinusoidal(first, 4, layout=name).flatten().tolist() for name in LAYOUTS]
    [[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    if width < 1:
        raise ValueError(f"width={width}: allowed are whole numbers from 1")
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}: allowed are {', '.join(LAYOUTS)}")
    exponent = (
        torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    )
    angle = positions[:, :, None].to(torch.float64) / 10_000.0**exponent
    sines, cosines = angle.sin(), angle.cos()[..., : width // 2]
    if layout == "halves":
        return torch.cat((sines, cosines), dim=-1).to(dtype)
    out = angle.new_empty(*positions.shape, width)
    out[..., 0::2], out[..., 1::2] = sines, cosines
    return out.to(dtype)


class LearnedPositions(nn.Module):
    """A table with one learned vector for each position.

    Args:
        rows: rows of the table: the longest text plus `offset`.
        width: d.
        offset: added to a position to find its row: 2 in BART, OPT and RoBERTa, whose
            first rows belong to padding.

    Raises:
        ValueError: a size is below 1; later, a position that the table has no row for.

    *Cost*: rows d parameters.
    *Source*: Gehring et al. 2017, section 3.1, arXiv:1705.03122; GPT-2 and BERT use it.

    >>> LearnedPositions(rows=8, width=4)(torch.tensor([[-1, 0, 7]])).shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, rows: int, width: int, *, offset: int = 0) -> None:
        super().__init__()
        for name, size in (("rows", rows), ("width", width)):
            if size < 1:
                raise ValueError(f"{name}={size}: allowed are whole numbers from 1")
        self.offset = offset
        self.table = nn.Embedding(rows, width)

    def forward(self, positions: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        last = self.table.num_embeddings - self.offset - 1
        if int(positions.max()) > last:
            raise ValueError(
                f"positions reach {int(positions.max())}: this "
                f"table's last one is {last}"
            )
        return self.table((positions + self.offset).clamp(min=0))
