"""Lab 2, exercise 2: a layer of several heads, and the same layer with fewer keys and
values.

Symbols: b batch, t tokens, d model width, h heads, g KV groups, r = h / g heads in a
group, k head width. Weights are [out in], as `nn.Linear` keeps them: W_Q [h*k d], W_K
and W_V [g*k d], W_O [d h*k].
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import helped, strided
from course_lib.course.labs.values import same
from course_lib.layers.attention.forms import attend

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
    "mask": "Use the mask that is given: it is another in each row of the batch, and "
    "need not be causal.",
    "oriented": "Weights are [out in]: x @ w.T, also where w happens to be square.",
    "scale": "The scale is the root of the head width k, not of the model width d.",
    "unscaled": "Divide the scores by the root of the head width k.",
    "hidden": "True in the mask means that the query may see the "
    "key: hide where it is False.",
    "stable": "exp of a few hundred overflows: softmax subtracts the largest score of "
    "each row first.",
    "layer": "Project by x @ w.T, split, attend, join, project back: check one step "
    "after the other.",
}
CHECK = Checker("Exercise 2", HINTS)


def check_split_heads(split_heads, seed: int = 0) -> str:
    """Check `split_heads(x, heads)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do the three other checks.
    """
    for x, heads in _rows(seed):
        what = f"split_heads of {tuple(x.shape)} into {heads}"
        got = CHECK.call(split_heads, x, heads, what=what)
        interleaved = x.unflatten(-1, (-1, heads)).transpose(-1, -2)
        want = x.unflatten(-1, (heads, -1))
        CHECK.close(got, want, "split", what, {"split": interleaved})
    return "Exercise 2: the heads lie one after the other."


def check_merge_heads(merge_heads, seed: int = 0) -> str:
    """Check `merge_heads(y)`."""
    for x, heads in _rows(seed):
        y = x.unflatten(-1, (heads, -1))
        moved = y.transpose(1, 2).contiguous().transpose(1, 2)  # as a product leaves it
        for given in (y, moved):
            what = f"merge_heads of {tuple(y.shape)}"
            got = CHECK.call(merge_heads, given, what=what)
            CHECK.close(got, x, "merge", what)
    return "Exercise 2: joining undoes splitting."


def _rows(seed: int) -> list[tuple[Tensor, int]]:
    rng, _, (b, t, heads, k) = _sizes(seed)
    shapes = (b, t, heads * k, heads), (1, 1, 3 * k, 3), (2, 3, k, 1)
    rows = [
        (torch.randn(*shape, generator=rng).double(), heads) for *shape, heads in shapes
    ]
    return [*rows, (strided(rows[0][0]), heads)]


def _sizes(seed: int) -> tuple[torch.Generator, dict[str, int], tuple[int, ...]]:
    rng, size = random_sizes(
        seed, b=(2, 3), t=(4, 6), g=(2, 3), r=(2, 3), k=(4, 5), d=(7, 9)
    )
    return rng, size, (size["b"], size["t"], size["g"] * size["r"], size["k"])


def check_to_groups(to_groups, seed: int = 0) -> str:
    """Check `to_groups(weight, heads, groups)`."""
    rng, size, (_, _, heads, k) = _sizes(seed)
    weight = torch.randn(heads * k, size["d"], generator=rng).double()
    for number in (size["g"], 1, heads):
        _check_groups(to_groups, weight, heads, number)
    _check_groups(to_groups, strided(weight), heads, size["g"])
    return "Exercise 2: a group's key is the mean of its heads'."


def check_layer(layer, seed: int = 0) -> str:
    """Check `layer(x, weights, heads, groups, mask)`, with weights as a dict of "q",
    "k", "v" and "o"; the library's split and merge stand beside it, or else the
    student's.
    """

    def trial() -> None:
        rng, size, (b, t, heads, k) = _sizes(seed)
        for batch, groups, d, lies, loud in (
            (b, heads, size["d"], Tensor.contiguous, 1),
            (b, size["g"], size["d"], Tensor.contiguous, 1),
            (1, 1, size["d"], strided, 1),
            (2, size["g"], heads * k, Tensor.contiguous, 1),  # square weights
            (2, size["g"], size["d"], strided, 60),
        ):
            rows = {"q": heads, "k": groups, "v": groups}
            weights = {
                name: torch.randn(n * k, d, generator=rng).double()
                for name, n in rows.items()
            }
            weights["o"] = torch.randn(d, heads * k, generator=rng).double()
            x = loud * torch.randn(batch, t, d, generator=rng).double()
            causal = torch.ones(batch, t, t, dtype=torch.bool).tril()
            anyhow = torch.rand(batch, t, t, generator=rng) < 0.5
            for mask in (causal, anyhow | torch.eye(t, dtype=torch.bool)):
                _check_layer(layer, lies(x), weights, heads, groups, lies(mask))

    helped(trial, layer, split_heads=_split, merge_heads=lambda y: y.flatten(-2))
    return (
        "Exercise 2: g = h is multi-head, g = 1 is "
        "multi-query, and between them is GQA."
    )


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1))


def _check_groups(to_groups, weight: Tensor, heads: int, groups: int) -> None:
    what = f"to_groups of {heads} heads into {groups}"
    got = CHECK.call(to_groups, weight, heads, groups, what=what)
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
    right = _pooled(weight, heads, groups)
    others = {hint: w for hint, w in mistakes.items() if not same(w, right)}
    last = neighbours[:, -1].flatten(0, 1)
    if isinstance(got, Tensor) and same(got, last) and not same(last, right):
        others = {"every_head": last}
    CHECK.close(got, right, "compare", what, others, shape="rows")


def _check_layer(
    layer,
    x: Tensor,
    weights: dict[str, Tensor],
    heads: int,
    groups: int,
    mask: Tensor,
) -> None:
    what = f"layer with {heads} heads and {groups} groups, batch {len(x)}"
    inputs = x, weights, heads, groups
    got = CHECK.call(layer, *inputs, mask, what=what)
    square = weights["q"].shape[0] == weights["q"].shape[1]
    mistakes = {
        "mask": _layer(*inputs, torch.ones_like(mask)),
        "repeat": _layer(*inputs, mask, by_modulo=True),
        "scale": _layer(*inputs, mask, scale=x.shape[-1] ** -0.5),
        "project_back": _layer(*inputs, mask, project_back=False),
        "unscaled": _layer(*inputs, mask, scale=1.0),
        "merge": _layer(*inputs, mask, heads_last=True),
        "split": _layer(*inputs, mask, heads_first=True),
    }
    for wrong in (torch.ones_like(mask).tril(), mask[:1].expand_as(mask)):
        y = _layer(*inputs, wrong)
        if isinstance(got, Tensor) and same(got, y):
            mistakes["mask"] = y
    for names in (("q",), ("o",), ("q", "o")) if square else ():
        turned = weights | {name: weights[name].T for name in names}
        y = _layer(x, turned, heads, groups, mask)
        if isinstance(got, Tensor) and same(got, y):
            mistakes["oriented"] = y
    right, default = _layer(*inputs, mask), "layer"
    if isinstance(got, Tensor) and got.isnan().any():
        default = "stable" if x.abs().max() > 20 else "hidden"
    others = {hint: y for hint, y in mistakes.items() if not same(y, right)}
    CHECK.close(got, right, default, what, others, shape="layer")


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
    by_modulo: bool = False,
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
    if by_modulo:  # head i reads group i % g
        k, v = (part.repeat(1, 1, heads // groups, 1) for part in (k, v))
    y, _ = attend(q, k, v, mask, scale=scale)
    joined = (y.transpose(2, 3) if heads_last else y).flatten(2)
    return joined @ weights["o"].T if project_back else joined
