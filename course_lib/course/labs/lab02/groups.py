"""Lab 2, exercise 2: a layer of several heads, and the same layer with fewer keys and
values.

Symbols: b batch, t tokens, d model width, h heads, g KV groups, r = h / g heads in a
group, k head width. Weights are [out in], as `nn.Linear` keeps them: W_Q [h*k d], W_K
and W_V [g*k d], W_O [d h*k].
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.layers.attention.forms import attend
from course_lib.layers.masks import causal_mask

HINTS = {
    "split": "Head i owns the numbers i*k to (i+1)*k of the projection: the last axis "
    "splits into (h, k).",
    "merge": "Joining is the inverse of splitting: for each token, head 0's k "
    "numbers, then head 1's.",
    "rows": "The heads lie along the rows of W_K, its first axis: [h*k d] holds h "
    "blocks of k rows.",
    "neighbours": "Query head i will read group i // (h // g), so a group's key is "
    "the mean of r neighbours.",
    "mean": "Take the mean of the heads of a group. A sum "
    "makes the scores r times larger.",
    "every_head": "The mean is over all r heads of the group; "
    "one of them is not enough.",
    "repeat": "Head i reads group i // r: repeat each group r times in a row, or give "
    "q a group axis.",
    "project_back": "After the heads are joined, W_O mixes them: "
    "multiply by its transpose.",
    "mask": "Every layer here is causal: use the mask that is given.",
    "scale": "The scale is the root of the head width k, not of the model width d.",
    "unscaled": "Divide the scores by the root of the head width k.",
    "hidden": "True in the mask means that the query may see the "
    "key: hide where it is False.",
    "layer": "Project by x @ w.T, split, attend, join, project back. Compare shapes "
    "at each step.",
}
CHECK = Checker("Exercise 2", HINTS)


def check(split_heads, merge_heads, to_groups, layer, seed: int = 0) -> str:
    """Check exercise 2: `split_heads(x, heads)`, `merge_heads(x)`, `to_groups(weight,
    heads, groups)` and `layer(x, weights, heads, groups, mask)`, with weights as a dict
    of "q", "k", "v" and "o".

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, b=(2, 3), t=(4, 6), g=(2, 3), r=(2, 3), k=(4, 5), d=(7, 9)
    )
    b, t, groups, k, d = (size[name] for name in "btgkd")
    heads = groups * size["r"]
    _check_split(
        split_heads,
        merge_heads,
        torch.randn(b, t, heads * k, generator=rng).double(),
        heads,
    )
    weights = {
        name: torch.randn(heads * k, d, generator=rng).double() for name in "qkv"
    }
    weights["o"] = torch.randn(d, heads * k, generator=rng).double()
    for number in (groups, 1, heads):
        _check_groups(to_groups, weights["k"], heads, number)
    x = torch.randn(b, t, d, generator=rng).double()
    for number in (heads, groups, 1):
        shared = weights | {
            name: _pooled(weights[name], heads, number) for name in "kv"
        }
        _check_layer(layer, x, shared, heads, number)
    return (
        "Exercise 2: g = h is multi-head, g = 1 is "
        "multi-query, and between them is GQA."
    )


def _check_split(split_heads, merge_heads, x: Tensor, heads: int) -> None:
    expected = x.unflatten(-1, (heads, -1))
    with CHECK.doing("split", "split_heads"):
        got = split_heads(x, heads)
    interleaved = x.unflatten(-1, (-1, heads)).transpose(-1, -2)
    CHECK.close(got, expected, "split", "split_heads", {"split": interleaved})
    with CHECK.doing("merge", "merge_heads"):
        back = merge_heads(expected)
    CHECK.close(back, x, "merge", "merge_heads of what split_heads gives")


def _check_groups(to_groups, weight: Tensor, heads: int, groups: int) -> None:
    what = f"to_groups of {heads} heads into {groups}"
    with CHECK.doing("rows", what):
        got = to_groups(weight, heads, groups)
    blocks = weight.unflatten(0, (heads, -1))
    strided = blocks.unflatten(0, (heads // groups, groups))
    neighbours = blocks.unflatten(0, (groups, heads // groups))
    mistakes = {
        "mean": neighbours.sum(1).flatten(0, 1),
        "neighbours": strided.mean(0).flatten(0, 1),
        "every_head": neighbours[:, 0].flatten(0, 1),
        "rows": weight.unflatten(0, (-1, heads))
        .unflatten(1, (groups, -1))
        .mean(2)
        .flatten(0, 1),
    }
    CHECK.close(got, _pooled(weight, heads, groups), "rows", what, mistakes)


def _check_layer(
    layer, x: Tensor, weights: dict[str, Tensor], heads: int, groups: int
) -> None:
    what = f"layer with {heads} heads and {groups} groups"
    positions = torch.arange(x.shape[1])[None].expand(x.shape[:2])
    mask = causal_mask(positions, positions)
    with CHECK.doing("layer", what):
        got = layer(x, weights, heads, groups, mask)
    inputs = x, weights, heads, groups
    mistakes = {
        "mask": _layer(*inputs, torch.ones_like(mask)),
        "repeat": _layer(*inputs, mask, strided=True),
        "scale": _layer(*inputs, mask, scale=x.shape[-1] ** -0.5),
        "project_back": _layer(*inputs, mask, project_back=False),
        "unscaled": _layer(*inputs, mask, scale=1.0),
        "merge": _layer(*inputs, mask, heads_last=True),
        "split": _layer(*inputs, mask, heads_first=True),
    }
    default = "hidden" if isinstance(got, Tensor) and got.isnan().any() else "layer"
    CHECK.close(got, _layer(*inputs, mask), default, what, mistakes, shape="layer")


def _pooled(weight: Tensor, heads: int, groups: int) -> Tensor:
    return weight.unflatten(0, (groups, heads // groups, -1)).mean(1).flatten(0, 1)


def _layer(
    x: Tensor,
    weights: dict[str, Tensor],
    heads: int,
    groups: int,
    mask: Tensor,
    *,
    scale: float | None = None,
    strided: bool = False,
    project_back: bool = True,
    heads_last: bool = False,
    heads_first: bool = False,
) -> Tensor:
    """The layer, on the library's attention; the options are mistakes."""
    q, k, v = (
        (x @ weights[name].T).unflatten(-1, (n, -1))
        for name, n in zip("qkv", (heads, groups, groups), strict=True)
    )
    if heads_first:  # the numbers taken as [b h t k] at once
        q, k, v = (
            y.reshape(len(y), y.shape[2], y.shape[1], -1).transpose(1, 2)
            for y in (q, k, v)
        )
    if strided:  # head i reads group i % g
        k, v = (part.repeat(1, 1, heads // groups, 1) for part in (k, v))
    y, _ = attend(q, k, v, mask, scale=scale)
    joined = (y.transpose(2, 3) if heads_last else y).flatten(2)
    return joined @ weights["o"].T if project_back else joined
