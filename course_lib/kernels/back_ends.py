"""Attention back ends behind one signature: the plain formula, SDPA, FlexAttention and
our Triton kernel. What each can mask, and whether it has gradients, is found by running
it (`kernels.probe`).

Symbols: b batch, t tokens, h heads, g KV groups, k key width; i a query's place, j a
key's. What a query attends to is a `Request`: functions of (b, h, i, j), as
FlexAttention takes them, and a sink a head.

    plain     evaluates the functions on all t^2 pairs: a mask, a bias, two einsums
    SDPA      gets "causal" as a word, anything else as a tensor
    Flex      gets the functions themselves, and the blocks in which some pair is seen
    Triton    gets "causal" as a word, or nothing; forward only

Nobody but the plain form knows sinks. Beside others they are what they are in a
softmax: a key whose score is the sink and whose value is 0 (SDPA), or a factor
sigmoid(lse - sink) on the output where a back end returns its log-sum-exp.

Source: Dong et al. 2024, FlexAttention, arXiv:2412.05496; Dao et al. 2022,
    arXiv:2205.14135; sinks, gpt-oss model card, arXiv:2508.10925.

Terms:
    attention back end, attention implementation, attention kernel: what computes the
        one formula, on which device, and what it can mask -> attention, BACK_ENDS
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention.flex_attention import (
    AuxRequest,
    create_block_mask,
    flex_attention,
)

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import attend_sdpa
from course_lib.layers.masks import CAUSAL, MaskMod, sliding_window

Pairs = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""A function of batch row, head, query and key, which are whole numbers in tensors."""


@dataclass(frozen=True, eq=False)
class Request:
    """What queries attend to: everything, when left out.

    Attributes:
        mask: True where query i attends to key j; the same for every head.
        bias: added to the score of the pair.
        sinks: a score for each head that joins its softmax and has no value.
    """

    mask: Pairs | None = None
    bias: Pairs | None = None
    sinks: Float[Tensor, " h"] | None = None

    def on_all_pairs(
        self, function: Pairs, batch: int, heads: int, tokens: int, device: torch.device
    ) -> Tensor:
        """Return the function's values on all pairs, [b h t t]; h is 1 for a mask."""
        axes = torch.meshgrid(
            *(torch.arange(n, device=device) for n in (batch, heads, tokens, tokens)),
            indexing="ij",
        )
        return function(*axes).expand(batch, heads, tokens, tokens)


def by_index(mask: MaskMod) -> Pairs:
    """A mask of positions as a function of indices, for texts that begin at 0; not for
    one that differs between rows.
    """
    return lambda b, h, i, j: mask.allows(i, j)


causal = by_index(CAUSAL)
"""A query attends to itself and to what stands before it."""


def causal_window(width: int) -> Pairs:
    """Causal, and only the `width` newest keys."""
    return by_index(CAUSAL & sliding_window(width))


def causal_documents(documents: Int[Tensor, "b t"]) -> Pairs:
    """Causal, within documents that are packed into one row."""
    return lambda b, h, i, j: (j <= i) & (documents[b, i] == documents[b, j])


def prefix_then_causal(length: int) -> Pairs:
    """The first `length` tokens attend to one another; the rest is causal."""
    return lambda b, h, i, j: (j <= i) | (j < length)


def distance_bias(slopes: Float[Tensor, " h"]) -> Pairs:
    """ALiBi: minus the distance, times a slope for each head."""
    return lambda b, h, i, j: -slopes[h] * (i - j).abs()


def plain(queries: Tensor, keys: Tensor, values: Tensor, request: Request) -> Tensor:
    """The formula: every pair is computed, every score is in memory."""
    mask, bias = _tensors(queries, request)
    if mask is None:
        shape = queries.shape[0], queries.shape[1], keys.shape[1]
        mask = torch.ones(shape, dtype=torch.bool, device=queries.device)
    return attend(queries, keys, values, mask, bias=bias, sinks=request.sinks)[0]


