"""Cutting a Transformer block for tensor parallelism: columns of the first matrices,
rows of the last ones.

Symbols: D ranks, h query heads, g KV heads, f FFN width.

    by columns   W_Q, W_K, W_V, W_gate, W_up: a rank computes h / D heads, f / D inner
                 numbers of every token, from the whole input
    by rows      W_O, W_down: a rank multiplies its own heads and inner numbers, and has
                 a partial sum of the whole output
    whole        norms, and the biases of W_O and W_down, which are added once

With fewer KV heads than ranks a KV head is held D / g times: the ranks that share it
hold the same keys and values in their caches.

Source: Shoeybi et al. 2019, section 3, arXiv:1909.08053.

Terms:
    column-parallel, row-parallel: a matrix split by its outputs, or by its inputs ->
        columns_of, rows_of
    replicated KV head: a KV head that several ranks hold, where there are fewer heads
        than ranks -> kv_heads_of, holders_of
"""

from collections.abc import Sequence
from copy import deepcopy

from torch import Tensor, nn

from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.feed_forward.mlp import MLP, GatedMLP
from course_lib.models.block import Block

LAYOUTS = ("pre", "parallel")


def columns_of(layer: nn.Linear, part: slice | Sequence[int]) -> nn.Linear:
    """The outputs `part` of a linear layer: rows of PyTorch's [out in] weight, and
    their biases.
    """
    return _linear(layer.weight[part], None if layer.bias is None else layer.bias[part])


def rows_of(layer: nn.Linear, part: slice) -> nn.Linear:
    """The inputs `part` of a linear layer, without its bias, which is added once."""
    return _linear(layer.weight[:, part], None)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    cut = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    cut.weight = nn.Parameter(weight.detach().clone())
    cut.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return cut


def kv_heads_of(rank: int, ranks: int, kv_heads: int) -> range:
    """The KV heads that a rank holds: its share, or the one that its queries need.

    >>> [list(kv_heads_of(rank, 2, kv_heads=4)) for rank in range(2)]
    [[0, 1], [2, 3]]
    >>> [list(kv_heads_of(rank, 4, kv_heads=2)) for rank in range(4)]
    [[0], [0], [1], [1]]
    """
    first = rank * kv_heads // ranks
    return range(first, first + max(kv_heads // ranks, 1))


def holders_of(kv_head: int, ranks: int, kv_heads: int) -> list[int]:
    """The ranks that hold a KV head.

    >>> holders_of(1, ranks=4, kv_heads=2)
    [2, 3]
    """
    return [r for r in range(ranks) if kv_head in kv_heads_of(r, ranks, kv_heads)]


class BlockPart(nn.Module):
    """What one rank holds of a block: its heads, its columns and rows, and copies of
    norms and output biases. `split_block` makes it.
    """

    def __init__(self, block: Block, rank: int, ranks: int) -> None:
        super().__init__()
        self.layout, self.rank, self.ranks = block.layout, rank, ranks
        self.kv_heads = block.mixer.kv_heads
        self.attention = _attention_part(block.mixer, rank, ranks)
        self.ffn = _ffn_part(block.ffn, rank, ranks)
        self.attention_norm = deepcopy(block.mixer_norm)
        self.ffn_norm = None if block.layout == "parallel" else deepcopy(block.ffn_norm)
        self.bias_out = _copy_bias(block.mixer.wo)
        self.bias_down = _copy_bias(block.ffn.down)

    def partial_attention(
        self, h: Tensor, positions: Tensor, cache: LayerCache | None = None
    ) -> Tensor:
        """This rank's heads: a partial sum of the attention's output."""
        return self.attention(h, positions, cache)

    def partial_ffn(self, h: Tensor) -> Tensor:
        """This rank's inner numbers: a partial sum of the network's output."""
        return self.ffn(h)


def split_block(block: Block, rank: int, ranks: int) -> BlockPart:
    """Cut a rank's part out of a whole block.

    Args: `block` with attention and an `MLP` or `GatedMLP`, in the layout "pre" or
        "parallel"; `rank` of `ranks` D.
    Returns: the part, with copied weights.
    Raises: ValueError if D does not divide the heads and the inner width, or neither
        KV heads nor D divides the other; if the block has another part or layout, QK
        norm over the whole width, sinks, an output gate or a position bias.

    *Cost*: 1 / D of the matrices, max(g / D, 1) KV heads.
    """
    mixer, ffn = block.mixer, block.ffn
    if block.layout not in LAYOUTS or block.cross is not None:
        raise ValueError(
            f"block.layout={block.layout!r}: allowed are {', '.join(LAYOUTS)}, "
            "without cross-attention"
        )
    if type(mixer) is not Attention or not isinstance(ffn, MLP | GatedMLP):
        raise ValueError(
            f"block has {type(mixer).__name__} and {type(ffn).__name__}: allowed are "
            "Attention, and MLP or GatedMLP"
        )
    for name in ("sinks", "gate", "position_bias"):
        if getattr(mixer, name) is not None:
            raise ValueError(f"block.mixer.{name} is set: only None is allowed")
    if mixer.qk_norm == "width":
        raise ValueError("block.mixer.qk_norm='width': none and head are allowed")
    for name, count in (("heads", mixer.heads), ("FFN width", ffn.up.out_features)):
        if count % ranks:
            raise ValueError(
                f"ranks={ranks}: a divisor of the {name} {count} is allowed"
            )
    if mixer.kv_heads % ranks and ranks % mixer.kv_heads:
        raise ValueError(
            f"ranks={ranks}: a divisor or a multiple of the KV heads {mixer.kv_heads} "
            "is allowed"
        )
    return BlockPart(block, rank, ranks)


def _attention_part(whole: Attention, rank: int, ranks: int) -> Attention:
    heads, k, v = whole.heads // ranks, whole.head_dim, whole.value_dim
    held = kv_heads_of(rank, ranks, whole.kv_heads)
    part = Attention(
        whole.wq.in_features,
        heads,
        len(held),
        k,
        value_dim=v,
        mask_mod=whole.mask_mod,
        window=whole.window,
        rope=whole.rope,
        qk_norm=whole.qk_norm,
        softcap=whole.softcap,
        scale=whole.scale,
    )
    part.wq = columns_of(whole.wq, slice(rank * heads * k, (rank + 1) * heads * k))
    part.wk = columns_of(whole.wk, slice(held.start * k, held.stop * k))
    part.wv = columns_of(whole.wv, slice(held.start * v, held.stop * v))
    part.wo = rows_of(whole.wo, slice(rank * heads * v, (rank + 1) * heads * v))
    if whole.qk_norm == "head":
        part.q_norm, part.k_norm = deepcopy(whole.q_norm), deepcopy(whole.k_norm)
    return part


def _ffn_part(whole: MLP | GatedMLP, rank: int, ranks: int) -> MLP | GatedMLP:
    width = whole.up.out_features // ranks
    own = slice(rank * width, (rank + 1) * width)
    part = type(whole)(whole.up.in_features, width)
    part.act = whole.act
    part.up, part.down = columns_of(whole.up, own), rows_of(whole.down, own)
    if isinstance(whole, GatedMLP):
        part.gate = columns_of(whole.gate, own)
    return part


def _copy_bias(layer: nn.Linear) -> nn.Parameter | float:
    return 0.0 if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
