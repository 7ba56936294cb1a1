"""Linear attention: without the softmax, keys and values add up to one matrix, which
each query multiplies. The matrix may decay: at a fixed rate a head (RetNet, lightning
attention), by a gate a head (Mamba-2), or by a gate for each channel of the keys (GLA).

Symbols: b batch, t query position, s key position, h heads, k key width, v value width,
c chunk. State S [b h k v], the sum of k v^T; log decay g [b t h 1], or [b t h k] for
gates a channel, never above 0; G its sum since the start. Papers write gamma (RetNet)
or alpha (GLA) for exp(g), and some write S transposed.

    recurrent  S <- exp(g_t) S + k_t v_t^T; y_t = S^T q_t. One step a token: decoding
    parallel   y_t = sum over s <= t of (q_t . exp(G_t - G_s) k_s) v_s. A t x t matrix
    chunked    parallel within a chunk, and the state from chunk to chunk: training

All three take a state and return one. Padding leaves it as it is if its k and g are 0.
Decays are differences of sums, never quotients of exponentials: exp(-G_s) alone
overflows float32 once the sum passes 88.

Terms:
    linear attention, kernel attention: without the softmax, keys and values sum up to
        one matrix, and a step costs the same at every length ->
        linear_attention_recurrent
    parallel form: a recurrence written as a masked matrix of products ->
        linear_attention_parallel
    chunked form, chunkwise form: parallel within a chunk, a state between chunks ->
        linear_attention_chunked, in_chunks
    feature map: what queries and keys go through in the place of the softmax's
        exponential -> FEATURE_MAPS
    normaliser of linear attention: the sum of the weights, kept as one more value ->
        normalised
    retention, RetNet: linear attention with a fixed decay a head ->
        retention_log_decay
    GLA, gated linear attention: linear attention with a gate for each channel of the
        keys -> gla_log_decay
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Keys = Float[Tensor, "b t h k"]
Values = Float[Tensor, "b t h v"]
LogDecay = Float[Tensor, "b t h gates"]
State = Float[Tensor, "b h k v"]
Bonus = Float[Tensor, "h k"]
Mixed = tuple[Values, State]


def linear_attention_recurrent(
    q: Keys,
    k: Keys,
    v: Values,
    log_decay: LogDecay | None = None,
    *,
    bonus: Bonus | None = None,
    state: State | None = None,
) -> Mixed:
    """The definition, token by token.

    *Equation*: S_t = exp(g_t) S_{t-1} + k_t v_t^T; y_t = S_t^T q_t. With a bonus u,
        RWKV-5 and 6: y_t = (S_{t-1} + u k_t v_t^T)^T q_t, the state is read before it
        decays, and the current pair counts u.

    Args:
        q, k, v: what `FEATURE_MAPS` made of queries and keys, and the values.
        log_decay: g, at most 0, one a head or one a channel; no decay when left out.
        bonus: u, one a channel of each head.
        state: of the tokens before; zeros when left out.

    Returns:
        y in the dtype of v, and the state after the last token, in float32 at least.

    Raises:
        ValueError: g has another width than 1 or k.

    *Cost*: 5 h k v FLOPs a token (1 to decay, 2 to write, 2 to read), state h k v.
    *Source*: Katharopoulos et al. 2020, section 3.4, arXiv:2006.16236; with gates a
        channel, Yang et al. 2023, section 4, arXiv:2312.06635.
    """
    dtype, (q, k, v, log_decay, state) = v.dtype, _wide(q, k, v, log_decay, state)
    rows = []
    for q_t, k_t, v_t, g_t in zip(*_tokens(q, k, v, log_decay), strict=True):
        before, pair = state, k_t[..., None] * v_t[..., None, :]
        state = g_t.exp()[..., None] * before + pair
        read = state if bonus is None else before + bonus[..., None] * pair
        rows.append(torch.einsum("bhk,bhkv->bhv", q_t, read))
    y = torch.stack(rows, 1) if rows else torch.zeros_like(v)
    return y.to(dtype), state


def linear_attention_parallel(
    q: Keys,
    k: Keys,
    v: Values,
    log_decay: LogDecay | None = None,
    *,
    bonus: Bonus | None = None,
    state: State | None = None,
) -> Mixed:
    """The same for all tokens at once: two matrix products, with a masked matrix of
    decays between them.

    *Cost*: 2 h (k + v) FLOPs a pair of tokens, and t^2 decays a head; k times as many
        where each channel has its gate.
    *Source*: Sun et al. 2023, section 2.1, arXiv:2307.08621 (RetNet).
    """
    dtype, (q, k, v, log_decay, state) = v.dtype, _wide(q, k, v, log_decay, state)
    total = log_decay.cumsum(1)
    read = total if bonus is None else total - log_decay  # decays up to the read
    weights = decayed_products(q, k, read, total, strict=bonus is not None)
    y = torch.einsum("bhts,bshv->bthv", weights, v)  # what was written here
    y = y + torch.einsum("bthk,bhkv->bthv", q * read.exp(), state)  # and before
    if bonus is not None:
        y = y + (q * bonus * k).sum(-1, keepdim=True) * v
    return y.to(dtype), carried(state, k, v, log_decay, total)


def linear_attention_chunked(
    q: Keys,
    k: Keys,
    v: Values,
    log_decay: LogDecay | None = None,
    *,
    bonus: Bonus | None = None,
    state: State | None = None,
    chunk: int = 64,
) -> Mixed:
    """The same, `chunk` tokens at a time, the last chunk shorter where it must be.

    *Cost*: a token's share of its chunk, h (k + v) c FLOPs, and 4 h k v for the state:
        linear in t.
    *Source*: Sun et al. 2023, section 2.1, arXiv:2307.08621.
    """
    tensors = q, k, v, decay_of(k, log_decay)
    return in_chunks(linear_attention_parallel, tensors, state, chunk, bonus=bonus)


def in_chunks(
    parallel: Callable[..., tuple[Tensor, object]],
    tensors: tuple[Tensor, ...],
    state: object,
    chunk: int,
    **options,
) -> tuple[Tensor, object]:
    """Run a parallel form chunk by chunk, and hand the state on.

    Args:
        parallel: called as parallel(*chunks, state=..., **options).
        tensors: with tokens on their second axis. They are split once: a loop that
            slices them would write a gradient of full length for each chunk.
        state: at the start, None for zeros.
        chunk: tokens at a time; a ValueError below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: allowed are whole numbers from 1")
    outputs = []
    for parts in zip(*(x.split(chunk, 1) for x in tensors), strict=True):
        y, state = parallel(*parts, state=state, **options)
        outputs.append(y)
    return torch.cat(outputs, 1), state


