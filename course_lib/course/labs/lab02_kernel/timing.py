"""Time a student's causal kernel against PyTorch's fused attention, on the device where
it runs.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch.nn.functional import scaled_dot_product_attention

from course_lib.kit.timing import Comparison, compare

TOLERANCE = {
    torch.float16: 4e-3,
    torch.float32: 1e-5,
}  # of outputs whose values are below 1


def against_sdpa(
    flash_causal: Callable,
    tokens: int = 4096,
    *,
    width: int = 64,
    block: int = 64,
    dtype: torch.dtype = torch.float16,
    device: str = "cuda",
    rounds: int = 20,
) -> Comparison:
    """Compare `flash_causal` with `scaled_dot_product_attention`, causal, one head of
    `tokens` queries.

    Args:
        flash_causal: the kernel of exercise 3.
        tokens: queries and keys; `width`: of keys and values; `block`: queries and keys
            of a tile.
        dtype: float16 or float32; `device`: where both run; `rounds`: each is timed
            this often.
    Returns: times of "sdpa" and "yours"; `speedup("yours")` above 1 means that yours is
        faster.
    Raises: ValueError if the two outputs differ by more than rounding, or `dtype` is
        neither.

    One head fills few of a GPU's processors, for both sides alike; a whole layer has
    more programs.
    """
    if dtype not in TOLERANCE:
        raise ValueError(f"dtype={dtype}: allowed are float16 and float32")
    q, k, v = (torch.randn(tokens, width, device=device, dtype=dtype) for _ in range(3))
    y, lse = (
        torch.empty_like(q),
        torch.empty(tokens, device=device, dtype=torch.float32),
    )
    blocks = {"BLOCK_Q": block, "BLOCK_K": block, "WIDTH": width, "SUM": tl.float32}

    def yours():
        grid = (triton.cdiv(tokens, block),)
        flash_causal[grid](q, k, v, y, lse, tokens, tokens, width**-0.5, **blocks)

    def sdpa():
        return scaled_dot_product_attention(
            *(x[None, None] for x in (q, k, v)), is_causal=True
        )[0, 0]

    yours()
    gap = (y - sdpa()).abs().max().item()
    if not gap < TOLERANCE[dtype]:
        raise ValueError(
            f"flash_causal differs from PyTorch by {gap:.1e}: allowed is "
            f"{TOLERANCE[dtype]:.0e}"
        )
    return compare(
        {"sdpa": sdpa, "yours": yours}, repeats=rounds, warmup=3, device=device
    )
