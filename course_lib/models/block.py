"""A block: one step of the residual stream, first across the tokens of a row, then within each token.

Symbols: x [b t d] the stream, mixer the part that reads other tokens (attention), ffn the part that does not.
`pre` norms the input of each part. `sandwich` (Gemma 2 and 3) norms its output too.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention import Attention
from course_lib.layers.kv_cache import LayerCache
from course_lib.layers.latent_attention import LatentAttention
from course_lib.layers.mlp import MLP, GatedMLP
from course_lib.layers.norms import LayerNorm, RMSNorm
from course_lib.layers.positions import Rope, rope_scaling_factor
from course_lib.specs.schema import (
    AttentionSpec,
    FFNSpec,
    LatentAttentionSpec,
    LayerSpec,
    MoESpec,
    NormSpec,
    RopeSpec,
)

LAYOUTS = ("pre", "sandwich")


class Block(nn.Module):
    """One layer of a decoder, built from its specification.

    *Equation*: x = x + mixer(norm(x)); x = x + ffn(norm(x)). In a sandwich, each sum adds
        norm(part(norm(x))).

    Args:
        width: d.
        spec: the layer; its mixer, feed-forward part, norms and their places.

    Raises:
        ValueError: the spec has a part this block does not build; the message names the field.

    *Source*: Vaswani et al. 2017, arXiv:1706.03762; norms first, Xiong et al. 2020, arXiv:2002.04745;
        sandwich, Gemma 2, arXiv:2408.00118.
    """

    def __init__(self, width: int, spec: LayerSpec) -> None:
        super().__init__()
        if spec.norm_layout not in LAYOUTS:
            raise ValueError(f"norm_layout={spec.norm_layout!r}: supported are {', '.join(LAYOUTS)}")
        if spec.cross is not None:
            raise ValueError("cross is set: only layers without cross-attention are supported")
        self.sandwich = spec.norm_layout == "sandwich"
        self.mixer_norm, self.mixer = build_norm(width, spec.norm), build_mixer(width, spec)
        self.ffn_norm, self.ffn = build_norm(width, spec.norm), build_ffn(width, spec.ffn)
        if self.sandwich:
            self.mixer_post_norm = build_norm(width, spec.norm)
            self.ffn_post_norm = build_norm(width, spec.norm)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        memo: dict | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Add both parts to the stream; `memo` lives for one forward pass (see `positions.once`)."""
        mixed = self.mixer(self.mixer_norm(x), positions, cache, memo)
        x = x + (self.mixer_post_norm(mixed) if self.sandwich else mixed)
        fed = self.ffn(self.ffn_norm(x))
        return x + (self.ffn_post_norm(fed) if self.sandwich else fed)


def build_norm(width: int, spec: NormSpec) -> nn.Module:
    """The norm that `spec` describes."""
    if spec.kind == "rmsnorm":
        return RMSNorm(width, spec.eps, offset=spec.offset)
    return LayerNorm(width, spec.eps, bias=spec.bias)


def build_rope(spec: RopeSpec | None) -> Rope | None:
    """The rotary positions that `spec` describes; a ValueError for a scaling that is not supported."""
    if spec is None:
        return None
    factor = rope_scaling_factor(spec.scaling)
    return Rope(dim=spec.dim, theta=spec.theta, pairing=spec.pairing, factor=factor)


def build_ffn(width: int, spec: FFNSpec | MoESpec | None) -> nn.Module:
    """The feed-forward part that `spec` describes; a ValueError for experts and other kinds."""
    kinds = {"mlp": MLP, "glu": GatedMLP}
    kind = getattr(spec, "kind", type(spec).__name__)
    if kind not in kinds:
        raise ValueError(f"ffn={kind}: supported are {', '.join(kinds)}")
    return kinds[kind](width, spec.width, activation=spec.activation, bias=spec.bias)


def build_mixer(width: int, layer: LayerSpec) -> nn.Module:
    """The part that mixes tokens; a ValueError names the field that is not supported."""
    if isinstance(layer.mixer, AttentionSpec):
        return _build_attention(width, layer.mixer, layer.norm)
    if isinstance(layer.mixer, LatentAttentionSpec):
        return _build_latent_attention(width, layer.mixer)
    kind = type(layer.mixer).__name__
    raise ValueError(f"mixer={kind}: supported are AttentionSpec and LatentAttentionSpec")


def _build_attention(width: int, spec: AttentionSpec, norm: NormSpec) -> Attention:
    for field, allowed in (("causal", True), ("relative_buckets", 0)):
        if getattr(spec, field) != allowed:
            raise ValueError(f"{field}={getattr(spec, field)}: supported is {allowed}")
    return Attention(
        width,
        spec.heads,
        spec.kv_heads,
        spec.head_dim,
        value_dim=spec.value_dim,
        rope=build_rope(spec.rope),
        window=spec.window,
        bias_qkv=spec.bias_qkv,
        bias_out=spec.bias_out,
        qk_norm=spec.qk_norm,
        norm_eps=norm.eps,
        norm_offset=norm.offset,
        softcap=spec.softcap,
        scale=spec.scale,
        sinks=spec.sinks,
    )


def _build_latent_attention(width: int, spec: LatentAttentionSpec) -> LatentAttention:
    return LatentAttention(
        width,
        spec.heads,
        kv_rank=spec.kv_rank,
        nope_dim=spec.nope_dim,
        rope_dim=spec.rope_dim,
        value_dim=spec.value_dim,
        q_rank=spec.q_rank,
        rope=build_rope(spec.rope),
        scale=spec.scale,
        bias=spec.bias,
        norm_eps=spec.norm.eps,
    )
