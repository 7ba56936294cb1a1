"""Kinds of layers, as the tables of tensor names tell them apart: in one stack,
attention and a delta rule both have parameters `wq` and `wo`, which are called
`self_attn.q_proj` in one layer of theirs and lie in `linear_attn.in_proj_qkv` in
another.

A row of `only(kind, rows)` counts in the layers alone whose mixer is of that kind.

Terms:
    kind of layer, layer type: which mixer a layer of a hybrid has, as its tensors'
        names depend on it -> only, is_of_kind
"""

from collections.abc import Iterable, Mapping

from torch import nn

from course_lib.layers.attention.latent import LatentAttention
from course_lib.layers.attention.layer import AttentionHeads
from course_lib.layers.recurrent.gated_delta_net import DeltaMixer
from course_lib.layers.recurrent.lightning import Lightning
from course_lib.layers.recurrent.mamba import Mamba
from course_lib.layers.recurrent.mamba2 import Mamba2
from course_lib.layers.recurrent.rg_lru import RGLRU
from course_lib.layers.recurrent.short_conv import ShortConv
from course_lib.layers.recurrent.time_mixing import RWKV
from course_lib.models.checkpoints.decoder_names import Row, Table

KINDS: Mapping[str, tuple[type[nn.Module], ...]] = {
    "attention": (AttentionHeads, LatentAttention),
    "convolution": (ShortConv,),
    "delta": (DeltaMixer,),
    "lightning": (Lightning,),
    "rg_lru": (RGLRU,),
    "state_space": (Mamba, Mamba2),
    "time_mixing": (RWKV,),
}


def only(kind: str, rows: Iterable[Row]) -> Table:
    """The rows, for layers of one kind.

    Raises:
        ValueError: `kind` is none of `KINDS`.

    >>> only("delta", [("theirs", "blocks.{i}.mixer.wo")])
    (('theirs', 'blocks.{i}.mixer.wo', 'same', 'delta'),)
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: allowed are {', '.join(sorted(KINDS))}")
    return tuple(
        (*row, "same", kind) if len(row) == 2 else (*row, kind) for row in rows
    )


def is_of_kind(model: nn.Module, name: str, kind: str) -> bool:
    """Whether the mixer of the layer that a parameter belongs to is of that kind; a
    parameter outside of the layers is of none.

    Args:
        name: of the parameter, as `blocks.3.mixer.wo.weight`.
    """
    stack, _, rest = name.partition(".")
    layer = f"{stack}.{rest.partition('.')[0]}.mixer"
    try:
        mixer = model.get_submodule(layer)
    except AttributeError:
        return False
    return isinstance(mixer, KINDS[kind])
