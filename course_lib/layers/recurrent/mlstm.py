"""mLSTM, xLSTM's layer with a matrix as its memory: linear attention whose keys count
exp(i), whose memory forgets by sigmoid(f), and whose result is divided by the sum of
the weights, where that is above 1.

Symbols: b batch, t query position, s key position, h heads, k key width, v value width,
c chunk. Memory C [b h k v], sum of keys n [b h k], running maximum m [b h]: C and n are
kept divided by e^m, so that no exponential is above 1. B is the sum of log sigmoid(f).

    C_t = sigmoid(f_t) C_{t-1} + exp(i_t) k_t v_t^T, n alike with 1 in place of v
    y_t = C^T q / max(|n . q|, 1)

    recurrent  that, step by step, with the maximum
    parallel   weights exp(B_t - B_s + i_s - m_t) q_t . k_s; m_t the largest exponent
    chunked    parallel within a chunk, and the state from chunk to chunk

Terms:
    mLSTM, xLSTM, matrix memory: linear attention with an exponential input gate, a
        forget gate and a normaliser -> MLSTM, mlstm_recurrent
    exponential gate, input gate of mLSTM: a key counts exp(i), with the largest
        exponent taken out -> mlstm_recurrent
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.recurrent.linear_attention import (
    Keys,
    Values,
    in_chunks,
    linear_attention_recurrent,
)
from course_lib.layers.recurrent.mixer import RecurrentMixer, States

Gate = Float[Tensor, "b t h"]
Stream = Float[Tensor, "b t d"]
EPS = 1e-6


class Memory(NamedTuple):
    """C, n and m after some tokens; zeros before the first."""

    matrix: Float[Tensor, "b h k v"]
    keys: Float[Tensor, "b h k"]
    top: Float[Tensor, "b h"]


def mlstm_naive(q: Keys, k: Keys, v: Values, enter: Gate, forget: Gate) -> Values:
    """The equations as they read, as linear attention: in float32 an input gate above
    88 makes it infinity over infinity.

    *Source*: Beck et al. 2024, arXiv:2405.04517.
    """
    decay = F.logsigmoid(forget)[..., None]
    counted, one = enter.exp()[..., None] * k, torch.ones_like(v[..., :1])
    y, _ = linear_attention_recurrent(q, counted, torch.cat([v, one], -1), decay)
    return y[..., :-1] / y[..., -1:].abs().clamp_min(1.0)


def mlstm_recurrent(
    q: Keys,
    k: Keys,
    v: Values,
    enter: Gate,
    forget: Gate,
    *,
    state: Memory | None = None,
    eps: float = EPS,
) -> tuple[Values, Memory]:
    """mLSTM token by token, stable for gates of any size.

    Args:
        q, k, v: queries (times 1 / sqrt(k)), keys and values.
        enter: i, the logarithm of what a key counts; minus infinity leaves it out.
        forget: f, before its sigmoid; infinity forgets nothing.
        state: of the tokens before.
        eps: added to what is divided by, in units of e^-m.

    Returns:
        y, and the memory after the last token.

    *Cost*: 5 h k v FLOPs a token; state h (k v + k + 1).
    *Source*: Beck et al. 2024, arXiv:2405.04517.
    """
    dtype, (q, k, v, enter, forget) = v.dtype, _wide(q, k, v, enter, forget)
    matrix, keys, top = _start(k, v) if state is None else state
    rows, gates = [], (enter, F.logsigmoid(forget))
    for q_t, k_t, v_t, i_t, f_t in zip(
        *(x.unbind(1) for x in (q, k, v, *gates)), strict=True
    ):
        most = torch.maximum(f_t + top, i_t)
        past, own = (f_t + top - most).exp()[..., None], (i_t - most).exp()[..., None]
        matrix = past[..., None] * matrix + (own * k_t)[..., None] * v_t[..., None, :]
        keys, top = past * keys + own * k_t, most
        num = torch.einsum("bhk,bhkv->bhv", q_t, matrix)
        den = torch.maximum((q_t * keys).sum(-1).abs(), (-top).exp()) + eps
        rows.append(num / den[..., None])
    y = torch.stack(rows, 1) if rows else torch.zeros_like(v)
    return y.to(dtype), Memory(matrix, keys, top)


def mlstm_parallel(
    q: Keys,
    k: Keys,
    v: Values,
    enter: Gate,
    forget: Gate,
    *,
    state: Memory | None = None,
    eps: float = EPS,
) -> tuple[Values, Memory]:
    """The same for all tokens at once: a masked matrix of weights between two matrix
    products.

    *Cost*: 2 h (k + v) FLOPs a pair of tokens, and t^2 exponentials a head.
    """
    dtype, (q, k, v, enter, forget) = v.dtype, _wide(q, k, v, enter, forget)
    matrix, keys, top = _start(k, v) if state is None else state
    t, total = q.shape[1], F.logsigmoid(forget).cumsum(1).transpose(1, 2)  # B [b h t]
    enter = enter.transpose(1, 2)
    future = torch.ones(t, t, dtype=torch.bool, device=q.device).triu(1)
    scores = total[..., None] - total[..., None, :] + enter[..., None, :]
    scores = scores.masked_fill(future, float("-inf"))
    before = total + top[..., None]
    most = torch.maximum(before, scores.amax(-1))  # m [b h t]

    weights = (scores - most[..., None]).exp()
    weights = weights * torch.einsum("bthk,bshk->bhts", q, k)
    share = (before - most).exp()[..., None]  # of the state
    num = weights @ v.transpose(1, 2)
    num = num + share * torch.einsum("bthk,bhkv->bhtv", q, matrix)
    den = weights.sum(-1) + share[..., 0] * torch.einsum("bthk,bhk->bht", q, keys)
    y = num / (torch.maximum(den.abs(), (-most).exp()) + eps)[..., None]

    top = most[..., -1]  # what is left of each key, and of the old state, at the end
    left = (total[..., -1:] - total + enter - top[..., None]).exp()
    written = left.transpose(1, 2)[..., None] * k
    share = share[:, :, -1]
    matrix = share[..., None] * matrix + torch.einsum("bshk,bshv->bhkv", written, v)
    keys = share * keys + written.sum(1)
    return y.transpose(1, 2).to(dtype), Memory(matrix, keys, top)


def mlstm_chunked(
    q: Keys,
    k: Keys,
    v: Values,
    enter: Gate,
    forget: Gate,
    *,
    state: Memory | None = None,
    eps: float = EPS,
    chunk: int = 64,
) -> tuple[Values, Memory]:
    """The same, `chunk` tokens at a time."""
    tensors = q, k, v, enter, forget
    return in_chunks(mlstm_parallel, tensors, state, chunk, eps=eps)


class MLSTM(RecurrentMixer):
    """xLSTM's layer: mLSTM, a norm for each head, and an output gate.

    *Equation*: i and f are cap tanh((W x + b) / cap); y = W_out (sigmoid(W_o x) *
        norm(mlstm(q, k, v, i, f))).

    Args:
        d: model width. heads, key_dim, value_dim: h, k and v.
        cap: the bound on both gates.
        norm_eps: of the norm on each head.
        chunk: tokens at a time of the chunked form.

    *Cost*: d (2 h k + 3 h v + 2 h) matrix weights, 2 h + h v in vectors; state h (k v +
        k + 1) numbers.
    *Source*: Beck et al. 2024, arXiv:2405.04517; the gates' bound, as transformers 5.23
        reads xLSTM-7B.

    >>> layer = MLSTM(8, heads=2, key_dim=3, value_dim=4)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    accumulators = ("matrix", "keys", "top")

    def __init__(
        self,
        d: int,
        heads: int,
        key_dim: int,
        value_dim: int,
        *,
        cap: float = 15.0,
        norm_eps: float = 1e-6,
        chunk: int = 64,
    ) -> None:
        super().__init__()
        self.heads, self.value_dim, self.cap = heads, value_dim, cap
        self.norm_eps, self.chunk = norm_eps, chunk
        self.wq, self.wk = (nn.Linear(d, heads * key_dim, bias=False) for _ in range(2))
        self.wv, self.gate = (
            nn.Linear(d, heads * value_dim, bias=False) for _ in range(2)
        )
        self.enter, self.forget = nn.Linear(d, heads), nn.Linear(d, heads)
        self.gain = nn.Parameter(torch.ones(heads * value_dim))
        self.wo = nn.Linear(heads * value_dim, d, bias=False)
        memory = (heads, key_dim, value_dim), (heads, key_dim), (heads,)
        self.state_shapes = dict(zip(Memory._fields, memory, strict=True))

    def mix(
        self, x: Stream, kept: Bool[Tensor, "b t"] | None, states: States
    ) -> tuple[Stream, States]:
        q, k, v = (
            w(x).unflatten(-1, (self.heads, -1)) for w in (self.wq, self.wk, self.wv)
        )
        enter, forget = (
            self.cap * torch.tanh(gate(x) / self.cap)
            for gate in (self.enter, self.forget)
        )
        if kept is not None:  # padding is not written and forgets nothing
            enter = enter.masked_fill(~kept[..., None], float("-inf"))
            forget = forget.masked_fill(~kept[..., None], float("inf"))
        memory = Memory(**{name: states[name] for name in Memory._fields})
        y, after = mlstm_chunked(
            *(q * q.shape[-1] ** -0.5, k, v, enter, forget),
            state=memory,
            chunk=self.chunk,
        )
        y = F.layer_norm(y, (self.value_dim,), eps=self.norm_eps).flatten(2)
        return self.wo(torch.sigmoid(self.gate(x)) * (self.gain * y)), after._asdict()


def _wide(*tensors: Tensor) -> tuple[Tensor, ...]:
    wide = torch.promote_types(tensors[0].dtype, torch.float32)
    return tuple(x.to(wide) for x in tensors)


def _start(k: Keys, v: Values) -> Memory:
    (batch, _, heads, width), value = k.shape, v.shape[-1]
    matrix = v.new_zeros(batch, heads, width, value)
    return Memory(matrix, matrix[..., 0], matrix[..., 0, 0])
