"""Zamba2: a stack of Mamba-2 layers, before some of which one and the same Transformer
block runs, on the stream beside the embedding, with small matrices of each visit's own.

Symbols: b batch, t tokens, d model width, x_0 the embedding, r rank of an adapter. At
the visits of the shared block:

    a = attention(norm([x; x_0]))              2 d numbers in, d out, no residual
    f = ffn(norm(a)), whose first matrix is W + B_i A_i at visit i
    x <- x + mamba(norm(x + L_i f))            elsewhere x + mamba(norm(x))

The shared block's weights stand once, or in `blocks` sets that take turns; each visit
has keys and values of its own, for it sees another stream.

Terms:
    shared attention block, Zamba, Zamba2: one Transformer block that runs before
        several Mamba layers -> SharedBlockLM, SharedTransformer
    adapter of a visit, LoRA of a shared block: a low-rank matrix beside a shared
        one, another at each visit -> SharedTransformer, VisitLinear
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import Cache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.feed_forward.mlp import ACTIVATIONS
from course_lib.layers.norms import RMSNorm
from course_lib.layers.positions.rope import Rope
from course_lib.models.embed import checked_positions
from course_lib.models.state_space_factory import build_state, build_state_space
from course_lib.specs.records import NormSpec, SSMSpec

Stream = Float[Tensor, "b t d"]


class VisitLinear(nn.Linear):
    """A shared matrix W, beside which B_i A_i stands at visit i: W x + B_i A_i x.

    `visit` is set before the call.
    """

    def __init__(self, linear: nn.Linear, rank: int, visits: int) -> None:
        d, out = linear.in_features, linear.out_features
        super().__init__(d, out, bias=False)
        self.adapters = nn.ModuleList(
            nn.Sequential(
                nn.Linear(d, rank, bias=False), nn.Linear(rank, out, bias=False)
            )
            for _ in range(visits)
        )
        self.visit = 0

    def forward(self, x: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes o"]:
        return super().forward(x) + self.adapters[self.visit](x)


class SharedTransformer(nn.Module):
    """The block that runs at several places, without residuals of its own.

    Args:
        d: model width. heads, kv_heads, head_dim: of the attention, whose input is 2 d
            wide. ffn: inner width. rank: r. visits: how many adapters there are.
        norm_eps: of both norms. rope: of the attention. adapt_attention: whether
            queries, keys and values have adapters, too.

    Raises:
        ValueError: the heads do not make up 2 d numbers.

    *Source*: Glorioso et al. 2024, arXiv:2411.15242 (Zamba2), as
        `Zamba2AttentionDecoderLayer` of transformers 5.23; scores are divided by
        sqrt(k / 2).
    """

    def __init__(
        self,
        d: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        ffn: int,
        *,
        rank: int,
        visits: int,
        norm_eps: float = 1e-5,
        rope: Rope | None = None,
        adapt_attention: bool = False,
    ) -> None:
        super().__init__()
        if heads * head_dim != 2 * d:
            raise ValueError(
                f"heads={heads}, head_dim={head_dim}: allowed is a product of {2 * d}"
            )
        self.norm, self.ffn_norm = RMSNorm(2 * d, norm_eps), RMSNorm(d, norm_eps)
        scale = (head_dim / 2) ** -0.5
        self.mixer = Attention(2 * d, heads, kv_heads, head_dim, scale=scale, rope=rope)
        self.adapted: tuple[VisitLinear, ...] = ()
        if adapt_attention:
            parts = self.mixer.wq, self.mixer.wk, self.mixer.wv
            self.adapted = tuple(VisitLinear(part, rank, visits) for part in parts)
            self.mixer.wq, self.mixer.wk, self.mixer.wv = self.adapted
        self.mixer.wo = nn.Identity()  # the heads' outputs, 2 d wide
        self.wo = nn.Linear(2 * d, d, bias=False)
        self.gate_up = nn.Linear(d, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, d, bias=False)
        self.adapters = nn.ModuleList(
            nn.Sequential(
                nn.Linear(d, rank, bias=False), nn.Linear(rank, 2 * ffn, bias=False)
            )
            for _ in range(visits)
        )

    def forward(
        self,
        x: Stream,
        embedded: Stream,
        positions: Int[Tensor, "b t"],
        visit: int,
        cache: Cache | None = None,
    ) -> Stream:
        """What the block makes of the stream and the embedding at a visit."""
        for part in self.adapted:
            part.visit = visit
        both = self.norm(torch.cat([x, embedded], -1))
        normed = self.ffn_norm(self.wo(self.mixer(both, positions, cache)))
        gate, up = (self.gate_up(normed) + self.adapters[visit](normed)).chunk(2, -1)
        return self.down(ACTIVATIONS["gelu"](gate) * up)


class SharedBlockLM(nn.Module):
    """A causal model of Mamba-2 layers and a shared Transformer block.

    Args:
        pattern: a letter a layer, "m" Mamba-2 and "h" Mamba-2 with the shared block
            before it.
        vocab, width: of the model. state: the Mamba-2 of all layers.
        heads, kv_heads, head_dim, ffn, rank: of the shared block.
        blocks: how many sets of shared weights take turns.
        norm_eps: of the norms on the stream.
        rope, adapt_attention: of the shared block. least_step: of the Mamba-2.

    Raises:
        ValueError: `pattern` has another letter or no "h", or `blocks` is below 1.

    *Cost*: parameters of `blocks` Transformer blocks, however often they run; FLOPs and
        cache of each visit.
    *Source*: Glorioso et al. 2024, arXiv:2405.16712 (Zamba); arXiv:2411.15242 (Zamba2).
    *Differs from source*: left out, `rope`, `adapt_attention` and `least_step` (0.001
        in Zamba2) are off; the head is tied. Theirs, decoding with a cache, drops the
        least step in its plain form; ours keeps it.

    >>> state = {"d_inner": 16, "state": 4, "conv": 4, "heads": 4, "head_dim": 4}
    >>> mamba = SSMSpec(kind="mamba2", groups=1, **state)
    >>> model = SharedBlockLM("mhmh", 19, 8, mamba, heads=2, head_dim=8, ffn=12, rank=2)
    >>> model(torch.zeros(1, 5, dtype=torch.long)).shape, len(model.shared)
    (torch.Size([1, 5, 19]), 1)
    """

    def __init__(
        self,
        pattern: str,
        vocab: int,
        width: int,
        state: SSMSpec,
        *,
        heads: int,
        head_dim: int,
        ffn: int,
        rank: int,
        kv_heads: int | None = None,
        blocks: int = 1,
        norm_eps: float = 1e-5,
        rope: Rope | None = None,
        adapt_attention: bool = False,
        least_step: float = 0.0,
    ) -> None:
        super().__init__()
        if set(pattern) - {"m", "h"} or "h" not in pattern:
            raise ValueError(
                f"pattern={pattern!r}: allowed are m and h, one h at least"
            )
        if blocks < 1:
            raise ValueError(f"blocks={blocks}: allowed are whole numbers from 1")
        self.pattern, self.state = pattern, state
        kv_heads = heads if kv_heads is None else kv_heads
        self.kv_sizes = kv_heads, head_dim, head_dim
        visits = pattern.count("h")
        self.embed = nn.Embedding(vocab, width)
        norm = NormSpec(kind="rmsnorm", eps=1e-5)  # of the gated norms, in any model
        self.mixers = nn.ModuleList(
            build_state_space(width, state, norm) for _ in pattern
        )
        for mixer in self.mixers:
            mixer.least_step = least_step
        self.norms = nn.ModuleList(RMSNorm(width, norm_eps) for _ in pattern)
        self.shared = nn.ModuleList(
            SharedTransformer(
                *(width, heads, kv_heads, head_dim, ffn),
                rank=rank,
                visits=len(range(number, visits, blocks)),
                norm_eps=norm_eps,
                rope=rope,
                adapt_attention=adapt_attention,
            )
            for number in range(min(blocks, visits))
        )
        self.linear = nn.ModuleList(
            nn.Linear(width, width, bias=False) for _ in range(visits)
        )
        self.final_norm = RMSNorm(width, norm_eps)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
    ) -> Float[Tensor, "b t vocab"]:
        """Score the vocabulary after each token; arguments as in `CausalLM`."""
        start = 0 if cache is None else cache.length
        positions = checked_positions(tokens, positions, start)
        count = len(self.pattern) + len(self.linear)
        own = iter([None] * count if cache is None else cache)
        x = embedded = self.embed(tokens)
        visit = 0
        for letter, mixer, norm in zip(
            self.pattern, self.mixers, self.norms, strict=True
        ):
            added = 0
            if letter == "h":
                again, number = divmod(visit, len(self.shared))
                block = self.shared[number]
                found = block(x, embedded, positions, again, next(own))
                added, visit = self.linear[visit](found), visit + 1
            x = x + mixer(norm(x + added), positions, next(own))
        return self.final_norm(x) @ self.embed.weight.T

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache: a state for each layer, keys and values for each visit."""
        like = {"dtype": self.embed.weight.dtype, "device": self.embed.weight.device}
        layers: list[Cache] = []
        for letter in self.pattern:
            if letter == "h":
                layers.append(ContiguousCache(batch, capacity, *self.kv_sizes, **like))
            layers.append(build_state(self.state, batch, **like))
        return ModelCache(layers)