def decayed_products(
    q: Keys, k: Keys, read: LogDecay, written: LogDecay, *, strict: bool = False
) -> Float[Tensor, "b h t t"]:
    """q_t . exp(read_t - written_s) k_s for each pair s <= t (s < t if `strict`), else
    zero.

    Args:
        q, k: what is multiplied.
        read, written: the summed log decay at which t reads and after which s wrote.

    >>> q = torch.ones(1, 3, 1, 1)
    >>> total = torch.tensor([0.5, 0.5, 0.5]).log().cumsum(0).view(1, 3, 1, 1)
    >>> decayed_products(q, q, total, total)[0, 0, 2]
    tensor([0.2500, 0.5000, 1.0000])
    """
    t = q.shape[1]
    hidden = torch.ones(t, t, dtype=torch.bool, device=q.device).triu(int(not strict))
    gap = (read[:, :, None] - written[:, None]).masked_fill(
        hidden[..., None, None], float("-inf")
    )
    if gap.shape[-1] == 1:
        products = torch.einsum("bthk,bshk->bhts", q, k)
        return products * gap.exp()[..., 0].permute(0, 3, 1, 2)
    return torch.einsum("bthk,bshk,btshk->bhts", q, k, gap.exp())


def carried(
    state: State, k: Keys, v: Values, log_decay: LogDecay, total: LogDecay
) -> State:
    """The state after these tokens: what is left of the old one and of each pair."""
    whole = log_decay.sum(1, keepdim=True)
    left = torch.einsum("bshk,bshv->bhkv", k * (whole - total).exp(), v)
    return whole[:, 0].exp()[..., None] * state + left


