"""A block: one step of the residual stream, first across the tokens of a row, then
within each token.

Symbols: x [b t d] the stream, mixer the part that reads other tokens of the row
(attention), cross the part that reads a source, ffn the part that reads no other token.
Where the norms stand:

    pre           x + part(norm(x))              GPT-2, BLOOM, Llama, T5
    post          norm(x + part(x))              the first transformer, BERT, BART
    sandwich      x + norm(part(norm(x)))        Gemma 2 and 3, GLM-4
    parallel      x + mixer(norm(x)) + ffn(norm(x)), one norm for both: GPT-J, PaLM,
                  Falcon-7B, Cohere
    parallel_two  the same with a norm for each: GPT-NeoX, Falcon-40B
"""

from collections.abc import Callable, Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.cross import EncoderKV
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import MaskMod
from course_lib.models.layer_factory import (
    build_cross,
    build_ffn,
    build_mixer,
    build_norm,
    build_position_bias,
)
from course_lib.specs.records import LayerSpec

LAYOUTS = ("pre", "post", "sandwich", "parallel", "parallel_two")


class Block(nn.Module):
    """One layer of a model, built from its specification.

    *Equation*: that of its `norm_layout`, in this module's header, for the mixer, then
        cross-attention where there is one, then the feed-forward part.

    Args:
        width: d.
        spec: the layer; its mixer, cross-attention, feed-forward part, norms and their
            places.
        position_bias: what its stack shares, see `build_blocks`.

    Raises:
        ValueError: the spec has a part this block does not build; the message names the
        field.

    *Source*: post, Vaswani et al. 2017, arXiv:1706.03762; pre, Xiong et al. 2020,
        arXiv:2002.04745; sandwich, Gemma 2, arXiv:2408.00118; parallel, Black et al.
        2022, section 2.1, arXiv:2204.06745 (GPT-J's idea).
    """

    def __init__(
        self, width: int, spec: LayerSpec, position_bias: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.layout = spec.norm_layout
        if self.layout not in LAYOUTS:
            raise ValueError(
                f"norm_layout={self.layout!r}: supported are {', '.join(LAYOUTS)}"
            )
        if self.layout.startswith("parallel") and spec.cross is not None:
            raise ValueError(
                f"cross is set: with norm_layout={self.layout!r} only None is supported"
            )
        self.mixer = build_mixer(width, spec, position_bias)
        self.cross, self.ffn = build_cross(width, spec), build_ffn(width, spec.ffn)
        for part in ("mixer", "cross", "ffn"):
            if getattr(self, part) is None or (
                part == "ffn" and self.layout == "parallel"
            ):
                continue
            bare = part == "mixer" and not spec.mixer_norm
            setattr(
                self,
                f"{part}_norm",
                nn.Identity() if bare else build_norm(width, spec.norm),
            )
            if self.layout == "sandwich":
                setattr(self, f"{part}_post_norm", build_norm(width, spec.norm))

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        memo: dict | None = None,
        *,
        mask_mod: MaskMod | None = None,
        source: EncoderKV | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Add the parts to the stream.

        Args:
            x, positions, cache, memo, mask_mod: as in `Attention.forward`.
            source: what the cross-attention reads, from its `read`; needed where there
                is one.
        """
        if (self.cross is None) != (source is None):
            raise ValueError(
                f"source={source}: a block reads one if, and only if, it has "
                "cross-attention"
            )

        def mixed(inner: Tensor) -> Tensor:
            return self.mixer(inner, positions, cache, memo, mask_mod=mask_mod)

        if self.layout.startswith("parallel"):
            normed = self.mixer_norm(x)
            return (
                x
                + mixed(normed)
                + self.ffn(normed if self.layout == "parallel" else self.ffn_norm(x))
            )
        x = self._add("mixer", mixed, x)
        if self.cross is not None:
            x = self._add(
                "cross", lambda inner: self.cross(inner, positions, source, memo), x
            )
        return self._add("ffn", self.ffn, x)

    def _add(self, name: str, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """One sublayer, with its norms where the layout wants them."""
        norm = getattr(self, f"{name}_norm")
        if self.layout == "post":
            return norm(x + part(x))
        change = part(norm(x))
        return x + (
            getattr(self, f"{name}_post_norm")(change)
            if self.layout == "sandwich"
            else change
        )


def build_blocks(width: int, layers: Sequence[LayerSpec]) -> nn.ModuleList:
    """A stack of blocks. The first layer's position bias serves all of them, as in T5
    and BLOOM.

    >>> from course_lib.specs.loader import load_spec
    >>> import torch
    >>> spec = load_spec("t5-base")
    >>> with torch.device("meta"):
    ...     blocks = build_blocks(spec.width, spec.encoder)
    >>> blocks[0].mixer.position_bias is blocks[11].mixer.position_bias
    True
    """
    shared = build_position_bias(layers[0].mixer)
    return nn.ModuleList(Block(width, layer, shared) for layer in layers)
