"""What the stacks of this folder ask of a block whose parts they run by themselves:
pre-norm attention and a feed-forward network, nothing else.

Terms:
    plain block, sublayers of a block: a pre-norm block as two functions of the
        stream -> attention_over, feed_forward, check_plain
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.layer import Attention
from course_lib.layers.per_forward import MaskKind, PerForward
from course_lib.models.block import Block


def check_plain(model: nn.Module) -> None:
    """Refuse a model whose `blocks` have another part than the two functions below run.

    Raises:
        ValueError: naming the layer and what it has.
    """
    for layer, block in enumerate(model.blocks):
        kind = type(block).__name__, block.layout, type(block.mixer).__name__
        if kind != ("Block", "pre", "Attention") or block.mixer.gate is not None:
            raise ValueError(
                f"layer {layer} is {kind}: supported is a pre-norm block with "
                "attention without an output gate"
            )


def attention_over(
    block: Block,
    x: Float[Tensor, "b t d"],
    positions: Int[Tensor, "b t"],
    keys_from: Float[Tensor, "b s d"],
    key_positions: Int[Tensor, "b s"],
) -> Float[Tensor, "b t d"]:
    """What a block's attention adds to the stream of the last t of s tokens, all of
    which are given as keys; the mask is the layer's own.

    *Cost*: projects all s tokens, as Transformer-XL does with its memory.
    """
    mixer: Attention = block.mixer
    q, k, v = mixer.project(block.mixer_norm(keys_from), key_positions)
    q = q[:, q.shape[1] - x.shape[1] :]
    shared = mixer.window, mixer.position_bias, tuple, k.shape[1]
    kind = MaskKind(mixer.mask_mod, *shared)
    y, _ = mixer.mix((q, k, v), kind, positions, key_positions, PerForward())
    return mixer.wo(y.flatten(2))


def feed_forward(block: Block, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
    """What a block's feed-forward network adds to the stream; zero without one."""
    return x * 0 if block.ffn is None else block.ffn(block.ffn_norm(x))