def sdpa(queries: Tensor, keys: Tensor, values: Tensor, request: Request) -> Tensor:
    """PyTorch's `scaled_dot_product_attention`; a sink is one more key, of value 0."""
    if request.mask is causal and request.bias is None and request.sinks is None:
        return attend_sdpa(queries, keys, values, causal=True)
    mask, bias = _tensors(queries, request)
    if request.sinks is not None:
        keys, values = (F.pad(x, (0, 0, 0, 0, 0, 1)) for x in (keys, values))
        mask = None if mask is None else F.pad(mask, (0, 1), value=True)
        b, t, h, _ = queries.shape
        bias = queries.new_zeros(b, h, t, t) if bias is None else bias
        sinks = request.sinks.to(bias)[None, :, None, None]
        bias = torch.cat((bias, sinks.expand(b, h, t, 1)), dim=-1)
    return attend_sdpa(queries, keys, values, mask, bias=bias)


def flex(queries: Tensor, keys: Tensor, values: Tensor, request: Request) -> Tensor:
    """FlexAttention: compiled on a GPU. On a CPU it runs without a compiled kernel,
    with all scores in memory, and has no gradient.
    """
    b, t, h, _ = queries.shape
    blocks, score = None, None
    if request.mask is not None:
        device = queries.device
        blocks = create_block_mask(request.mask, b, None, t, t, device=device)
    if request.bias is not None:
        bias = request.bias

        def score(z, b, h, i, j):
            return z + bias(b, h, i, j)

    call = compiled_flex() if queries.is_cuda else flex_attention
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without")
        y, beside = call(
            *(x.transpose(1, 2) for x in (queries, keys, values)),
            score_mod=score,
            block_mask=blocks,
            enable_gqa=keys.shape[2] < h,
            return_aux=AuxRequest(lse=True),
        )
    y = y.transpose(1, 2)
    return y if request.sinks is None else sunk(y, beside.lse.mT, request.sinks)


@cache
def compiled_flex() -> Callable:
    """FlexAttention as a compiled function."""
    return torch.compile(flex_attention)


def triton_kernel(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request
) -> Tensor:
    """Our kernel, `kernels.flash_triton`: causal or everything."""
    from course_lib.kernels.flash_triton import flash_attention

    if request.bias is not None:
        raise ValueError("bias: allowed is None")
    if request.mask not in (None, causal):
        raise ValueError("mask: allowed are None and `causal`")
    given = queries, keys, values
    if torch.is_grad_enabled() and any(x.requires_grad for x in given):
        raise ValueError("requires_grad=True: allowed is False, for it is forward only")
    seen = request.mask is causal
    y, lse = flash_attention(*given, causal=seen)
    return y if request.sinks is None else sunk(y, lse, request.sinks)


BACK_ENDS: Mapping[str, Callable[[Tensor, Tensor, Tensor, Request], Tensor]] = {
    "plain": plain,
    "SDPA": sdpa,
    "FlexAttention": flex,
    "Triton": triton_kernel,
}
"""Each back end by its name, the plain one first."""


def attention(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b t g k"],
    values: Float[Tensor, "b t g v"],
    request: Request | None = None,
    *,
    back_end: str = "plain",
) -> Float[Tensor, "b t h v"]:
    """Attention of a text to itself, by the back end of that name.

    Raises:
        ValueError: no back end has that name, or it cannot do what is requested;
        whatever a back end itself raises comes through.

    >>> x = torch.ones(1, 3, 1, 16)
    >>> attention(x, x, x, Request(mask=causal), back_end="SDPA").mean().item()
    1.0
    """
    if back_end not in BACK_ENDS:
        raise ValueError(
            f"back_end={back_end!r}: allowed are {', '.join(map(repr, BACK_ENDS))}"
        )
    return BACK_ENDS[back_end](queries, keys, values, request or Request())


def sunk(
    y: Float[Tensor, "b t h v"],
    lse: Float[Tensor, "b t h"],
    sinks: Float[Tensor, " h"],
) -> Float[Tensor, "b t h v"]:
    """Let a sink take its share of each softmax, after the sum.

    *Equation*: y sum_j e^z_j / (sum_j e^z_j + e^sink) = y sigmoid(lse - sink).
    """
    return y * torch.sigmoid(lse - sinks)[..., None].to(y.dtype)


def _tensors(queries: Tensor, request: Request) -> tuple[Tensor | None, Tensor | None]:
    b, t, h, _ = queries.shape
    mask, bias = request.mask, request.bias
    if mask is not None:
        mask = request.on_all_pairs(mask, b, 1, t, queries.device)[:, 0]
    if bias is not None:
        bias = request.on_all_pairs(bias, b, h, t, queries.device).to(queries.dtype)
    return mask, bias
