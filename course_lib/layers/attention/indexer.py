"""DeepSeek Sparse Attention (DSA): a small indexer scores every key, and attention
looks at the best few.

Symbols: t queries, s keys, i index heads, k width of an index head, K keys picked
(`top_k`). The paper writes H^I for i, I for the score and S_t for what is picked.

    I_ts = sum_i w_ti ReLU(q_ti . k_s)      one number a pair; one key for all heads
    S_t  = the K keys with the largest I_ts among those that t may attend to
    y_t  = attention to S_t                 exact where K >= s

The scores still number t s, but are cheap: few heads, narrow, 8 bits wide. Attention
proper, which is not, is computed for K keys a query.

**The tie at zero.** A score is 0 wherever ReLU cuts every head. With few heads that
happens to many keys; if the K-th and the next best are both 0, the pick hangs on how a
kernel breaks ties, and a cached decode may differ from the full pass. DeepSeek-V3.2
has 64 heads; a test wants 8 or more. `tied` finds such queries.

The pick has no gradient. The indexer is trained by `alignment_loss`, to give the
attention that the heads would have paid.

Source: DeepSeek-AI 2025, DeepSeek-V3.2, arXiv:2512.02556.

Terms:
    DSA, DeepSeek sparse attention, lightning indexer: small heads score all keys, and a
        query attends to the best few -> IndexedLatentAttention, Indexer, index_scores
    top-k selection, trainable sparse attention: which keys a query attends to is
        computed from the text -> top_keys, picked_mass
    ReLU tie: scores of exactly 0 at the edge of a pick, broken one way or the other ->
        tied
    index sharing: a layer attends to the keys that an earlier layer's indexer picked ->
        IndexedLatentAttention
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.latent import LatentAttention
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import CAUSAL, MaskMod
from course_lib.layers.norms import LayerNorm
from course_lib.layers.per_forward import MaskKind, PerForward
from course_lib.layers.positions.rope import Rope, apply_rope


def index_scores(
    queries: Float[Tensor, "b t i k"],
    keys: Float[Tensor, "b s k"],
    weights: Float[Tensor, "b t i"],
) -> Float[Tensor, "b t s"]:
    """How much each key should matter to each query.

    *Equation*: I = sum_i w_i / sqrt(i) ReLU(q_i . k / sqrt(k)).
    *Cost*: 2 b t s i (k + 1) FLOPs.

    >>> q, k = torch.tensor([[[[1.0], [-1.0]]]]), torch.tensor([[[2.0], [-3.0]]])
    >>> found = index_scores(q, k, torch.tensor([[[2.0**0.5, 0.0]]]))
    >>> [round(score, 3) for score in found[0, 0].tolist()]
    [2.0, 0.0]
    """
    heads, width = queries.shape[2:]
    each = F.relu(torch.einsum("btik,bsk->btis", queries, keys) * width**-0.5)
    return torch.einsum("btis,bti->bts", each, weights * heads**-0.5)


def top_keys(
    scores: Float[Tensor, "b t s"], mask: Bool[Tensor, "b t s"], top_k: int
) -> Bool[Tensor, "b t s"]:
    """The mask, and of each query only its `top_k` best keys.

    Raises:
        ValueError: `top_k` is below 1.

    >>> scores = torch.tensor([[[3.0, 1.0, 2.0, 9.0]]])
    >>> top_keys(scores, torch.tensor([[[True, True, True, False]]]), 2)[0, 0].tolist()
    [True, False, True, False]
    """
    if top_k < 1:
        raise ValueError(f"top_k={top_k}: allowed are whole numbers from 1")
    allowed = scores.masked_fill(~mask, float("-inf"))
    best = allowed.topk(min(top_k, scores.shape[-1]), dim=-1).indices
    return torch.zeros_like(mask).scatter(-1, best, True) & mask


def tied(
    scores: Float[Tensor, "b t s"], mask: Bool[Tensor, "b t s"], top_k: int
) -> Bool[Tensor, "b t"]:
    """Queries whose pick is left to chance: the last key in it has the score of the
    first one outside.

    >>> scores = torch.tensor([[[5.0, 0.0, 0.0], [5.0, 1.0, 0.0]]])
    >>> tied(scores, torch.ones(1, 2, 3, dtype=torch.bool), 2).tolist()
    [[True, False]]
    """
    if top_k >= scores.shape[-1]:
        return torch.zeros_like(mask[..., 0])
    allowed = scores.masked_fill(~mask, float("-inf"))
    best = allowed.topk(top_k + 1, dim=-1).values
    return (best[..., -1] == best[..., -2]) & best[..., -1].isfinite()


def picked_mass(
    weights: Float[Tensor, "b h t s"], picked: Bool[Tensor, "b t s"]
) -> Float[Tensor, "b h t"]:
    """The share of full attention's weights that lies on the picked keys: what a
    selection without training would keep.
    """
    return (weights * picked[:, None]).sum(-1)


def alignment_loss(
    scores: Float[Tensor, "b t s"],
    weights: Float[Tensor, "b h t s"],
    mask: Bool[Tensor, "b t s"],
) -> Float[Tensor, ""]:
    """What trains an indexer: its scores' softmax is to be the attention of all heads
    together.

    *Equation*: the mean over the queries of KL(p, softmax(I)), p the weights summed
        over the heads and divided by their sum, taken as given.

    Args:
        mask: the keys over which both are shares: all allowed ones, or those picked.

    *Source*: DeepSeek-V3.2, section 2.1.1, arXiv:2512.02556.
    """
    target = (weights.detach().sum(1) * mask).clamp(min=0)
    target = target / target.sum(-1, keepdim=True).clamp(min=1e-30)
    log_share = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)
    log_share = log_share.masked_fill(~mask, 0.0)
    rows = mask.any(-1)
    return (torch.xlogy(target, target) - target * log_share).sum(-1)[rows].mean()


class Indexer(nn.Module):
    """The heads that score the keys.

    Args:
        d: model width.
        q_rank: width of the latent from which the queries are made.
        heads, head_dim: i and k.
        top_k: K, keys a query attends to.
        rope: how the first numbers of queries and keys turn.
        norm_eps: of the LayerNorm on the key.

    Raises:
        ValueError: `top_k` is below 1.

    *Cost*: q_rank i k + d (k + i) + 2 k parameters; k numbers a token in the cache.
    *Source*: DeepSeek-V3.2, section 2.1, arXiv:2512.02556, as transformers 5.23 builds
        it.
    *Differs from source*: numbers are not quantised to 8 bits, nor turned by a Hadamard
        matrix, which serves that alone.
    """

    def __init__(
        self,
        d: int,
        q_rank: int,
        *,
        heads: int,
        head_dim: int,
        top_k: int,
        rope: Rope,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f"top_k={top_k}: allowed are whole numbers from 1")
        self.head_dim, self.top_k, self.rope = head_dim, top_k, rope
        self.wq = nn.Linear(q_rank, heads * head_dim, bias=False)
        self.wk = nn.Linear(d, head_dim, bias=False)
        self.k_norm = LayerNorm(head_dim, norm_eps)
        self.head_weights = nn.Linear(d, heads, bias=False)

    def keys(
        self, x: Float[Tensor, "b t d"], turn: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "b t k"]:
        """One key a token, for all heads: what the cache is given."""
        k = self.k_norm(self.wk(x))[:, :, None]
        return apply_rope(k, *turn, self.rope.pairing)[:, :, 0]

    def scores(
        self,
        x: Float[Tensor, "b t d"],
        q_latent: Float[Tensor, "b t q"],
        keys: Float[Tensor, "b s k"],
        turn: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "b t s"]:
        """The score of every key for each of these tokens."""
        q = self.wq(q_latent).unflatten(-1, (-1, self.head_dim))
        q = apply_rope(q, *turn, self.rope.pairing)
        return index_scores(q, keys, self.head_weights(x))


class IndexedLatentAttention(LatentAttention):
    """An MLA layer whose queries attend to the keys that an indexer picks.

    Args:
        those of `LatentAttention`, with a `q_rank`; indexer: its own, or None for the
        pick of the last layer before it that has one (index sharing, GLM-5).

    Raises:
        ValueError: as in `LatentAttention`; `q_rank` is None; in a call, no layer
        before has picked.

    *Cost*: cache r + p numbers a token, and k for its own indexer, kept behind them in
        one `LatentCache` of `rope_dim` p + k.
    *Source*: DeepSeek-V3.2, section 2.1, arXiv:2512.02556.
    """

    def __init__(self, *sizes: int, indexer: Indexer | None, **options) -> None:
        super().__init__(*sizes, **options)
        if not hasattr(self, "wq_down"):
            raise ValueError("q_rank=None: an indexer needs the queries' latent")
        self.indexer = indexer

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row; arguments as in `LatentAttention.forward`."""
        per_forward = PerForward() if per_forward is None else per_forward
        turn = _turn(self.rope, positions, x, per_forward)
        q_latent = self.query_latent(x)
        q_nope, q_rope = self.split_queries(self.wq_up(q_latent), turn)
        entries, key_positions = self.entries(x, turn), positions
        width = entries.shape[-1]
        if self.indexer is not None:
            index_turn = _turn(self.indexer.rope, positions, x, per_forward)
            index_keys = self.indexer.keys(x, index_turn)[:, :, None]
            entries = torch.cat((entries, index_keys), -1)
        latent = entries[..., : self.kv_rank]
        if cache is not None:
            entries, latent, key_positions = cache.update(entries, latent, positions)
        mask_mod = CAUSAL if mask_mod is None else mask_mod
        kind = MaskKind(mask_mod, None, None, type(cache), entries.shape[1])
        mask = per_forward.mask(kind, positions, key_positions)
        if self.indexer is not None:
            index_keys = entries[:, :, 0, width:]
            scores = self.indexer.scores(x, q_latent, index_keys, index_turn)
            per_forward.picked = top_keys(scores, mask, self.indexer.top_k)
        if per_forward.picked is None:
            raise ValueError("indexer=None: allowed behind a layer that has one")
        form = self._absorbed if self.absorbed else self._plain
        parts = q_nope, q_rope, entries[..., :width], latent
        return self.wo(form(*parts, per_forward.picked).flatten(2))


def _turn(rope: Rope, positions: Tensor, x: Tensor, per_forward: PerForward):
    found = per_forward.rope_tables.get(rope)
    return found or per_forward.make_rope_tables(rope, positions, x.dtype)
