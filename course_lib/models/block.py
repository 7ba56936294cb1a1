"""A Transformer block: attention across the tokens of a row, then a feed-forward
network on each token, both added to the residual stream.

Symbols: x [b t d] the stream, mixer the part that attends to other tokens of the row
(attention, or a state space), cross the part that attends to a source, ffn the part
that works on each token alone. Where the norms stand:

    pre           x + part(norm(x))              GPT-2, BLOOM, Llama, T5
    post          norm(x + part(x))              the first transformer, BERT, BART
    sandwich      x + norm(part(norm(x)))        Gemma 2 and 3, GLM-4
    output        x + norm(part(x))              OLMo 2 and 3, FlexOlmo
    stream        a n + b part(n), n = norm(x)   MiniMax-01
    parallel      x + mixer(norm(x)) + ffn(norm(x)), one norm for both: GPT-J, PaLM,
                  Falcon-7B, Cohere
    parallel_two  the same with a norm for each: GPT-NeoX, Falcon-40B

Terms:
    Transformer block, Transformer layer, decoder block: attention, then a feed-forward
        network, each added to the residual stream -> Block
    residual stream, residual connection: the vector of a token that every sublayer
        reads and adds to -> Block.forward
    pre-norm: x + part(norm(x)), a norm before each sublayer -> Block
    post-norm: norm(x + part(x)), a norm after each addition -> Block
    sandwich norm: x + norm(part(norm(x))), a norm on both sides of a sublayer -> Block
    norm on the output, reordered norm: x + norm(part(x)) -> Block
    norm on the stream: the stream itself is normed before each sublayer -> Block
    residual multiplier: a factor on what each part adds to the stream -> ScaledBlock
    parallel residual, parallel block: attention and feed-forward network of the same
        input, added together -> Block
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.cross import EncoderKV
from course_lib.layers.caches.contract import Cache
from course_lib.layers.masks import MaskMod
from course_lib.layers.per_forward import PerForward
from course_lib.layers.recurrent.lightning import Lightning
from course_lib.models.fixed_factors import apply_factors
from course_lib.models.layer_factory import (
    build_cross,
    build_ffn,
    build_mixer,
    build_norm,
    build_position_bias,
)
from course_lib.specs.records import FFNSpec, LayerSpec, RWKVSpec

LAYOUTS = ("pre", "post", "sandwich", "output", "stream", "parallel", "parallel_two")

NO_CROSS = ("output", "stream", "parallel", "parallel_two")


class Block(nn.Module):
    """One layer of a model, built from its specification.

    *Equation*: that of its `norm_layout`, in this module's header, for the mixer, then
        cross-attention where there is one, then the feed-forward part.

    Args:
        width: d.
        spec: the layer; its mixer, cross-attention, feed-forward part, norms and their
            places.
        position_bias: what its stack shares, see `build_blocks`.
        mixer: in place of the one that the spec describes, such as `ParallelMixers`.

    A layer without a feed-forward part (Mamba) is its mixer alone, in the layout "pre".
    A feed-forward part whose class sets `leaves_auxiliary` is given the `PerForward`,
    too, and may leave a loss or statistics there. One whose class sets `needs_state`
    (RWKV's channel mixing) is given the positions and the state of the layer's RWKV.

    Raises:
        ValueError: the spec has a part this block does not build; the message names the
        field.

    *Source*: post, Vaswani et al. 2017, arXiv:1706.03762; pre, Xiong et al. 2020,
        arXiv:2002.04745; sandwich, Gemma 2, arXiv:2408.00118; parallel, Black et al.
        2022, section 2.1, arXiv:2204.06745 (GPT-J's idea); stream, MiniMax-01 as
        transformers 5.23 reads it.
    """

    def __init__(
        self,
        width: int,
        spec: LayerSpec,
        position_bias: nn.Module | None = None,
        *,
        mixer: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.layout = spec.norm_layout
        if self.layout not in LAYOUTS:
            raise ValueError(
                f"norm_layout={self.layout!r}: supported are {', '.join(LAYOUTS)}"
            )
        if self.layout != "pre" and spec.ffn is None:
            raise ValueError(
                f"ffn=None: supported with norm_layout='pre', not {self.layout!r}"
            )
        if self.layout in NO_CROSS and spec.cross is not None:
            raise ValueError(
                f"cross is set: with norm_layout={self.layout!r} only None is supported"
            )
        if spec.residual_scale != 1.0 and type(self) is Block:
            raise ValueError(f"residual_scale={spec.residual_scale}: supported is 1.0")
        mixes = isinstance(spec.ffn, FFNSpec) and spec.ffn.kind == "channel_mix"
        if mixes and not isinstance(spec.mixer, RWKVSpec):
            raise ValueError(
                f"ffn=channel_mix with mixer={type(spec.mixer).__name__}: "
                "supported is RWKVSpec, whose state it shares"
            )
        if spec.stream_factors is not None and self.layout != "stream":
            raise ValueError(
                f"stream_factors={spec.stream_factors} with norm_layout="
                f"{self.layout!r}: supported is 'stream'"
            )
        self.factors = spec.stream_factors or (1.0,) * 4
        self.mixer = build_mixer(width, spec, position_bias) if mixer is None else mixer
        self.cross = build_cross(width, spec)
        self.ffn = None if spec.ffn is None else build_ffn(width, spec.ffn)
        apply_factors(spec, self.mixer, self.ffn)
        sandwich = self.layout == "sandwich"
        self.mixer_norm = build_norm(width, spec.norm if spec.mixer_norm else None)
        if sandwich:
            self.mixer_post_norm = build_norm(width, spec.norm)
        if self.cross is not None:
            self.cross_norm = build_norm(width, spec.norm)
        if self.cross is not None and sandwich:
            self.cross_post_norm = build_norm(width, spec.norm)
        if self.layout != "parallel" and self.ffn is not None:
            self.ffn_norm = build_norm(width, spec.norm)
        if sandwich:
            self.ffn_post_norm = build_norm(width, spec.norm)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: Cache | None = None,
        per_forward: PerForward | None = None,
        *,
        mask_mod: MaskMod | None = None,
        source: EncoderKV | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Add the parts to the stream.

        Args:
            x, positions, cache, per_forward, mask_mod: as in `Attention.forward`.
            source: what the cross-attention attends to, from its `encoder_kv`; needed
                where there is one.
        """
        if (self.cross is None) != (source is None):
            raise ValueError(
                f"source={source}: a block takes one if, and only if, it has "
                "cross-attention"
            )
        per_forward = PerForward() if per_forward is None else per_forward
        across = positions, cache, per_forward, mask_mod  # what a mixer needs beside x
        within = ()  # and an FFN with a router, or with a state
        if getattr(type(self.ffn), "leaves_auxiliary", False):
            within = (per_forward,)
        if getattr(type(self.ffn), "needs_state", False):
            within = positions, cache

        if self.layout == "pre":
            x = x + self.mixer(self.mixer_norm(x), *across)
            if source is not None:
                x = x + self.cross(self.cross_norm(x), positions, source, per_forward)
            return x if self.ffn is None else x + self.ffn(self.ffn_norm(x), *within)

        if self.layout == "post":
            x = self.mixer_norm(x + self.mixer(x, *across))
            if source is not None:
                x = self.cross_norm(x + self.cross(x, positions, source, per_forward))
            return self.ffn_norm(x + self.ffn(x, *within))

        if self.layout == "sandwich":
            x = x + self.mixer_post_norm(self.mixer(self.mixer_norm(x), *across))
            if source is not None:
                found = self.cross(self.cross_norm(x), positions, source, per_forward)
                x = x + self.cross_post_norm(found)
            return x + self.ffn_post_norm(self.ffn(self.ffn_norm(x), *within))

        if self.layout == "output":
            x = x + self.mixer_norm(self.mixer(x, *across))
            return x + self.ffn_norm(self.ffn(x, *within))

        if self.layout == "stream":
            a, b, c, d = self.factors
            x = self.mixer_norm(x)
            x = self.ffn_norm(a * x + b * self.mixer(x, *across))
            return c * x + d * self.ffn(x, *within)

        if self.layout == "parallel":
            normed = self.mixer_norm(x)
            return x + self.mixer(normed, *across) + self.ffn(normed, *within)

        mixed = self.mixer(self.mixer_norm(x), *across)  # parallel_two
        return x + mixed + self.ffn(self.ffn_norm(x), *within)


class ScaledBlock(Block):
    """A pre-norm block that adds a fraction of what each part returns.

    *Equation*: x + s mixer(norm(x)), then x + s ffn(norm(x)), s the layer's
        `residual_scale`.

    Raises:
        ValueError: as in `Block`; another layout than "pre", or cross-attention.

    *Source*: IBM Granite 3's `residual_multiplier`, as transformers 5.23 reads it.
    """

    def __init__(self, width: int, spec: LayerSpec, *parts, **options) -> None:
        super().__init__(width, spec, *parts, **options)
        if self.layout != "pre" or self.cross is not None:
            raise ValueError(
                f"residual_scale={spec.residual_scale} in the layout {self.layout!r}: "
                "supported is 'pre', without cross-attention"
            )
        self.scale = spec.residual_scale

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: Cache | None = None,
        per_forward: PerForward | None = None,
        *,
        mask_mod: MaskMod | None = None,
        source: None = None,
    ) -> Float[Tensor, "b t d"]:
        """As `Block.forward`, without a source."""
        per_forward = PerForward() if per_forward is None else per_forward
        leaves_auxiliary = getattr(type(self.ffn), "leaves_auxiliary", False)
        within = (per_forward,) if leaves_auxiliary else ()
        normed = self.mixer_norm(x)
        x = x + self.scale * self.mixer(normed, positions, cache, per_forward, mask_mod)
        if self.ffn is None:
            return x
        return x + self.scale * self.ffn(self.ffn_norm(x), *within)


class SharedBlock(nn.Module):
    """A place in the stack at which another layer's block runs again: the same weights,
    a cache of its own.

    The block is kept in a list, out of PyTorch's sight, so that the state dict holds
    its weights once.

    *Source*: Glorioso et al. 2024, section 2, arXiv:2405.16712 (Zamba).
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.shares = [block]

    def forward(self, *inputs, **options) -> Float[Tensor, "b t d"]:
        """As `Block.forward`."""
        return self.shares[0](*inputs, **options)


def build_blocks(
    width: int, layers: Sequence[LayerSpec], *, shared: Mapping[int, int] | None = None
) -> nn.ModuleList:
    """A stack of blocks. The first layer's position bias serves all of them, as in T5
    and BLOOM.

    Args:
        width: d.
        layers: the specs, in order.
        shared: which layers run an earlier one's block, as {layer: earlier}.

    Raises:
        ValueError: a layer shares one that is not earlier, shares itself, or has
        another spec.

    >>> from course_lib.specs.loader import load_spec
    >>> import torch
    >>> spec = load_spec("t5-base")
    >>> with torch.device("meta"):
    ...     blocks = build_blocks(spec.width, spec.encoder)
    >>> blocks[0].mixer.position_bias is blocks[11].mixer.position_bias
    True
    """
    shared, bias = shared or {}, build_position_bias(layers[0].mixer)
    blocks: list[nn.Module] = []
    for index, layer in enumerate(layers):
        earlier = shared.get(index)
        if earlier is None:
            kind = Block if layer.residual_scale == 1.0 else ScaledBlock
            blocks.append(kind(width, layer, bias))
        elif earlier in shared or not 0 <= earlier < index or layers[earlier] != layer:
            raise ValueError(
                f"shared={dict(shared)}: allowed for layer {index} is an earlier one "
                "with the same spec and a block of its own"
            )
        else:
            blocks.append(SharedBlock(blocks[earlier]))
        mixer = getattr(blocks[-1], "mixer", None)
        if isinstance(mixer, Lightning):  # its decays depend on the place
            mixer.stand_at(index, len(layers))
    return nn.ModuleList(blocks)
