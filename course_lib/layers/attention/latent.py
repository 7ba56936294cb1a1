"""Multi-head latent attention (MLA): all heads' keys and values are made from one small
vector a token.

Symbols: x [b t d] tokens, h heads, v value width, r latent width (`kv_rank`), and of
each head's key n numbers without position (`nope_dim`) and p with it (`rope_dim`). The
paper writes n_h for h, d_h for n and v, d_h^R for p, d_c for r, c^KV for the latent and
k^R for the rotary key.

    c   = norm(W_down x)   [b t r]      the latent                    cached
    k_r = rope(W_rope x)   [b t p]      one rotary key for all heads  cached
    K   = [W_uk c ; k_r]   [b t h n+p]  keys      the plain form rebuilds both from the
    V   = W_uv c           [b t h v]    values    cache, the absorbed form neither

DeepSeek-V2 and V3 cache r + p = 512 + 64 = 576 numbers a token and layer. The same keys
and values in full are h (n + p + v) = 128 (128 + 64 + 128) = 40,960.

Why the key has two parts: a turn between q and W_uk would differ with the position, and
then W_uk could not move to the query's side.

Source: DeepSeek-V2, section 2.1, arXiv:2405.04434.

Terms:
    MLA, multi-head latent attention: keys and values of all heads are made from one
        cached latent vector a token -> LatentAttention
    decoupled RoPE, decoupled rotary key: one rotary key a token for all heads, beside
        the part of a key without position -> LatentAttention.entries
    absorbed MLA, weight absorption: the key's up-projection moves to the query's side,
        and attention runs on the latents -> LatentAttention
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.layer import attend_sdpa
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import CAUSAL, MaskMod
from course_lib.layers.norms import RMSNorm
from course_lib.layers.per_forward import MaskKind, PerForward
from course_lib.layers.positions.rope import Rope, apply_rope


class LatentAttention(nn.Module):
    """An MLA layer, in two forms that are equal: keys and values rebuilt (plain), or
    never built (absorbed).

    *Equation*: y = softmax(scale * (q_n . W_uk c + q_r . k_r)) W_uv c. As q_n . W_uk c
    = W_uk^T q_n . c, the absorbed form multiplies one query by W_uk^T, where the plain
    form multiplies every latent by W_uk.

    Args:
        d: model width.
        heads: h.
        kv_rank, nope_dim, rope_dim, value_dim: r, n, p and v.
        q_rank: the queries' latent width; None projects them straight from x.
        rope: how the p numbers turn; `Rope(dim=p, pairing="interleaved")`, as DeepSeek
            has it, when left out.
        turns: whether they turn at all. In Kimi Linear they do not (NoPE): the layers
            between its attention layers know the order of the tokens.
        scale: factor on the scores; 1 / sqrt(n + p) when left out.
        bias: whether both down projections and the output projection have biases.
        norm_eps: of the norms on the latents.
        absorbed: which form `forward` takes; an attribute, to be changed at will.

    Raises:
        ValueError: `rope.dim` is not `rope_dim`.

    *Cost*: cache r + p numbers a token. FLOPs of one decode step: see
        `costs.mixers.latent.latent_decode_flops`.
    *Source*: DeepSeek-V2, section 2.1 and appendix C, arXiv:2405.04434.

    >>> layer = LatentAttention(8, 2, kv_rank=6, nope_dim=4, rope_dim=2, value_dim=4)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d: int,
        heads: int,
        *,
        kv_rank: int,
        nope_dim: int,
        rope_dim: int,
        value_dim: int,
        q_rank: int | None = None,
        rope: Rope | None = None,
        turns: bool = True,
        scale: float | None = None,
        bias: bool = False,
        norm_eps: float = 1e-6,
        absorbed: bool = False,
    ) -> None:
        super().__init__()
        if turns and rope is None:
            rope = Rope(dim=rope_dim, pairing="interleaved")
        self.rope = rope if turns else None
        if turns and self.rope.dim != rope_dim:
            raise ValueError(
                f"rope.dim={self.rope.dim}: allowed is rope_dim={rope_dim}"
            )
        self.heads, self.kv_rank, self.value_dim = heads, kv_rank, value_dim
        self.nope_dim, self.rope_dim = nope_dim, rope_dim
        self.absorbed = absorbed
        self.scale = (nope_dim + rope_dim) ** -0.5 if scale is None else scale
        if q_rank is None:
            self.wq = nn.Linear(d, heads * (nope_dim + rope_dim), bias=False)
        else:
            self.wq_down = nn.Linear(d, q_rank, bias=bias)
            self.q_norm = RMSNorm(q_rank, norm_eps)
            self.wq_up = nn.Linear(q_rank, heads * (nope_dim + rope_dim), bias=False)
        self.wkv_down = nn.Linear(d, kv_rank + rope_dim, bias=bias)
        self.kv_norm = RMSNorm(kv_rank, norm_eps)
        self.wkv_up = nn.Linear(kv_rank, heads * (nope_dim + value_dim), bias=False)
        self.wo = nn.Linear(heads * value_dim, d, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row; `per_forward` and `mask_mod` as in
        `Attention.forward`.
        """
        per_forward = PerForward() if per_forward is None else per_forward
        turn = None
        if self.rope is not None:
            found = per_forward.rope_tables.get(self.rope)
            turn = found or per_forward.make_rope_tables(self.rope, positions, x.dtype)
        q_nope, q_rope = self.queries(x, turn)
        entries = self.entries(x, turn)
        latent, key_positions = entries[..., : self.kv_rank], positions
        if cache is not None:
            entries, latent, key_positions = cache.update(entries, latent, positions)
        mask_mod = CAUSAL if mask_mod is None else mask_mod
        kind = MaskKind(mask_mod, None, None, type(cache), entries.shape[1])
        mask = per_forward.mask(kind, positions, key_positions)
        form = self._absorbed if self.absorbed else self._plain
        return self.wo(form(q_nope, q_rope, entries, latent, mask).flatten(2))

    def queries(
        self, x: Float[Tensor, "b t d"], turn: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Each head's query without position [b t h n] and with it [b t h p]."""
        plain = hasattr(self, "wq")
        q = self.wq(x) if plain else self.wq_up(self.query_latent(x))
        return self.split_queries(q, turn)

    def query_latent(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t q"]:
        """What the queries of all heads are made from, where they have a latent."""
        return self.q_norm(self.wq_down(x))

    def split_queries(
        self, q: Float[Tensor, "b t hq"], turn: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """The two parts of each head's query, the second one turned."""
        q = q.unflatten(-1, (self.heads, self.nope_dim + self.rope_dim))
        q_nope, q_rope = q.split((self.nope_dim, self.rope_dim), dim=-1)
        return q_nope, self._turned(q_rope, turn)

    def entries(
        self, x: Float[Tensor, "b t d"], turn: tuple[Tensor, Tensor] | None
    ) -> Float[Tensor, "b t 1 k"]:
        """What the cache is given: [c ; k_r], the latent after its norm and the rotary
        key after its turn.
        """
        latent, k_rope = self.wkv_down(x)[:, :, None].split(
            (self.kv_rank, self.rope_dim), dim=-1
        )
        return torch.cat((self.kv_norm(latent), self._turned(k_rope, turn)), dim=-1)

    def _turned(self, x: Tensor, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        return x if turn is None else apply_rope(x, *turn, self.rope.pairing)

    def _plain(self, q_nope, q_rope, entries, latent, mask) -> Float[Tensor, "b t h v"]:
        """Rebuild every head's keys and values from the latents, then attend as h heads
        do.
        """
        up = self.wkv_up(latent.squeeze(2)).unflatten(-1, (self.heads, -1))
        k_nope, values = up.split((self.nope_dim, self.value_dim), dim=-1)
        k_rope = entries[..., self.kv_rank :].expand(-1, -1, self.heads, -1)
        queries, keys = (
            torch.cat((q_nope, q_rope), dim=-1),
            torch.cat((k_nope, k_rope), dim=-1),
        )
        return attend_sdpa(queries, keys, values, mask, scale=self.scale)

    def _absorbed(
        self, q_nope, q_rope, entries, latent, mask
    ) -> Float[Tensor, "b t h v"]:
        """Multi-query attention on the cache itself: one group, keys [c ; k_r], values
        c.
        """
        up = self.wkv_up.weight.unflatten(0, (self.heads, -1))
        w_uk, w_uv = up.split((self.nope_dim, self.value_dim), dim=1)
        q_latent = torch.einsum("bthn,hnr->bthr", q_nope, w_uk)
        mixed = attend_sdpa(
            torch.cat((q_latent, q_rope), dim=-1),
            entries,
            latent,
            mask,
            scale=self.scale,
        )
        return torch.einsum("bthr,hvr->bthv", mixed, w_uv)
