"""Queries that grow with their position, so that attention over a long context stays as
sharp as over a short one.

Symbols: p a token's position, n the number of positions after which the factor grows
again, a how much it grows by.

Terms:
    attention temperature tuning, attention temperature by position: a factor on the
        queries that grows with the logarithm of the position -> stretch
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def stretch(
    positions: Int[Tensor, "b t"],
    every: int,
    by: float,
    dtype: torch.dtype,
    *,
    counted: bool = True,
) -> Float[Tensor, "b t 1 1"]:
    """The factor on each head of each query.

    *Equation*: 1 + a ln(1 + floor((p + 1) / n)) where tokens are `counted` from one
        (Llama 4), 1 + a ln(1 + floor(p / n)) where not (Ministral 3); 1 for padding.
    *Source*: Nakanishi 2025, arXiv:2501.19399, as `Llama4TextAttention` and
        `get_llama_4_attn_scale` of transformers 5.23 have it.

    >>> stretch(torch.tensor([[-1, 6, 7]]), 8, 1.0, torch.float32).flatten().tolist()
    [1.0, 1.0, 1.6931471824645996]
    """
    wide = torch.promote_types(dtype, torch.float32)
    passed = (
        positions.clamp(min=-1) + 1 if counted else positions.clamp(min=0)
    ) // every
    return (1 + by * torch.log1p(passed.to(wide))).to(dtype)[..., None, None]
