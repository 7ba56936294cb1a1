"""Attention to the nearest of many remembered keys (kNN memory, Memorizing
Transformers): each head of each query looks up its n best keys and attends to them.

Symbols: b batch, t queries, s remembered keys, h heads, g KV groups, k key width, v
value width, n neighbours. The score of a pair is the one that attention has, so the
nearest keys are those with the largest weights.

    y_mem, z_mem      attention to the n nearest, and the log of the sum of exp(scores)
    y_local, z_local  the same for the text at hand
    y = (1 - w) y_local + w y_mem

    learned   w = sigmoid(beta), one number a head: Memorizing Transformers
    mass      w = sigmoid(z_mem - z_local): one softmax over both. With n >= s this is
              attention to all that was ever read, exactly

Terms:
    kNN attention, nearest-neighbour attention: each query attends to the n remembered
        keys with the best scores -> nearest_attend, nearest_attend_naive
    kNN memory, external memory: keys and values of earlier segments, without gradient,
        the oldest dropped -> KNNMemory
    Memorizing Transformer, memory gate: a learned number a head weighs the memory
        against the text at hand -> MemorizingAttention
    softmax mass, log-sum-exp of scores: by it two attentions over parts are joined to
        one over all -> joined
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import queries_per_kv_head
from course_lib.layers.attention.layer import Attention

Outputs = Float[Tensor, "b t h v"]
Mass = Float[Tensor, "b t h"]
GATES = ("learned", "mass")


def nearest_attend_naive(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    neighbours: int,
) -> tuple[Outputs, Mass]:
    """One query of one head at a time: sort the keys, take the first n, attend."""
    batch, length, heads, width = queries.shape
    in_group = queries_per_kv_head(heads, keys.shape[2])
    y = values.new_zeros(batch, length, heads, values.shape[-1])
    mass = queries.new_zeros(batch, length, heads)
    for b in range(batch):
        for t in range(length):
            for h in range(heads):
                scores = keys[b, :, h // in_group] @ queries[b, t, h] * width**-0.5
                best = scores.argsort(descending=True)[:neighbours]
                y[b, t, h] = scores[best].softmax(0) @ values[b, best, h // in_group]
                mass[b, t, h] = scores[best].exp().sum().log()
    return y, mass


def nearest_attend(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    neighbours: int,
    *,
    scale: float | None = None,
) -> tuple[Outputs, Mass]:
    """The same for all at once, by exact search.

    Returns:
        y, and the log of the sum of exp(scores) over the n nearest. Zeros and minus
        infinity where nothing is remembered.

    Raises:
        ValueError: `neighbours` is below 1, or g does not divide h.

    *Cost*: 2 b t s h k FLOPs for the search, which an approximate index replaces; then
        2 b t h n v.
    *Source*: Wu et al. 2022, section 3.1, arXiv:2203.08913.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours={neighbours}: allowed are whole numbers from 1")
    batch, length, heads, width = queries.shape
    if not keys.shape[1]:
        nothing = queries.new_full((batch, length, heads), float("-inf"))
        return queries.new_zeros(batch, length, heads, values.shape[-1]), nothing
    scale = width**-0.5 if scale is None else scale
    in_group = queries_per_kv_head(heads, keys.shape[2])
    keys = keys.repeat_interleave(in_group, 2)
    values = values.repeat_interleave(in_group, 2).transpose(1, 2)  # [b h s v]

    scores = torch.einsum("bthk,bshk->bhts", queries, keys) * scale
    best = scores.topk(min(neighbours, scores.shape[-1]), -1)  # [b h t n]
    found = values[:, :, None].expand(-1, -1, length, -1, -1)  # [b h t s v]
    found = found.gather(
        3, best.indices[..., None].expand(*best.indices.shape, values.shape[-1])
    )
    y = torch.einsum("bhtn,bhtnv->bthv", best.values.softmax(-1), found)
    return y, best.values.logsumexp(-1).transpose(1, 2)