def normalised(form: Callable[..., Mixed], q: Keys, k: Keys, v: Values, **options):
    """Divide by the sum of the weights, as softmax attention does: the sum is what a
    value that is always 1 comes to, so the state has v + 1 columns.

    *Equation*: y_t = sum of (q_t . k_s) v_s / sum of (q_t . k_s).

    >>> q, v = torch.ones(1, 2, 1, 1), torch.tensor([2.0, 4.0]).view(1, 2, 1, 1)
    >>> normalised(linear_attention_parallel, q, q, v)[0].flatten().tolist()
    [2.0, 3.0]
    """
    with_one = torch.cat([v, torch.ones_like(v[..., :1])], -1)
    y, state = form(q, k, with_one, **options)
    return y[..., :-1] / y[..., -1:], state


def elu_plus_one(x: Keys) -> Keys:
    """elu(x) + 1, which is positive: Katharopoulos et al. 2020,
    arXiv:2006.16236."""
    return F.elu(x) + 1


def taylor(x: Float[Tensor, "b t h k"]) -> Float[Tensor, "b t h features"]:
    """1, x, and all products of two of its numbers, scaled so that features of q and k
    multiply to 1 + z + z^2 / 2, z = q . k / sqrt(k): the start of exp(z).

    *Source*: Arora et al. 2024, arXiv:2402.18668 (Based).
    """
    x = x * x.shape[-1] ** -0.25
    pairs = (x[..., None] * x[..., None, :]).flatten(-2) * 0.5**0.5
    return torch.cat([torch.ones_like(x[..., :1]), x, pairs], -1)


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "elu": elu_plus_one,
    "relu": F.relu,
    "silu": F.silu,
    "taylor": taylor,
}
"""Named feature maps, for queries and keys alike."""


def retention_log_decay(heads: int) -> Float[Tensor, " h"]:
    """RetNet's decays: log(1 - 2^-(5 + i)) for head i, horizons of 32 tokens and up.

    *Source*: Sun et al. 2023, section 2.2, arXiv:2307.08621.

    >>> retention_log_decay(2).exp()
    tensor([0.9688, 0.9844])
    """
    return torch.log1p(-(2.0 ** -(5.0 + torch.arange(heads))))


def gla_log_decay(
    logits: Float[Tensor, "b t h k"], tau: float = 16.0
) -> Float[Tensor, "b t h k"]:
    """GLA's gates: log of sigmoid(logits)^(1 / tau); a large tau forgets slowly.

    *Source*: Yang et al. 2023, section 4, arXiv:2312.06635.
    """
    return F.logsigmoid(logits) / tau


def _wide(q: Tensor, k: Tensor, v: Tensor, log_decay, state) -> tuple[Tensor, ...]:
    """All in float32 at least, and what is not given: no decay, a state of zeros."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    if state is None:
        state = v.new_zeros(k.shape[0], *k.shape[2:], v.shape[-1], dtype=dtype)
    return tuple(x.to(dtype) for x in (q, k, v, decay_of(k, log_decay), state))


def decay_of(k: Keys, log_decay: LogDecay | None) -> LogDecay:
    """The decay, 0 where none is given; a ValueError for a width of neither 1 nor k."""
    if log_decay is None:
        return torch.zeros_like(k[..., :1])
    if log_decay.shape[-1] not in (1, k.shape[-1]):
        raise ValueError(
            f"log_decay has width {log_decay.shape[-1]}: allowed are 1 and "
            f"k={k.shape[-1]}"
        )
    return log_decay


def _tokens(*tensors: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    return tuple(x.unbind(1) for x in tensors)