def joined(y: Outputs, mass: Mass, other: Outputs, other_mass: Mass) -> Outputs:
    """One attention over two sets of keys, from the two attentions over each.

    *Equation*: (1 - w) y + w other, w = sigmoid(other_mass - mass).

    >>> one, two = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    >>> joined(one, one[..., 0], two, one[..., 0] + torch.log(torch.tensor(3.0)))
    tensor([[[[0.7500]]]])
    """
    w = torch.sigmoid(other_mass - mass)[..., None]
    return (1 - w) * y + w * other


class KNNMemory:
    """Keys and values of what was read, at most `capacity` tokens, the newest kept.

    No gradient flows into it: what is remembered is not trained by being found.

    Raises:
        ValueError: `capacity` is below 1.

    *Cost*: g (k + v) numbers a token, as a KV cache, in any slower memory.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: allowed are whole numbers from 1")
        self.capacity = capacity
        self.keys: Float[Tensor, "b s g k"] | None = None
        self.values: Float[Tensor, "b s g v"] | None = None

    def __len__(self) -> int:
        return 0 if self.keys is None else self.keys.shape[1]

    def add(self, keys: Float[Tensor, "b t g k"], values: Float[Tensor, "b t g v"]):
        """Take in the keys and values of a segment; the oldest go."""
        keys, values = keys.detach(), values.detach()
        if self.keys is not None:
            keys = torch.cat([self.keys, keys], 1)
            values = torch.cat([self.values, values], 1)
        self.keys = keys[:, -self.capacity :]
        self.values = values[:, -self.capacity :]


class MemorizingAttention(Attention):
    """An attention layer that also attends to the nearest keys of a memory, to which
    each call then adds its own.

    Args: those of `Attention`, without a window, softcap, sinks, bias or output gate;
        neighbours: n. gate: "learned" or "mass", as in this module's header.

    Raises:
        ValueError: as in `Attention`; `gate` is another word; or an option is not
        supported.

    *Source*: Wu et al. 2022, section 3, arXiv:2203.08913.
    *Differs from source*: the search is exact; the keys keep the rotation of their
        position; QK norm, which keeps old keys comparable, is `qk_norm="head"`.

    >>> layer, memory = MemorizingAttention(8, 2, 1, 4, neighbours=3), KNNMemory(100)
    >>> _ = layer(torch.zeros(1, 5, 8), torch.arange(5)[None], memory)
    >>> len(memory)
    5
    """

    def __init__(
        self, *sizes: int, neighbours: int, gate: str = "learned", **options
    ) -> None:
        super().__init__(*sizes, **options)
        plain = self.window, self.position_bias, self.softcap, self.sinks, self.gate
        if any(part is not None for part in plain):
            raise ValueError(
                "window, position_bias, softcap, sinks, output_gate: supported are none"
            )
        if gate not in GATES:
            raise ValueError(f"gate={gate!r}: allowed are {', '.join(GATES)}")
        self.neighbours, self.kind = neighbours, gate
        self.beta = nn.Parameter(torch.zeros(self.heads)) if gate == "learned" else None

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        memory: KNNMemory,
    ) -> Float[Tensor, "b t d"]:
        """Let each token attend to its segment's past and to the memory."""
        q, k, v = self.project(x, positions)
        mask = self.mask_mod.mask(positions, positions)
        y, mass = _local(q, k, v, mask, self.scale)
        if len(memory):
            kept = memory.keys, memory.values
            found = nearest_attend(q, *kept, self.neighbours, scale=self.scale)
            if self.beta is None:
                y = joined(y, mass, *found)
            else:
                w = torch.sigmoid(self.beta)[:, None]
                y = (1 - w) * y + w * found[0]
        memory.add(k, v)
        return self.wo(y.flatten(2))


def _local(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float):
    """Attention within the segment, and its softmax mass."""
    in_group = q.shape[2] // k.shape[2]
    k, v = (part.repeat_interleave(in_group, 2) for part in (k, v))
    scores = torch.einsum("bthk,bshk->bhts", q, k) * scale
    scores = scores.masked_fill(~mask[:, None], float("-inf"))
    y = torch.einsum("bhts,bshv->bthv", scores.softmax(-1), v)
    return y, scores.logsumexp(-1).transpose(1, 2)
